/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_balloon_hostile.c - drivers that break the rules of the balloon device: pages that are not
 * theirs, bad lengths, torn arrays, lies. Cases are numbered as in our list of bad inputs (27 to
 * 35: the balloon's). Whatever comes, only memory that was named lawfully goes.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/balloon_rig.h"

#define BIT(feature) (UINT64_C(1) << (feature))
#define TELL	     BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST)
/* All but MUST_TELL_HOST: what is inflated goes at once. */
#define ALL                                                                                   \
	(BIT(VIRTIO_BALLOON_F_STATS_VQ) | BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |              \
	 BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT) | BIT(VIRTIO_BALLOON_F_REPORTING) |             \
	 BIT(BALLOON_F_WS_REPORTING) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

#define PAGE	PAGE_BYTES
#define UNIT	RAM_HUGE_BYTES
#define FREE	(4 * MiB) /* rings and requests lie below */
#define ELASTIC FAKE_ELASTIC_BASE

enum { INFLATE, DEFLATE, STATS, HINT, REPORT, WS_REPORT, WS_NOTIFY };

static struct balloon_rig rig;

/* One elastic block of four is plugged; all memory is in use. */
static void up(void)
{
	balloon_rig_init(&rig);
	cr_assert_eq(elastic_plug(&rig.mem.elastic, 0, 1), 0);
	memset((char *)rig.mem.boot.host + FREE, 0x5a, BALLOON_BOOT - FREE);
	memset(rig.mem.elastic.ram.host, 0x5a, UNIT);
	fake_driver_start(&rig.drv, ALL);
}

static void down(void) { balloon_rig_destroy(&rig); }

TestSuite(balloon_hostile, .init = up, .fini = down, .timeout = 240);

static uint64_t resident(uint64_t at, uint64_t bytes)
{
	return balloon_rig_range_resident(&rig, GPA(at), bytes);
}

static uint64_t elastic_resident(void)
{
	uint64_t bytes;

	cr_assert_eq(ram_resident(&rig.mem.elastic.ram, &bytes), 0);
	return bytes;
}

static bool holds(const void *at, uint64_t bytes)
{
	const char *p = at;

	for (uint64_t i = 0; i < bytes; i++)
		if (p[i] != 0x5a)
			return false;
	return true;
}

static bool untouched(uint64_t at, uint64_t bytes)
{
	return holds((const char *)rig.mem.boot.host + at, bytes);
}

static bool all_untouched(void)
{
	return untouched(FREE, BALLOON_BOOT - FREE) && holds(rig.mem.elastic.ram.host, UNIT);
}

static uint64_t out(enum returned_how how) { return page_ledger_bytes(&rig.returned, how); }
static uint64_t all_out(void)
{
	return out(RETURNED_BALLOONED) + out(RETURNED_REPORTED) + out(RETURNED_HINTED);
}

static bool inflate(uint64_t at, unsigned int nr)
{
	return balloon_rig_pages(&rig, INFLATE, GPA(at), nr);
}

static bool deflate(uint64_t at, unsigned int nr)
{
	return balloon_rig_pages(&rig, DEFLATE, GPA(at), nr);
}

static bool ask(unsigned int queue, const struct fake_buffer *buffers, unsigned int nr)
{
	fake_queue_add(&rig.drv.queues[queue], buffers, nr);
	fake_driver_kick(&rig.drv, queue);
	return !fake_driver_needs_reset(&rig.drv) &&
	       fake_queue_poll(&rig.drv.queues[queue], NULL, NULL);
}

/* The next driver's rings: always the same memory, above what the first one has. */
static void start_again(void)
{
	cr_assert_eq(gm_zero(&rig.mem.gm, GPA(MiB), FREE - MiB), 0);
	rig.mem.next_free = MiB;
	fake_driver_start(&rig.drv, ALL);
}

/* The request breaks the device: its driver is told, the head comes back with nothing in it, no
 * memory has gone. After a reset all is well. */
static void breaks(unsigned int queue, const struct fake_buffer *buffers, unsigned int nr)
{
	uint32_t used = 99;

	fake_driver_take_interrupts(&rig.drv);
	cr_expect_not(ask(queue, buffers, nr));
	cr_expect(fake_driver_needs_reset(&rig.drv));
	cr_expect(fake_driver_take_interrupts(&rig.drv) & VIRTIO_MMIO_INT_CONFIG);
	cr_expect(fake_queue_poll(&rig.drv.queues[queue], NULL, &used), "the head comes back");
	cr_expect_eq(used, 0);
	cr_expect_eq(all_out(), 0);
	cr_expect(all_untouched());
	cr_expect_eq(elastic_resident(), UNIT);
	start_again();
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
}

static gpa_t boot(uint64_t bytes) { return fake_alloc(&rig.mem, bytes, 16); }

/* An array of pages in boot memory. */
static struct fake_buffer array(const uint32_t *pfns, unsigned int nr)
{
	struct fake_buffer buffer = { boot(nr * 4), nr * 4, false };

	for (unsigned int i = 0; i < nr; i++) {
		le32 pfn = le32_of(pfns[i]);

		fake_write(&rig.mem, gpa_add(buffer.at, i * 4), &pfn, sizeof(pfn));
	}
	return buffer;
}

/* --- 27: pages that are not the guest's -------------------------------------------------------- */

#define FREE_PFN ((uint32_t)(FREE / PAGE))

/* 27 */
Test(balloon_hostile, a_page_that_does_not_exist_breaks_the_device_and_nothing_of_the_array_counts)
{
	const uint32_t bad[] = {
		BALLOON_BOOT / PAGE,		  /* beyond RAM */
		BALLOON_BOOT / PAGE + FREE_PFN,
		0xd0000,			  /* registers */
		0xffffe, 0xfffff,		  /* where a ROM would be */
		(uint32_t)(ELASTIC / PAGE) + 512, /* unplugged */
		(uint32_t)(ELASTIC / PAGE) + 2047,
		(uint32_t)(ELASTIC / PAGE) + 2048, /* past the region */
		0x100000 + FREE_PFN, /* 32 bits of the address are memory that exists */
		0x80000000 + FREE_PFN, 0x7fffffff, 0xffffffff,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		for (unsigned int queue = INFLATE; queue <= DEFLATE; queue++)
			for (unsigned int place = 0; place < 3; place++) {
				uint32_t pfns[3] = { FREE_PFN, FREE_PFN + 1, FREE_PFN + 2 };
				struct fake_buffer buffer;

				pfns[place] = bad[i];
				buffer = array(pfns, 3);
				breaks(queue, &buffer, 1);
			}
	cr_expect_eq(balloon_rig_info(&rig).counters.inflated_pages, 0);
	cr_expect_eq(balloon_rig_info(&rig).counters.deflated_pages, 0);
	cr_expect(inflate(FREE, 3), "and then it works");
	cr_expect_eq(resident(FREE, 3 * PAGE), 0);
}

/* 27: the same number means elastic memory once that is plugged, and no boot memory goes. */
Test(balloon_hostile, a_page_above_4_gib_is_not_the_one_with_its_low_32_bits)
{
	cr_assert_eq(elastic_plug(&rig.mem.elastic, 2, 1), 0);
	memset((char *)rig.mem.elastic.ram.host + 2 * UNIT, 0x5a, UNIT);
	cr_expect(inflate(4 * GiB + FREE, 1));
	cr_expect(untouched(FREE, BALLOON_BOOT - FREE));
	cr_expect_eq(elastic_resident(), 2 * UNIT - PAGE);
}

/* 27: a page whose block comes and goes. */
Test(balloon_hostile, a_block_unplugged_while_pages_of_it_are_ballooned_takes_them_along)
{
	cr_expect(inflate(ELASTIC + 3 * PAGE, 5));
	cr_expect(inflate(FREE, 1));
	elastic_close(&rig.mem.elastic, 0, 1);
	cr_assert_eq(elastic_give_back(&rig.mem.elastic, 0, 1), 0);
	cr_expect_eq(out(RETURNED_BALLOONED), PAGE);
	cr_expect_eq(elastic_resident(), 0);
	/* What the guest still believes to have in its balloon is not there any more. */
	cr_expect_not(deflate(ELASTIC + 3 * PAGE, 1));
	cr_expect(fake_driver_needs_reset(&rig.drv));
	start_again();
	cr_assert_eq(elastic_plug(&rig.mem.elastic, 0, 1), 0);
	memset(rig.mem.elastic.ram.host, 0x5a, UNIT);
	cr_expect(deflate(ELASTIC + 3 * PAGE, 5), "harmless");
	cr_expect(holds(rig.mem.elastic.ram.host, UNIT));
	cr_expect_eq(out(RETURNED_BALLOONED), 0, "the reset let go of the rest");
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT);
}

/* 27: while it is being given back, a block is out of the balloon's reach as well. */
Test(balloon_hostile, a_block_that_is_being_unplugged_cannot_be_inflated_with_or_reported)
{
	struct fake_buffer place = { GPA(ELASTIC), UNIT, true }, buffer;

	elastic_close(&rig.mem.elastic, 0, 1);
	buffer = array(&(uint32_t){ ELASTIC / PAGE }, 1);
	breaks(INFLATE, &buffer, 1);
	breaks(REPORT, &place, 1);
	elastic_reopen(&rig.mem.elastic, 0, 1);
	cr_expect(inflate(ELASTIC, 1));
	cr_expect_eq(elastic_resident(), UNIT - PAGE);
}

/* 27: with pages that wait, which must not be discarded in the block's next life. */
Test(balloon_hostile, pages_that_wait_in_a_block_unplugged_meanwhile_are_not_taken_from_its_next_life)
{
	fake_driver_start(&rig.drv, ALL | TELL);
	cr_expect(inflate(ELASTIC, 100));
	cr_expect_eq(balloon_rig_info(&rig).waiting_bytes, 100 * PAGE);
	elastic_close(&rig.mem.elastic, 0, 1);
	cr_assert_eq(elastic_give_back(&rig.mem.elastic, 0, 1), 0);
	cr_expect_eq(balloon_rig_info(&rig).waiting_bytes, 0);
	cr_assert_eq(elastic_plug(&rig.mem.elastic, 0, 1), 0);
	memset(rig.mem.elastic.ram.host, 0x5a, UNIT);
	balloon_rig_run(&rig, 300 * NS_PER_MS);
	cr_expect(holds(rig.mem.elastic.ram.host, UNIT));
	cr_expect_eq(elastic_resident(), UNIT);
}

/* --- 28, 29: arrays ---------------------------------------------------------------------------- */

/* 28 */
Test(balloon_hostile, arrays_of_a_bad_length_break_the_device)
{
	static const uint32_t bad[] = { 1, 2, 3, 5, 7, 4095, 4097, 4100, 8192, 1 * MiB, 1 << 30,
					0xfffffffc, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		for (unsigned int queue = INFLATE; queue <= DEFLATE; queue++) {
			struct fake_buffer buffer = { boot(16), bad[i], false };

			breaks(queue, &buffer, 1);
		}
	/* Nothing to read at all. */
	breaks(INFLATE, &(struct fake_buffer){ GPA(FREE), 4096, true }, 1);
	breaks(DEFLATE, &(struct fake_buffer){ boot(4), 0, false }, 1);
}

/* 28: more than Linux sends is lawful, up to a bound. */
Test(balloon_hostile, arrays_up_to_1024_pages_are_served)
{
	static const unsigned int lengths[] = { 1, 255, 256, 257, 1023, 1024 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		cr_expect(inflate(FREE, lengths[i]), "%u", lengths[i]);
		cr_expect_eq(out(RETURNED_BALLOONED), lengths[i] * PAGE);
		cr_expect_eq(resident(FREE, 1024 * PAGE), (1024 - lengths[i]) * PAGE);
		cr_expect(deflate(FREE, lengths[i]));
		memset((char *)rig.mem.boot.host + FREE, 0x5a, 1024 * PAGE);
	}
}

/* 28 */
Test(balloon_hostile, arrays_in_memory_that_does_not_exist_break_the_device)
{
	const uint64_t bad[] = { BALLOON_BOOT, BALLOON_BOOT - 4, BALLOON_BOOT - 1, 0xd0000000,
				 ELASTIC + UNIT, ELASTIC + UNIT - 4, UINT64_MAX - 7 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		for (unsigned int queue = INFLATE; queue <= DEFLATE; queue++)
			breaks(queue, &(struct fake_buffer){ GPA(bad[i]), 8, false }, 1);
	/* Its second half only. */
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fake_buffer halves[] = { array(&(uint32_t){ FREE_PFN }, 1),
						{ GPA(bad[i]), 8, false } };

		breaks(INFLATE, halves, 2);
	}
}

/* 29 */
Test(balloon_hostile, an_array_torn_over_descriptors_counts_to_the_last_page)
{
	uint32_t pfns[48];
	struct fake_buffer whole, torn[192];

	for (unsigned int i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = FREE_PFN + 2 * i;
	for (unsigned int piece = 1; piece <= 7; piece++) {
		unsigned int nr = 0;

		whole = array(pfns, ARRAY_SIZE(pfns));
		for (uint32_t at = 0; at < whole.bytes; at += piece, nr++)
			torn[nr] = (struct fake_buffer){ gpa_add(whole.at, at),
							 (uint32_t)min_u64(piece, whole.bytes - at),
							 false };
		cr_expect(ask(INFLATE, torn, nr), "pieces of %u", piece);
		cr_expect_eq(out(RETURNED_BALLOONED), sizeof(pfns) / 4 * PAGE);
		cr_expect_eq(resident(FREE, 96 * PAGE), 48 * PAGE);
		fake_queue_add_indirect(&rig.drv.queues[DEFLATE], torn, nr);
		fake_driver_kick(&rig.drv, DEFLATE);
		cr_expect(fake_queue_poll(&rig.drv.queues[DEFLATE], NULL, NULL));
		cr_expect_eq(out(RETURNED_BALLOONED), 0);
		memset((char *)rig.mem.boot.host + FREE, 0x5a, 96 * PAGE);
	}
	cr_expect(all_untouched());
}

/* 29: what the device may write is no part of the array. */
Test(balloon_hostile, writable_parts_of_an_array_are_not_looked_at)
{
	struct fake_buffer parts[] = { array(&(uint32_t){ FREE_PFN }, 1),
				       { GPA(FREE + UNIT), 4096, true } };

	cr_expect(ask(INFLATE, parts, 2));
	cr_expect_eq(out(RETURNED_BALLOONED), PAGE);
	cr_expect(untouched(FREE + PAGE, BALLOON_BOOT - FREE - PAGE));
}

/* --- 30: pages twice or never ------------------------------------------------------------------ */

/* 30 */
Test(balloon_hostile, duplicates_count_once_and_pages_never_inflated_deflate_to_nothing)
{
	uint32_t pfns[1024];
	struct fake_buffer buffer;

	for (unsigned int i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = FREE_PFN + (i & 1);
	buffer = array(pfns, ARRAY_SIZE(pfns));
	cr_expect(ask(INFLATE, &buffer, 1));
	cr_expect_eq(out(RETURNED_BALLOONED), 2 * PAGE);
	cr_expect(ask(INFLATE, &buffer, 1));
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT - 2 * PAGE);
	cr_expect(ask(DEFLATE, &buffer, 1));
	cr_expect(ask(DEFLATE, &buffer, 1));
	cr_expect(deflate(FREE + UNIT, 1024));
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT);
	cr_expect_eq(rig.returned.counters.back_bytes[RETURNED_BALLOONED], 2 * PAGE);
	cr_expect(untouched(FREE + 2 * PAGE, BALLOON_BOOT - FREE - 2 * PAGE));
}

/* 30: more of the guest's memory than boot memory is. */
Test(balloon_hostile, a_guest_that_balloons_all_it_has_does_not_underflow_its_size)
{
	cr_assert_eq(elastic_plug(&rig.mem.elastic, 1, 3), 0);
	for (uint64_t at = 0; at < BALLOON_ELASTIC; at += 1024 * PAGE)
		cr_assert(inflate(ELASTIC + at, 1024));
	for (uint64_t at = FREE; at < BALLOON_BOOT; at += 1024 * PAGE)
		cr_assert(inflate(at, 1024));
	cr_expect_eq(out(RETURNED_BALLOONED), BALLOON_ELASTIC + BALLOON_BOOT - FREE);
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, 0);
	cr_expect_eq(elastic_resident() + resident(FREE, BALLOON_BOOT - FREE), 0);
	balloon_resize(rig.b, BALLOON_BOOT, 0);
	cr_expect_eq(balloon_cancel(rig.b), 0);
	cr_expect_eq(balloon_rig_info(&rig).target_bytes, 0);
}

/* The rings themselves, and the array: they read as zeros then, which is the guest's own doing. */
Test(balloon_hostile, a_guest_that_balloons_its_own_rings_harms_itself_alone)
{
	for (unsigned int queue = INFLATE; queue <= WS_NOTIFY; queue++) {
		(void)inflate(0, 1024);
		fake_driver_kick(&rig.drv, queue);
		memset(rig.mem.boot.host, 0, FREE);
		start_again();
		cr_expect(deflate(0, 1024));
		cr_expect(all_untouched());
	}
	cr_expect(inflate(FREE, 1));
}

/* --- 31, 32: reports --------------------------------------------------------------------------- */

/* 31 */
Test(balloon_hostile, a_report_that_leaves_memory_breaks_the_device_and_takes_nothing)
{
	const struct fake_buffer bad[] = {
		{ GPA(BALLOON_BOOT - PAGE), 2 * PAGE, true }, /* past RAM */
		{ GPA(BALLOON_BOOT - UNIT), UNIT + 1, true },
		{ GPA(FREE), 0xffffffff, true },
		{ GPA(BALLOON_BOOT), PAGE, true },
		{ GPA(ELASTIC), UNIT + PAGE, true }, /* into a block that is not plugged */
		{ GPA(ELASTIC), BALLOON_ELASTIC, true },
		{ GPA(ELASTIC + UNIT), PAGE, true },
		{ GPA(ELASTIC - PAGE), 2 * PAGE, true }, /* into the region from outside */
		{ GPA(ELASTIC + BALLOON_ELASTIC - PAGE), 2 * PAGE, true },
		{ GPA(UINT64_MAX - PAGE + 1), PAGE, true },
		{ GPA(UINT64_MAX - 1), PAGE, true }, /* wraps */
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fake_buffer behind[] = { { GPA(FREE), UNIT, true }, bad[i] };

		breaks(REPORT, &bad[i], 1);
		breaks(REPORT, behind, 2);
	}
	cr_expect(ask(REPORT, &(struct fake_buffer){ GPA(FREE), UNIT, true }, 1));
	cr_expect_eq(resident(FREE, UNIT), 0);
}

/* 31: up to the very end, and over blocks that are all plugged, it is lawful. */
Test(balloon_hostile, a_report_may_reach_the_end_of_memory_and_over_plugged_blocks)
{
	cr_assert_eq(elastic_plug(&rig.mem.elastic, 1, 1), 0);
	memset((char *)rig.mem.elastic.ram.host + UNIT, 0x5a, UNIT);
	cr_expect(ask(REPORT, &(struct fake_buffer){ GPA(ELASTIC + PAGE), 2 * UNIT - PAGE, true },
		      1));
	cr_expect_eq(elastic_resident(), PAGE);
	cr_expect(ask(REPORT, &(struct fake_buffer){ GPA(BALLOON_BOOT - UNIT), UNIT, true }, 1));
	cr_expect_eq(resident(BALLOON_BOOT - UNIT, UNIT), 0);
}

/* 32 */
Test(balloon_hostile, a_small_piece_of_a_huge_page_goes_alone)
{
	if (ram_collapse(&rig.mem.boot, FREE, UNIT))
		cr_skip_test("this kernel has no MADV_COLLAPSE");
	cr_expect(ask(REPORT, &(struct fake_buffer){ GPA(FREE + 5 * PAGE), PAGE, true }, 1));
	cr_expect(untouched(FREE, 5 * PAGE));
	cr_expect(untouched(FREE + 6 * PAGE, UNIT - 6 * PAGE));
	cr_expect_eq(((char *)rig.mem.boot.host)[FREE + 5 * PAGE], 0, "its content is gone");
}

/* 32: less than a page is none. */
Test(balloon_hostile, pieces_that_are_no_whole_pages_take_no_neighbour)
{
	const struct fake_buffer pieces[] = { { GPA(FREE + 1), PAGE, true },
					      { GPA(FREE + PAGE), PAGE - 1, true },
					      { GPA(FREE + 3 * PAGE - 1), 2, true } };

	cr_expect(ask(REPORT, pieces, 3));
	cr_expect(all_untouched());
	cr_expect_eq(all_out(), 0);
	cr_expect(ask(REPORT, &(struct fake_buffer){ GPA(FREE + 1), 2 * PAGE, true }, 1));
	cr_expect_eq(resident(FREE, 3 * PAGE), 2 * PAGE);
	cr_expect(untouched(FREE, PAGE) && untouched(FREE + 2 * PAGE, UNIT));
}

/* 31: readable memory is not reported memory. */
Test(balloon_hostile, readable_parts_of_a_report_are_not_taken)
{
	const struct fake_buffer parts[] = { { GPA(FREE), UNIT, false },
					     { GPA(FREE + UNIT), PAGE, true } };

	cr_expect(ask(REPORT, parts, 2));
	cr_expect(untouched(FREE, UNIT));
	cr_expect_eq(out(RETURNED_REPORTED), PAGE);
}

/* --- 33: the size that the driver claims ------------------------------------------------------- */

/* 33 */
Test(balloon_hostile, whatever_the_driver_claims_the_size_is_what_we_count)
{
	static const uint32_t claims[] = { 0, 1, BALLOON_BOOT / PAGE, BALLOON_BOOT / PAGE + 1,
					   0x7fffffff, 0x80000000, 0xffffffff };
	unsigned int seed = 33;

	cr_expect(inflate(FREE, 7));
	for (int i = 0; i < 10000; i++) {
		uint32_t claim = i < (int)ARRAY_SIZE(claims)
					 ? claims[i]
					 : (uint32_t)rand_r(&seed) << 16 ^ (uint32_t)rand_r(&seed);
		struct balloon_info info;

		fake_driver_access(&rig.drv,
				   VIRTIO_MMIO_CONFIG + offsetof(struct balloon_config, actual), 4,
				   true, claim);
		info = balloon_rig_info(&rig);
		cr_assert_eq(info.claimed_bytes, claim * PAGE);
		cr_assert_eq(info.size_bytes, BALLOON_BOOT - 7 * PAGE);
		cr_assert_eq(info.target_bytes, BALLOON_BOOT);
	}
}

/* 33: every place and width, also past the end. */
Test(balloon_hostile, writes_anywhere_in_the_configuration_move_no_target)
{
	balloon_resize(rig.b, BALLOON_BOOT - MiB, 0);
	for (uint32_t at = 0; at < 40; at++)
		for (unsigned int bytes = 1; bytes <= 8; bytes *= 2)
			fake_driver_access(&rig.drv, VIRTIO_MMIO_CONFIG + at, bytes, true,
					   UINT64_MAX);
	cr_expect_eq(fake_driver_config(&rig.drv, 0, 4), 256);
	cr_expect_eq(fake_driver_config(&rig.drv, 4, 4), 0xffffffff);
	cr_expect_eq(fake_driver_config(&rig.drv, 8, 4), VIRTIO_BALLOON_CMD_ID_STOP);
	cr_expect_eq(fake_driver_config(&rig.drv, 12, 4), 0, "the time for a poison has passed");
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
}

/* --- 34: statistics ---------------------------------------------------------------------------- */

/* 34 */
Test(balloon_hostile, statistics_of_a_bad_length_or_place_break_the_device)
{
	static const uint32_t bad[] = { 1, 9, 11, 2559, 2561, 2570, 1 << 20, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		breaks(STATS, &(struct fake_buffer){ boot(16), bad[i], false }, 1);
	breaks(STATS, &(struct fake_buffer){ GPA(BALLOON_BOOT - 5), 10, false }, 1);
	breaks(STATS, &(struct fake_buffer){ GPA(ELASTIC + UNIT), 10, false }, 1);
	cr_expect_eq(balloon_rig_info(&rig).stats_s, 0);
	cr_expect_eq(rig.nr_stats, 0);
}

/* 34 */
Test(balloon_hostile, unknown_and_duplicate_tags_do_no_harm)
{
	struct fake_buffer buffer = { boot(2560), 2560, false };
	char entries[2560];

	memset(entries, 0xff, sizeof(entries));
	memset(entries, 0, 20); /* the tag 0 twice */
	entries[12] = 9;
	fake_write(&rig.mem, buffer.at, entries, sizeof(entries));
	fake_queue_add(&rig.drv.queues[STATS], &buffer, 1);
	fake_driver_kick(&rig.drv, STATS);
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
	cr_expect_eq(balloon_rig_info(&rig).stats.value[0], 9);
	cr_expect_eq(balloon_rig_info(&rig).stats.value[1], UINT64_MAX);
}

/* 34: both in one kick, and one after the other. */
Test(balloon_hostile, a_second_buffer_of_statistics_while_one_is_held_breaks_the_device)
{
	struct fake_buffer buffer = { boot(16), 10, false };

	cr_expect_not(ask(STATS, &buffer, 1));
	cr_expect_not(fake_driver_needs_reset(&rig.drv), "it is held");
	breaks(STATS, &buffer, 1);
	cr_expect_eq(balloon_ask_stats(rig.b), 0, "of this driver nothing is held");
	fake_queue_add(&rig.drv.queues[STATS], &buffer, 1);
	breaks(STATS, &buffer, 1);
}

/* 34: the buffer lies in a block that goes while it is held. */
Test(balloon_hostile, a_held_buffer_in_memory_unplugged_meanwhile_comes_back)
{
	struct fake_buffer stats = { GPA(ELASTIC), 10, false };
	struct fake_buffer notify = { GPA(ELASTIC + PAGE), 140, true };

	memset(rig.mem.elastic.ram.host, 0, PAGE);
	cr_expect_not(ask(STATS, &stats, 1));
	cr_expect_not(ask(WS_NOTIFY, &notify, 1));
	elastic_close(&rig.mem.elastic, 0, 1);
	cr_assert_eq(elastic_give_back(&rig.mem.elastic, 0, 1), 0);
	cr_expect_eq(balloon_ask_stats(rig.b), 0);
	cr_expect(fake_queue_poll(&rig.drv.queues[STATS], NULL, NULL));
	cr_expect_not(fake_driver_needs_reset(&rig.drv), "there is nothing to write");
	cr_expect_eq(balloon_ask_working_set(rig.b, 0), 0);
	cr_expect(fake_driver_needs_reset(&rig.drv));
	cr_expect_eq(elastic_resident(), 0, "nothing was written there");
}

/* --- 35: hints and their ids ------------------------------------------------------------------- */

static uint32_t cmd_id(void)
{
	return (uint32_t)fake_driver_config(
		&rig.drv, offsetof(struct balloon_config, free_page_hint_cmd_id), 4);
}

static void begin(void)
{
	le32 id;

	cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + 60 * NS_PER_S), 0);
	id = le32_of(cmd_id());
	cr_assert(fake_driver_request(&rig.drv, HINT, &id, sizeof(id), NULL, 0, NULL));
}

