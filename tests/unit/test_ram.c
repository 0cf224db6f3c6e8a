/* SPDX-License-Identifier: Apache-2.0 */
/* test_ram.c - one region of guest memory, as the host counts it and maps it. */
#include "vmm/memory/ram.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/guard_rig.h"
#include "tests/unit/stderr_text.h"

#define BYTES (16 * MiB)

static struct ram ram;

static void setup(void) { cr_assert_eq(ram_create(&ram, "test-ram", BYTES), 0); }
static void teardown(void) { ram_destroy(&ram); }

TestSuite(ram, .init = setup, .fini = teardown, .timeout = 240);

static uint64_t range_resident(uint64_t offset, uint64_t bytes)
{
	uint64_t found = 99;

	cr_assert_eq(ram_range_resident(&ram, offset, bytes, &found), 0);
	return found;
}

/* Whether the kernel says FLAG (two letters of VmFlags) of the mapping at OFFSET. */
static bool mapping_has(uint64_t offset, const char *flag)
{
	uintptr_t at = (uintptr_t)ram.host + offset;
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	bool here = false, has = false;
	char line[512], word[8];

	cr_assert_not_null(f);
	snprintf(word, sizeof(word), " %s ", flag);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = at >= from && at < to;
		else if (here && !strncmp(line, "VmFlags:", 8))
			has = strstr(line, word);
	}
	fclose(f);
	return has;
}

Test(ram, a_region_starts_on_a_huge_page_and_holds_nothing)
{
	cr_expect(is_aligned((uintptr_t)ram.host, RAM_HUGE_BYTES));
	cr_expect_eq(resident(&ram), 0);
	cr_expect_eq(range_resident(0, BYTES), 0);
	cr_expect(mapping_has(0, "dd") && mapping_has(0, "dc"), "no dump, no fork");
	ram_destroy(&ram);
	ram_destroy(&ram);
}

Test(ram, destroy_takes_the_guard_zone_with_it)
{
	unsigned char page;
	char *behind = (char *)ram.host + BYTES;

	cr_assert_eq(mincore(behind, 1, &page), 0, "there is one");
	ram_destroy(&ram);
	cr_expect(mincore(behind, 1, &page) == -1 && errno == ENOMEM);
}

Test(ram, residence_of_a_range_counts_what_lies_in_it_alone)
{
	vcpu_write(&ram, 0, 1);
	vcpu_write(&ram, 5 * PAGE, 1);
	vcpu_write(&ram, 6 * PAGE, 1);
	vcpu_write(&ram, BYTES - 8, 1);
	cr_expect_eq(range_resident(0, BYTES), 4 * PAGE);
	cr_expect_eq(range_resident(0, BYTES), resident(&ram));
	cr_expect_eq(range_resident(PAGE, 4 * PAGE), 0);
	cr_expect_eq(range_resident(PAGE, 5 * PAGE), PAGE);
	cr_expect_eq(range_resident(6 * PAGE, PAGE), PAGE);
	cr_expect_eq(range_resident(6 * PAGE, BYTES - 6 * PAGE), 2 * PAGE);
	cr_expect_eq(range_resident(BYTES - PAGE, PAGE), PAGE);
	cr_expect_eq(range_resident(7 * PAGE, BYTES - 8 * PAGE), 0);
	cr_expect_eq(range_resident(BYTES, 0), 0);
	cr_assert_eq(ram_discard(&ram, 5 * PAGE, PAGE), 0);
	cr_expect_eq(range_resident(0, 8 * PAGE), 2 * PAGE);
}

Test(ram, residence_of_random_ranges_agrees_with_what_was_touched)
{
	static bool there[BYTES / PAGE];
	const uint64_t nr_pages = ARRAY_SIZE(there);

	srandom(5);
	for (int i = 0; i < 500; i++) {
		uint64_t page = (uint64_t)random() % nr_pages;

		vcpu_write(&ram, page * PAGE, 1);
		there[page] = true;
	}
	for (int i = 0; i < 500; i++) {
		uint64_t first = (uint64_t)random() % nr_pages, want = 0;
		uint64_t nr = (uint64_t)random() % (nr_pages - first + 1);

		for (uint64_t j = first; j < first + nr; j++)
			want += there[j] ? PAGE : 0;
		cr_assert_eq(range_resident(first * PAGE, nr * PAGE), want);
	}
}

