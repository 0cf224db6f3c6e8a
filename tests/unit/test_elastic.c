/* SPDX-License-Identifier: Apache-2.0 */
/* test_elastic.c - memory comes and goes: slot, guard, discard and books, in this order. */
#include "vmm/memory/elastic.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "tests/unit/blk_rig.h"
#include "tests/unit/fake_slots.h"
#include "tests/unit/guard_rig.h"
#include "tests/unit/stderr_text.h"
#include "vmm/base/event.h"

#define BASE	(4 * GiB)
#define BLOCK	(4 * MiB)
#define SEGMENT (128 * MiB)
#define REGION	(4 * SEGMENT)
#define NR	(REGION / BLOCK)
#define PER_SEGMENT (SEGMENT / BLOCK)

static struct fake_slots kvm;
static struct guard *guard;
static struct elastic e;
static int status_fd = -1;

static void make(bool guarded)
{
	struct elastic_cfg cfg = { .name = "test-elastic",
				   .base = GPA(BASE),
				   .bytes = REGION,
				   .block_bytes = BLOCK,
				   .slot_ops = fake_slots_init(&kvm),
				   .first_slot = 5,
				   .segment_bytes = SEGMENT };

	if (guarded) {
		cr_assert_eq(event_new(&status_fd), 0);
		cr_assert_eq(guard_new(&guard, &status_fd), 0);
		cfg.guard = guard;
	}
	cr_assert_eq(elastic_init(&e, &cfg), 0);
	if (guarded)
		cr_assert_eq(guard_start(guard), 0);
	cr_assert_eq(elastic_connect(&e), 0);
}

static void guarded(void) { make(true); }
static void unguarded(void) { make(false); }

static void teardown(void)
{
	guard_free(guard);
	elastic_destroy(&e);
	auto_close_fn(&status_fd);
	guard = NULL;
	status_fd = -1;
}

TestSuite(elastic, .init = guarded, .fini = teardown, .timeout = 240);
TestSuite(elastic_unguarded, .init = unguarded, .fini = teardown, .timeout = 240);

static int unplug(uint32_t first, uint32_t nr)
{
	elastic_close(&e, first, nr);
	return elastic_give_back(&e, first, nr);
}

static bool slot_is_there(unsigned int segment)
{
	return fake_slots_shows(&kvm, GPA(BASE + segment * SEGMENT),
				(char *)e.ram.host + segment * SEGMENT, false);
}

static void fill(uint32_t block, uint64_t seed)
{
	for (uint64_t at = 0; at < BLOCK; at += PAGE)
		vcpu_write(&e.ram, block * BLOCK + at, seed + at);
}

static bool holds(uint32_t block, uint64_t seed)
{
	for (uint64_t at = 0; at < BLOCK; at += PAGE)
		if (vcpu_read(&e.ram, block * BLOCK + at) != seed + at)
			return false;
	return true;
}

static uint64_t violations(void)
{
	struct guard_counts c = guard_info(e.guarded).counts;

	return guard_violations(&c);
}

static uint64_t overhang(void)
{
	uint64_t bytes;

	cr_assert_eq(elastic_overhang(&e, &bytes), 0);
	return bytes;
}

/* --- plug and unplug --------------------------------------------------------------------------- */

Test(elastic, everything_is_unplugged_and_armed_and_without_a_slot_at_first)
{
	cr_expect(blocks_all(&e.blocks, 0, NR, BLOCK_UNPLUGGED));
	cr_expect_eq(fake_slots_nr(&kvm), 0);
	cr_expect_eq(elastic_nr_slots(&e), 4);
	cr_expect_eq(overhang(), 0);
	cr_expect_eq(vcpu_read(&e.ram, 17 * BLOCK), 0);
	cr_expect_geq(violations(), 1);
}

static enum block_state state_at_add;
static void note_state(void *ctx)
{
	(void)ctx;
	state_at_add = blocks_state(&e.blocks, PER_SEGMENT);
}

