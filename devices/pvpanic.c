/* SPDX-License-Identifier: Apache-2.0 */
/* pvpanic.c - a guest's kernel says that it has panicked. */
#include "devices/pvpanic.h"

#include <misc/pvpanic.h>

void pvpanic_access(void *ctx, struct bus_access *access)
{
	struct pvpanic *p = ctx;

	if (!access->is_write)
		access->value = access->offset ? 0 : PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
	else if (access->offset)
		return;
	else if (access->value & PVPANIC_PANICKED)
		p->panicked(p->ctx);
	else if (access->value & PVPANIC_CRASH_LOADED)
		p->crash_loaded(p->ctx);
}