/* 35 */
Test(balloon_hostile, ids_of_a_bad_length_or_place_break_the_device)
{
	static const uint32_t bad[] = { 1, 2, 3, 5, 8, 4096, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		breaks(HINT, &(struct fake_buffer){ boot(16), bad[i], false }, 1);
	breaks(HINT, &(struct fake_buffer){ GPA(BALLOON_BOOT - 2), 4, false }, 1);
	breaks(HINT, &(struct fake_buffer){ GPA(ELASTIC + UNIT), 4, false }, 1);
}

/* 35: any id, without a run and within one, takes no memory but the run's own. */
Test(balloon_hostile, ids_by_chance_start_and_end_nothing)
{
	unsigned int seed = 35;

	for (int i = 0; i < 2000; i++) {
		le32 id = le32_of((uint32_t)rand_r(&seed) % 4 + (i & 1 ? 0x80000002 : 0));

		if (i == 1000)
			cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + 60 * NS_PER_S), 0);
		if (le32_get(id) == cmd_id() && i >= 1000)
			continue;
		cr_assert(fake_driver_request(&rig.drv, HINT, &id, sizeof(id), NULL, 0, NULL));
		cr_assert(ask(HINT, &(struct fake_buffer){ GPA(FREE), UNIT, true }, 1));
	}
	cr_expect(all_untouched());
	cr_expect_eq(balloon_rig_info(&rig).reclaim.state, RECLAIM_RUNNING);
	cr_expect_eq(rig.nr_freezes, 0);
}

