/* SPDX-License-Identifier: Apache-2.0 */
/* inherited_fds.c - descriptors that the starter of this process has left open for it. */
#include "vmm/base/inherited_fds.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/log.h"

#define FIRST_FD 3 /* sd_listen_fds(3) */
#define PREFIX "fd:"

bool inherited_fds_is_fd(const char *where) { return !strncmp(where, PREFIX, strlen(PREFIX)); }

int inherited_fds_fd(const char *what, const char *where)
{
	const char *digits = where + strlen(PREFIX);
	char *rest;
	unsigned long fd;
	int flags;

	errno = 0;
	fd = strtoul(digits, &rest, 10);
	if (!isdigit((unsigned char)*digits) || *rest || errno || fd > INT_MAX)
		return fail_usage("%s '%s': write fd: and the number of an open descriptor", what,
				  where);
	if (fd < FIRST_FD)
		return fail_usage("%s %s: that is a standard file; hand over another", what, where);
	flags = fcntl((int)fd, F_GETFD);
	if (flags < 0 || fcntl((int)fd, F_SETFD, flags | FD_CLOEXEC)) {
		fail_usage("%s %s: no such descriptor is open; whoever starts this must leave it "
			   "open", what, where);
		return -EBADF;
	}
	return (int)fd;
}

/* The value of a decimal variable; 0 when it is absent or something else. */
static unsigned long number(const char *variable)
{
	const char *text = getenv(variable);
	char *rest;
	unsigned long n = text && isdigit((unsigned char)*text) ? strtoul(text, &rest, 10) : 0;

	return n && !*rest ? n : 0;
}

/* Name number I of a list that colons divide. */
static void name_of(const char *names, unsigned int i, char name[64])
{
	for (; names && i; i--) {
		names = strchr(names, ':');
		if (names)
			names++;
	}
	if (names)
		snprintf(name, 64, "%.*s", (int)strcspn(names, ":"), names);
	else
		snprintf(name, 64, "unknown");
}

int inherited_fds_take(struct inherited_fds *given)
{
	bool ours = number("LISTEN_PID") == (unsigned long)getpid();
	unsigned long nr = ours ? number("LISTEN_FDS") : 0;
	const char *names = getenv("LISTEN_FDNAMES");

	*given = (struct inherited_fds){ 0 };
	if (nr > GIVEN_MAX)
		return fail_usage("LISTEN_FDS: %lu descriptors; at most %d make sense", nr,
				  GIVEN_MAX);
	for (unsigned int i = 0; i < nr; i++) {
		name_of(names, i, given->name[i]);
		snprintf(given->where[i], GIVEN_TEXT_BYTES, PREFIX "%u", FIRST_FD + i);
	}
	given->nr = (unsigned int)nr;
	if (ours) {
		unsetenv("LISTEN_PID");
		unsetenv("LISTEN_FDS");
		unsetenv("LISTEN_FDNAMES");
	}
	return 0;
}