Test(ram, asking_for_residence_brings_no_page)
{
	range_resident(0, BYTES);
	cr_expect_eq(resident(&ram), 0);
}

Test(ram, errors_of_the_host_come_back)
{
	uint64_t bytes;
	int fd = ram.fd;

	stderr_keep();
	ram.fd = -1;
	cr_expect_eq(ram_range_resident(&ram, 0, BYTES, &bytes), -EBADF);
	cr_expect_eq(ram_resident(&ram, &bytes), -EBADF);
	cr_expect_eq(ram_discard(&ram, 0, PAGE), -EBADF);
	cr_expect_eq(ram_discard(&ram, 0, 0), 0);
	ram.fd = fd;
	(void)stderr_text();
}

Test(ram, a_new_mapping_keeps_the_content_and_forgets_the_tables)
{
	for (uint64_t at = 0; at < BYTES; at += PAGE)
		vcpu_write(&ram, at, at + 1);
	cr_assert_eq(ram_remap(&ram, 2 * UNIT, 3 * UNIT, true), 0);
	for (uint64_t at = 0; at < BYTES; at += PAGE)
		cr_assert_eq(vcpu_read(&ram, at), at + 1);
	cr_expect_eq(resident(&ram), BYTES);
	vcpu_write(&ram, 2 * UNIT, 7);
	cr_expect_eq(pread(ram.fd, &(uint64_t){ 0 }, 8, 2 * UNIT), 8);
	cr_expect_eq(nr_mappings(&ram), 1, "it is like what is around it");
	cr_expect(mapping_has(2 * UNIT, "dd") && mapping_has(2 * UNIT, "dc"));
	cr_assert_eq(ram_discard(&ram, 0, BYTES), 0);
	cr_expect_eq(vcpu_read(&ram, 2 * UNIT), 0, "the mapping follows the file");
}

Test(ram, a_new_mapping_of_all_of_it_works_too)
{
	vcpu_write(&ram, BYTES - 8, 3);
	cr_assert_eq(ram_remap(&ram, 0, BYTES, false), 0);
	cr_expect_eq(vcpu_read(&ram, BYTES - 8), 3);
	cr_expect_eq(nr_mappings(&ram), 1);
}

Test(ram, huge_pages_are_allowed_as_told)
{
	if (!can_collapse())
		cr_skip_test("no huge pages here");
	cr_expect(mapping_has(0, "hg") && !mapping_has(0, "nh"));
	cr_assert_eq(ram_allow_huge(&ram, 2 * UNIT, UNIT, false), 0);
	cr_expect(mapping_has(2 * UNIT, "nh") && !mapping_has(2 * UNIT, "hg"));
	cr_expect(mapping_has(UNIT, "hg") && mapping_has(3 * UNIT, "hg"));
	cr_expect_eq(nr_mappings(&ram), 3);
	vcpu_write(&ram, 2 * UNIT, 1);
	cr_expect_eq(ram_collapse(&ram, 2 * UNIT, UNIT), -EINVAL);
	cr_assert_eq(ram_allow_huge(&ram, 2 * UNIT, UNIT, true), 0);
	cr_expect_eq(nr_mappings(&ram), 1);
	cr_expect_eq(ram_collapse(&ram, 2 * UNIT, UNIT), 0);
	cr_assert_eq(ram_remap(&ram, 4 * UNIT, UNIT, false), 0);
	cr_expect(mapping_has(4 * UNIT, "nh"));
	cr_assert_eq(ram_remap(&ram, 4 * UNIT, UNIT, true), 0);
	cr_expect(mapping_has(4 * UNIT, "hg"));
}

Test(ram, collapsing_fills_holes_with_zeros_and_keeps_the_rest)
{
	if (!can_collapse())
		cr_skip_test("no huge pages here");
	vcpu_write(&ram, UNIT + 9 * PAGE, 42);
	cr_assert_eq(ram_collapse(&ram, UNIT, UNIT), 0);
	cr_expect_eq(resident(&ram), UNIT);
	cr_expect_eq(range_resident(UNIT, UNIT), UNIT);
	for (uint64_t at = 0; at < UNIT; at += PAGE)
		cr_assert_eq(vcpu_read(&ram, UNIT + at), at == 9 * PAGE ? 42 : 0);
	/* A part of it goes alone. */
	cr_assert_eq(ram_discard(&ram, UNIT, UNIT / 2), 0);
	cr_expect_eq(range_resident(UNIT, UNIT), UNIT / 2);
}