/* 35: guessed before it was given out. */
Test(balloon_hostile, an_id_known_beforehand_gains_nothing)
{
	le32 id = le32_of(0x80000000);

	cr_assert(fake_driver_request(&rig.drv, HINT, &id, sizeof(id), NULL, 0, NULL));
	cr_assert(ask(HINT, &(struct fake_buffer){ GPA(FREE), UNIT, true }, 1));
	cr_expect(all_untouched());
	cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + 60 * NS_PER_S), 0);
	/* Whatever it names now, it names within the run: what was written since is kept. */
	fake_write(&rig.mem, GPA(FREE), &id, sizeof(id));
	cr_assert(ask(HINT, &(struct fake_buffer){ GPA(FREE), UNIT, true }, 1));
	cr_expect_eq(resident(FREE, UNIT), UNIT);
}

/* 31 for hints: of a batch, what came before the bad one was lawful. */
Test(balloon_hostile, a_hint_that_leaves_memory_breaks_the_device)
{
	const struct fake_buffer bad[] = { { GPA(BALLOON_BOOT - PAGE), 2 * PAGE, true },
					   { GPA(FREE), 0xffffffff, true },
					   { GPA(ELASTIC), UNIT + PAGE, true },
					   { GPA(ELASTIC + UNIT), PAGE, true } };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fake_buffer behind[] = { { GPA(FREE), UNIT, true }, bad[i] };

		begin();
		breaks(HINT, behind, 2);
		cr_expect_eq(balloon_rig_info(&rig).reclaim.reason, RECLAIM_NO_DRIVER);
		cr_expect_not(rig.frozen);
		begin();
		breaks(HINT, &bad[i], 1);
	}
	begin();
	cr_expect(ask(HINT, &(struct fake_buffer){ GPA(FREE), UNIT, true }, 1));
	cr_expect_eq(resident(FREE, UNIT), 0);
}

