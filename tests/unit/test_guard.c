/* SPDX-License-Identifier: Apache-2.0 */
/* test_guard.c - guests stay out of memory they gave back, and what they leave there goes away. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>

#include "tests/unit/guard_rig.h"
#include "vmm/base/event.h"

#define REGION (64 * MiB)
/* Used page by page, where each is an event: many times what violations may hold. */
#define MUCH (8 * CHUNK_RING_BYTES)

static struct guard_rig rig;

static void small(void) { guard_rig_init(&rig, REGION); }
static void down(void) { guard_rig_destroy(&rig); }

TestSuite(guard, .init = small, .fini = down, .timeout = 240);

static struct guard_counts counts(void) { return guard_info(rig.r).counts; }
static uint64_t violations(void) { return guard_rig_violations(&rig); }
static void disarm(uint64_t offset, uint64_t bytes) { guard_rig_disarm(&rig, offset, bytes); }
static void arm(uint64_t offset, uint64_t bytes) { guard_rig_arm(&rig, offset, bytes); }

/*
 * A thread that gets no processor for GUARD_EXPIRY_NS in the middle of an access makes two events
 * of it. Seldom: of a few attempts the best is exact, of more when that many were too MANY.
 */
static uint64_t fewest(uint64_t (*attempt)(unsigned int i), uint64_t many)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int i = 0; i < 5 || (best >= many && i < REGION / UNIT); i++)
		best = min_u64(best, attempt(i));
	return best;
}

/* --- what an access sees and holds ------------------------------------------------------------- */

Test(guard, reads_see_zeros_and_hold_little)
{
	for (uint64_t at = 0; at < MUCH; at += PAGE) {
		cr_assert_eq(vcpu_read(&rig.ram, at + 8), 0);
		if (is_aligned(at, CHUNK))
			cr_assert_leq(resident(&rig.ram), CHUNK_RING_BYTES);
	}
	cr_expect_leq(guard_peek(rig.g).nr_chunks, CHUNK_RING_SIZE);
	cr_expect_geq(counts().reads, MUCH / CHUNK);
	cr_expect_leq(counts().reads, MUCH / PAGE);
	cr_expect_eq(counts().writes, 0);
	cr_expect_geq(guard_peek(rig.g).nr_answers, MUCH / CHUNK);
	cr_expect_gt(guard_peek(rig.g).busy_ns, 0);
	cr_expect(becomes_empty(&rig.ram));
	cr_expect_eq(guard_peek(rig.g).nr_chunks, 0);
}

Test(guard, writes_hold_little_too)
{
	for (uint64_t at = 0; at < MUCH; at += PAGE) {
		vcpu_write(&rig.ram, at, ~at);
		if (is_aligned(at, CHUNK))
			cr_assert_leq(resident(&rig.ram), CHUNK_RING_BYTES);
	}
	cr_expect_geq(counts().writes, MUCH / PAGE);
	cr_expect_eq(counts().reads, 0);
	cr_expect(becomes_empty(&rig.ram));
}

Test(guard, what_is_written_can_be_read_back_for_a_moment_and_never_later)
{
	unsigned int nr_kept = 0;

	/* Five times; on a machine that has no time for us, until it has some. */
	for (uint64_t i = 0; i < 5 || !nr_kept; i++) {
		uint64_t at = i * UNIT % REGION + 5 * PAGE, start = clock_ns(), value;

		vcpu_write(&rig.ram, at, 42);
		nr_kept += vcpu_read(&rig.ram, at) == 42;
		do {
			value = vcpu_read(&rig.ram, at);
			cr_assert(value == 42 || !value);
			sleep_ms(1);
		} while (value);
		cr_expect_geq(clock_ns() - start, GUARD_EXPIRY_NS / 2);
	}
	cr_expect_gt(nr_kept, 0);
	cr_expect(becomes_empty(&rig.ram));
}