Test(elastic, plug_adds_the_slot_once_and_before_the_block_is_plugged)
{
	state_at_add = BLOCK_CLOSING;
	kvm.on_add = note_state;
	cr_assert_eq(elastic_plug(&e, PER_SEGMENT, 1), 0);
	cr_expect_eq(state_at_add, BLOCK_UNPLUGGED);
	cr_expect(!slot_is_there(0) && slot_is_there(1) && !slot_is_there(2));
	cr_assert_eq(elastic_plug(&e, PER_SEGMENT + 1, PER_SEGMENT - 1), 0);
	cr_expect_eq(kvm.nr_adds, 1);
	cr_assert_eq(elastic_plug(&e, 4 * PER_SEGMENT - 1, 1), 0);
	cr_expect(slot_is_there(3));
	cr_assert_eq(elastic_plug(&e, PER_SEGMENT - 1, 1), 0);
	cr_expect_eq(kvm.nr_adds, 3);
}

Test(elastic, plugged_memory_is_ordinary_and_unplugged_memory_is_the_hosts)
{
	cr_assert_eq(elastic_plug(&e, 3, 2), 0);
	fill(3, 1);
	fill(4, 2);
	cr_expect(holds(3, 1) && holds(4, 2));
	cr_expect_eq(violations(), 0);
	cr_expect_eq(resident(&e.ram), 2 * BLOCK);
	cr_assert_eq(unplug(3, 1), 0);
	cr_expect_eq(blocks_state(&e.blocks, 3), BLOCK_UNPLUGGED);
	cr_expect_eq(resident(&e.ram), BLOCK);
	cr_expect(holds(4, 2));
	cr_expect_eq(violations(), 0);
	cr_expect_eq(vcpu_read(&e.ram, 3 * BLOCK), 0);
	cr_expect_eq(vcpu_read(&e.ram, 4 * BLOCK - 8), 0);
	cr_expect_geq(violations(), 2);
	cr_assert_eq(elastic_plug(&e, 3, 1), 0);
	cr_expect_eq(vcpu_read(&e.ram, 3 * BLOCK), 0);
}

Test(elastic, what_a_guest_wrote_unlawfully_is_gone_when_the_block_is_plugged)
{
	for (uint64_t at = 0; at < BLOCK; at += 3 * PAGE)
		vcpu_write(&e.ram, BLOCK + at, 0xbad);
	cr_assert_eq(elastic_plug(&e, 1, 1), 0);
	cr_expect_eq(resident(&e.ram), 0);
	for (uint64_t at = 0; at < BLOCK; at += PAGE)
		cr_assert_eq(vcpu_read(&e.ram, BLOCK + at), 0);
}

Test(elastic, closing_can_be_undone)
{
	cr_assert_eq(elastic_plug(&e, 2, 1), 0);
	cr_assert_eq(elastic_plug(&e, 4, 1), 0);
	fill(2, 1);
	elastic_close(&e, 0, 8);
	cr_expect_eq(blocks_state(&e.blocks, 2), BLOCK_CLOSING);
	cr_expect_eq(blocks_state(&e.blocks, 3), BLOCK_UNPLUGGED);
	cr_expect_eq(blocks_plugged_bytes(&e.blocks), 0);
	elastic_reopen(&e, 0, 8);
	cr_expect_eq(blocks_state(&e.blocks, 2), BLOCK_PLUGGED);
	cr_expect_eq(blocks_state(&e.blocks, 3), BLOCK_UNPLUGGED);
	cr_expect_eq(blocks_state(&e.blocks, 4), BLOCK_PLUGGED);
	cr_expect(holds(2, 1));
	cr_expect_eq(violations(), 0);
}

/*
 * Discarded before it is armed, a block would have moments when an access brings memory that nobody
 * ever takes away: with a thread that uses it all the time, some round would show it.
 */
