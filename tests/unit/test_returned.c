/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_returned.c - what the guest gave back page by page, as the host counts it: the page cache
 * behind the memfd, by two witnesses (SEEK_DATA and mincore).
 */
#include "vmm/memory/page_ledger.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/fake_driver.h"
#include "tests/unit/stderr_text.h"

#define UNIT RAM_HUGE_BYTES
#define PAGE PAGE_BYTES
#define BOOT (8 * UNIT)
#define ELASTIC GPA(FAKE_ELASTIC_BASE)

static struct fake_memory mem;
static struct huge boot_huge;
static struct page_ledger back;

static struct huge *huge_of(void *ctx, const struct gm_region *m)
{
	cr_assert_eq(ctx, &mem);
	return m->ram == &mem.boot ? &boot_huge : &mem.elastic.huge;
}

/* All of boot memory is in use, and one elastic block of two is plugged and in use. */
static void setup(void)
{
	fake_memory_init(&mem, BOOT, 2 * UNIT, UNIT);
	cr_assert_eq(huge_init(&boot_huge, HUGE_AUTO, &mem.boot, NULL), 0);
	cr_assert_eq(page_ledger_init(&back, &mem.gm, huge_of, &mem), 0);
	mem.elastic.returned = &back;
	cr_assert_eq(elastic_plug(&mem.elastic, 0, 1), 0);
	memset(mem.boot.host, 0x5a, BOOT);
	memset(mem.elastic.ram.host, 0x5a, UNIT);
}

static void teardown(void)
{
	page_ledger_destroy(&back);
	huge_destroy(&boot_huge);
	fake_memory_destroy(&mem);
}

TestSuite(returned, .init = setup, .fini = teardown, .timeout = 240);

static uint64_t resident(const struct ram *ram, uint64_t offset, uint64_t bytes)
{
	static unsigned char map[BOOT / PAGE];
	uint64_t by_seek, by_mincore = 0;

	cr_assert_eq(ram_range_resident(ram, offset, bytes, &by_seek), 0);
	cr_assert_eq(mincore((char *)ram->host + offset, bytes, map), 0);
	for (uint64_t i = 0; i < bytes / PAGE; i++)
		by_mincore += (map[i] & 1) * PAGE;
	cr_assert_eq(by_seek, by_mincore, "the host's two accounts differ at %#lx",
		     (unsigned long)offset);
	return by_seek;
}

static uint64_t boot_resident(void) { return resident(&mem.boot, 0, BOOT); }

static bool untouched(uint64_t offset, uint64_t bytes)
{
	const char *at = (const char *)mem.boot.host + offset;

	for (uint64_t i = 0; i < bytes; i++)
		if (at[i] != 0x5a)
			return false;
	return true;
}

static void inflate(uint64_t at) { cr_assert_eq(page_ledger_inflate(&back, GPA(at)), 0); }
static void deflate(uint64_t at) { cr_assert_eq(page_ledger_deflate(&back, GPA(at)), 0); }

static uint64_t ballooned(void) { return page_ledger_bytes(&back, RETURNED_BALLOONED); }
static uint64_t reported(void) { return page_ledger_bytes(&back, RETURNED_REPORTED); }
static uint64_t hinted(void) { return page_ledger_bytes(&back, RETURNED_HINTED); }

/* A whole round of the look. */
static void look(void)
{
	while (!page_ledger_look(&back, NS_PER_S))
		;
}

/* Whether a scan would leave the unit alone, as far as it is seen from outside: it fills it up. */
static bool may_be_huge(uint32_t unit)
{
	/* Nearly full, which is when a scan makes it huge. */
	memset((char *)mem.boot.host + unit * UNIT, 0x5a, 500 * PAGE);
	while (huge_scan(&boot_huge))
		;
	return ram_nr_present(&mem.boot, unit * UNIT) == RAM_HUGE_PAGES;
}

static void need_huge(void)
{
	if (boot_huge.mode == HUGE_NEVER)
		cr_skip_test("this kernel has no MADV_COLLAPSE");
}

static void refuse(bool refuses)
{
	static int saved;
	char path[64];

	if (refuses) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", mem.boot.fd);
		saved = mem.boot.fd;
		mem.boot.fd = open(path, O_RDONLY | O_CLOEXEC);
		cr_assert_geq(mem.boot.fd, 0);
	} else {
		close(mem.boot.fd);
		mem.boot.fd = saved;
	}
}

/* --- inflate ----------------------------------------------------------------------------------- */

