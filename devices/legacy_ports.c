/* SPDX-License-Identifier: Apache-2.0 */
/* legacy_ports.c - PC ports that stock kernels touch although the tables say there is nothing. */
#include "devices/legacy_ports.h"

void cmos_access(void *ctx, struct bus_access *access)
{
	(void)ctx;
	if (!access->is_write)
		access->value = 0;
}

void debug_exit_access(void *ctx, struct bus_access *access)
{
	struct debug_exit *d = ctx;

	if (access->is_write)
		d->exit(d->ctx, (uint8_t)access->value);
}
