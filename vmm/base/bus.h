/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.h - address to device: one table for memory-mapped I/O, one for ports.
 * Owner: machine. Filled once, then frozen; lookups take no lock. bus_access() runs on vCPU
 * threads, the caller holds the device lock.
 */
#ifndef EBB_BASE_BUS_H
#define EBB_BASE_BUS_H

#include "vmm/base/types.h"

/* One access, relative to its region and wholly inside it. VALUE is in for writes, out for reads. */
struct bus_access {
	uint64_t offset;
	unsigned int bytes; /* 1, 2, 4 or 8 */
	bool is_write;
	uint64_t value;
};

typedef void (*bus_fn)(void *ctx, struct bus_access *access);

#define BUS_MAX_REGIONS 32

struct bus {
	struct bus_region {
		uint64_t base, size;
		bus_fn fn;
		void *ctx;
	} regions[BUS_MAX_REGIONS];
	unsigned int nr_regions;
	bool frozen;
};

/* -EEXIST when the range overlaps another one, -ENOSPC when the table is full. */
int must_check bus_add(struct bus *bus, uint64_t base, uint64_t size, bus_fn fn, void *ctx);
void bus_freeze(struct bus *bus);
/*
 * Hands the access at ADDRESS to its device. False when no region holds all of it; a read then
 * gives all ones. A device that leaves VALUE alone answers a read with all ones too.
 */
bool bus_access(const struct bus *bus, uint64_t address, struct bus_access *access);

#endif
