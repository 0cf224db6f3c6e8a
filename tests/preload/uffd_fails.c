/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uffd_fails.c - a host whose userfaultfd refuses, preloaded into ebb. $UFFD_FAILS names a file
 * with one line, CALL ERRNO: as long as it is there, that call fails with that number. CALL: new,
 * register or copy.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The number CALL is to fail with now, or 0. */
static int refusal(const char *call)
{
	const char *path = getenv("UFFD_FAILS");
	FILE *f = path ? fopen(path, "re") : NULL;
	char name[16];
	int number = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%15s %d", name, &number) != 2 || strcmp(name, call) != 0)
		number = 0;
	fclose(f);
	return number;
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*next)(int, unsigned long, ...);
	va_list args;
	void *arg;
	int number = 0;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == USERFAULTFD_IOC_NEW)
		number = refusal("new");
	else if (request == UFFDIO_REGISTER)
		number = refusal("register");
	else if (request == UFFDIO_COPY)
		number = refusal("copy");
	if (number) {
		/* As the kernel does: nothing was copied. */
		if (request == UFFDIO_COPY)
			((struct uffdio_copy *)arg)->copy = -number;
		errno = number;
		return -1;
	}
	if (!next)
		next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	return next(fd, request, arg);
}

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	va_list args;
	long a[6];
	int refused = number == SYS_userfaultfd ? refusal("new") : 0;

	va_start(args, number);
	for (unsigned int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (refused) {
		errno = refused;
		return -1;
	}
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
