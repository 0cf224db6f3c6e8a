/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.c - a page table in memory that is not plugged: the processor itself reads it, and sets its
 * accessed bits. While it holds nothing the mapping is gone, and that is the guest's own affair.
 * slots=1 plugs a block first, so that a memory slot is there; shadow=1 says that KVM shadows page
 * tables: it goes by what it copied from them until the guest changes them, so a mapping may outlive
 * its table. What it maps is memory of the guest's in any case.
 */
#include "guests/layout.h"
#include "guests/vmem.h"

#define WINDOW (UINT64_C(1) << 40) /* nothing else is mapped there */
#define PAGE_FAULT 14
#define NO_EXCEPTION (-1)
#define CONTENT UINT64_C(0x1122334455667788)

extern uint64_t pml4[512]; /* start.S */

static struct vmem vmem;
static uint64_t *pdpt, found;
static uint64_t target __attribute__((aligned(64)));

static uint64_t do_flush(uint64_t unused)
{
	uint64_t cr3;

	__asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3) : : "memory");
	return unused;
}

/* The window is mapped by the page directory at PD from now on. */
static void use_directory(uint64_t pd)
{
	pdpt[0] = pd | PAGE_PRESENT_RW_USER;
	pml4[WINDOW >> 39 & 511] = (uint64_t)pdpt | PAGE_PRESENT_RW_USER;
	ring0(do_flush, 0);
}

/* One entry, for the 2 MiB that the target lies in. */
static void fill_directory(uint64_t pd)
{
	write64(pd, ((uint64_t)&target & ~(HUGE_BYTES - 1)) | PAGE_HUGE | PAGE_PRESENT_RW_USER);
}

static void touch(uint64_t at)
{
	found = read64(at);
	write64(at, found);
}

/* Reads and writes the target by the window: the exception. */
static int use_window(void)
{
	int exception;

	ring0(do_flush, 0);
	found = 0;
	exception = cpu_try(touch, WINDOW + ((uint64_t)&target & (HUGE_BYTES - 1)));
	if (exception == NO_EXCEPTION)
		CHECK_EQ(found, CONTENT);
	else
		CHECK_EQ(exception, PAGE_FAULT);
	return exception;
}

/* The table is empty. */
static void check_gone(void)
{
	int exception = use_window();

	CHECK(exception == PAGE_FAULT || cmdline_is("shadow", "1"));
}

int guest_main(void)
{
	unsigned int worked = 0;
	uint64_t pd;

	CHECK(vmem_open(&vmem, 0));
	vmem_wait_requested(&vmem);
	pdpt = page_alloc(1);
	target = CONTENT;
	pd = vmem.addr + vmem.block_bytes;
	if (cmdline_is("slots", "1"))
		vmem_plug(&vmem, vmem.addr, vmem.block_bytes);
	step("start");

	/* Never plugged. */
	use_directory(pd);
	CHECK_EQ(use_window(), PAGE_FAULT);
	for (unsigned int i = 0; i < 20; i++) {
		fill_directory(pd);
		worked += use_window() == NO_EXCEPTION;
	}
	print("worked %u times\n", worked);
	cpu_wait_ms(1000);
	check_gone();
	step("walked");

	/* Plugged, then given back while it is in use. */
	vmem_plug(&vmem, pd, vmem.block_bytes);
	check_gone();
	CHECK_EQ(read64(pd), 0);
	fill_directory(pd);
	CHECK_EQ(use_window(), NO_EXCEPTION);
	cpu_wait_ms(200);
	CHECK_EQ(use_window(), NO_EXCEPTION);
	step("plugged");
	vmem_unplug(&vmem, pd, vmem.block_bytes);
	check_gone();
	step("unplugged");
	vmem_unplug_all(&vmem);
	CHECK_EQ(target, CONTENT);
	step("end");
	PASS();
}
