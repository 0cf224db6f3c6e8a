/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plug.c - one round of virtio-mem: plug, write, verify, device reset, unplug half, replug, unplug
 * all.
 * Prints "step NAME" lines; with wait=1 waits for a byte after each, so that the host can look.
 */
#include "guests/pattern.h"
#include "guests/vmem.h"

static struct vmem vmem;

static void check_plugged(uint64_t bytes)
{
	CHECK_EQ(vmem_config(&vmem).plugged_size, bytes);
}

/* STATE answers for ranges of at most 65535 blocks; this asks in pieces. */
static void check_state(uint64_t addr, uint64_t bytes, uint16_t state)
{
	uint64_t piece = 1024 * vmem.block_bytes;

	for (uint64_t at = addr; at < addr + bytes; at += piece)
		CHECK_EQ(vmem_state(&vmem, at, bytes - (at - addr) < piece ? bytes - (at - addr) :
									     piece),
			 state);
}

int guest_main(void)
{
	uint64_t bytes, half, upper;

	CHECK(vmem_open(&vmem, (unsigned int)cmdline_u64("device", 0)));
	bytes = vmem_wait_requested(&vmem);
	half = bytes / 2 / vmem.block_bytes * vmem.block_bytes;
	upper = vmem.addr + half;
	CHECK(half > 0);
	check_plugged(0);
	check_state(vmem.addr, bytes, VIRTIO_MEM_STATE_UNPLUGGED);
	step("start");

	vmem_plug(&vmem, vmem.addr, bytes);
	check_plugged(bytes);
	check_state(vmem.addr, bytes, VIRTIO_MEM_STATE_PLUGGED);
	step("plugged %lu", bytes);

	pattern_check_zero(vmem.addr, bytes);
	pattern_write(vmem.addr, bytes, 1);
	step("written %lu", bytes);
	pattern_check(vmem.addr, bytes, 1);
	step("verified %lu", bytes);

	/* A reset of the device is none of its memory. */
	virtio_reset(&vmem.dev);
	vmem_start(&vmem);
	check_plugged(bytes);
	check_state(vmem.addr, bytes, VIRTIO_MEM_STATE_PLUGGED);
	pattern_check(vmem.addr, bytes, 1);
	step("reset %lu", bytes);

	vmem_unplug(&vmem, upper, bytes - half);
	check_plugged(half);
	check_state(vmem.addr, half, VIRTIO_MEM_STATE_PLUGGED);
	check_state(upper, bytes - half, VIRTIO_MEM_STATE_UNPLUGGED);
	CHECK_EQ(vmem_state(&vmem, upper - vmem.block_bytes, 2 * vmem.block_bytes),
		 VIRTIO_MEM_STATE_MIXED);
	step("unplugged %lu", half);
	pattern_check(vmem.addr, half, 1);

	vmem_plug(&vmem, upper, bytes - half);
	check_plugged(bytes);
	step("replugged %lu", bytes);
	pattern_check_zero(upper, bytes - half);
	pattern_check(vmem.addr, half, 1);
	pattern_write(upper, bytes - half, 2);
	pattern_check(upper, bytes - half, 2);
	step("rewritten %lu", bytes);

	vmem_unplug_all(&vmem);
	check_plugged(0);
	check_state(vmem.addr, bytes, VIRTIO_MEM_STATE_UNPLUGGED);
	step("end");
	PASS();
}