Test(elastic, blocks_are_armed_before_they_are_discarded)
{
	struct hammer h = { .ram = &e.ram, .offset = 8 * BLOCK, .bytes = 2 * BLOCK };

	hammer_start(&h);
	for (int round = 0; round < 60; round++) {
		cr_assert_eq(elastic_plug(&e, 8, 2), 0);
		cr_assert(hammer_gets_on(&h));
		cr_assert_eq(unplug(8, 2), 0);
		cr_assert_leq(resident(&e.ram), CHUNK_RING_BYTES, "round %d", round);
		cr_assert_leq(overhang(), CHUNK_RING_BYTES);
		cr_assert(hammer_gets_on(&h), "round %d: the thread hangs", round);
	}
	cr_assert(hammer_stop(&h));
	cr_expect(becomes_empty(&e.ram));
}

static void write_again(int fd, int mode, off_t offset, off_t bytes)
{
	(void)mode, (void)bytes;
	blk_rig_after_fallocate = NULL;
	cr_assert_eq(fd, e.ram.fd);
	vcpu_write(&e.ram, (uint64_t)offset, 7);
}

/* The same without chance: a vCPU whose turn it is right after the memory went. */
Test(elastic, what_is_written_right_after_the_discard_is_seen_and_taken_away)
{
	cr_assert_eq(elastic_plug(&e, 8, 2), 0);
	fill(8, 1);
	blk_rig_after_fallocate = write_again;
	cr_assert_eq(unplug(8, 2), 0);
	cr_expect_null(blk_rig_after_fallocate);
	cr_expect_eq(violations(), 1);
	cr_expect(becomes_empty(&e.ram));
}

Test(elastic, neighbours_that_are_in_use_do_not_notice)
{
	struct hammer h = { .ram = &e.ram, .offset = 9 * BLOCK, .bytes = BLOCK, .reads = true };

	cr_assert_eq(elastic_plug(&e, 8, 3), 0);
	fill(9, 1);
	hammer_start(&h);
	for (int round = 0; round < 60; round++) {
		cr_assert_eq(unplug(8, 1), 0);
		cr_assert_eq(unplug(10, 1), 0);
		cr_assert_eq(elastic_plug(&e, 8, 1), 0);
		cr_assert_eq(elastic_plug(&e, 10, 1), 0);
	}
	cr_assert(hammer_gets_on(&h) && hammer_stop(&h));
	cr_expect(holds(9, 1));
	cr_expect_eq(violations(), 0);
}

Test(elastic, overhang_is_what_violations_hold)
{
	uint64_t start, seen;

	cr_assert_eq(elastic_plug(&e, 0, 2), 0);
	fill(0, 1);
	cr_expect_eq(overhang(), 0);
	start = clock_ns();
	for (unsigned int i = 1; i <= 3; i++) {
		vcpu_write(&e.ram, (i * 10) * BLOCK, 1);
		seen = overhang();
		/* Unless it took so long that some have gone. */
		cr_expect(clock_ns() - start > GUARD_EXPIRY_NS / 2 || seen == i * CHUNK_BYTES);
	}
	for (uint32_t i = 2; i < NR; i++) {
		vcpu_write(&e.ram, i * BLOCK, 1);
		cr_assert_leq(overhang(), CHUNK_RING_BYTES);
	}
	cr_expect_leq(resident(&e.ram), BLOCK + CHUNK_RING_BYTES);
	while (resident(&e.ram) > BLOCK)
		sleep_ms(5);
	cr_expect_eq(overhang(), 0);
	cr_expect(holds(0, 1));
}

Test(elastic, discards_are_counted_and_cut)
{
	uint64_t before = e.counters.discards;

	cr_assert_eq(elastic_plug(&e, 0, PER_SEGMENT + 1), 0);
	cr_assert_eq(unplug(0, PER_SEGMENT + 1), 0);
	cr_expect_eq(e.counters.discards - before, 2, "132 MiB");
	cr_expect_eq(e.counters.discarded_bytes, (PER_SEGMENT + 1) * BLOCK);
}

/* --- slots ------------------------------------------------------------------------------------- */

