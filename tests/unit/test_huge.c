/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_huge.c - which units get huge pages, seen in the kernel's own account of our mapping
 * (ShmemPmdMapped) and of the memfd, whatever the host's shmem_enabled says.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/fake_slots.h"
#include "vmm/base/event.h"
#include "vmm/base/uapi_compat.h"
#include "vmm/memory/elastic.h"
#include "vmm/memory/huge.h"

#define UNIT RAM_HUGE_BYTES
#define PAGE (4 * KiB)
#define NR_UNITS 8
/* What huge.c promises: at most an eighth more. */
#define ENOUGH 448

static struct ram ram;
static struct huge huge;

static void start(enum huge_mode mode)
{
	cr_assert_eq(ram_create(&ram, "test-huge", NR_UNITS * UNIT), 0);
	if (ram_collapse(&ram, 0, 0)) {
		ram_destroy(&ram);
		cr_skip_test("this kernel has no MADV_COLLAPSE");
	}
	cr_assert_eq(huge_init(&huge, mode, &ram, NULL), 0);
}

static void stop(void)
{
	huge_destroy(&huge);
	ram_destroy(&ram);
}

/* Bytes of the memfd NAME that our mapping holds by huge pages. */
static uint64_t mapped_huge(const char *name)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	uint64_t kib, sum = 0;
	char line[512];
	bool inside = false;

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long long a, b;

		if (sscanf(line, "%llx-%llx ", &a, &b) == 2)
			inside = strstr(line, "/memfd:") && strstr(line, name);
		else if (inside && sscanf(line, "ShmemPmdMapped: %lu kB", &kib) == 1)
			sum += kib * KiB;
	}
	fclose(f);
	return sum;
}

static uint64_t resident(const struct ram *r)
{
	uint64_t bytes;

	cr_assert_eq(ram_resident(r, &bytes), 0);
	return bytes;
}

/* Writes the first NR pages of UNIT. */
static void fill(struct ram *r, uint32_t unit, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		memset((char *)r->host + unit * UNIT + i * PAGE, (int)(unit + i + 1), PAGE);
}

static bool still_filled(const struct ram *r, uint32_t unit, uint32_t nr)
{
	for (uint32_t i = 0; i < 512; i++) {
		const unsigned char *page = (unsigned char *)r->host + unit * UNIT + i * PAGE;
		unsigned char want = i < nr ? (unsigned char)(unit + i + 1) : 0;

		if (page[0] != want || page[PAGE - 1] != want)
			return false;
	}
	return true;
}

/* One pass. */
static void scan(struct huge *h)
{
	for (int i = 0; huge_scan(h); i++)
		cr_assert_lt(i, 1000, "a pass without an end");
}

Test(huge, modes_have_names)
{
	static const enum huge_mode modes[] = { HUGE_AUTO, HUGE_ALWAYS, HUGE_NEVER };
	enum huge_mode mode;

	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		cr_assert_eq(huge_mode_parse(huge_mode_name(modes[i]), &mode), 0);
		cr_assert_eq(mode, modes[i]);
	}
	cr_assert_eq(huge_mode_parse("sometimes", &mode), -EINVAL);
	cr_assert_eq(huge_mode_parse("", &mode), -EINVAL);
}

Test(huge, always_is_there_at_once)
{
	start(HUGE_ALWAYS);
	fill(&ram, 3, 1);
	huge_given(&huge, 2 * UNIT, 4 * UNIT);
	cr_assert_eq(resident(&ram), 4 * UNIT);
	cr_assert_eq(mapped_huge("test-huge"), 4 * UNIT);
	cr_assert_eq(huge_bytes(&huge), 4 * UNIT);
	cr_assert(still_filled(&ram, 3, 1) && still_filled(&ram, 4, 0));
	stop();
}

Test(huge, always_leaves_to_the_scan_what_was_not_done_at_once)
{
	start(HUGE_ALWAYS);
	huge_given(&huge, 0, UNIT);
	scan(&huge);
	cr_assert_eq(resident(&ram), NR_UNITS * UNIT);
	cr_assert_eq(mapped_huge("test-huge"), NR_UNITS * UNIT);
	cr_assert_eq(huge_bytes(&huge), NR_UNITS * UNIT);
	cr_assert_eq(huge.nr_scan_made, NR_UNITS - 1);
	stop();
}

