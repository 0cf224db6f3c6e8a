/* SPDX-License-Identifier: Apache-2.0 */
/* spare.c - see spare.h. */
#include "guests/spare.h"
#include "guests/cpu.h"

/* What of a range of the memory map counts, in whole pages. */
static struct range clip(struct range memory)
{
	uint64_t start = memory.start < MiB ? MiB : align_up(memory.start, PAGE_BYTES);
	uint64_t end = align_down(memory.start + memory.bytes, PAGE_BYTES);

	return (struct range){ start, end > start ? end - start : 0 };
}

uint32_t spare_pages(uint32_t *pfns, uint32_t max)
{
	uint32_t nr = 0;

	for (unsigned int i = 0; i < boot.nr_memory; i++) {
		struct range memory = clip(boot.memory[i]);

		cpu_map(memory.start, memory.bytes);
		for (uint64_t at = memory.start; at < memory.start + memory.bytes;
		     at += PAGE_BYTES) {
			if (boot_in_use((struct range){ at, PAGE_BYTES }))
				continue;
			CHECK(nr < max);
			pfns[nr++] = (uint32_t)(at / PAGE_BYTES);
		}
	}
	return nr;
}

struct range spare_run(uint64_t align)
{
	struct range best = { 0, 0 };

	for (unsigned int i = 0; i < boot.nr_memory; i++) {
		struct range memory = clip(boot.memory[i]);
		uint64_t start = align_up(memory.start, align);

		for (uint64_t at = start; at + align <= memory.start + memory.bytes; at += align) {
			if (boot_in_use((struct range){ at, align }))
				start = at + align;
			else if (at + align - start > best.bytes)
				best = (struct range){ start, at + align - start };
		}
	}
	CHECK(best.bytes);
	cpu_map(best.start, best.bytes);
	return best;
}