Test(elastic, a_segment_that_holds_nothing_loses_its_slot_after_a_while)
{
	uint64_t before = clock_ns(), now;

	cr_assert_eq(elastic_plug(&e, 0, 2), 0);
	cr_assert_eq(elastic_plug(&e, PER_SEGMENT, 1), 0);
	cr_assert_eq(unplug(PER_SEGMENT, 1), 0);
	cr_assert_eq(unplug(0, 1), 0);
	now = clock_ns();
	elastic_tick(&e, before + SLOTS_IDLE_NS / 2);
	cr_expect(slot_is_there(0) && slot_is_there(1));
	elastic_tick(&e, now + SLOTS_IDLE_NS);
	cr_expect(slot_is_there(0), "block 1 is plugged");
	cr_expect_not(slot_is_there(1));
	cr_assert_eq(unplug(1, 1), 0);
	elastic_tick(&e, clock_ns() + SLOTS_IDLE_NS);
	cr_expect_eq(fake_slots_nr(&kvm), 0);
	cr_expect_eq(kvm.nr_adds, 2);
}

Test(elastic, a_segment_plugged_again_in_time_keeps_its_slot)
{
	uint64_t before = clock_ns();

	cr_assert_eq(elastic_plug(&e, 0, 1), 0);
	cr_assert_eq(unplug(0, 1), 0);
	elastic_tick(&e, before + SLOTS_IDLE_NS / 2);
	cr_assert_eq(elastic_plug(&e, 1, 1), 0);
	elastic_tick(&e, clock_ns() + 10 * SLOTS_IDLE_NS);
	cr_expect(slot_is_there(0));
	cr_expect_eq(kvm.nr_adds, 1);
	cr_expect_eq(kvm.nr_removes, 0);
}

Test(elastic, a_run_over_several_segments_makes_those_idle_that_hold_nothing)
{
	cr_assert_eq(elastic_plug(&e, 0, NR), 0);
	cr_assert_eq(unplug(1, 2 * PER_SEGMENT), 0);
	elastic_tick(&e, clock_ns() + SLOTS_IDLE_NS);
	cr_expect(slot_is_there(0) && !slot_is_there(1) && slot_is_there(2) && slot_is_there(3));
}

Test(elastic, cover_gives_every_segment_a_slot_for_a_while)
{
	uint64_t before = clock_ns();

	cr_assert_eq(elastic_plug(&e, 0, 1), 0);
	cr_expect(elastic_cover(&e));
	cr_expect_eq(fake_slots_nr(&kvm), 4);
	cr_expect_not(elastic_cover(&e), "all of them are there");
	cr_expect_eq(vcpu_read(&e.ram, 3 * SEGMENT), 0);
	cr_expect_geq(violations(), 1, "the guard has taken over");
	elastic_tick(&e, before + SLOTS_IDLE_NS / 2);
	cr_expect_eq(fake_slots_nr(&kvm), 4);
	elastic_tick(&e, clock_ns() + SLOTS_IDLE_NS);
	cr_expect_eq(fake_slots_nr(&kvm), 1);
	cr_expect(slot_is_there(0));
}

Test(elastic, cover_that_fails_half_way_is_not_for_long_either)
{
	kvm.adds_left = 2;
	cr_expect_not(elastic_cover(&e));
	cr_expect_eq(fake_slots_nr(&kvm), 2);
	elastic_tick(&e, clock_ns() + SLOTS_IDLE_NS);
	cr_expect_eq(fake_slots_nr(&kvm), 0);
}

