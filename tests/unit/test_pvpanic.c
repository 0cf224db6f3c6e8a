/* SPDX-License-Identifier: Apache-2.0 */
/* test_pvpanic.c - a panic is told by its bit, at its register, and by nothing else. */
#include <criterion/criterion.h>

#include "devices/pvpanic.h"

static unsigned int nr_panics, nr_crash_kernels;

static void panicked(void *ctx)
{
	(void)ctx;
	nr_panics++;
}

static void crash_loaded(void *ctx)
{
	(void)ctx;
	nr_crash_kernels++;
}

static struct pvpanic pvpanic = { .panicked = panicked, .crash_loaded = crash_loaded };

static uint64_t access_to(uint64_t offset, unsigned int bytes, bool is_write, uint64_t value)
{
	struct bus_access access = { offset, bytes, is_write, value };

	pvpanic_access(&pvpanic, &access);
	return access.value;
}

static void told(uint64_t offset, unsigned int bytes, uint64_t value, unsigned int panics,
		 unsigned int crash_kernels)
{
	nr_panics = nr_crash_kernels = 0;
	access_to(offset, bytes, true, value);
	cr_assert_eq(nr_panics, panics, "%#lx: %u panics", value, nr_panics);
	cr_assert_eq(nr_crash_kernels, crash_kernels, "%#lx: %u", value, nr_crash_kernels);
}

Test(pvpanic, reads_which_events_there_are)
{
	cr_assert_eq(access_to(0, 1, false, 0x55), 3);
	cr_assert_eq(access_to(0, 2, false, 0x55), 3);
	cr_assert_eq(access_to(1, 1, false, 0x55), 0);
}

Test(pvpanic, each_event_has_its_bit)
{
	told(0, 1, 1, 1, 0);
	told(0, 1, 2, 0, 1);
	/* One write is one event; the panic is what ends it. */
	told(0, 1, 3, 1, 0);
	told(0, 1, 0xff, 1, 0);
	told(0, 2, 0x101, 1, 0);
}

Test(pvpanic, what_is_no_event_has_no_effect)
{
	told(0, 1, 0, 0, 0);
	told(0, 1, 4, 0, 0);
	told(0, 1, 0xfc, 0, 0);
	told(0, 2, 0x100, 0, 0);
	told(1, 1, 1, 0, 0);
}
