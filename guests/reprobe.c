/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reprobe.c - a driver goes and another one comes, without unplugging anything: what was plugged
 * stays the guest's. The second driver does not promise to keep out of unplugged memory, the third
 * one does again. Each reads some of it.
 * Prints "step NAME READS" with the reads of unplugged memory by the last driver; with wait=1 waits
 * for a byte after each.
 */
#include "guests/pattern.h"
#include "guests/vmem.h"

#define NR_READS 16

static struct vmem vmem;

static uint64_t block(unsigned int i) { return vmem.addr + i * vmem.block_bytes; }

static void check_plugged(unsigned int first, unsigned int nr, uint64_t seed)
{
	CHECK_EQ(vmem_state(&vmem, block(first), nr * vmem.block_bytes), VIRTIO_MEM_STATE_PLUGGED);
	pattern_check(block(first), nr * vmem.block_bytes, seed);
}

static void plug(unsigned int first, unsigned int nr, uint64_t seed)
{
	vmem_plug(&vmem, block(first), nr * vmem.block_bytes);
	pattern_check_zero(block(first), nr * vmem.block_bytes);
	pattern_write(block(first), nr * vmem.block_bytes, seed);
}

static void restart(bool promise)
{
	virtio_reset(&vmem.dev);
	virtio_negotiate(&vmem.dev,
			 promise ? UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE : 0);
	vq_setup(&vmem.vq, &vmem.dev, 0);
	virtio_driver_ok(&vmem.dev);
}

/* In a block of the segment that has others plugged. What the last reads left is gone by then. */
static void read_unplugged(void)
{
	cpu_wait_ms(200);
	for (unsigned int i = 0; i < NR_READS; i++)
		CHECK_EQ(read64(block(30) + i * 64 * KiB), 0);
}

int guest_main(void)
{
	CHECK(vmem_open(&vmem, 0));
	vmem_wait_requested(&vmem);
	plug(0, 4, 1);
	step("start 0");

	/* No driver at all, for a moment. */
	virtio_reset(&vmem.dev);
	pattern_check(block(0), 4 * vmem.block_bytes, 1);
	read_unplugged();
	step("reset %u", NR_READS);

	restart(false);
	CHECK_EQ(vmem_config(&vmem).plugged_size, 4 * vmem.block_bytes);
	check_plugged(0, 4, 1);
	read_unplugged();
	step("lawful %u", NR_READS);
	CHECK_EQ(vmem_request(&vmem, VIRTIO_MEM_REQ_PLUG, block(3), 2, NULL),
		 VIRTIO_MEM_RESP_ERROR);
	plug(4, 2, 2);
	vmem_unplug(&vmem, block(1), 2 * vmem.block_bytes);
	CHECK_EQ(vmem_state(&vmem, block(0), 6 * vmem.block_bytes), VIRTIO_MEM_STATE_MIXED);

	restart(true);
	CHECK_EQ(vmem_config(&vmem).plugged_size, 4 * vmem.block_bytes);
	check_plugged(0, 1, 1);
	check_plugged(3, 1, 1);
	check_plugged(4, 2, 2);
	CHECK_EQ(vmem_state(&vmem, block(1), 2 * vmem.block_bytes), VIRTIO_MEM_STATE_UNPLUGGED);
	read_unplugged();
	step("promised %u", NR_READS);
	plug(1, 2, 3);
	check_plugged(0, 1, 1);
	check_plugged(1, 2, 3);
	vmem_unplug_all(&vmem);
	step("end 0");
	PASS();
}
