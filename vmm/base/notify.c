/* SPDX-License-Identifier: Apache-2.0 */
/* notify.c - what a service manager wants to hear. */
#include "vmm/base/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "vmm/base/log.h"

#define TEXT_BYTES 256
#define WAIT_US 100000

static int send_to(const char *name, const char *text)
{
	const struct timeval wait = { .tv_usec = WAIT_US };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(name);
	socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	auto_close int fd = -1;

	if ((*name != '/' && *name != '@') || n < 2 || n > sizeof(a.sun_path))
		return -EAFNOSUPPORT;
	memcpy(a.sun_path, name, n);
	if (*name == '@')
		a.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) ||
	    sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a, bytes) < 0)
		return -errno;
	return 0;
}

void notify(const char *fmt, ...)
{
	static bool failed;
	const char *name = getenv("NOTIFY_SOCKET");
	char text[TEXT_BYTES];
	va_list args;
	int r;

	if (!name || !*name)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	r = send_to(name, text);
	if (r && !failed)
		log_warn("NOTIFY_SOCKET %s: %s", name, strerror(-r));
	failed |= r != 0;
}

uint64_t notify_watchdog_ns(void)
{
	const char *pid = getenv("WATCHDOG_PID"), *us = getenv("WATCHDOG_USEC");
	unsigned long long n;

	if (!us || (pid && strtoull(pid, NULL, 10) != (unsigned long long)getpid()))
		return 0;
	n = strtoull(us, NULL, 10);
	return n > UINT64_MAX / 1000 ? 0 : n * 1000;
}
