/* SPDX-License-Identifier: Apache-2.0 */
/* signals.c - signals as descriptors. */
#include "vmm/base/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "vmm/base/log.h"

static int open_set(const sigset_t *set, int *fd)
{
	*fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *fd < 0 ? fail(-errno, "signalfd") : 0;
}

int signals_open(int *fd)
{
	sigset_t set, all;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP); /* the terminal is gone */
	all = set;
	sigaddset(&all, SIGWINCH);
	if (sigprocmask(SIG_BLOCK, &all, NULL))
		return fail(-errno, "sigprocmask");
	/* Both are errors of a write. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	return open_set(&set, fd);
}

int signals_open_size(int *fd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	return open_set(&set, fd);
}

int signals_taken(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}
