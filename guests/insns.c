/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insns.c - atomic, string, vector and other instructions on memory that is not plugged, each in
 * a chunk of 64 KiB of its own; slots=1 plugs a block first, so that a memory slot is there. KVM
 * can't emulate the last ones where there is none.
 * Prints "step NAME"; with wait=1 waits for a byte after each.
 * Prints "step NAME ACCESSES", a lower bound; with wait=1 waits for a byte after each.
 */
#include "guests/vmem.h"

#define CHUNK_BYTES (64 * KiB)

static struct vmem vmem;
static bool have_avx;
static uint8_t area[512] __attribute__((aligned(64)));

/* Loads give what they found, read-modify-writes what was there before: 0. */

static uint64_t load(uint64_t at) { return read64(at); }
static uint64_t store(uint64_t at)
{
	write64(at, 1);
	return 0;
}
static uint64_t xadd(uint64_t at)
{
	uint64_t v = 1;

	__asm__ volatile("lock xadd %0, (%1)" : "+r"(v) : "r"(at) : "memory");
	return v;
}
static uint64_t xchg(uint64_t at)
{
	uint64_t v = 1;

	__asm__ volatile("xchg %0, (%1)" : "+r"(v) : "r"(at) : "memory");
	return v;
}
static uint64_t cmpxchg(uint64_t at)
{
	uint64_t v = 0;

	__asm__ volatile("lock cmpxchg %2, (%1)" : "+a"(v) : "r"(at), "r"(UINT64_C(1)) : "memory");
	return v;
}
static uint64_t lock_add(uint64_t at)
{
	__asm__ volatile("lock addq $1, (%0)" : : "r"(at) : "memory");
	return 0;
}
static uint64_t across_pages(uint64_t at)
{
	at += PAGE_BYTES - 4;
	write64(at, UINT64_MAX);
	return read64(at + PAGE_BYTES);
}
static uint64_t rep_stos(uint64_t at)
{
	uint64_t nr = 64;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(nr) : "a"(UINT64_C(1)) : "memory");
	return nr;
}
static uint64_t rep_movs(uint64_t at)
{
	uint64_t nr = 64, to = at + PAGE_BYTES;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(at), "+c"(nr) : : "memory");
	return nr;
}
static uint64_t movnti(uint64_t at)
{
	__asm__ volatile("movnti %0, (%1)" : : "r"(UINT64_C(1)), "r"(at) : "memory");
	return 0;
}
static uint64_t sse_load(uint64_t at)
{
	uint64_t v;

	__asm__ volatile("movdqu (%1), %%xmm0; movq %%xmm0, %0"
			 : "=r"(v) : "r"(at) : "xmm0", "memory");
	return v;
}
static uint64_t sse_store(uint64_t at)
{
	__asm__ volatile("pcmpeqd %%xmm0, %%xmm0; movdqu %%xmm0, (%0)"
			 : : "r"(at) : "xmm0", "memory");
	return 0;
}
static uint64_t sse_stream(uint64_t at)
{
	__asm__ volatile("pcmpeqd %%xmm0, %%xmm0; movntdq %%xmm0, (%0)"
			 : : "r"(at) : "xmm0", "memory");
	return 0;
}
static uint64_t flush(uint64_t at)
{
	__asm__ volatile("prefetcht0 (%0); clflush (%0)" : : "r"(at) : "memory");
	return 0;
}
static uint64_t cmpxchg16b(uint64_t at)
{
	uint64_t lo = 0, hi = 0;

	__asm__ volatile("lock cmpxchg16b (%2)"
			 : "+a"(lo), "+d"(hi)
			 : "r"(at), "b"(UINT64_C(1)), "c"(UINT64_C(1))
			 : "memory");
	return lo | hi;
}
static uint64_t fxsave(uint64_t at)
{
	__asm__ volatile("fxsave (%0)" : : "r"(at) : "memory");
	return 0;
}
static uint64_t fxrstor(uint64_t at)
{
	__asm__ volatile("fxsave (%0); fxrstor (%1); fxrstor (%0)"
			 : : "r"(area), "r"(at) : "memory");
	return 0;
}
static uint64_t avx_load(uint64_t at)
{
	uint64_t v;

	__asm__ volatile("vmovdqu (%1), %%ymm0; vmovq %%xmm0, %0; vzeroupper"
			 : "=r"(v) : "r"(at) : "xmm0", "memory");
	return v;
}
static uint64_t avx_store(uint64_t at)
{
	__asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0; vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0;"
			 "vmovdqu %%ymm0, (%0); vmovntdq %%ymm0, 64(%0); vzeroupper"
			 : : "r"(at) : "xmm0", "memory");
	return 0;
}

static const struct insn {
	const char *name;
	uint64_t (*run)(uint64_t at);
	bool avx;
} insns[] = {
	{ .name = "load", load },
	{ .name = "store", store },
	{ .name = "lock xadd", xadd },
	{ .name = "xchg", xchg },
	{ .name = "lock cmpxchg", cmpxchg },
	{ .name = "lock add", lock_add },
	{ .name = "store across pages", across_pages },
	{ .name = "rep stos", rep_stos },
	{ .name = "rep movs", rep_movs },
	{ .name = "movnti", movnti },
	{ .name = "movdqu load", sse_load },
	{ .name = "movdqu store", sse_store },
	{ .name = "movntdq", sse_stream },
	{ .name = "prefetch, clflush", flush },
	{ .name = "cmpxchg16b", cmpxchg16b },
	{ .name = "fxsave", fxsave },
	{ .name = "fxrstor", fxrstor },
	{ .name = "vmovdqu load", avx_load, .avx = true },
	{ .name = "vmovdqu, vmovntdq store", avx_store, .avx = true },
};

/* Where instruction I works, in round ROUND. */
static uint64_t place(unsigned int i, unsigned int round)
{
	return vmem.addr + vmem.block_bytes + (round * ARRAY_SIZE(insns) + i) * CHUNK_BYTES;
}

static void run_all(unsigned int round)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(insns); i++) {
		uint64_t found;

		if (insns[i].avx && !have_avx)
			continue;
		print("%s\n", insns[i].name);
		found = insns[i].run(place(i, round));
		if (found)
			FAIL("%s found 0x%lx", insns[i].name, found);
	}
}

static void check_zero(void)
{
	for (unsigned int round = 0; round < 2; round++)
		for (unsigned int i = 0; i < ARRAY_SIZE(insns); i++)
			for (unsigned int word = 0; word < 2 * PAGE_BYTES / 8; word += 4)
				CHECK_EQ(read64(place(i, round) + word * 8), 0);
}

int guest_main(void)
{
	CHECK(vmem_open(&vmem, 0));
	vmem_wait_requested(&vmem);
	have_avx = cpu_enable_avx();
	if (!have_avx)
		print("no AVX\n");
	if (cmdline_is("slots", "1"))
		vmem_plug(&vmem, vmem.addr, vmem.block_bytes);
	step("start");
	/* The second time with the memory slots that the first may have brought. */
	run_all(0);
	step("round 0");
	run_all(1);
	step("round 1");
	cpu_wait_ms(1000);
	check_zero();
	step("settled");
	/* The memory can be had, and all of these work in it. */
	vmem_unplug_all(&vmem);
	vmem_plug(&vmem, vmem.addr, 4 * vmem.block_bytes);
	run_all(0);
	CHECK_EQ(read64(place(2, 0)), 1);
	vmem_unplug_all(&vmem);
	step("end");
	PASS();
}