Test(guard, all_is_gone_after_the_expiry_without_another_access)
{
	for (uint64_t i = 0; i < CHUNK_RING_SIZE; i++)
		vcpu_write(&rig.ram, i * UNIT, i);
	cr_expect(becomes_empty(&rig.ram));
	cr_expect_eq(guard_peek(rig.g).nr_chunks, 0);
	for (uint64_t i = 0; i < CHUNK_RING_SIZE; i++)
		cr_expect_eq(vcpu_read(&rig.ram, i * UNIT), 0);
}

Test(guard, chunks_at_both_ends_of_a_region_work)
{
	vcpu_write(&rig.ram, REGION - 8, 1);
	vcpu_write(&rig.ram, 0, 1);
	cr_expect_geq(counts().writes, 2);
	cr_expect(becomes_empty(&rig.ram));
}

/* --- what is counted --------------------------------------------------------------------------- */

static uint64_t read_a_chunk(unsigned int i)
{
	uint64_t before = violations();

	for (uint64_t page = 0; page < CHUNK; page += PAGE)
		cr_assert_eq(vcpu_read(&rig.ram, i * UNIT + page), 0);
	return violations() - before;
}

Test(guard, a_chunk_read_is_one_event)
{
	cr_expect_eq(fewest(read_a_chunk, 2), 1);
	cr_expect_eq(counts().writes, 0);
}

static uint64_t read_a_chunk_from_its_end(unsigned int i)
{
	uint64_t before = violations();

	for (uint64_t page = CHUNK; page; page -= PAGE)
		cr_assert_eq(vcpu_read(&rig.ram, i * UNIT + page - 8), 0);
	return violations() - before;
}

Test(guard, a_chunk_read_from_its_end_is_one_event_too)
{
	cr_expect_eq(fewest(read_a_chunk_from_its_end, 2), 1);
}

static uint64_t write_a_page_often(unsigned int i)
{
	uint64_t before = counts().writes;

	for (uint64_t at = 0; at < PAGE; at += 8)
		vcpu_write(&rig.ram, i * UNIT + 3 * PAGE + at, 1);
	return counts().writes - before;
}

Test(guard, a_page_written_is_one_event)
{
	cr_expect_eq(fewest(write_a_page_often, 2), 1);
	cr_expect_eq(counts().reads, 0);
}

static uint64_t write_all_pages(unsigned int i)
{
	uint64_t before = violations();

	for (uint64_t page = 0; page < CHUNK; page += PAGE)
		vcpu_write(&rig.ram, i * UNIT + page, 1);
	return violations() - before;
}

Test(guard, every_page_written_is_an_event_of_its_own)
{
	cr_expect_eq(fewest(write_all_pages, CHUNK / PAGE + 1), CHUNK / PAGE);
	cr_expect_eq(counts().reads, 0);
}

static uint64_t read_and_write_all_pages(unsigned int i)
{
	uint64_t before = violations();

	for (uint64_t page = 0; page < CHUNK; page += PAGE)
		cr_assert_eq(vcpu_read(&rig.ram, i * UNIT + page), 0);
	for (uint64_t page = 0; page < CHUNK; page += PAGE)
		vcpu_write(&rig.ram, i * UNIT + page, 1);
	return violations() - before;
}

Test(guard, a_page_written_after_it_was_read_is_seen)
{
	cr_expect_eq(fewest(read_and_write_all_pages, 2 + CHUNK / PAGE), 1 + CHUNK / PAGE);
	cr_expect_geq(counts().writes, CHUNK / PAGE);
}

Test(guard, one_thread_never_makes_more_events_than_accesses)
{
	uint64_t nr = 0;

	srandom(2);
	for (; nr < 2000; nr++) {
		uint64_t at = (uint64_t)random() % (4 * MiB / PAGE) * PAGE;

		if (random() & 1)
			vcpu_write(&rig.ram, at, nr);
		else
			cr_assert_lt(vcpu_read(&rig.ram, at), nr + 1);
	}
	cr_expect_leq(violations(), nr);
	cr_expect_gt(violations(), 0);
	cr_expect_leq(resident(&rig.ram), CHUNK_RING_BYTES);
}