Test(returned, a_unit_goes_with_its_last_page_whatever_the_order)
{
	/* 77 and 512 have no common divisor: every page once. */
	for (uint64_t i = 0; i < RAM_HUGE_PAGES; i++) {
		cr_assert_eq(boot_resident(), BOOT, "page %lu", i);
		cr_assert_eq(page_ledger_waiting_bytes(&back), i * PAGE);
		inflate(2 * UNIT + (i * 77 + 13) % RAM_HUGE_PAGES * PAGE);
	}
	cr_expect_eq(boot_resident(), BOOT - UNIT);
	cr_expect_eq(resident(&mem.boot, 2 * UNIT, UNIT), 0);
	cr_expect(untouched(0, 2 * UNIT) && untouched(3 * UNIT, BOOT - 3 * UNIT), "no neighbour");
	cr_expect_eq(page_ledger_waiting_bytes(&back), 0);
	cr_expect_eq(ballooned(), UNIT);
	cr_expect_eq(back.counters.discards, 1, "one call");
	cr_expect_eq(back.counters.bytes[RETURNED_BALLOONED], UNIT);
}

Test(returned, a_flush_takes_exactly_the_pages_that_wait)
{
	for (uint64_t i = 0; i < 10; i++)
		inflate(i * 3 * PAGE);
	cr_expect_eq(boot_resident(), BOOT);
	cr_expect_not(page_ledger_flush(&back, 10), "ten runs, ten calls");
	cr_expect_eq(boot_resident(), BOOT - 10 * PAGE);
	for (uint64_t i = 0; i < 10; i++) {
		cr_expect_eq(resident(&mem.boot, i * 3 * PAGE, PAGE), 0);
		cr_expect(untouched((i * 3 + 1) * PAGE, 2 * PAGE), "no neighbour");
	}
	cr_expect_eq(page_ledger_waiting_bytes(&back), 0);
	cr_expect_eq(ballooned(), 10 * PAGE);
	cr_expect_not(page_ledger_flush(&back, 1), "nothing is left");
	cr_expect_eq(back.counters.discards, 10);
}

Test(returned, a_flush_makes_no_more_calls_than_it_may_and_goes_on_later)
{
	for (uint64_t i = 0; i < 10; i++)
		inflate(i * 2 * PAGE);
	cr_expect(page_ledger_flush(&back, 0));
	cr_expect_eq(back.counters.discards, 0);
	cr_expect(page_ledger_flush(&back, 4));
	cr_expect_eq(boot_resident(), BOOT - 4 * PAGE);
	cr_expect_eq(page_ledger_waiting_bytes(&back), 6 * PAGE);
	cr_expect_not(page_ledger_flush(&back, 6));
	cr_expect_eq(boot_resident(), BOOT - 10 * PAGE);
}

Test(returned, pages_side_by_side_go_in_one_call)
{
	for (uint64_t i = 100; i < 200; i++)
		inflate(i * PAGE);
	cr_expect_not(page_ledger_flush(&back, 1));
	cr_expect_eq(back.counters.discards, 1);
	cr_expect_eq(boot_resident(), BOOT - 100 * PAGE);
}

Test(returned, a_page_inflated_twice_counts_once)
{
	inflate(PAGE);
	inflate(PAGE);
	cr_expect_eq(ballooned(), PAGE);
	cr_expect_eq(page_ledger_waiting_bytes(&back), PAGE);
	cr_expect_not(page_ledger_flush(&back, 1));
	inflate(PAGE);
	cr_expect_eq(page_ledger_waiting_bytes(&back), 0, "it is gone: nothing waits");
	cr_expect_eq(back.counters.bytes[RETURNED_BALLOONED], PAGE);
}

Test(returned, deflate_cancels_what_waits_and_keeps_the_page)
{
	inflate(PAGE);
	inflate(2 * PAGE);
	deflate(PAGE);
	cr_expect_not(page_ledger_flush(&back, 8));
	cr_expect(untouched(0, 2 * PAGE));
	cr_expect_eq(boot_resident(), BOOT - PAGE);
	cr_expect_eq(ballooned(), PAGE);
	deflate(2 * PAGE);
	cr_expect_eq(ballooned(), 0);
	cr_expect_eq(back.counters.back_bytes[RETURNED_BALLOONED], 2 * PAGE);
	deflate(2 * PAGE); /* it was never out */
	deflate(3 * PAGE);
	cr_expect_eq(back.counters.back_bytes[RETURNED_BALLOONED], 2 * PAGE);
}

