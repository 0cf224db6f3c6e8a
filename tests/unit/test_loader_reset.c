/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loader_reset.c - the real-mode code at the BIOS entry, followed as a processor would. That a
 * rebooting Linux gets through it is for the tests with stock kernels.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>

#include "loader/reset_vector.h"
#include "tests/unit/loader_fixture.h"
#include "vmm/base/platform.h"

static struct loader_fixture f;

static void setup(void)
{
	fixture_init(&f, 2 * MiB);
	cr_assert_eq(reset_vector_write(&f.gm), 0);
}

static void teardown(void) { fixture_destroy(&f); }

TestSuite(loader_reset, .init = setup, .fini = teardown);

static void code_is(uint64_t at, const uint8_t *want, size_t bytes)
{
	uint8_t got[32];

	cr_assert_leq(bytes, sizeof(got));
	guest_read(&f, at, got, bytes);
	cr_assert_arr_eq(got, want, bytes, "code at %#llx", (unsigned long long)at);
}
#define CODE_IS(at, ...)                                                                           \
	code_is(at, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static uint64_t far_pointer(uint64_t at)
{
	uint32_t value = guest_u32(&f, at);

	return (value >> 16) * 16 + (value & 0xffff);
}

Test(loader_reset, bios_entry_jumps_to_code_that_writes_the_reset_register)
{
	uint64_t at, gdtr, gdt;

	CODE_IS(0xffff0, 0xea); /* ljmp */
	at = far_pointer(0xffff1);
	cr_assert_geq(at, 0xf0000, "in the segment, above the ACPI tables");
	CODE_IS(at, 0xfa, 0x66, 0x2e, 0x0f, 0x01, 0x16); /* cli; lgdtl %cs:... */
	gdtr = 0xf0000 + (guest_u32(&f, at + 6) & 0xffff);
	CODE_IS(at + 8, 0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0); /* CR0 |= PE */
	CODE_IS(at + 16, 0xb8, 0x08, 0x00, 0x8e, 0xd8);			 /* DS = 8 */
	CODE_IS(at + 21, 0x67, 0xc6, 0x05);				 /* movb */
	cr_assert_eq(guest_u32(&f, at + 24), 0xd0010006);
	CODE_IS(at + 28, POWER_RESET_VALUE, 0xf4, 0xeb, 0xfd); /* hlt, for ever */

	cr_assert_eq(guest_u32(&f, gdtr) & 0xffff, 15, "two descriptors");
	gdt = guest_u32(&f, gdtr + 2);
	cr_assert_eq(guest_u64(&f, gdt + 8), 0x00cf93000000ffff, "flat data segment");
}

Test(loader_reset, missing_memory_is_an_error)
{
	struct guest_mem none = { 0 };

	cr_redirect_stderr();
	cr_assert_eq(reset_vector_write(&none), -EFAULT);
}
