/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal.h - raw mode on standard input, given back on every way out of the program.
 */
#ifndef EBB_CHARDEV_TERMINAL_H
#define EBB_CHARDEV_TERMINAL_H

#include "vmm/base/types.h"

/*
 * Forks a guardian, a small process that gives the terminal its old mode back when we are killed
 * in raw mode. No effect unless standard input is a terminal and we are its foreground job. To be
 * called before there is anything that a child must not share: threads, a VM, userfaultfd.
 */
void terminal_guard(void);
/*
 * Puts standard input into raw mode when it is a terminal and we are its foreground job; true if
 * so. From then on exit() and every fatal signal that can be caught give the old mode back.
 */
bool terminal_raw(void);
/* Of standard output; 80 columns and 24 rows where it does not say, or says less than 20 or 2. */
struct terminal_size {
	unsigned int columns, rows;
};
struct terminal_size terminal_size(void);
/* Gives the old mode back. Safe in a signal handler; no effect when nothing was changed. */
void terminal_restore(void);

#endif
