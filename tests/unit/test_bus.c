/* SPDX-License-Identifier: Apache-2.0 */
/* test_bus.c - an access reaches the one device that holds all of it, or none. */
#include <criterion/criterion.h>
#include <errno.h>

#include "vmm/base/bus.h"

struct recorder {
	unsigned int nr;
	struct bus_access last;
	bool answers;
};

static void record(void *ctx, struct bus_access *access)
{
	struct recorder *r = ctx;

	r->nr++;
	r->last = *access;
	if (r->answers && !access->is_write)
		access->value = 0x55;
}

static struct recorder first, second;
static struct bus bus;

static void setup(void)
{
	first = (struct recorder){ .answers = true };
	second = (struct recorder){ .answers = true };
	bus = (struct bus){ .nr_regions = 0 };
	cr_assert_eq(bus_add(&bus, 0x1000, 0x100, record, &first), 0);
	cr_assert_eq(bus_add(&bus, 0x1100, 0x10, record, &second), 0);
}

TestSuite(bus, .init = setup);

static bool reach(uint64_t address, unsigned int bytes, uint64_t *value)
{
	struct bus_access access = { .bytes = bytes };
	bool found = bus_access(&bus, address, &access);

	*value = access.value;
	return found;
}

Test(bus, device_sees_the_offset_in_its_region)
{
	struct bus_access write = { .bytes = 4, .is_write = true, .value = 77 };

	bus_freeze(&bus);
	cr_assert(bus_access(&bus, 0x1104, &write));
	cr_assert_eq(first.nr, 0);
	cr_assert_eq(second.nr, 1);
	cr_assert_eq(second.last.offset, 4);
	cr_assert_eq(second.last.bytes, 4);
	cr_assert(second.last.is_write);
	cr_assert_eq(second.last.value, 77);
}

Test(bus, read_gives_what_the_device_answers)
{
	uint64_t value;

	bus_freeze(&bus);
	cr_assert(reach(0x10ff, 1, &value));
	cr_assert_eq(value, 0x55);
	first.answers = false;
	cr_assert(reach(0x10ff, 1, &value));
	cr_assert_eq(value, UINT64_MAX, "a device that says nothing");
}

Test(bus, access_outside_of_all_regions_reads_as_all_ones)
{
	const uint64_t at[] = { 0, 0xfff, 0x1110, UINT64_MAX };

	bus_freeze(&bus);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		uint64_t value = 0;

		cr_assert_not(reach(at[i], 1, &value));
		cr_assert_eq(value, UINT64_MAX);
	}
	cr_assert_eq(first.nr + second.nr, 0);
}

Test(bus, access_across_an_edge_reaches_nobody)
{
	const struct {
		uint64_t at;
		unsigned int bytes;
	} cases[] = { { 0xfff, 2 }, { 0x10ff, 2 }, { 0x10fc, 8 }, { 0x110f, 2 }, { 0x1109, 8 },
		      { UINT64_MAX, 2 }, { UINT64_MAX - 6, 8 } };

	bus_freeze(&bus);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value;

		cr_assert_not(reach(cases[i].at, cases[i].bytes, &value), "case %zu", i);
		cr_assert_eq(value, UINT64_MAX);
	}
	cr_assert_eq(first.nr + second.nr, 0);
}

Test(bus, widest_access_may_fill_the_end_of_a_region)
{
	uint64_t value;

	bus_freeze(&bus);
	cr_assert(reach(0x1108, 8, &value));
	cr_assert_eq(second.last.offset, 8);
}

Test(bus, overlapping_regions_are_refused)
{
	const struct {
		uint64_t base, size;
	} cases[] = { { 0x1000, 0x100 }, { 0xfff, 2 }, { 0x10ff, 1 }, { 0x110f, 0x100 },
		      { 0, 0x10000 }, { 0, UINT64_MAX }, { 0x1050, 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_assert_eq(bus_add(&bus, cases[i].base, cases[i].size, record, &first), -EEXIST,
			     "case %zu", i);
	cr_assert_eq(bus.nr_regions, 2);
	cr_assert_eq(bus_add(&bus, 0xfff, 1, record, &first), 0);
	cr_assert_eq(bus_add(&bus, 0x1110, 1, record, &first), 0);
}

Test(bus, region_may_end_at_the_last_address)
{
	uint64_t value;

	cr_assert_eq(bus_add(&bus, UINT64_MAX - 0xff, 0x100, record, &second), 0);
	bus_freeze(&bus);
	cr_assert(reach(UINT64_MAX, 1, &value));
	cr_assert_eq(second.last.offset, 0xff);
	cr_assert_not(reach(UINT64_MAX, 2, &value));
}

Test(bus, table_of_regions_has_an_end)
{
	for (uint64_t i = bus.nr_regions; i < BUS_MAX_REGIONS; i++)
		cr_assert_eq(bus_add(&bus, 0x10000 + 16 * i, 16, record, &first), 0);
	cr_assert_eq(bus_add(&bus, 0x20000, 16, record, &first), -ENOSPC);
}
