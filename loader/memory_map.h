/* SPDX-License-Identifier: Apache-2.0 */
/* memory_map.h - boot memory as every boot protocol tells it to the guest. */
#ifndef EBB_LOADER_MEMORY_MAP_H
#define EBB_LOADER_MEMORY_MAP_H

#include "loader/layout.h"

#define MEMORY_MAP_MAX 4

struct memory_map {
	unsigned int nr;
	struct memory_range {
		uint64_t base, bytes;
		bool usable; /* else reserved */
	} ranges[MEMORY_MAP_MAX];
};

/* Ascending. BOOT_BYTES must be above 1 MiB. */
static inline struct memory_map memory_map(uint64_t boot_bytes)
{
	uint64_t low_end = min_u64(boot_bytes, PLATFORM_LOW_END);
	struct memory_map map = {
		.nr = 3,
		.ranges = {
			{ 0, LAYOUT_RESERVED, true },
			{ LAYOUT_RESERVED, LAYOUT_KERNEL - LAYOUT_RESERVED, false },
			{ LAYOUT_KERNEL, low_end - LAYOUT_KERNEL, true },
		},
	};

	if (boot_bytes > low_end)
		map.ranges[map.nr++] = (struct memory_range){ PLATFORM_HIGH_BASE,
							      boot_bytes - low_end, true };
	return map;
}

#endif
