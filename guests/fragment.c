/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fragment.c - plugs every other block of a region, one request each, uses the first and the last
 * page of each, violates the others, and turns plugged and unplugged round.
 * Prints "step NAME"; with wait=1 waits for a byte after each.
 */
#include "guests/pattern.h"
#include "guests/vmem.h"

#define NR_VIOLATED 64u

static struct vmem vmem;
static unsigned int nr_blocks;

static uint64_t block(unsigned int i) { return vmem.addr + i * vmem.block_bytes; }
static uint64_t last_page(unsigned int i) { return block(i + 1) - PAGE_BYTES; }

static void plug(unsigned int odd)
{
	for (unsigned int i = odd; i < nr_blocks; i += 2) {
		vmem_plug(&vmem, block(i), vmem.block_bytes);
		pattern_check_zero(block(i), PAGE_BYTES);
		pattern_check_zero(last_page(i), PAGE_BYTES);
		pattern_write(block(i), PAGE_BYTES, 1);
		pattern_write(last_page(i), PAGE_BYTES, 1);
	}
}

static void unplug(unsigned int odd)
{
	for (unsigned int i = odd; i < nr_blocks; i += 2)
		vmem_unplug(&vmem, block(i), vmem.block_bytes);
}

static void check(unsigned int odd)
{
	for (unsigned int i = odd; i < nr_blocks; i += 2) {
		pattern_check(block(i), PAGE_BYTES, 1);
		pattern_check(last_page(i), PAGE_BYTES, 1);
	}
}

static void violate(unsigned int odd)
{
	for (unsigned int i = odd; i < 2 * NR_VIOLATED; i += 2) {
		CHECK_EQ(read64(block(i)), 0);
		write64(last_page(i), 1);
	}
}

int guest_main(void)
{
	CHECK(vmem_open(&vmem, 0));
	vmem_wait_requested(&vmem);
	nr_blocks = (unsigned int)(vmem.region_bytes / vmem.block_bytes);
	CHECK(nr_blocks >= 2 * NR_VIOLATED);
	step("start");
	plug(0);
	step("plugged");
	violate(1);
	step("violated");
	check(0);
	/* The others: for a moment, nearly everything is plugged. */
	plug(1);
	check(0);
	step("full");
	unplug(0);
	check(1);
	violate(0);
	step("turned");
	check(1);
	vmem_unplug_all(&vmem);
	step("end");
	PASS();
}
