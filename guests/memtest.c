/* SPDX-License-Identifier: Apache-2.0 */
/* memtest.c - writes and verifies every page of boot memory that it does not stand on. */
#include "guests/cpu.h"
#include "guests/devtree.h"
#include "guests/lib.h"
#include "guests/pattern.h"

static uint64_t sweep(struct range memory, void (*visit)(uint64_t at, uint64_t bytes))
{
	uint64_t visited = 0;

	for (uint64_t at = memory.start; at < memory.start + memory.bytes; at += PAGE_BYTES) {
		if (boot_in_use((struct range){ at, PAGE_BYTES }))
			continue;
		visit(at, PAGE_BYTES);
		visited += PAGE_BYTES;
	}
	return visited;
}

static void write_page(uint64_t at, uint64_t bytes)
{
	pattern_write(at, bytes, 1);
}

static void check_page(uint64_t at, uint64_t bytes)
{
	pattern_check(at, bytes, 1);
}

int guest_main(void)
{
	struct range memory[8];
	unsigned int nr = devtree_memory(memory, ARRAY_SIZE(memory));
	uint64_t total = 0, visited = 0, checked = 0;

	CHECK(nr > 0);
	for (unsigned int i = 0; i < nr; i++) {
		cpu_map(memory[i].start, memory[i].bytes);
		total += memory[i].bytes;
	}
	/* All of it is written before any is checked, so that aliases show. */
	for (unsigned int i = 0; i < nr; i++)
		visited += sweep(memory[i], write_page);
	for (unsigned int i = 0; i < nr; i++)
		checked += sweep(memory[i], check_page);
	CHECK_EQ(visited, checked);
	/* Everything but the image, the device tree and the initrd. */
	CHECK(total - visited < 8 * MiB + boot.initrd.bytes);
	print("memory %llu of %llu KiB\n", (unsigned long long)(visited / KiB),
	      (unsigned long long)(total / KiB));
	PASS();
}