Test(huge, auto_takes_units_that_are_nearly_full)
{
	start(HUGE_AUTO);
	huge_given(&huge, 0, NR_UNITS * UNIT);
	cr_assert_eq(resident(&ram), 0);
	fill(&ram, 1, 512);
	fill(&ram, 3, ENOUGH);
	fill(&ram, 4, ENOUGH - 1);
	fill(&ram, 6, 1);
	scan(&huge);
	cr_assert_eq(mapped_huge("test-huge"), 2 * UNIT);
	cr_assert_eq(huge_bytes(&huge), 2 * UNIT);
	cr_assert_eq(resident(&ram), 2 * UNIT + ENOUGH * PAGE);
	cr_assert(still_filled(&ram, 1, 512) && still_filled(&ram, 3, ENOUGH));
	cr_assert(still_filled(&ram, 4, ENOUGH - 1));
	stop();
}

Test(huge, auto_counts_what_is_there_not_what_is_mapped)
{
	start(HUGE_AUTO);
	fill(&ram, 0, 512);
	cr_assert_eq(madvise(ram.host, UNIT, MADV_DONTNEED), 0);
	scan(&huge);
	cr_assert_eq(huge_bytes(&huge), UNIT);
	cr_assert(still_filled(&ram, 0, 512));
	cr_assert_eq(mapped_huge("test-huge"), UNIT);
	stop();
}

Test(huge, a_region_at_rest_is_not_looked_through)
{
	start(HUGE_AUTO);
	fill(&ram, 0, 512);
	fill(&ram, 7, 10);
	scan(&huge);
	cr_assert_eq(huge_bytes(&huge), UNIT);
	/* If it did look, it would see that it has forgotten this one. */
	huge.flags[0] = 0;
	scan(&huge);
	cr_assert_eq(huge.nr_scan_made, 1, "looked though nothing had changed");
	fill(&ram, 7, 512);
	scan(&huge);
	cr_assert_eq(huge.nr_scan_made, 3);
	stop();
}

Test(huge, auto_takes_nearly_empty_units_before_the_guest_writes_them)
{
	start(HUGE_AUTO);
	fill(&ram, 3, 512 - ENOUGH);
	fill(&ram, 4, 512 - ENOUGH + 1);
	fill(&ram, 5, 512);
	huge_forbid(&huge, 6 * UNIT, UNIT, true);
	huge_expected(&huge, UNIT, 6 * UNIT);
	cr_assert_eq(mapped_huge("test-huge"), 3 * UNIT);
	cr_assert_eq(huge_bytes(&huge), 3 * UNIT);
	cr_assert_eq(resident(&ram), 3 * UNIT + (512 - ENOUGH + 1 + 512) * PAGE);
	cr_assert(still_filled(&ram, 2, 0) && still_filled(&ram, 3, 512 - ENOUGH));
	cr_assert(still_filled(&ram, 4, 512 - ENOUGH + 1) && still_filled(&ram, 5, 512));
	stop();
}

Test(huge, never_is_never_whoever_allows_it)
{
	start(HUGE_NEVER);
	huge_given(&huge, 0, NR_UNITS * UNIT);
	huge_expected(&huge, 0, NR_UNITS * UNIT);
	cr_assert_eq(resident(&ram), 0);
	cr_assert_eq(ram_allow_huge(&ram, 0, ram.bytes, true), 0);
	cr_assert_eq(ram_remap(&ram, 2 * UNIT, 2 * UNIT, true), 0);
	for (uint32_t unit = 0; unit < NR_UNITS; unit++)
		fill(&ram, unit, 512);
	scan(&huge);
	cr_assert_eq(ram_collapse(&ram, 0, ram.bytes), -EINVAL);
	/* The kernel would refuse as well: every part of the mapping says so. */
	for (uint32_t unit = 0; unit < NR_UNITS; unit++)
		cr_assert_neq(madvise((char *)ram.host + unit * UNIT, UNIT, MADV_COLLAPSE), 0);
	cr_assert_eq(mapped_huge("test-huge"), 0);
	cr_assert_eq(huge_bytes(&huge), 0);
	stop();
}

Test(huge, forbidden_units_stay_as_they_are)
{
	start(HUGE_AUTO);
	for (uint32_t unit = 0; unit < 4; unit++)
		fill(&ram, unit, 510);
	/* One page of a unit is enough. */
	huge_forbid(&huge, 2 * UNIT + 5 * PAGE, PAGE, true);
	scan(&huge);
	cr_assert_eq(huge_bytes(&huge), 3 * UNIT);
	cr_assert_eq(mapped_huge("test-huge"), 3 * UNIT);
	cr_assert_eq(resident(&ram), 3 * UNIT + 510 * PAGE);
	huge_forbid(&huge, 2 * UNIT, UNIT, false);
	scan(&huge);
	cr_assert_eq(mapped_huge("test-huge"), 4 * UNIT);
	stop();
}