Test(guard, the_latest_violation_and_its_unit_are_known)
{
	uint64_t reads, writes;

	cr_assert_eq(vcpu_read(&rig.ram, 3 * UNIT + 7 * PAGE + 16), 0);
	cr_expect_eq(guard_info(rig.r).last_offset, 3 * UNIT + 7 * PAGE);
	cr_expect_eq(guard_info(rig.r).last_tid, (uint32_t)gettid());
	vcpu_write(&rig.ram, 4 * UNIT + PAGE, 1);
	cr_expect_eq(guard_info(rig.r).last_offset, 4 * UNIT + PAGE);
	guard_range_counts(rig.r, 3 * UNIT, UNIT, &reads, &writes);
	cr_expect(reads >= 1 && !writes);
	guard_range_counts(rig.r, 3 * UNIT, 2 * UNIT, &reads, &writes);
	cr_expect(reads >= 1 && writes >= 1);
	guard_range_counts(rig.r, 0, 3 * UNIT, &reads, &writes);
	cr_expect(!reads && !writes);
}

Test(guard, lawful_reads_are_counted_apart)
{
	uint64_t reads, writes;

	guard_set_reads_lawful(rig.r, true);
	cr_assert_eq(vcpu_read(&rig.ram, 0), 0);
	guard_refused(rig.r, UNIT, false);
	cr_expect(guard_info(rig.r).reads_lawful);
	cr_expect_eq(violations(), 0);
	cr_expect_geq(counts().lawful_reads, 2);
	guard_range_counts(rig.r, 0, 2 * UNIT, &reads, &writes);
	cr_expect_eq(reads, 0);
	cr_expect_not(event_taken(rig.status_fd), "nothing to look at");
	vcpu_write(&rig.ram, 0, 1);
	guard_refused(rig.r, UNIT, true);
	cr_expect_geq(counts().writes, 1);
	cr_expect_eq(counts().refused_writes, 1);
	guard_set_reads_lawful(rig.r, false);
	cr_assert_eq(vcpu_read(&rig.ram, 5 * UNIT), 0);
	cr_expect_geq(counts().reads, 1);
	cr_expect(becomes_empty(&rig.ram), "lawful reads hold nothing for long either");
}

Test(guard, refused_accesses_are_counted_exactly)
{
	uint64_t reads, writes;

	for (int i = 0; i < 3; i++)
		guard_refused(rig.r, 2 * UNIT + 24, false);
	guard_refused(rig.r, 2 * UNIT + 32, true);
	cr_expect_eq(counts().refused_reads, 3);
	cr_expect_eq(counts().refused_writes, 1);
	cr_expect(!counts().reads && !counts().writes && !counts().lawful_reads);
	cr_expect_eq(violations(), 4);
	cr_expect_eq(guard_info(rig.r).last_offset, 2 * UNIT + 32);
	cr_expect_eq(guard_info(rig.r).last_tid, 0);
	guard_range_counts(rig.r, 2 * UNIT, UNIT, &reads, &writes);
	cr_expect(reads == 3 && writes == 1);
	cr_expect_eq(guard_peek(rig.g).nr_answers, 0);
}

Test(guard, news_are_told_once_until_they_are_asked_for)
{
	cr_expect_not(event_taken(rig.status_fd));
	vcpu_write(&rig.ram, 0, 1);
	cr_expect(event_taken(rig.status_fd));
	vcpu_write(&rig.ram, UNIT, 1);
	guard_peek(rig.g);
	guard_refused(rig.r, 0, true);
	cr_expect_not(event_taken(rig.status_fd), "still the same news");
	guard_take_status(rig.g);
	cr_expect_not(event_taken(rig.status_fd));
	guard_refused(rig.r, 0, true);
	cr_expect(event_taken(rig.status_fd));
	guard_take_status(rig.g);
	vcpu_write(&rig.ram, 2 * UNIT, 1);
	cr_expect(event_taken(rig.status_fd));
}

/* --- several vCPUs ----------------------------------------------------------------------------- */

