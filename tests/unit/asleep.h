/* SPDX-License-Identifier: Apache-2.0 */
/* asleep.h - whether a thread of the test has come to wait for something. */
#ifndef EBB_TESTS_ASLEEP_H
#define EBB_TESTS_ASLEEP_H

#include <sys/types.h>

/*
 * Returns once the thread *TID, written by itself (atomic) just before it does what may wait, sleeps
 * in the kernel. The suite's limit ends it.
 */
void wait_until_asleep(const pid_t *tid);

#endif
