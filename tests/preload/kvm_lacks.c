/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm_lacks.c - a KVM of an old kernel, preloaded into ebb: any file passes for /dev/kvm, of API
 * version $KVM_VERSION (default the right one), without the capabilities whose numbers are in
 * $KVM_LACKS ("7,32").
 */
#include <dlfcn.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static int lacks(long capability)
{
	const char *text = getenv("KVM_LACKS");

	while (text && *text) {
		char *end;

		if (strtol(text, &end, 10) == capability)
			return 1;
		text = *end ? end + 1 : end;
	}
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*next)(int, unsigned long, ...);
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == KVM_GET_API_VERSION)
		return getenv("KVM_VERSION") ? atoi(getenv("KVM_VERSION")) : KVM_API_VERSION;
	if (request == KVM_CHECK_EXTENSION)
		return !lacks((long)arg);
	if (!next)
		next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	return next(fd, request, arg);
}
