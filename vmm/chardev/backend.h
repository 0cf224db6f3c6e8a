/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend.h - where a console is reached: standard input and output, a unix socket, a pseudo
 * terminal, or nowhere; a channel always at a socket. It lives as long as the process, through
 * resets of the VM.
 * One client at a time: at the socket of a console a second one is told so and closed, as long as
 * the first has not hung up; at that of a channel those who come wait in the backlog for their turn,
 * in order; at the pseudo terminal those who open it share it. What clients see of output that came
 * while none was there, and what a slow one causes, says chardev.h. Thread: the loop.
 */
#ifndef EBB_CHARDEV_BACKEND_H
#define EBB_CHARDEV_BACKEND_H

#include <sys/types.h>

#include "vmm/base/loop.h"
#include "vmm/chardev/chardev.h"

enum console_kind { CONSOLE_STDIO, CONSOLE_UNIX, CONSOLE_PTY, CONSOLE_NONE };
/* 0 or -EINVAL for an unknown name: stdio, unix, pty, none (not logged). */
int must_check console_kind_parse(const char *name, enum console_kind *kind);

struct console_cfg {
	enum console_kind kind;
	enum chardev_kind port;
	const char *path; /* of the unix socket */
	/* The user typed Ctrl-a x on the terminal that is our standard input. */
	void (*quit)(void *ctx);
	void *ctx;
};

struct console_info {
	const char *kind;
	const char *path; /* absolute, of what to open; of stdio what the output is; "" for none */
	bool attached;	  /* somebody is there */
	pid_t pid;	  /* of the client at the socket; 0: none */
};

struct console;

/* For the device whose end is GUEST; the other one has to be set there. 0 or -errno, logged. */
int must_check console_new(struct console **out, struct loop *loop, struct guest_end guest,
			   const struct console_cfg *cfg);
struct host_end console_host_end(struct console *console);
/* Writes out what is buffered, as far as that goes without waiting long, and frees. */
void console_free(struct console *console);
/*
 * The last lines of output, for a log, enough for a panic of Linux with its stack: printable, two
 * blanks before each, no newline at the end. TEXT as the result.
 */
#define CONSOLE_EXCERPT_LINES 60
#define CONSOLE_EXCERPT_BYTES 3400
const char *console_excerpt(const struct console *console, char text[CONSOLE_EXCERPT_BYTES]);
/* Valid until the console is freed. */
struct console_info console_info(const struct console *console);

#endif