static void use_at_once(uint64_t offset, bool first_writes, bool second_writes)
{
	pthread_barrier_t barrier;
	struct access a = { .ram = &rig.ram,
			    .offset = offset,
			    .is_write = first_writes,
			    .value = 1,
			    .barrier = &barrier };
	struct access b = a;

	b.is_write = second_writes;
	pthread_barrier_init(&barrier, NULL, 2);
	access_start(&a);
	access_start(&b);
	cr_assert(access_end(&a) && access_end(&b), "a thread hangs");
	pthread_barrier_destroy(&barrier);
	cr_assert(a.value <= 1 && b.value <= 1);
}

Test(guard, two_threads_on_one_chunk_both_go_on)
{
	const uint64_t rounds = 200;

	for (uint64_t i = 0; i < rounds; i++)
		use_at_once(i * CHUNK, false, false);
	cr_expect_geq(counts().reads, rounds);
	cr_expect_eq(counts().writes, 0);
	for (uint64_t i = 0; i < rounds; i++)
		use_at_once(i * CHUNK, true, false);
	cr_expect_geq(counts().writes, rounds);
	for (uint64_t i = 0; i < rounds; i++)
		use_at_once(i * CHUNK + PAGE, true, true);
	cr_expect_geq(counts().writes, 2 * rounds);
	cr_expect_leq(resident(&rig.ram), CHUNK_RING_BYTES);
	cr_expect(becomes_empty(&rig.ram));
}

Test(guard, a_storm_of_threads_holds_no_more_than_one)
{
	struct hammer h[4];
	uint64_t least = 0;

	for (unsigned int i = 0; i < 4; i++) {
		h[i] = (struct hammer){ .ram = &rig.ram, .bytes = REGION, .reads = i & 1, .seed = i };
		hammer_start(&h[i]);
	}
	for (unsigned int looks = 0; looks < 500 || least < 100; looks++) {
		cr_assert_leq(resident(&rig.ram), CHUNK_RING_BYTES);
		least = UINT64_MAX;
		for (unsigned int i = 0; i < 4; i++)
			least = min_u64(least, hammer_done(&h[i]));
	}
	for (unsigned int i = 0; i < 4; i++)
		cr_assert(hammer_gets_on(&h[i]) && hammer_stop(&h[i]), "thread %u hangs", i);
	cr_expect_eq(h[1].nr_wrong + h[3].nr_wrong, 0);
	cr_expect_eq(guard_peek(rig.g).error, 0);
	cr_expect_eq(guard_peek(rig.g).broken, 0);
	cr_expect(becomes_empty(&rig.ram));
}

Test(guard, two_regions_hold_no_more_than_one)
{
	struct guard_region *r;
	struct guard_rig two = { .status_fd = -1 };

	/* Regions are complete before the thread starts: a guard of their own. */
	guard_rig_destroy(&rig);
	cr_assert_eq(event_new(&two.status_fd), 0);
	cr_assert_eq(guard_new(&two.g, &two.status_fd), 0);
	cr_assert_eq(ram_create(&two.ram, "one", REGION), 0);
	cr_assert_eq(ram_create(&rig.ram, "two", REGION), 0);
	cr_assert_eq(guard_add(two.g, &two.r, &two.ram), 0);
	cr_assert_eq(guard_add(two.g, &r, &rig.ram), 0);
	cr_assert_eq(guard_start(two.g), 0);
	for (uint64_t at = 0; at < MUCH; at += CHUNK) {
		vcpu_write(&two.ram, at, 1);
		cr_assert_eq(vcpu_read(&rig.ram, at), 0);
		cr_assert_leq(resident(&two.ram) + resident(&rig.ram), CHUNK_RING_BYTES);
	}
	cr_expect(guard_info(two.r).counts.writes >= MUCH / CHUNK &&
		  !guard_info(two.r).counts.reads);
	cr_expect(guard_info(r).counts.reads >= MUCH / CHUNK && !guard_info(r).counts.writes);
	/* What one region is told to forget, the other keeps. */
	cr_assert_eq(guard_disarm(two.r, 0, REGION, true), 0);
	cr_expect_eq(resident(&two.ram), 0);
	cr_expect(becomes_empty(&rig.ram));
	guard_rig_destroy(&two);
}

