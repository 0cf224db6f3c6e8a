/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.c - raw mode on standard input, given back on every way out of the program. */
#include "vmm/chardev/terminal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>

#include "vmm/base/log.h"

/* The terminal is the process's, and a signal handler gets no argument: hence file scope. */
static struct termios saved;
static volatile sig_atomic_t is_raw;
static int guardian_fd = -1; /* what the guardian is told: 'r' raw, 'd' done */

static void tell_guardian(char word)
{
	if (guardian_fd >= 0 && send(guardian_fd, &word, 1, MSG_NOSIGNAL) < 0)
		return; /* it was killed; we go on without */
}

void terminal_restore(void)
{
	int saved_errno = errno;

	if (!is_raw)
		return;
	is_raw = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	tell_guardian('d');
	log_set_raw_terminal(false);
	errno = saved_errno;
}

static bool is_ours(void)
{
	return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/*
 * Only from the mode that we have set: a shell that noticed our end earlier has one of its own. Out
 * of reach of what is typed at the terminal and of signals to our process group.
 */
static void guardian(int fd)
{
	struct termios raw = saved, now;
	char word, last = 'd';
	ssize_t n;

	setsid();
	prctl(PR_SET_NAME, "ebb-terminal");
	dup2(fd, STDOUT_FILENO);
	close_range(STDERR_FILENO, ~0U, 0);
	do {
		n = read(STDOUT_FILENO, &word, 1);
		if (n > 0)
			last = word;
	} while (n > 0 || (n < 0 && errno == EINTR));
	cfmakeraw(&raw);
	if (last == 'r' && !tcgetattr(STDIN_FILENO, &now) && now.c_lflag == raw.c_lflag &&
	    now.c_oflag == raw.c_oflag)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

void terminal_guard(void)
{
	int ends[2];
	pid_t pid;

	if (!is_ours() || tcgetattr(STDIN_FILENO, &saved) || 
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return;
	pid = fork();
	if (!pid) {
		guardian(ends[0]);
		_exit(0);
	}
	close(ends[0]);
	if (pid < 0) {
		log_warn("no process for the guardian of the terminal: %s; if ebb is killed the "
			 "terminal stays raw", strerror(errno));
		close(ends[1]);
		return;
	}
	guardian_fd = ends[1];
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
				     SIGSYS,  SIGQUIT, SIGXCPU };
	struct sigaction action = { .sa_handler = on_fatal_signal, .sa_flags = (int)SA_RESETHAND };

	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &action, NULL);
}

bool terminal_raw(void)
{
	struct termios raw;

	if (!is_ours() || tcgetattr(STDIN_FILENO, &saved))
		return false;
	raw = saved;
	cfmakeraw(&raw);
	catch_fatal_signals();
	atexit(terminal_restore);
	is_raw = 1;
	tell_guardian('r');
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)) {
		is_raw = 0;
		tell_guardian('d');
		return false;
	}
	log_set_raw_terminal(true);
	return true;
}

struct terminal_size terminal_size(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || w.ws_col < 20 || w.ws_row < 2)
		return (struct terminal_size){ 80, 24 };
	return (struct terminal_size){ w.ws_col, w.ws_row };
}
