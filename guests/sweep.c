/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep.c - reads read=N, then writes write=N bytes of a region from its start (default: all of
 * it), one word in each stride=N (default 4K; wstride=N for writes), where nothing is plugged.
 * slots=N plugs the first block of each of the first N 128 MiB before, so that memory slots are
 * there. regrow=N plugs the first N bytes in the end and uses them.
 * Prints "step NAME READS WRITES", the accesses to unplugged memory so far; with wait=1 waits for
 * a byte after each. "kept N": so many written words were still there a second later.
 */
#include "guests/pattern.h"
#include "guests/vmem.h"

#define SEGMENT_BYTES (128 * MiB)

static struct vmem vmem;
static uint64_t nr_reads, nr_writes, nr_slots;

static bool is_plugged(uint64_t at)
{
	uint64_t offset = at - vmem.addr;

	return offset / SEGMENT_BYTES < nr_slots && offset % SEGMENT_BYTES < vmem.block_bytes;
}

/* How many words are not 0. */
static uint64_t read_sweep(uint64_t bytes, uint64_t stride)
{
	uint64_t nr = 0;

	for (uint64_t at = vmem.addr; at < vmem.addr + bytes; at += stride) {
		if (is_plugged(at))
			continue;
		nr_reads++;
		nr += !!read64(at);
	}
	return nr;
}

static uint64_t word(uint64_t at) { return ~at; }

static void write_sweep(uint64_t bytes, uint64_t stride)
{
	uint64_t last = 0, found;

	for (uint64_t at = vmem.addr; at < vmem.addr + bytes; at += stride) {
		if (is_plugged(at))
			continue;
		nr_writes++;
		write64(at, word(at));
		last = at;
	}
	if (!last)
		return;
	nr_reads++;
	found = read64(last);
	CHECK(!found || found == word(last));
}

static void tell(const char *name) { step("%s %lu %lu", name, nr_reads, nr_writes); }

/* Does DO for each block at the start of a segment. */
static void for_plugged(void (*doit)(uint64_t at))
{
	for (uint64_t i = 0; i < nr_slots; i++)
		doit(vmem.addr + i * SEGMENT_BYTES);
}

static void plug_one(uint64_t at)
{
	vmem_plug(&vmem, at, vmem.block_bytes);
	pattern_write(at, vmem.block_bytes, 1);
}

static void check_one(uint64_t at) { pattern_check(at, vmem.block_bytes, 1); }

/* What was violated is given to us: empty, and all of it usable. */
static void regrow(uint64_t bytes)
{
	for (uint64_t at = vmem.addr; at < vmem.addr + bytes; at += vmem.block_bytes) {
		if (is_plugged(at))
			continue;
		vmem_plug(&vmem, at, vmem.block_bytes);
		pattern_check_zero(at, vmem.block_bytes);
		pattern_write(at, vmem.block_bytes, 1);
	}
	pattern_check(vmem.addr, bytes, 1);
}

int guest_main(void)
{
	uint64_t read, write, stride, write_stride, kept;

	CHECK(vmem_open(&vmem, (unsigned int)cmdline_u64("device", 0)));
	vmem_wait_requested(&vmem);
	stride = cmdline_u64("stride", PAGE_BYTES);
	write_stride = cmdline_u64("wstride", stride);
	nr_slots = cmdline_u64("slots", 0);
	read = cmdline_u64("read", vmem.region_bytes);
	write = cmdline_u64("write", vmem.region_bytes);
	for_plugged(plug_one);
	tell("start");

	CHECK_EQ(read_sweep(read, stride), 0);
	tell("read");
	write_sweep(write, write_stride);
	tell("written");
	cpu_wait_ms(1000);
	kept = read_sweep(write, write_stride);
	print("kept %lu\n", kept);
	tell("settled");

	if (cmdline_get("regrow")) {
		regrow(cmdline_u64("regrow", 0));
		tell("regrown");
	}
	for_plugged(check_one);
	vmem_unplug_all(&vmem);
	tell("end");
	PASS();
}
