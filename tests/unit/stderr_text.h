/* SPDX-License-Identifier: Apache-2.0 */
/* stderr_text.h - what the code under test writes to standard error. Single-threaded tests. */
#ifndef EBB_TESTS_STDERR_TEXT_H
#define EBB_TESTS_STDERR_TEXT_H

/* From now on standard error is kept. */
void stderr_keep(void);
/* What was written since; standard error is itself again. Valid until the next call. */
const char *stderr_text(void);

#endif