/* --- arming and disarming ---------------------------------------------------------------------- */

Test(guard, disarmed_memory_is_ordinary)
{
	uint64_t before;

	vcpu_write(&rig.ram, 2 * UNIT, 1);
	disarm(2 * UNIT, 2 * UNIT);
	before = violations();
	cr_expect_eq(vcpu_read(&rig.ram, 2 * UNIT), 0, "nothing unlawful comes back");
	for (uint64_t at = 0; at < 2 * UNIT; at += PAGE)
		vcpu_write(&rig.ram, 2 * UNIT + at, at + 1);
	cr_expect_eq(violations(), before);
	sleep_ms(4 * GUARD_EXPIRY_NS / NS_PER_MS);
	cr_expect_eq(resident(&rig.ram), 2 * UNIT);
	for (uint64_t at = 0; at < 2 * UNIT; at += PAGE)
		cr_assert_eq(vcpu_read(&rig.ram, 2 * UNIT + at), at + 1);
	/* Its neighbours are as they were. */
	vcpu_write(&rig.ram, 2 * UNIT - PAGE, 1);
	vcpu_write(&rig.ram, 4 * UNIT, 1);
	cr_expect_geq(violations(), before + 2);
	cr_expect_eq(guard_peek(rig.g).nr_splits, 2);
	cr_expect_eq(nr_mappings(&rig.ram), 3);
}

Test(guard, violated_memory_can_be_huge_once_it_is_given_again)
{
	if (!can_collapse())
		cr_skip_test("no huge pages here");
	vcpu_write(&rig.ram, UNIT + 9 * PAGE, 1);
	cr_expect_eq(guard_peek(rig.g).nr_tables, 1);
	disarm(UNIT, UNIT);
	cr_expect_eq(guard_peek(rig.g).nr_tables, 0);
	vcpu_write(&rig.ram, UNIT + 9 * PAGE, 2);
	cr_expect_eq(ram_collapse(&rig.ram, UNIT, UNIT), 0);
	cr_expect_eq(vcpu_read(&rig.ram, UNIT + 9 * PAGE), 2);
	cr_expect_eq(resident(&rig.ram), UNIT);
	/* And taken again, as a whole. */
	arm(UNIT, UNIT);
	cr_expect_eq(resident(&rig.ram), 0);
	cr_expect_eq(vcpu_read(&rig.ram, UNIT + 9 * PAGE), 0);
	cr_expect(becomes_empty(&rig.ram));
}

Test(guard, armed_memory_is_guarded_again_after_it_was_lawful)
{
	disarm(0, REGION);
	for (uint64_t at = 0; at < 16 * UNIT; at += PAGE)
		vcpu_write(&rig.ram, at, 1);
	cr_assert_eq(violations(), 0);
	arm(8 * UNIT, 4 * UNIT);
	cr_expect_eq(resident(&rig.ram), 12 * UNIT);
	cr_expect_eq(vcpu_read(&rig.ram, 8 * UNIT), 0);
	cr_expect_eq(vcpu_read(&rig.ram, 12 * UNIT - 8), 0);
	cr_expect_eq(vcpu_read(&rig.ram, 8 * UNIT - PAGE), 1);
	cr_expect_eq(vcpu_read(&rig.ram, 12 * UNIT), 1);
	cr_expect_geq(counts().reads, 2);
	cr_expect_eq(guard_peek(rig.g).nr_splits, 2);
}