/* 35: the same memory many times in one request. */
Test(balloon_hostile, the_same_memory_named_many_times_goes_once)
{
	struct fake_buffer many[200];

	for (unsigned int i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct fake_buffer){ GPA(FREE), UNIT, true };
	begin();
	cr_expect(ask(HINT, many, ARRAY_SIZE(many)));
	cr_expect(ask(REPORT, many, ARRAY_SIZE(many)));
	cr_expect_eq(all_out(), UNIT);
	cr_expect(untouched(FREE + UNIT, BALLOON_BOOT - FREE - UNIT));
}

/* 35: a lawful guest names a page once in a run. */
Test(balloon_hostile, a_guest_that_names_more_than_it_has_is_not_read_for_zeros_any_more)
{
	begin();
	cr_assert_eq(gm_zero(&rig.mem.gm, GPA(FREE), 2 * UNIT), 0);
	cr_expect(ask(HINT,
		      (struct fake_buffer[]){ { GPA(FREE), UNIT, true },
					      { GPA(FREE + 4 * UNIT), UNIT, true } },
		      2));
	cr_expect_eq(resident(FREE, UNIT), 0, "zeros go");
	cr_expect(rig.logging, "not all of it is zeros");
	while (balloon_rig_info(&rig).reclaim.hinted_bytes <= BALLOON_BOOT + BALLOON_ELASTIC)
		cr_assert(ask(HINT, &(struct fake_buffer){ GPA(FREE + 2 * UNIT), UNIT, true }, 1));
	cr_expect(ask(HINT, &(struct fake_buffer){ GPA(FREE + UNIT), UNIT, true }, 1));
	cr_expect_eq(resident(FREE + UNIT, UNIT), UNIT, "written, so it stays");
	cr_expect(ask(HINT, &(struct fake_buffer){ GPA(FREE + 3 * UNIT), UNIT, true }, 1));
	cr_expect_eq(resident(FREE + 3 * UNIT, UNIT), 0, "not written: nobody has to read it");
}