Test(returned, a_unit_lacking_a_page_deflated_meanwhile_stays)
{
	for (uint64_t i = 0; i < RAM_HUGE_PAGES - 1; i++)
		inflate(i * PAGE);
	deflate(5 * PAGE);
	inflate((RAM_HUGE_PAGES - 1) * PAGE);
	cr_expect_eq(boot_resident(), BOOT);
	inflate(5 * PAGE);
	cr_expect_eq(boot_resident(), BOOT - UNIT);
}

Test(returned, pages_that_the_guest_may_not_name_change_nothing)
{
	const uint64_t bad[] = { BOOT, BOOT + PAGE, FAKE_ELASTIC_BASE - PAGE,
				 FAKE_ELASTIC_BASE + UNIT, /* unplugged */
				 FAKE_ELASTIC_BASE + 2 * UNIT, UINT64_MAX & ~(PAGE - 1) };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_eq(page_ledger_inflate(&back, GPA(bad[i])), -EFAULT, "%#lx", bad[i]);
		cr_expect_eq(page_ledger_deflate(&back, GPA(bad[i])), -EFAULT, "%#lx", bad[i]);
		cr_expect_eq(page_ledger_give(&back, RETURNED_REPORTED, GPA(bad[i]), PAGE), -EFAULT);
	}
	cr_expect_eq(page_ledger_give(&back, RETURNED_HINTED, GPA(BOOT - PAGE), 2 * PAGE), -EFAULT);
	cr_expect_eq(page_ledger_give(&back, RETURNED_HINTED, ELASTIC, UNIT + PAGE), -EFAULT);
	cr_expect_eq(ballooned() | reported() | hinted(), 0);
	cr_expect_eq(boot_resident(), BOOT);
	cr_expect_eq(back.counters.discards, 0);
}

/* --- reports and hints ------------------------------------------------------------------------- */

Test(returned, what_is_given_goes_at_once_and_by_whole_pages_inside)
{
	cr_assert_eq(page_ledger_give(&back, RETURNED_REPORTED, GPA(PAGE - 1), 2 * PAGE + 2), 0);
	cr_expect_eq(boot_resident(), BOOT - 2 * PAGE);
	cr_expect_eq(resident(&mem.boot, PAGE, 2 * PAGE), 0);
	cr_expect(untouched(0, PAGE) && untouched(3 * PAGE, BOOT - 3 * PAGE));
	cr_expect_eq(reported(), 2 * PAGE);
	/* No whole page in it. */
	cr_assert_eq(page_ledger_give(&back, RETURNED_REPORTED, GPA(4 * PAGE + 1), 2 * PAGE - 2), 0);
	cr_assert_eq(page_ledger_give(&back, RETURNED_REPORTED, GPA(4 * PAGE), PAGE - 1), 0);
	cr_expect(untouched(3 * PAGE, BOOT - 3 * PAGE));
	cr_expect_eq(reported(), 2 * PAGE);
}

Test(returned, a_page_is_out_in_one_way_at_a_time)
{
	inflate(PAGE);
	cr_assert_eq(page_ledger_give(&back, RETURNED_REPORTED, GPA(PAGE), PAGE), 0);
	cr_expect_eq(ballooned(), 0);
	cr_expect_eq(reported(), PAGE);
	cr_expect_eq(page_ledger_waiting_bytes(&back), 0, "it went, so it does not wait");
	cr_assert_eq(page_ledger_give(&back, RETURNED_HINTED, GPA(0), 2 * PAGE), 0);
	cr_expect_eq(reported(), 0);
	cr_expect_eq(hinted(), 2 * PAGE);
	inflate(PAGE);
	cr_expect_eq(hinted(), PAGE);
	cr_expect_eq(ballooned(), PAGE);
	for (int how = 0; how < NR_RETURNED; how++)
		cr_expect_eq(back.counters.bytes[how] - back.counters.back_bytes[how],
			     page_ledger_bytes(&back, (enum returned_how)how));
}