Test(huge, always_leaves_out_the_forbidden)
{
	start(HUGE_ALWAYS);
	huge_forbid(&huge, UNIT, UNIT, true);
	huge_given(&huge, 0, NR_UNITS * UNIT);
	scan(&huge);
	cr_assert_eq(resident(&ram), (NR_UNITS - 1) * UNIT);
	cr_assert_eq(mapped_huge("test-huge"), (NR_UNITS - 1) * UNIT);
	stop();
}

Test(huge, discarded_units_leave_the_map)
{
	start(HUGE_ALWAYS);
	huge_given(&huge, 0, NR_UNITS * UNIT);
	/* The halves of two units. */
	cr_assert_eq(ram_discard(&ram, UNIT / 2, UNIT), 0);
	huge_discarded(&huge, UNIT / 2, UNIT);
	cr_assert_eq(huge_bytes(&huge), (NR_UNITS - 2) * UNIT);
	huge_discarded(&huge, UNIT / 2, UNIT);
	cr_assert_eq(huge_bytes(&huge), (NR_UNITS - 2) * UNIT, "counted once");
	huge_given(&huge, 0, 2 * UNIT);
	cr_assert_eq(huge_bytes(&huge), NR_UNITS * UNIT);
	cr_assert_eq(mapped_huge("test-huge"), NR_UNITS * UNIT);
	cr_assert_eq(resident(&ram), NR_UNITS * UNIT);
	stop();
}

Test(huge, what_the_kernel_refuses_is_left_and_tried_again)
{
	start(HUGE_AUTO);
	for (uint32_t unit = 0; unit < NR_UNITS; unit++)
		fill(&ram, unit, 512);
	cr_assert_eq(ram_allow_huge(&ram, UNIT, UNIT, false), 0);
	scan(&huge);
	cr_assert_eq(huge_bytes(&huge), (NR_UNITS - 1) * UNIT);
	cr_assert_eq(mapped_huge("test-huge"), (NR_UNITS - 1) * UNIT);
	cr_assert_eq(ram_allow_huge(&ram, UNIT, UNIT, true), 0);
	scan(&huge);
	cr_assert_eq(mapped_huge("test-huge"), NR_UNITS * UNIT);
	stop();
}

/* Units of the test's memory that khugepaged leaves alone (MADV_NOHUGEPAGE). */
static unsigned int nr_small(const char *name)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long long start = 0, end = 0, sum = 0;
	char line[512];
	bool inside = false;

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long long a, b;

		if (sscanf(line, "%llx-%llx ", &a, &b) == 2) {
			inside = strstr(line, "/memfd:") && strstr(line, name);
			start = a;
			end = b;
		} else if (inside && !strncmp(line, "VmFlags:", 8) && strstr(line, " nh")) {
			sum += end - start;
		}
	}
	fclose(f);
	return (unsigned int)(sum / UNIT);
}

static void discard(uint64_t offset, uint64_t bytes)
{
	huge_keep_small(&huge, offset, bytes);
	cr_assert_eq(ram_discard(&ram, offset, bytes), 0);
	huge_discarded(&huge, offset, bytes);
}

Test(huge, a_unit_of_which_a_part_is_gone_is_not_filled_by_khugepaged)
{
	start(HUGE_AUTO);
	huge_forbid(&huge, 0, 4 * UNIT, true);
	discard(0, UNIT);
	cr_expect_eq(nr_small("test-huge"), 0, "nothing is left to fill up");
	discard(UNIT + PAGE, 2 * UNIT);
	cr_expect_eq(nr_small("test-huge"), 2, "the ends, not what lies between");
	discard(UNIT + 5 * PAGE, PAGE);
	cr_expect_eq(nr_small("test-huge"), 2);
	discard(UNIT, UNIT);
	cr_expect_eq(nr_small("test-huge"), 1, "the rest went too");
	huge_forbid(&huge, 0, 4 * UNIT, false);
	cr_expect_eq(nr_small("test-huge"), 0, "all of it is in use again");
	stop();
}

/* --- elastic memory ---------------------------------------------------------------------------- */

