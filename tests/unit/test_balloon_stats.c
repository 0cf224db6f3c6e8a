/* SPDX-License-Identifier: Apache-2.0 */
/* test_balloon_stats.c - a guest's memory statistics from the wire. */
#include "devices/balloon_stats.h"

#include <criterion/criterion.h>
#include <string.h>

static struct balloon_stats stats;
static char wire[(BALLOON_MAX_STATS + 1) * BALLOON_STAT_BYTES];
static size_t at;

static void setup(void)
{
	balloon_stats_init(&stats);
	at = 0;
}

TestSuite(balloon_stats, .init = setup);

static void add(uint16_t tag, uint64_t value)
{
	le16 t = le16_of(tag);
	le64 v = le64_of(value);

	cr_assert_leq(at + BALLOON_STAT_BYTES, sizeof(wire));
	memcpy(wire + at, &t, sizeof(t));
	memcpy(wire + at + 2, &v, sizeof(v));
	at += BALLOON_STAT_BYTES;
}

Test(balloon_stats, names_are_those_of_qemu_in_the_order_of_the_tags)
{
	cr_expect_str_eq(balloon_stat_name(VIRTIO_BALLOON_S_SWAP_IN), "stat-swap-in");
	cr_expect_str_eq(balloon_stat_name(VIRTIO_BALLOON_S_SWAP_OUT), "stat-swap-out");
	cr_expect_str_eq(balloon_stat_name(VIRTIO_BALLOON_S_MAJFLT), "stat-major-faults");
	cr_expect_str_eq(balloon_stat_name(VIRTIO_BALLOON_S_MINFLT), "stat-minor-faults");
	cr_expect_str_eq(balloon_stat_name(VIRTIO_BALLOON_S_MEMFREE), "stat-free-memory");
	cr_expect_str_eq(balloon_stat_name(VIRTIO_BALLOON_S_MEMTOT), "stat-total-memory");
	cr_expect_str_eq(balloon_stat_name(VIRTIO_BALLOON_S_AVAIL), "stat-available-memory");
	cr_expect_str_eq(balloon_stat_name(VIRTIO_BALLOON_S_CACHES), "stat-disk-caches");
	cr_expect_str_eq(balloon_stat_name(VIRTIO_BALLOON_S_HTLB_PGALLOC), "stat-htlb-pgalloc");
	cr_expect_str_eq(balloon_stat_name(VIRTIO_BALLOON_S_HTLB_PGFAIL), "stat-htlb-pgfail");
	for (unsigned int i = 0; i < BALLOON_NR_STATS; i++)
		for (unsigned int j = 0; j < i; j++)
			cr_expect_str_neq(balloon_stat_name(i), balloon_stat_name(j));
}

Test(balloon_stats, nothing_was_told_at_first)
{
	for (unsigned int i = 0; i < BALLOON_NR_STATS; i++)
		cr_expect_eq(stats.value[i], UINT64_MAX);
}

Test(balloon_stats, every_known_tag_is_taken_whatever_the_order)
{
	for (unsigned int i = BALLOON_NR_STATS; i--;)
		add((uint16_t)i, UINT64_C(0x0102030405060708) + i);
	cr_expect_null(balloon_stats_parse(&stats, wire, at));
	for (unsigned int i = 0; i < BALLOON_NR_STATS; i++)
		cr_expect_eq(stats.value[i], UINT64_C(0x0102030405060708) + i);
}

Test(balloon_stats, unknown_tags_are_passed_over_and_of_one_tag_the_last_counts)
{
	add(BALLOON_NR_STATS, 1);
	add(4, 2);
	add(0xffff, 3);
	add(4, 5);
	cr_expect_null(balloon_stats_parse(&stats, wire, at));
	for (unsigned int i = 0; i < BALLOON_NR_STATS; i++)
		cr_expect_eq(stats.value[i], i == 4 ? 5 : UINT64_MAX);
}

Test(balloon_stats, a_sample_says_nothing_of_what_only_the_one_before_said)
{
	add(1, 10);
	cr_expect_null(balloon_stats_parse(&stats, wire, at));
	at = 0;
	add(2, 20);
	cr_expect_null(balloon_stats_parse(&stats, wire, at));
	cr_expect_eq(stats.value[1], UINT64_MAX);
	cr_expect_eq(stats.value[2], 20);
	cr_expect_null(balloon_stats_parse(&stats, wire, 0), "empty");
	cr_expect_eq(stats.value[2], UINT64_MAX);
}

Test(balloon_stats, bad_lengths_leave_the_sample_as_it_was)
{
	add(1, 10);
	cr_assert_null(balloon_stats_parse(&stats, wire, at));
	memset(wire, 0, sizeof(wire));
	for (size_t bytes = 1; bytes < sizeof(wire); bytes++)
		if (bytes % BALLOON_STAT_BYTES)
			cr_assert_not_null(balloon_stats_parse(&stats, wire, bytes));
	cr_expect_not_null(balloon_stats_parse(&stats, wire, sizeof(wire)), "257 of them");
	cr_expect_eq(stats.value[1], 10);
	cr_expect_null(balloon_stats_parse(&stats, wire, sizeof(wire) - BALLOON_STAT_BYTES));
	cr_expect_eq(stats.value[0], 0);
}