Test(returned, reported_pages_used_again_are_booked_and_others_stay)
{
	cr_assert_eq(page_ledger_give(&back, RETURNED_REPORTED, GPA(UNIT), 2 * UNIT), 0);
	cr_assert_eq(page_ledger_give(&back, RETURNED_HINTED, GPA(4 * UNIT), UNIT), 0);
	look();
	cr_expect_eq(reported(), 2 * UNIT, "nobody has touched it");
	memset((char *)mem.boot.host + UNIT + 3 * PAGE, 1, 5 * PAGE);
	memset((char *)mem.boot.host + 3 * UNIT - PAGE, 1, PAGE); /* the last one of it */
	((volatile char *)mem.boot.host)[4 * UNIT] = 1;
	look();
	cr_expect_eq(reported(), 2 * UNIT - 6 * PAGE);
	cr_expect_eq(back.counters.back_bytes[RETURNED_REPORTED], 6 * PAGE);
	cr_expect_eq(hinted(), UNIT - PAGE);
	cr_expect_eq(back.touched_bytes, 0);
	look();
	cr_expect_eq(reported(), 2 * UNIT - 6 * PAGE);
}

Test(returned, ballooned_pages_that_are_there_again_are_told_as_touched_but_not_those_that_wait)
{
	for (uint64_t i = 0; i < 8; i++)
		inflate(i * PAGE);
	look();
	cr_expect_eq(back.touched_bytes, 0, "they wait: the host has them still");
	cr_expect_not(page_ledger_flush(&back, 1));
	look();
	cr_expect_eq(back.touched_bytes, 0);
	memset((char *)mem.boot.host + 2 * PAGE, 1, 3 * PAGE);
	inflate(20 * PAGE); /* this one waits */
	look();
	cr_expect_eq(back.touched_bytes, 3 * PAGE);
	cr_expect_eq(ballooned(), 9 * PAGE, "the guest's use of them does not make them its own");
	look();
	cr_expect_eq(back.touched_bytes, 3 * PAGE, "of each round anew");
}

Test(returned, a_look_without_time_goes_on_where_it_was)
{
	unsigned int rounds = 1;

	for (uint64_t i = 0; i < 50; i++) {
		cr_assert_eq(page_ledger_give(&back, RETURNED_REPORTED, GPA(i * 4 * PAGE), PAGE), 0);
		((volatile char *)mem.boot.host)[i * 4 * PAGE] = 1;
	}
	cr_assert_eq(page_ledger_give(&back, RETURNED_REPORTED, gpa_add(ELASTIC, PAGE), PAGE), 0);
	((volatile char *)mem.elastic.ram.host)[PAGE] = 1;
	while (!page_ledger_look(&back, 0))
		cr_assert_lt(rounds++, 1000);
	cr_expect_gt(rounds, 20, "in pieces");
	cr_expect_eq(reported(), 0, "all regions were seen");
}

/* --- huge pages -------------------------------------------------------------------------------- */

Test(returned, huge_pages_are_forbidden_while_a_page_of_the_unit_is_out)
{
	need_huge();
	inflate(UNIT + 511 * PAGE);
	cr_expect_not(page_ledger_flush(&back, 1));
	cr_assert_eq(page_ledger_give(&back, RETURNED_REPORTED, GPA(3 * UNIT - PAGE), 2 * PAGE), 0);
	cr_assert_eq(page_ledger_give(&back, RETURNED_HINTED, GPA(5 * UNIT - PAGE), PAGE), 0);
	for (uint32_t unit = 1; unit <= 4; unit++)
		if (unit != 3) /* its first page went */
			cr_expect_not(may_be_huge(unit), "unit %u", unit);
	cr_expect_eq(resident(&mem.boot, UNIT + 511 * PAGE, PAGE), 0, "nothing brought it back");
	deflate(UNIT + 511 * PAGE);
	cr_expect(may_be_huge(1), "allowed again");
	/* What is used again, as a look finds. */
	memset((char *)mem.boot.host + 3 * UNIT - PAGE, 1, 2 * PAGE);
	look();
	cr_expect(may_be_huge(2));
	cr_expect(may_be_huge(3));
	cr_expect_not(may_be_huge(4), "still out");
}

Test(returned, one_page_coming_back_does_not_allow_huge_pages_while_another_is_out)
{
	need_huge();
	inflate(UNIT + 510 * PAGE);
	inflate(UNIT + 511 * PAGE);
	cr_expect_not(page_ledger_flush(&back, 1));
	deflate(UNIT + 510 * PAGE);
	cr_expect_not(may_be_huge(1));
	/* Out in another way counts as well. */
	cr_assert_eq(page_ledger_give(&back, RETURNED_REPORTED, GPA(UNIT + 510 * PAGE), PAGE), 0);
	deflate(UNIT + 511 * PAGE);
	cr_expect_not(may_be_huge(1));
}

