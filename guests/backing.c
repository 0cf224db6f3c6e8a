/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backing.c - what it costs to take memory and to give it back, as the guest sees it: rounds=N
 * times all that is requested is plugged and one word of every 4 KiB written, then all of it is
 * unplugged. As Linux does it: requests of 128 MiB, plugged from the bottom and unplugged from the
 * top, and an interrupt, not polling, tells of the answer.
 * Prints "step start", and for each round "step populated N", "round N plug NS touch NS release NS"
 * and "step released N"; with wait=1 waits for a byte after each step, outside of what is timed.
 */
#include "guests/vmem.h"

#define LINUX_BLOCK_BYTES (128 * MiB)

static struct vmem vmem;

static uint64_t ns(uint64_t cycles) { return cycles * 1000000 / cpu_cycles_per_ms(); }

static void touch(uint64_t bytes, uint64_t seed)
{
	for (uint64_t at = vmem.addr; at < vmem.addr + bytes; at += PAGE_BYTES)
		write64(at, at ^ seed);
}

static void check(uint64_t bytes, uint64_t seed)
{
	for (uint64_t at = vmem.addr; at < vmem.addr + bytes; at += PAGE_BYTES)
		CHECK_EQ(read64(at), at ^ seed);
}

static void unplug(uint64_t bytes)
{
	while (bytes) {
		uint64_t piece = bytes < LINUX_BLOCK_BYTES ? bytes : LINUX_BLOCK_BYTES;

		bytes -= piece;
		vmem_unplug(&vmem, vmem.addr + bytes, piece);
	}
}

int guest_main(void)
{
	unsigned int nr_rounds = (unsigned int)cmdline_u64("rounds", 1);
	uint64_t bytes;

	CHECK(vmem_open(&vmem, 0));
	virtio_use_interrupts(&vmem.dev);
	vmem_start(&vmem);
	bytes = vmem_wait_requested(&vmem);
	CHECK_EQ(vmem_config(&vmem).plugged_size, 0);
	ns(0); /* asks the host for the clock, once */
	step("start");
	for (unsigned int round = 1; round <= nr_rounds; round++) {
		uint64_t start = cpu_tsc(), plugged, touched, released;

		vmem_plug(&vmem, vmem.addr, bytes);
		plugged = cpu_tsc() - start;
		touch(bytes, round);
		touched = cpu_tsc() - start - plugged;
		check(bytes, round);
		step("populated %u", round);
		start = cpu_tsc();
		unplug(bytes);
		released = cpu_tsc() - start;
		CHECK_EQ(vmem_config(&vmem).plugged_size, 0);
		print("round %u plug %lu touch %lu release %lu\n", round, ns(plugged), ns(touched),
		      ns(released));
		step("released %u", round);
	}
	PASS();
}