Test(balloon_hostile, a_driver_that_breaks_the_device_ends_its_run_at_once)
{
	begin();
	cr_expect_not(ask(HINT, &(struct fake_buffer){ boot(16), 3, false }, 1));
	cr_expect(fake_driver_needs_reset(&rig.drv));
	cr_expect_eq(balloon_rig_info(&rig).reclaim.state, RECLAIM_SHORT);
	cr_expect_eq(balloon_rig_info(&rig).reclaim.reason, RECLAIM_NO_DRIVER);
	cr_expect_not(rig.logging, "what is written need not be noted any more");
	start_again();
	begin();
	cr_expect_not(inflate(BALLOON_BOOT, 1), "whichever queue it was");
	cr_expect_not(rig.logging);
	start_again();
	begin();
}

/* --- working set queues ------------------------------------------------------------------------ */

Test(balloon_hostile, working_sets_of_a_bad_length_place_or_content_break_the_device)
{
	static const uint32_t bad[] = { 1, 775, 777, 1 << 20, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		breaks(WS_REPORT, &(struct fake_buffer){ boot(1024), bad[i], false }, 1);
	breaks(WS_REPORT, &(struct fake_buffer){ GPA(BALLOON_BOOT - 700), 776, false }, 1);
	breaks(WS_REPORT, &(struct fake_buffer){ GPA(FREE), 776, false }, 1); /* no last bin */
	breaks(WS_REPORT, &(struct fake_buffer){ GPA(FREE), 776, true }, 1);
	cr_expect_eq(rig.nr_working_sets, 0);
}

Test(balloon_hostile, buffers_for_notifications_that_cannot_hold_one_break_the_device)
{
	const struct fake_buffer bad[] = { { boot(16), 139, true },
					   { boot(16), 140, false },
					   { GPA(BALLOON_BOOT - 139), 140, true },
					   { GPA(ELASTIC + UNIT), 140, true } };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_eq(balloon_ask_working_set(rig.b, 0), 0);
		breaks(WS_NOTIFY, &bad[i], 1);
	}
}

