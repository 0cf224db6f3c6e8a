/* SPDX-License-Identifier: Apache-2.0 */
/* exit_code.h - how a process of ours ends. */
#ifndef EBB_BASE_EXIT_CODE_H
#define EBB_BASE_EXIT_CODE_H

/* Exit codes of `ebb run`. */
#define EXIT_POWER_OFF 0
#define EXIT_NO_REBOOT 32
#define EXIT_CRASH 33
#define EXIT_PANIC 34
#define EXIT_BAD_ARGUMENTS 35
#define EXIT_VIOLATION 37
#define EXIT_TIMEOUT 124 /* as timeout(1) has it */

#endif
