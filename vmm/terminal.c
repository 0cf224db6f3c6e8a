/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.c - raw mode on standard input, given back on every way out of the program. */
#include "vmm/terminal.h"

#include <errno.h>
#include <signal.h>
#include <termios.h>

#include "vmm/base/log.h"

/* The terminal is the process's, and a signal handler gets no argument: hence file scope. */
static struct termios saved;
static volatile sig_atomic_t is_raw;

void terminal_restore(void)
{
	int saved_errno = errno;

	if (!is_raw)
		return;
	is_raw = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	log_set_raw_terminal(false);
	errno = saved_errno;
}

static void on_fatal_signal(int signo)
{
	terminal_restore();
	/* SA_RESETHAND: the second time the signal does what it always did. */
	raise(signo);
}

static void catch_fatal_signals(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS,  SIGILL,	SIGFPE,	 SIGABRT, SIGTRAP,
				     SIGSYS,  SIGQUIT, SIGXCPU, SIGXFSZ };
	struct sigaction action = { .sa_handler = on_fatal_signal, .sa_flags = (int)SA_RESETHAND };

	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &action, NULL);
}

bool terminal_raw(void)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
	    tcgetattr(STDIN_FILENO, &saved))
		return false;
	raw = saved;
	cfmakeraw(&raw);
	catch_fatal_signals();
	atexit(terminal_restore);
	is_raw = 1;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)) {
		is_raw = 0;
		return false;
	}
	log_set_raw_terminal(true);
	return true;
}