Test(balloon_hostile, a_second_buffer_for_notifications_breaks_the_device)
{
	struct fake_buffer buffer = { boot(256), 140, true };

	cr_expect_not(ask(WS_NOTIFY, &buffer, 1));
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
	breaks(WS_NOTIFY, &buffer, 1);
	cr_expect_eq(balloon_ask_working_set(rig.b, 0), 0);
	cr_expect(ask(WS_NOTIFY, &buffer, 1));
}

/* --- all together ------------------------------------------------------------------------------ */

Test(balloon_hostile, a_storm_of_resets_in_the_middle_of_everything_holds_nothing_over)
{
	for (int i = 0; i < 300; i++) {
		struct fake_buffer stats = { boot(16), 10, false };

		begin();
		cr_assert_not(ask(STATS, &stats, 1));
		cr_assert_eq(balloon_ask_working_set(rig.b, 1), 0);
		cr_assert(inflate(FREE, 1) && deflate(FREE, 1));
		start_again();
	}
	cr_expect_eq(out(RETURNED_BALLOONED), 0);
	cr_expect_eq(balloon_rig_info(&rig).reclaim.id, 300);
	balloon_rig_run(&rig, NS_PER_MS);
}

/* A full queue of long requests: what they cost is spread over turns of the loop. */
Test(balloon_hostile, a_flood_of_long_requests_lets_others_have_their_turn)
{
	struct fake_buffer scattered[256];
	unsigned int before;

	for (unsigned int i = 0; i < ARRAY_SIZE(scattered); i++)
		scattered[i] = (struct fake_buffer){ GPA(FREE + i * 2 * PAGE), PAGE, true };
	for (unsigned int i = 0; i < 256; i++)
		fake_queue_add_indirect(&rig.drv.queues[REPORT], scattered, ARRAY_SIZE(scattered));
	before = rig.drv.nr_kicks;
	fake_driver_kick(&rig.drv, REPORT);
	cr_expect_geq(rig.drv.nr_kicks - before, 2, "%u kicks", rig.drv.nr_kicks - before);
	for (unsigned int i = 0; i < 256; i++)
		cr_assert(fake_queue_poll(&rig.drv.queues[REPORT], NULL, NULL), "%u", i);
	cr_expect_eq(out(RETURNED_REPORTED), 256 * PAGE);
	cr_expect_eq(resident(FREE, 512 * PAGE), 256 * PAGE);
}

