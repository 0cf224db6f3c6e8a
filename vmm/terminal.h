/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal.h - raw mode on standard input, given back on every way out of the program.
 */
#ifndef EBB_TERMINAL_H
#define EBB_TERMINAL_H

#include "vmm/base/types.h"

/*
 * Puts standard input into raw mode when it is a terminal and we are its foreground job; true if
 * so. From then on exit() and every fatal signal that can be caught give the old mode back.
 */
bool terminal_raw(void);
/* Gives the old mode back. Safe in a signal handler; no effect when nothing was changed. */
void terminal_restore(void);

#endif