static struct elastic elastic;
static struct guard *guard;
static int status_fd = -1;
static struct fake_slots slots;

static void start_elastic(enum huge_mode mode, bool guarded)
{
	struct elastic_cfg cfg = {
		.name = "test-elastic",
		.base = GPA(4 * GiB),
		.bytes = NR_UNITS * UNIT,
		.block_bytes = UNIT,
		.huge = mode,
		.slot_ops = fake_slots_init(&slots),
		.segment_bytes = slots_segment_bytes(NR_UNITS * UNIT, UNIT, 64),
	};

	cr_assert_eq(event_new(&status_fd), 0);
	if (guarded && guard_new(&guard, &status_fd))
		cr_skip_test("no userfaultfd here");
	cfg.guard = guard;
	cr_assert_eq(elastic_init(&elastic, &cfg), 0);
	if (madvise(elastic.ram.host, 0, MADV_COLLAPSE))
		cr_skip_test("this kernel has no MADV_COLLAPSE");
	cr_assert(!guard || !guard_start(guard));
}

static void stop_elastic(void)
{
	guard_free(guard);
	guard = NULL;
	elastic_destroy(&elastic);
	close(status_fd);
}

static void unplug(uint32_t first, uint32_t nr)
{
	elastic_close(&elastic, first, nr);
	cr_assert_eq(elastic_give_back(&elastic, first, nr), 0);
}

static void plug_unplug_plug(bool guarded)
{
	start_elastic(HUGE_ALWAYS, guarded);
	cr_assert_eq(elastic_plug(&elastic, 1, 4), 0);
	cr_assert_eq(resident(&elastic.ram), 4 * UNIT);
	cr_assert_eq(mapped_huge("test-elastic"), 4 * UNIT);
	cr_assert_eq(huge_bytes(&elastic.huge), 4 * UNIT);
	fill(&elastic.ram, 2, 512);
	unplug(2, 2);
	cr_assert_eq(resident(&elastic.ram), 2 * UNIT);
	cr_assert_eq(huge_bytes(&elastic.huge), 2 * UNIT);
	scan(&elastic.huge);
	cr_assert_eq(resident(&elastic.ram), 2 * UNIT, "what is not plugged stays away");
	cr_assert_eq(elastic_plug(&elastic, 2, 2), 0);
	cr_assert_eq(resident(&elastic.ram), 4 * UNIT);
	cr_assert_eq(mapped_huge("test-elastic"), 4 * UNIT);
	cr_assert(still_filled(&elastic.ram, 2, 0));
	cr_assert_eq(elastic_reset(&elastic), 0);
	cr_assert_eq(huge_bytes(&elastic.huge), 0);
	cr_assert_eq(resident(&elastic.ram), 0);
	stop_elastic();
}

Test(elastic_huge, plugged_again_is_huge_again) { plug_unplug_plug(false); }
Test(elastic_huge, plugged_again_under_guard_is_huge_again) { plug_unplug_plug(true); }

Test(elastic_huge, a_violated_block_is_huge_again)
{
	volatile char *block;

	start_elastic(HUGE_ALWAYS, true);
	cr_assert_eq(elastic_plug(&elastic, 0, 2), 0);
	unplug(0, 2);
	block = (char *)elastic.ram.host + UNIT;
	block[7 * PAGE] = 1;
	cr_assert_geq(resident(&elastic.ram), PAGE);
	scan(&elastic.huge);
	cr_assert_leq(resident(&elastic.ram), CHUNK_RING_BYTES);
	cr_assert_eq(elastic_plug(&elastic, 0, 2), 0);
	cr_assert_eq(mapped_huge("test-elastic"), 2 * UNIT);
	cr_assert(still_filled(&elastic.ram, 1, 0));
	stop_elastic();
}

Test(elastic_huge, what_is_unplugged_meanwhile_is_the_guards)
{
	start_elastic(HUGE_ALWAYS, true);
	cr_assert_eq(elastic_plug(&elastic, 0, 2), 0);
	huge_forbid(&elastic.huge, 0, PAGE, true);
	huge_keep_small(&elastic.huge, 0, PAGE);
	cr_expect_eq(nr_small("test-elastic"), NR_UNITS - 1);
	elastic_close(&elastic, 0, 1);
	huge_forbid(&elastic.huge, 0, UNIT, false);
	elastic_reopen(&elastic, 0, 1);
	unplug(0, 1);
	huge_forbid(&elastic.huge, 0, UNIT, false);
	cr_expect_eq(nr_small("test-elastic"), NR_UNITS - 1, "still armed");
	cr_assert_eq(elastic_plug(&elastic, 0, 1), 0);
	scan(&elastic.huge);
	cr_expect_eq(nr_small("test-elastic"), NR_UNITS - 2);
	cr_expect_eq(elastic.huge.nr_kept_small, 0);
	cr_expect_eq(huge_bytes(&elastic.huge), 2 * UNIT);
	stop_elastic();
}

