/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.c - executes memory that is not plugged. Zeros are `add %al, (%rax)`: with AL = 0 and a
 * harmless RAX they do nothing, so that what is called in an unplugged block slides to its end,
 * where a plugged block begins with a way back. slots=1 plugs a block of the same segment first.
 */
#include "guests/vmem.h"

#define SEGMENT_BYTES (128 * MiB)
#define SLIDE_BYTES (256 * KiB)
#define RET 0xc3

static struct vmem vmem;
static uint8_t scratch[256] __attribute__((aligned(256)));

enum way { AT_ONCE, SLID };

static enum way call(uint64_t at)
{
	uint64_t slid = AT_ONCE;

	__asm__ volatile("call *%2" : "+d"(slid) : "a"(scratch), "r"(at) : "cc", "memory");
	return (enum way)slid;
}

int guest_main(void)
{
	static const uint8_t way_back[] = { 0xba, SLID, 0, 0, 0, RET }; /* mov $SLID, %edx; ret */
	uint64_t stub, code, at_once = 0;

	CHECK(vmem_open(&vmem, 0));
	vmem_wait_requested(&vmem);
	stub = vmem.addr + SEGMENT_BYTES;
	code = stub - SLIDE_BYTES;
	vmem_plug(&vmem, stub, vmem.block_bytes);
	memcpy((void *)stub, way_back, sizeof(way_back));
	if (cmdline_is("slots", "1"))
		vmem_plug(&vmem, vmem.addr, vmem.block_bytes);
	step("start");

	CHECK(call(stub) == SLID);
	CHECK(call(code) == SLID);
	step("slid");
	/* Code that the guest writes there it may execute for a moment. */
	for (unsigned int i = 0; i < 20; i++) {
		write8(code + i * 2, RET);
		at_once += call(code + i * 2) == AT_ONCE;
	}
	cpu_wait_ms(1000);
	CHECK(call(code) == SLID);
	CHECK(!scratch[0]);
	print("%lu times at once\n", at_once);
	step("executed");
	vmem_unplug_all(&vmem);
	step("end");
	PASS();
}
