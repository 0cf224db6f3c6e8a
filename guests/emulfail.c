/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emulfail.c - makes KVM emulate what it cannot: an access to an address without memory by an
 * instruction that its emulator lacks. how=popcnt (default), fxsave, avx or fetch.
 * In ring 0; with ring=3 in ring 3, where KVM may inject an invalid opcode exception instead.
 */
#include "guests/cpu.h"
#include "guests/lib.h"
#include "vmm/base/platform.h"

/* In the hole below 4 GiB, where nothing is. */
#define NOWHERE (PLATFORM_LOW_END + 0x1000)

static uint64_t popcnt(uint64_t at)
{
	uint64_t bits;

	__asm__ volatile("popcnt (%1), %0" : "=r"(bits) : "r"(at) : "memory");
	return bits;
}

static uint64_t fxsave(uint64_t at)
{
	__asm__ volatile("fxsave (%0)" : : "r"(at) : "memory");
	return 0;
}

static uint64_t avx(uint64_t at)
{
	__asm__ volatile("vmovdqu (%0), %%ymm0" : : "r"(at) : "memory");
	return 0;
}

static uint64_t fetch(uint64_t at)
{
	return ((uint64_t(*)(uint64_t))at)(0);
}

int guest_main(void)
{
	uint64_t (*fail)(uint64_t at) = popcnt;

	if (cmdline_is("how", "fxsave"))
		fail = fxsave;
	if (cmdline_is("how", "fetch"))
		fail = fetch;
	if (cmdline_is("how", "avx")) {
		CHECK(cpu_enable_avx());
		fail = avx;
	}
	print("emulation failure\n");
	if (cmdline_is("ring", "3"))
		fail(NOWHERE);
	else
		ring0(fail, NOWHERE);
	FAIL("still here");
}