Test(guard, disarming_without_a_discard_keeps_what_was_never_given_back)
{
	disarm(0, 2 * UNIT);
	for (uint64_t at = 0; at < 2 * UNIT; at += PAGE)
		vcpu_write(&rig.ram, at, at + 1);
	/* An unplug that fails half-way: armed, in part discarded, and used by the guest then. */
	cr_assert_eq(guard_arm(rig.r, 0, 2 * UNIT), 0);
	cr_assert_eq(ram_discard(&rig.ram, UNIT, MiB), 0);
	vcpu_write(&rig.ram, UNIT + 4 * CHUNK, 0xbad);
	cr_expect_geq(counts().writes, 1);
	cr_assert_eq(guard_disarm(rig.r, 0, 2 * UNIT, false), 0);
	cr_expect_eq(guard_peek(rig.g).nr_chunks, 0);
	cr_expect_eq(resident(&rig.ram), 2 * UNIT - MiB);
	for (uint64_t at = 0; at < 2 * UNIT; at += PAGE)
		cr_assert_eq(vcpu_read(&rig.ram, at),
			     at >= UNIT && at < UNIT + MiB ? 0 : at + 1);
	/* It is lawful now: no chunk of before takes it away. */
	vcpu_write(&rig.ram, UNIT + 4 * CHUNK, 7);
	sleep_ms(4 * GUARD_EXPIRY_NS / NS_PER_MS);
	cr_expect_eq(vcpu_read(&rig.ram, UNIT + 4 * CHUNK), 7);
}

Test(guard, disarming_a_mixed_range_leaves_lawful_parts_as_they_are)
{
	disarm(UNIT, UNIT);
	vcpu_write(&rig.ram, UNIT, 5);
	cr_assert_eq(guard_disarm(rig.r, 0, 4 * UNIT, false), 0);
	cr_expect_eq(vcpu_read(&rig.ram, UNIT), 5);
	vcpu_write(&rig.ram, 3 * UNIT, 6);
	cr_expect_eq(violations(), 0);
	cr_expect_eq(guard_peek(rig.g).nr_splits, 1);
	cr_expect_eq(nr_mappings(&rig.ram), 2);
}

Test(guard, splits_are_what_the_host_sees)
{
	srandom(3);
	for (int i = 0; i < 300; i++) {
		uint64_t first = (uint64_t)random() % 32, nr = (uint64_t)random() % (32 - first) + 1;

		if (random() & 1)
			arm(first * UNIT, nr * UNIT);
		else
			disarm(first * UNIT, nr * UNIT);
		if (i % 3 == 0)
			vcpu_write(&rig.ram, (uint64_t)random() % (REGION / 8) * 8, 1);
		cr_assert_eq(nr_mappings(&rig.ram), guard_peek(rig.g).nr_splits + 1, "step %d", i);
	}
}

/*
 * A word written by an access that was over before the memory was given again must not be seen
 * afterwards; later ones are the guest's lawful own.
 */
Test(guard, nothing_stale_is_left_by_threads_that_hammer_while_memory_is_given)
{
	const uint64_t offset = 2 * UNIT, bytes = 2 * UNIT;

	for (unsigned int round = 0; round < 32; round++) {
		struct hammer h[2];
		uint64_t done[2], latest;

		for (unsigned int i = 0; i < 2; i++) {
			h[i] = (struct hammer){ .ram = &rig.ram,
						.offset = offset + i * bytes / 2,
						.bytes = bytes / 2,
						.seed = round * 2 + i };
			hammer_start(&h[i]);
		}
		sleep_ms(round % 4);
		for (unsigned int i = 0; i < 2; i++)
			done[i] = hammer_done(&h[i]);
		disarm(offset, bytes);
		for (unsigned int i = 0; i < 2; i++)
			cr_assert(hammer_gets_on(&h[i]) && hammer_stop(&h[i]),
				  "round %u: thread %u hangs", round, i);
		for (unsigned int i = 0; i < 2; i++)
			for (uint64_t at = 0; at < h[i].bytes; at += PAGE) {
				latest = vcpu_read(&rig.ram, h[i].offset + at);
				cr_assert(!latest || latest > done[i],
					  "round %u: word %llu of before %llu", round,
					  (unsigned long long)latest, (unsigned long long)done[i]);
			}
		arm(offset, bytes);
	}
	cr_expect(becomes_empty(&rig.ram));
	cr_expect_eq(guard_peek(rig.g).broken, 0);
}