Test(elastic, readable_memory_shows_zeros_and_reads_of_it_are_lawful)
{
	cr_assert_eq(elastic_plug(&e, 0, 1), 0);
	cr_assert_eq(elastic_set_readable(&e, true), 0);
	cr_expect(slot_is_there(0));
	for (unsigned int i = 1; i < 4; i++)
		cr_expect(fake_slots_shows(&kvm, GPA(BASE + i * SEGMENT), e.slots.zeros, true));
	cr_expect_eq(vcpu_read(&e.ram, 5 * BLOCK), 0);
	elastic_refused(&e, SEGMENT, false);
	cr_expect_eq(violations(), 0);
	cr_expect_geq(guard_info(e.guarded).counts.lawful_reads, 2);
	elastic_refused(&e, SEGMENT, true);
	cr_expect_eq(violations(), 1);
	cr_assert_eq(elastic_plug(&e, PER_SEGMENT, 1), 0);
	cr_expect(slot_is_there(1));
	cr_assert_eq(unplug(PER_SEGMENT, 1), 0);
	elastic_tick(&e, clock_ns() + SLOTS_IDLE_NS);
	cr_expect(fake_slots_shows(&kvm, GPA(BASE + SEGMENT), e.slots.zeros, true));
	cr_assert_eq(elastic_set_readable(&e, false), 0);
	cr_expect_eq(fake_slots_nr(&kvm), 1);
	elastic_refused(&e, SEGMENT, false);
	cr_expect_eq(guard_info(e.guarded).counts.refused_reads, 1);
}

Test(elastic, plug_fails_when_the_slot_cannot_be_added_and_nothing_changes)
{
	kvm.adds_left = 1;
	cr_expect_eq(elastic_plug(&e, PER_SEGMENT - 1, 2), -EINVAL);
	cr_expect(blocks_all(&e.blocks, 0, NR, BLOCK_UNPLUGGED));
	vcpu_write(&e.ram, (PER_SEGMENT - 1) * BLOCK, 1);
	cr_expect_geq(violations(), 1, "it is still armed");
	cr_expect_eq(guard_peek(guard).nr_splits, 0);
	/* The slot that came in vain goes again. */
	elastic_tick(&e, clock_ns() + SLOTS_IDLE_NS);
	cr_expect_eq(fake_slots_nr(&kvm), 0);
	kvm.adds_left = 9;
	cr_expect_eq(elastic_plug(&e, PER_SEGMENT - 1, 2), 0);
	cr_expect_eq(vcpu_read(&e.ram, (PER_SEGMENT - 1) * BLOCK), 0);
}

/* --- a host that refuses ----------------------------------------------------------------------- */

Test(elastic, giving_several_runs_back_is_all_or_nothing)
{
	int restore;

	stderr_keep();
	cr_assert_eq(elastic_plug(&e, 0, 2), 0);
	cr_assert_eq(elastic_plug(&e, 5, 1), 0);
	cr_assert_eq(elastic_plug(&e, NR - 1, 1), 0);
	fill(1, 1);
	fill(5, 2);
	restore = host_refuses(&e.ram);
	cr_expect_eq(unplug(0, NR), -EBADF);
	cr_expect_eq(blocks_plugged_bytes(&e.blocks), 4 * BLOCK);
	for (uint32_t i = 0; i < NR; i++)
		cr_assert_eq(blocks_state(&e.blocks, i), i < 2 || i == 5 || i == NR - 1 ?
								 BLOCK_PLUGGED :
								 BLOCK_UNPLUGGED);
	host_obeys(&e.ram, restore);
	/* Lawful as before, content and all. */
	cr_expect(holds(1, 1) && holds(5, 2));
	fill(NR - 1, 3);
	sleep_ms(3 * GUARD_EXPIRY_NS / NS_PER_MS);
	cr_expect(holds(NR - 1, 3));
	cr_expect_eq(violations(), 0);
	cr_expect_eq(guard_peek(guard).broken, 0);
	cr_expect_eq(unplug(0, NR), 0);
	cr_expect_eq(resident(&e.ram), 0);
	cr_expect_eq(guard_peek(guard).nr_splits, 0);
	(void)stderr_text();
}

Test(elastic, plug_fails_when_leftovers_cannot_be_discarded_and_nothing_changes)
{
	int restore = host_refuses(&e.ram);

	stderr_keep();
	cr_expect_eq(elastic_plug(&e, 0, 1), -EBADF);
	host_obeys(&e.ram, restore);
	cr_expect(blocks_all(&e.blocks, 0, NR, BLOCK_UNPLUGGED));
	vcpu_write(&e.ram, 0, 1);
	cr_expect_geq(violations(), 1);
	elastic_tick(&e, clock_ns() + SLOTS_IDLE_NS);
	cr_expect_eq(fake_slots_nr(&kvm), 0);
	(void)stderr_text();
}