Test(returned, a_unit_that_was_huge_goes_with_its_last_page)
{
	need_huge();
	cr_assert_eq(ram_collapse(&mem.boot, UNIT, UNIT), 0);
	cr_expect(may_be_huge(1));
	cr_assert_eq(huge_bytes(&boot_huge) % UNIT, 0);
	for (uint64_t i = RAM_HUGE_PAGES; i--;)
		inflate(UNIT + i * PAGE);
	cr_expect_eq(resident(&mem.boot, UNIT, UNIT), 0);
	cr_expect_not(boot_huge.flags[1] & 1, "and is not called huge any more");
}

/* --- unplug, reset, a host that refuses --------------------------------------------------------- */

Test(returned, unplugged_memory_is_forgotten_and_comes_whole_the_next_time)
{
	inflate(FAKE_ELASTIC_BASE);
	inflate(FAKE_ELASTIC_BASE + PAGE);
	cr_assert_eq(page_ledger_give(&back, RETURNED_HINTED, gpa_add(ELASTIC, 2 * PAGE), PAGE), 0);
	inflate(0);
	elastic_close(&mem.elastic, 0, 1);
	cr_assert_eq(elastic_give_back(&mem.elastic, 0, 1), 0);
	cr_expect_eq(ballooned(), PAGE, "boot memory's");
	cr_expect_eq(hinted(), 0);
	cr_expect_eq(page_ledger_waiting_bytes(&back), PAGE);
	cr_expect_eq(back.counters.back_bytes[RETURNED_BALLOONED], 0, "no guest took them back");
	cr_expect_eq(page_ledger_deflate(&back, ELASTIC), -EFAULT);
	cr_assert_eq(elastic_plug(&mem.elastic, 0, 1), 0);
	memset(mem.elastic.ram.host, 1, UNIT);
	cr_expect_not(page_ledger_flush(&back, 9));
	cr_expect_eq(resident(&mem.elastic.ram, 0, UNIT), UNIT, "what waited does no longer");
	cr_expect_eq(boot_resident(), BOOT - PAGE);
	deflate(FAKE_ELASTIC_BASE); /* of this life of the block it was never out */
	cr_expect_eq(back.counters.back_bytes[RETURNED_BALLOONED], 0);
}

Test(returned, a_reset_forgets_all_and_keeps_the_counters)
{
	inflate(0);
	inflate(UNIT);
	inflate(FAKE_ELASTIC_BASE);
	cr_assert_eq(page_ledger_give(&back, RETURNED_REPORTED, GPA(2 * UNIT), UNIT), 0);
	page_ledger_reset(&back);
	cr_expect_eq(ballooned() | reported() | hinted(), 0);
	cr_expect_eq(page_ledger_waiting_bytes(&back), 0);
	cr_expect_not(page_ledger_flush(&back, 100));
	cr_expect(untouched(0, 2 * UNIT), "the next guest's: not discarded");
	cr_expect_eq(back.counters.bytes[RETURNED_BALLOONED], 3 * PAGE);
	cr_expect_eq(back.counters.bytes[RETURNED_REPORTED], UNIT);
	cr_expect_eq(back.counters.back_bytes[RETURNED_BALLOONED], 0);
	need_huge();
	cr_expect(may_be_huge(1));
}

Test(returned, what_the_host_refuses_waits_on)
{
	refuse(true);
	stderr_keep();
	for (uint64_t i = 0; i < RAM_HUGE_PAGES; i++)
		inflate(UNIT + i * PAGE);
	cr_expect_eq(ballooned(), UNIT);
	cr_expect_eq(page_ledger_waiting_bytes(&back), UNIT);
	cr_expect(page_ledger_flush(&back, 3));
	cr_expect_eq(page_ledger_waiting_bytes(&back), UNIT);
	cr_expect_neq(page_ledger_give(&back, RETURNED_REPORTED, GPA(3 * UNIT), PAGE), 0);
	cr_expect_gt(strlen(stderr_text()), 0, "the log says so");
	cr_expect_eq(reported(), 0, "nothing was given");
	cr_expect_eq(boot_resident(), BOOT);
	cr_expect(untouched(0, BOOT));
	refuse(false);
	cr_expect_not(page_ledger_flush(&back, 1));
	cr_expect_eq(boot_resident(), BOOT - UNIT);
}

Test(returned, a_zeroed_one_can_be_destroyed)
{
	struct page_ledger none = { 0 };

	page_ledger_destroy(&none);
}