Test(guard, memory_taken_from_threads_that_hammer_is_gone_at_once)
{
	const uint64_t offset = 4 * UNIT, bytes = 2 * UNIT;
	struct hammer h[2];

	for (unsigned int i = 0; i < 2; i++) {
		h[i] = (struct hammer){ .ram = &rig.ram,
					.offset = offset,
					.bytes = bytes,
					.reads = i,
					.seed = i };
		hammer_start(&h[i]);
	}
	for (unsigned int round = 0; round < 24; round++) {
		disarm(offset, bytes);
		cr_assert(hammer_gets_on(&h[0]) && hammer_gets_on(&h[1]));
		arm(offset, bytes);
		for (int i = 0; i < 10; i++) {
			cr_assert_leq(resident(&rig.ram), CHUNK_RING_BYTES, "round %u", round);
			sched_yield();
		}
		cr_assert(hammer_gets_on(&h[0]) && hammer_gets_on(&h[1]), "round %u: a thread hangs",
			  round);
	}
	cr_assert(hammer_stop(&h[0]) && hammer_stop(&h[1]));
	cr_expect_eq(h[1].nr_wrong, 0);
	cr_expect(becomes_empty(&rig.ram));
	cr_expect_eq(guard_peek(rig.g).broken, 0);
}

/* The event waits for the lock, read or not, and disarming may be quicker. */
Test(guard, who_waits_for_an_answer_when_the_memory_is_given_goes_on)
{
	for (unsigned int round = 0; round < 20; round++) {
		uint64_t offset = round % 8 * UNIT;
		struct access a = { .ram = &rig.ram, .offset = offset + PAGE, .is_write = round & 1,
				    .value = 9 };

		/* With a page table of a violation there is a new mapping, else the old one. */
		if (round % 4 < 2)
			vcpu_write(&rig.ram, offset, 1);
		cr_assert(becomes_empty(&rig.ram));
		pthread_mutex_lock(&rig.g->lock);
		access_start(&a);
		cr_assert(access_waits(&rig));
		cr_assert_not(__atomic_load_n(&a.done, __ATOMIC_ACQUIRE));
		/* Whoever gets the lock first now, the thread must go on. */
		pthread_mutex_unlock(&rig.g->lock);
		disarm(offset, UNIT);
		cr_assert(becomes_true(&a.done), "round %u: the thread hangs", round);
		cr_assert(access_end(&a));
		arm(offset, UNIT);
	}
	cr_expect(becomes_empty(&rig.ram));
}

Test(guard, a_guard_that_stops_lets_everybody_go)
{
	struct hammer h[2];

	for (unsigned int i = 0; i < 2; i++) {
		h[i] = (struct hammer){ .ram = &rig.ram, .bytes = REGION, .seed = i };
		hammer_start(&h[i]);
	}
	cr_assert(hammer_gets_on(&h[0]));
	guard_stop(rig.g);
	for (unsigned int i = 0; i < 2; i++)
		cr_assert(hammer_gets_on(&h[i]) && hammer_stop(&h[i]), "thread %u hangs", i);
	guard_stop(rig.g);
	guard_free(NULL);
}

Test(guard, attacks_are_answered_at_a_pace)
{
	struct hammer h[2];
	uint64_t start = clock_ns(), before = guard_peek(rig.g).nr_answers, answers, most;
	const uint64_t enough = 1000; /* many times what may be answered at once */

	for (unsigned int i = 0; i < 2; i++) {
		h[i] = (struct hammer){ .ram = &rig.ram, .bytes = REGION, .seed = i };
		hammer_start(&h[i]);
	}
	while (guard_peek(rig.g).nr_answers - before < enough)
		sleep_ms(5);
	for (unsigned int i = 0; i < 2; i++)
		cr_assert(hammer_stop(&h[i]));
	answers = guard_peek(rig.g).nr_answers - before;
	/* 16 at once, twice: as credit, and as the last batch. */
	most = (clock_ns() - start) / (NS_PER_MS / 10) + 32;
	cr_expect_leq(answers, most);
	cr_expect_geq(answers, enough);
}