Test(elastic_huge, auto_keeps_to_plugged_blocks)
{
	start_elastic(HUGE_AUTO, false);
	cr_assert_eq(elastic_plug(&elastic, 2, 2), 0);
	/* Nobody guards: so a guest can fill what is not plugged. */
	for (uint32_t unit = 1; unit < 5; unit++)
		fill(&elastic.ram, unit, ENOUGH);
	elastic_close(&elastic, 3, 1);
	scan(&elastic.huge);
	cr_assert_eq(huge_bytes(&elastic.huge), UNIT);
	cr_assert_eq(mapped_huge("test-elastic"), UNIT);
	cr_assert_eq(resident(&elastic.ram), UNIT + 3 * ENOUGH * PAGE);
	elastic_reopen(&elastic, 3, 1);
	stop_elastic();
}

Test(elastic_huge, what_a_clearing_guest_will_unplug_is_made_but_for_one_block)
{
	start_elastic(HUGE_AUTO, true);
	cr_assert_eq(elastic_plug(&elastic, 0, NR_UNITS), 0);
	elastic_expect_unplug(&elastic, NR_UNITS, 4);
	cr_assert_eq(resident(&elastic.ram), 0, "nothing is known of the guest");
	unplug(7, 1);
	elastic_expect_unplug(&elastic, 7, 4);
	cr_assert_eq(resident(&elastic.ram), 0, "it unplugs what it did not write");

	fill(&elastic.ram, 6, 512);
	unplug(6, 1);
	elastic_expect_unplug(&elastic, NR_UNITS, 4); /* from 5 down to 2 */
	cr_assert_eq(mapped_huge("test-elastic"), 3 * UNIT);
	cr_assert_eq(resident(&elastic.ram), 3 * UNIT);
	cr_assert(still_filled(&elastic.ram, 3, 0));

	fill(&elastic.ram, 2, 512);
	unplug(2, 4);
	elastic_expect_unplug(&elastic, 2, 4);
	cr_assert_eq(mapped_huge("test-elastic"), UNIT, "as much as there is");
	unplug(0, 2); /* block 0 is as it was */
	cr_assert_eq(elastic_plug(&elastic, 0, NR_UNITS), 0);
	elastic_expect_unplug(&elastic, NR_UNITS, 4);
	cr_assert_eq(resident(&elastic.ram), 0, "the guest writes them no longer");
	stop_elastic();
}

Test(elastic_huge, another_kernel_has_to_show_first_that_it_clears)
{
	start_elastic(HUGE_AUTO, false);
	cr_assert_eq(elastic_plug(&elastic, 0, NR_UNITS), 0);
	for (uint32_t unit = 0; unit < NR_UNITS; unit++)
		fill(&elastic.ram, unit, 512);
	unplug(7, 1);
	cr_assert_eq(elastic_reset(&elastic), 0);
	cr_assert_eq(elastic_plug(&elastic, 0, NR_UNITS), 0);
	elastic_expect_unplug(&elastic, NR_UNITS, 4);
	cr_assert_eq(resident(&elastic.ram), 0);
	stop_elastic();
}

Test(elastic_huge, never_is_never_after_the_guard)
{
	volatile char *host;

	start_elastic(HUGE_NEVER, true);
	host = elastic.ram.host;
	host[3 * UNIT] = 1; /* a violation: the block is mapped anew later */
	cr_assert_eq(elastic_plug(&elastic, 0, NR_UNITS), 0);
	cr_assert_eq(resident(&elastic.ram), 0);
	for (uint32_t unit = 0; unit < NR_UNITS; unit++) {
		fill(&elastic.ram, unit, 512);
		cr_assert_neq(madvise((char *)elastic.ram.host + unit * UNIT, UNIT, MADV_COLLAPSE), 0);
	}
	scan(&elastic.huge);
	cr_assert_eq(mapped_huge("test-elastic"), 0);
	stop_elastic();
}
