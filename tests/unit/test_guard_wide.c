/* SPDX-License-Identifier: Apache-2.0 */
/* test_guard_wide.c - what a guard of a large region costs the host: page tables and mappings. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/guard_rig.h"

#define BIG (512 * MiB)

static struct guard_rig rig;

static void big(void) { guard_rig_init(&rig, BIG); }
static void down(void) { guard_rig_destroy(&rig); }

TestSuite(guard_wide, .init = big, .fini = down, .timeout = 240);

static struct guard_counts counts(void) { return guard_info(rig.r).counts; }
static uint64_t violations(void) { return guard_rig_violations(&rig); }
static void disarm(uint64_t offset, uint64_t bytes) { guard_rig_disarm(&rig, offset, bytes); }
static void arm(uint64_t offset, uint64_t bytes) { guard_rig_arm(&rig, offset, bytes); }

/* --- page tables ------------------------------------------------------------------------------- */

static uint64_t page_table_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[256];

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmPTE: %lu", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

Test(guard_wide, page_tables_of_violations_are_given_back)
{
	const unsigned int nr = BIG / UNIT;
	uint64_t before = page_table_kib(), with;

	disarm(7 * UNIT, UNIT);
	vcpu_write(&rig.ram, 7 * UNIT, 77);
	for (uint64_t i = 0; i < nr; i++)
		cr_assert_eq(vcpu_read(&rig.ram, i * UNIT), i == 7 ? 77 : 0);
	cr_expect_eq(guard_peek(rig.g).nr_tables, nr - 1);
	with = page_table_kib();
	cr_assert_geq(with, before + (nr - 1) * 4, "a table of 4 KiB each");
	cr_assert_eq(guard_reclaim_tables(rig.g), 0);
	cr_expect_leq(page_table_kib(), with - (nr - 2) * 4);
	cr_expect_eq(guard_peek(rig.g).nr_tables, 0);
	cr_expect_eq(guard_peek(rig.g).nr_chunks, 0);
	cr_expect_eq(resident(&rig.ram), PAGE);
	cr_expect_eq(nr_mappings(&rig.ram), guard_peek(rig.g).nr_splits + 1);
	/* Lawful memory has not noticed, and what was armed is. */
	cr_expect_eq(vcpu_read(&rig.ram, 7 * UNIT), 77);
	with = violations();
	vcpu_write(&rig.ram, 6 * UNIT, 1);
	vcpu_write(&rig.ram, BIG - 8, 1);
	cr_expect_geq(violations(), with + 2);
	cr_expect_eq(guard_peek(rig.g).nr_tables, 2);
	cr_assert_eq(guard_reclaim_tables(rig.g), 0);
	cr_expect_eq(vcpu_read(&rig.ram, 6 * UNIT), 0);
}

Test(guard_wide, reclaiming_what_is_not_there_is_fine)
{
	cr_expect_eq(guard_reclaim_tables(rig.g), 0);
	disarm(0, BIG);
	cr_expect_eq(guard_reclaim_tables(rig.g), 0);
	cr_expect_eq(guard_peek(rig.g).broken, 0);
}

/* --- too many borders -------------------------------------------------------------------------- */

static void assert_splits(unsigned int max)
{
	unsigned int nr = guard_peek(rig.g).nr_splits;

	cr_assert_leq(nr, max);
	cr_assert_eq(nr_mappings(&rig.ram), nr + 1);
}

/* Every other unit lawful, with its number in it; the others armed. */
static void assert_every_other_is_lawful(void)
{
	uint64_t before;

	for (uint64_t i = 0; i < BIG / UNIT; i += 2)
		vcpu_write(&rig.ram, i * UNIT + i * PAGE, i + 1);
	before = violations();
	cr_assert_eq(before, 0);
	sleep_ms(3 * GUARD_EXPIRY_NS / NS_PER_MS);
	for (uint64_t i = 0; i < BIG / UNIT; i += 2)
		cr_assert_eq(vcpu_read(&rig.ram, i * UNIT + i * PAGE), i + 1, "unit %d", (int)i);
	cr_assert_eq(violations(), 0);
	for (uint64_t i = 1; i < BIG / UNIT; i += 2)
		cr_assert_eq(vcpu_read(&rig.ram, i * UNIT + i * PAGE), 0);
	cr_assert_geq(counts().reads, BIG / UNIT / 2);
	for (uint64_t i = 1; i < BIG / UNIT; i += 2)
		vcpu_write(&rig.ram, i * UNIT, 0xbad);
	cr_assert_geq(counts().writes, BIG / UNIT / 2);
	sleep_ms(3 * GUARD_EXPIRY_NS / NS_PER_MS);
	for (uint64_t i = 0; i < BIG / UNIT; i++)
		cr_assert_eq(vcpu_read(&rig.ram, i * UNIT + i * PAGE), i % 2 ? 0 : i + 1);
}

