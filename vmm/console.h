/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.h - the serial port on standard input and output.
 * Output waits in a bounded buffer that the loop empties: a slow reader slows the guest down (the
 * port looks busy), never the loop. Thread: console_put() any, under the device lock; the rest
 * the loop.
 */
#ifndef EBB_CONSOLE_H
#define EBB_CONSOLE_H

#include "vmm/base/loop.h"
#include "devices/serial.h"

struct console;

/*
 * Connects SERIAL (its callbacks are set). QUIT is called when the user types Ctrl-a x on a
 * terminal.
 */
int must_check console_new(struct console **out, struct loop *loop, struct serial *serial,
			   void (*quit)(void *ctx), void *ctx);
/* Writes out what is buffered, as far as that goes without waiting long, and frees. */
void console_free(struct console *console);

#endif
