/* SPDX-License-Identifier: Apache-2.0 */
/* bus.c - address to device. */
#include "vmm/base/bus.h"

#include <assert.h>
#include <errno.h>

int bus_add(struct bus *bus, uint64_t base, uint64_t size, bus_fn fn, void *ctx)
{
	assert(!bus->frozen && size && base + (size - 1) >= base);
	for (unsigned int i = 0; i < bus->nr_regions; i++) {
		const struct bus_region *r = &bus->regions[i];

		if (base <= r->base + (r->size - 1) && r->base <= base + (size - 1))
			return -EEXIST;
	}
	if (bus->nr_regions == BUS_MAX_REGIONS)
		return -ENOSPC;
	bus->regions[bus->nr_regions++] = (struct bus_region){ base, size, fn, ctx };
	return 0;
}

void bus_freeze(struct bus *bus) { bus->frozen = true; }

bool bus_access(const struct bus *bus, uint64_t address, struct bus_access *access)
{
	assert(bus->frozen);
	if (!access->is_write)
		access->value = UINT64_MAX;
	for (unsigned int i = 0; i < bus->nr_regions; i++) {
		const struct bus_region *r = &bus->regions[i];

		if (!range_inside(address, access->bytes, r->base, r->size))
			continue;
		access->offset = address - r->base;
		r->fn(r->ctx, access);
		return true;
	}
	return false;
}
