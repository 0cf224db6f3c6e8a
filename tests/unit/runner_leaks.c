/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runner_leaks.c - LeakSanitizer looks at the processes in which tests run, each of them, and not at
 * the one that runs them: Criterion's own loses 48 bytes now and then when it runs several at once.
 */
#include <stdlib.h>

int __lsan_is_turned_off(void);
/* BoxFort, which starts the processes of the tests, sets it in them. */
int __lsan_is_turned_off(void) { return !getenv("BXFI_MAP"); }