/* --- reset ------------------------------------------------------------------------------------- */

Test(elastic, reset_gives_all_of_it_to_the_host)
{
	cr_assert_eq(elastic_plug(&e, 0, 3), 0);
	cr_assert_eq(elastic_plug(&e, NR - 1, 1), 0);
	fill(0, 1);
	fill(NR - 1, 1);
	vcpu_write(&e.ram, 7 * BLOCK, 0xbad);
	elastic_disconnect(&e);
	cr_assert_eq(elastic_reset(&e), 0);
	cr_expect_eq(resident(&e.ram), 0);
	cr_expect(blocks_all(&e.blocks, 0, NR, BLOCK_UNPLUGGED));
	cr_assert_eq(guard_reclaim_tables(guard), 0);
	/* The next VM starts without slots. */
	fake_slots_init(&kvm);
	cr_assert_eq(elastic_connect(&e), 0);
	cr_expect_eq(fake_slots_nr(&kvm), 0);
	cr_assert_eq(elastic_plug(&e, 0, 1), 0);
	cr_expect(slot_is_there(0));
	fill(0, 9);
	cr_expect(holds(0, 9));
}

Test(elastic, reset_that_the_host_fails_leaves_blocks_plugged)
{
	int restore;

	stderr_keep();
	cr_assert_eq(elastic_plug(&e, 0, 3), 0);
	fill(2, 1);
	restore = host_refuses(&e.ram);
	cr_expect_neq(elastic_reset(&e), 0);
	host_obeys(&e.ram, restore);
	cr_expect_eq(blocks_plugged_bytes(&e.blocks), 3 * BLOCK);
	cr_expect(holds(2, 1));
	(void)stderr_text();
}

/* --- without a guard --------------------------------------------------------------------------- */

Test(elastic_unguarded, all_slots_are_there_from_the_start_and_stay)
{
	cr_expect_eq(fake_slots_nr(&kvm), 4);
	cr_assert_eq(elastic_plug(&e, 0, 1), 0);
	cr_assert_eq(unplug(0, 1), 0);
	elastic_tick(&e, clock_ns() + 100 * SLOTS_IDLE_NS);
	cr_expect_eq(fake_slots_nr(&kvm), 4);
	cr_expect_not(elastic_cover(&e));
	cr_assert_eq(elastic_set_readable(&e, true), 0);
	cr_assert_eq(elastic_set_readable(&e, false), 0);
	elastic_refused(&e, 0, true);
	cr_expect_eq(kvm.nr_adds, 4);
	cr_expect_eq(kvm.nr_removes, 0);
}

Test(elastic_unguarded, what_a_guest_writes_there_is_the_overhang_until_it_is_plugged)
{
	fill(3, 1);
	cr_expect_eq(overhang(), BLOCK);
	cr_assert_eq(elastic_plug(&e, 3, 1), 0);
	cr_expect_eq(overhang(), 0);
	cr_expect_eq(resident(&e.ram), 0);
	fill(3, 1);
	fill(9, 1);
	cr_assert_eq(unplug(3, 1), 0);
	cr_expect_eq(overhang(), BLOCK);
	cr_assert_eq(elastic_reset(&e), 0);
	cr_expect_eq(resident(&e.ram), 0);
}

Test(elastic_unguarded, giving_several_runs_back_is_all_or_nothing)
{
	int restore;

	stderr_keep();
	cr_assert_eq(elastic_plug(&e, 0, 1), 0);
	cr_assert_eq(elastic_plug(&e, 2, 1), 0);
	fill(2, 1);
	restore = host_refuses(&e.ram);
	cr_expect_eq(unplug(0, 3), -EBADF);
	host_obeys(&e.ram, restore);
	cr_expect_eq(blocks_plugged_bytes(&e.blocks), 2 * BLOCK);
	cr_expect(holds(2, 1));
	(void)stderr_text();
}