/* Every page is where a plain model says, as the host sees it. */
Test(balloon_hostile, random_requests_take_what_a_model_says)
{
	enum { NR = (BALLOON_BOOT - FREE) / PAGE };
	static bool gone[NR], ballooned[NR];
	unsigned int seed = 27;
	uint64_t nr_ballooned = 0;

	for (int round = 0; round < 3000; round++) {
		uint32_t first = (uint32_t)rand_r(&seed) % NR;
		uint32_t nr = 1 + (uint32_t)rand_r(&seed) % 40;
		uint64_t at = FREE + first * PAGE;
		int what = rand_r(&seed) % 4;

		nr = (uint32_t)min_u64(nr, NR - first);
		if (what == 0)
			cr_assert(inflate(at, nr));
		else if (what == 1)
			cr_assert(deflate(at, nr));
		else if (what == 2)
			cr_assert(ask(REPORT,
				      &(struct fake_buffer){ GPA(at), nr * (uint32_t)PAGE, true }, 1));
		else /* the guest uses it, ballooned or not */
			memset((char *)rig.mem.boot.host + at, 0x5a, nr * PAGE);
		for (uint32_t i = first; i < first + nr; i++) {
			if (what == 3)
				gone[i] = false;
			/* A page ballooned already is not discarded again. */
			else if (what == 2 || (what == 0 && !ballooned[i]))
				gone[i] = true;
			if (what < 3)
				ballooned[i] = what == 0;
		}
		if (round % 100)
			continue;
		nr_ballooned = 0;
		for (uint32_t i = 0; i < NR; i++) {
			nr_ballooned += ballooned[i];
			cr_assert_eq(resident(FREE + i * PAGE, PAGE), gone[i] ? 0 : PAGE,
				     "page %u in round %d", i, round);
			cr_assert(gone[i] || untouched(FREE + i * PAGE, PAGE));
		}
		cr_assert_eq(out(RETURNED_BALLOONED), nr_ballooned * PAGE);
		cr_assert_eq(balloon_rig_info(&rig).size_bytes,
			     BALLOON_BOOT - nr_ballooned * PAGE);
	}
}
