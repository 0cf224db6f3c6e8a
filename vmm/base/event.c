/* SPDX-License-Identifier: Apache-2.0 */
/* event.c - an eventfd. */
#include "vmm/base/event.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "vmm/base/log.h"

int event_new(int *fd)
{
	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *fd < 0 ? fail(-errno, "eventfd") : 0;
}

void event_raise(void *ctx)
{
	uint64_t one = 1;

	if (write(*(const int *)ctx, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is raised already */
}

bool event_taken(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}