Test(guard_wide, disarming_with_no_border_left_gives_memory_by_events)
{
	uint64_t answers;

	rig.g->max_splits = 20;
	for (uint64_t i = 0; i < BIG / UNIT; i += 2) {
		disarm(i * UNIT, UNIT);
		assert_splits(20);
	}
	assert_every_other_is_lawful();
	for (uint64_t i = 1; i < BIG / UNIT; i += 2) {
		disarm(i * UNIT, UNIT);
		assert_splits(20);
	}
	assert_splits(0);
	/* All of it is narrow again: no events. */
	answers = guard_peek(rig.g).nr_answers;
	for (uint64_t at = 0; at < BIG; at += UNIT / 4)
		vcpu_write(&rig.ram, at + 8, 1);
	cr_expect_eq(guard_peek(rig.g).nr_answers, answers);
	cr_expect_eq(guard_peek(rig.g).broken, 0);
	for (uint64_t i = 0; i < BIG / UNIT; i += 2)
		cr_assert_eq(vcpu_read(&rig.ram, i * UNIT + i * PAGE), i + 1);
	cr_expect_eq(guard_peek(rig.g).nr_tables, 0);
}

Test(guard_wide, arming_with_no_border_left_arms_no_more_than_it_says)
{
	/* A border at each end of each group is what arming can't do without. */
	const unsigned int groups = BIG / GROUP_BYTES;

	rig.g->max_splits = 20;
	disarm(0, BIG);
	assert_splits(0);
	for (uint64_t i = 0; i < BIG / UNIT; i += 2)
		vcpu_write(&rig.ram, i * UNIT + i * PAGE, i + 1);
	for (uint64_t i = 1; i < BIG / UNIT; i += 2) {
		arm(i * UNIT, UNIT);
		assert_splits(20 + 2 * groups);
	}
	assert_every_other_is_lawful();
	for (uint64_t i = 0; i < BIG / UNIT; i += 2) {
		arm(i * UNIT, UNIT);
		assert_splits(20 + 2 * groups);
	}
	assert_splits(0);
	cr_expect_leq(resident(&rig.ram), CHUNK_RING_BYTES);
	cr_expect(becomes_empty(&rig.ram));
	disarm(0, BIG);
	assert_splits(0);
	cr_expect_eq(guard_peek(rig.g).nr_tables, 0);
	cr_expect_eq(guard_peek(rig.g).broken, 0);
}

Test(guard_wide, random_arming_with_few_borders_loses_no_lawful_word)
{
	static bool lawful[BIG / UNIT];
	static uint64_t word[BIG / UNIT];

	rig.g->max_splits = 6;
	srandom(4);
	for (int step = 0; step < 400; step++) {
		uint64_t first = (uint64_t)random() % ARRAY_SIZE(lawful);
		uint64_t nr = (uint64_t)random() % min_u64(8, ARRAY_SIZE(lawful) - first) + 1;
		bool give = random() & 1;

		/* Only what is not so already. */
		while (nr && lawful[first + nr - 1] == give)
			nr--;
		for (uint64_t i = first; i < first + nr; i++)
			if (lawful[i] == give)
				nr = i - first;
		if (!nr)
			continue;
		if (give)
			disarm(first * UNIT, nr * UNIT);
		else
			arm(first * UNIT, nr * UNIT);
		for (uint64_t i = first; i < first + nr; i++) {
			lawful[i] = give;
			word[i] = 0;
		}
		cr_assert_eq(nr_mappings(&rig.ram), guard_peek(rig.g).nr_splits + 1, "step %d", step);
		for (int n = 0; n < 8; n++) {
			uint64_t i = (uint64_t)random() % ARRAY_SIZE(lawful);

			if (!lawful[i]) {
				vcpu_write(&rig.ram, i * UNIT + PAGE, 0xbad);
				continue;
			}
			cr_assert_eq(vcpu_read(&rig.ram, i * UNIT + PAGE), word[i], "step %d", step);
			word[i] = (uint64_t)step + 1;
			vcpu_write(&rig.ram, i * UNIT + PAGE, word[i]);
		}
	}
	sleep_ms(3 * GUARD_EXPIRY_NS / NS_PER_MS);
	for (uint64_t i = 0; i < ARRAY_SIZE(lawful); i++)
		cr_assert_eq(vcpu_read(&rig.ram, i * UNIT + PAGE), word[i]);
	cr_expect_eq(guard_peek(rig.g).broken, 0);
}

Test(guard_wide, threads_that_hammer_lawful_units_of_a_wide_group_lose_nothing)
{
	struct hammer h = { .ram = &rig.ram, .offset = 4 * UNIT, .bytes = UNIT, .reads = true };
	struct hammer bad = { .ram = &rig.ram, .offset = 5 * UNIT, .bytes = UNIT };

	rig.g->max_splits = 2;
	for (uint64_t i = 0; i < 16; i += 2)
		disarm(i * UNIT, UNIT);
	for (uint64_t at = 0; at < UNIT; at += PAGE)
		vcpu_write(&rig.ram, 4 * UNIT + at, 1);
	hammer_start(&h);
	hammer_start(&bad);
	for (int round = 0; round < 50; round++) {
		disarm(6 * UNIT + UNIT, UNIT);
		arm(6 * UNIT + UNIT, UNIT);
	}
	cr_assert(hammer_gets_on(&h) && hammer_gets_on(&bad));
	cr_assert(hammer_stop(&h) && hammer_stop(&bad));
	for (uint64_t at = 0; at < UNIT; at += PAGE)
		cr_assert_eq(vcpu_read(&rig.ram, 4 * UNIT + at), 1);
}
