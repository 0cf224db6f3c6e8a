/* SPDX-License-Identifier: Apache-2.0 */
/* test_slots.c - segments of a region, each with or without a memory slot. */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/unit/fake_slots.h"
#include "vmm/base/clock.h"

#define BASE	(4 * GiB)
#define SEGMENT (128 * MiB)
#define FIRST	10
/* Four segments, the last one a short one. */
#define BYTES (3 * SEGMENT + 64 * MiB)

static struct fake_slots kvm;
static struct ram ram;
static struct slots s;

static void setup(void)
{
	struct slot_ops ops = fake_slots_init(&kvm);

	cr_assert_eq(ram_create(&ram, "test-slots", BYTES), 0);
	cr_assert_eq(slots_init(&s, &ops, FIRST, GPA(BASE), &ram, SEGMENT), 0);
}

static void teardown(void)
{
	slots_destroy(&s);
	ram_destroy(&ram);
}

TestSuite(slots, .init = setup, .fini = teardown, .timeout = 240);

static bool need(uint64_t offset, uint64_t bytes)
{
	bool added = false;

	cr_assert_eq(slots_need(&s, offset, bytes, &added), 0);
	return added;
}

/* What the guest reaches at each segment: r(am), z(eros), or nothing. */
static void assert_shows(const char *want)
{
	for (uint64_t i = 0; i < 4; i++) {
		uint64_t offset = i * SEGMENT;
		gpa_t at = GPA(BASE + offset), last = GPA(min_u64(BASE + BYTES, at.v + SEGMENT) - 1);
		const char *host = (char *)ram.host + offset;

		switch (want[i]) {
		case 'r':
			cr_assert(fake_slots_shows(&kvm, at, host, false), "segment %d", (int)i);
			cr_assert(fake_slots_shows(&kvm, last, host + (last.v - at.v), false));
			break;
		case 'z':
			cr_assert(fake_slots_shows(&kvm, at, s.zeros, true), "segment %d", (int)i);
			cr_assert(fake_slots_shows(&kvm, last, (char *)s.zeros + (last.v - at.v),
						   true));
			break;
		default:
			cr_assert_not(fake_slots_any(&kvm, at), "segment %d", (int)i);
			cr_assert_not(fake_slots_any(&kvm, last));
		}
	}
	cr_assert_not(fake_slots_any(&kvm, GPA(BASE - 1)));
	cr_assert_not(fake_slots_any(&kvm, GPA(BASE + BYTES)));
}

Test(slots, no_segment_has_a_slot_at_first)
{
	cr_assert_eq(s.nr, 4);
	assert_shows("....");
	slots_tick(&s, 100 * SLOTS_IDLE_NS);
	cr_expect_eq(kvm.nr_adds + kvm.nr_removes, 0);
}

Test(slots, what_is_needed_gets_a_slot_once)
{
	cr_expect(need(SEGMENT + 2 * MiB, 2 * MiB));
	assert_shows(".r..");
	cr_expect_not(need(SEGMENT, SEGMENT));
	cr_expect_eq(kvm.nr_adds, 1);
	cr_expect(need(2 * SEGMENT - 2 * MiB, 4 * MiB), "one of the two was missing");
	assert_shows(".rr.");
	cr_expect(need(0, BYTES));
	assert_shows("rrrr");
	cr_expect_eq(kvm.nr_adds, 4);
	cr_expect(kvm.slots[FIRST].there && kvm.slots[FIRST + 3].there);
}

Test(slots, a_range_that_ends_with_a_segment_does_not_touch_the_next)
{
	need(0, SEGMENT);
	assert_shows("r...");
	need(2 * SEGMENT - 1, 1);
	assert_shows("rr..");
}

Test(slots, an_idle_segment_loses_its_slot_after_a_while)
{
	const uint64_t t = 1000 * NS_PER_S;

	need(0, BYTES);
	slots_idle(&s, SEGMENT, t);
	slots_idle(&s, 3 * SEGMENT, t + NS_PER_S);
	slots_tick(&s, t);
	slots_tick(&s, t + SLOTS_IDLE_NS - 1);
	assert_shows("rrrr");
	slots_tick(&s, t + SLOTS_IDLE_NS);
	assert_shows("r.rr");
	slots_tick(&s, t + SLOTS_IDLE_NS + NS_PER_S);
	assert_shows("r.r.");
	slots_tick(&s, t + 100 * SLOTS_IDLE_NS);
	assert_shows("r.r.");
	cr_expect(need(SEGMENT, 2 * MiB));
	slots_tick(&s, t + 100 * SLOTS_IDLE_NS);
	assert_shows("rrr.");
}

Test(slots, a_segment_needed_again_in_time_keeps_its_slot)
{
	const uint64_t t = 1000 * NS_PER_S;

	need(0, SEGMENT);
	slots_idle(&s, 0, t);
	slots_tick(&s, t + SLOTS_IDLE_NS / 2);
	cr_expect_not(need(0, 2 * MiB));
	slots_tick(&s, t + 10 * SLOTS_IDLE_NS);
	assert_shows("r...");
	slots_idle(&s, 0, t + 20 * SLOTS_IDLE_NS);
	slots_tick(&s, t + 20 * SLOTS_IDLE_NS + 1);
	assert_shows("r...");
	cr_expect_eq(kvm.nr_adds, 1);
	cr_expect_eq(kvm.nr_removes, 0);
}

Test(slots, readable_segments_show_zeros_where_there_is_no_memory)
{
	const uint64_t t = 1000 * NS_PER_S;

	need(SEGMENT, SEGMENT);
	cr_assert_eq(slots_set_readable(&s, true), 0);
	assert_shows("zrzz");
	for (uint64_t at = 0; at < SEGMENT; at += MiB)
		cr_assert_eq(*((volatile char *)s.zeros + at), 0);
	need(2 * SEGMENT, 2 * MiB);
	assert_shows("zrrz");
	slots_idle(&s, SEGMENT, t);
	slots_tick(&s, t + SLOTS_IDLE_NS);
	assert_shows("zzrz");
	cr_assert_eq(slots_set_readable(&s, true), 0, "twice is fine");
	assert_shows("zzrz");
	cr_assert_eq(slots_set_readable(&s, false), 0);
	assert_shows("..r.");
	slots_idle(&s, 2 * SEGMENT, t);
	slots_tick(&s, t + SLOTS_IDLE_NS);
	assert_shows("....");
	cr_assert_eq(slots_set_readable(&s, true), 0);
	assert_shows("zzzz");
	cr_assert_eq(fake_slots_nr(&kvm), 4);
}

Test(slots, zeros_hold_no_memory)
{
	/* Nothing is mapped there before it is read, and one page of the kernel's afterwards. */
	cr_assert_null(s.zeros);
	cr_assert_eq(slots_set_readable(&s, false), 0);
	cr_assert_null(s.zeros);
	cr_assert_eq(slots_set_readable(&s, true), 0);
	cr_assert_not_null(s.zeros);
}

Test(slots, with_the_vm_the_slots_are_gone)
{
	need(0, SEGMENT);
	slots_idle(&s, 0, 1);
	cr_assert_eq(slots_set_readable(&s, true), 0);
	slots_forget(&s);
	/* The next VM. */
	s.ops = fake_slots_init(&kvm);
	slots_tick(&s, 100 * SLOTS_IDLE_NS);
	cr_expect_eq(kvm.nr_adds + kvm.nr_removes, 0);
	cr_expect(need(0, SEGMENT));
	assert_shows("r...");
}

Test(slots, a_slot_that_cannot_be_added_is_tried_again)
{
	kvm.adds_left = 1;
	cr_expect_eq(slots_need(&s, 0, BYTES, NULL), -EINVAL);
	assert_shows("r...");
	cr_expect_eq(slots_need(&s, SEGMENT, SEGMENT, NULL), -EINVAL);
	kvm.adds_left = 9;
	cr_expect(need(0, BYTES));
	assert_shows("rrrr");
}

Test(slots, a_slot_that_cannot_be_removed_is_tried_again_later)
{
	const uint64_t t = 1000 * NS_PER_S;

	need(0, SEGMENT);
	slots_idle(&s, 0, t);
	kvm.remove_fails = true;
	slots_tick(&s, t + SLOTS_IDLE_NS);
	assert_shows("r...");
	kvm.remove_fails = false;
	slots_tick(&s, t + 2 * SLOTS_IDLE_NS - 1);
	assert_shows("r...");
	slots_tick(&s, t + 2 * SLOTS_IDLE_NS);
	assert_shows("....");
}

Test(slots, where_zeros_cannot_be_shown_nothing_is)
{
	need(0, SEGMENT);
	kvm.adds_left = 1;
	cr_expect_eq(slots_set_readable(&s, true), -EINVAL);
	assert_shows("rz..");
	kvm.adds_left = 0;
	cr_expect_eq(slots_need(&s, SEGMENT, SEGMENT, NULL), -EINVAL);
	assert_shows("r...");
	kvm.adds_left = 9;
	cr_expect(need(SEGMENT, SEGMENT));
	assert_shows("rr..");
	cr_assert_eq(slots_set_readable(&s, true), 0);
	assert_shows("rrzz");
}

Test(slots, a_part_of_ram_that_is_always_there_gets_one_slot)
{
	cr_assert_eq(slot_add_ram(&s.ops, 3, GPA(1 * GiB), &ram, 2 * MiB, 4 * MiB), 0);
	cr_expect(fake_slots_shows(&kvm, GPA(1 * GiB), (char *)ram.host + 2 * MiB, false));
	cr_expect_eq(kvm.slots[3].bytes, 4 * MiB);
}

Test(slots, segments_are_as_small_as_the_number_of_slots_allows)
{
	cr_expect_eq(slots_segment_bytes(2 * MiB, 2 * MiB, 500), 128 * MiB);
	cr_expect_eq(slots_segment_bytes(32 * GiB, 2 * MiB, 500), 128 * MiB);
	cr_expect_eq(slots_segment_bytes(32 * GiB + 2 * MiB, 2 * MiB, 500), 256 * MiB);
	cr_expect_eq(slots_segment_bytes(32 * GiB, 2 * MiB, 255), 256 * MiB);
	cr_expect_eq(slots_segment_bytes(32 * GiB, 2 * MiB, 1), 32 * GiB);
	cr_expect_eq(slots_segment_bytes(4 * GiB, 1 * GiB, 500), 1 * GiB);
	cr_expect_eq(slots_segment_bytes(8192 * GiB, 2 * MiB, 32000), 32 * GiB);
	cr_expect_eq(slots_segment_bytes(8192 * GiB, 2 * MiB, 0), 0);
}

Test(slots, segments_of_any_region_are_few_enough_and_hold_whole_blocks)
{
	static const uint32_t nr_slots[] = { 1, 2, 3, 7, 30, 255, 256, 500, 32000 };

	for (uint64_t bytes = 2 * MiB; bytes <= 8192 * GiB; bytes *= 2)
		for (uint64_t block = 2 * MiB; block <= bytes; block *= 4)
			for (size_t i = 0; i < ARRAY_SIZE(nr_slots); i++) {
				uint64_t odd = align_up(bytes + bytes / 3, block);
				uint64_t segment = slots_segment_bytes(odd, block, nr_slots[i]);
				uint64_t nr = (odd + segment - 1) / segment;

				cr_assert(is_power_of_two(segment) && segment >= 128 * MiB);
				cr_assert(segment >= block, "whole blocks");
				cr_assert(nr <= nr_slots[i] && nr <= 256);
				/* Not larger than need be. */
				cr_assert(segment == max_u64(128 * MiB, block) ||
					  (odd + segment / 2 - 1) / (segment / 2) >
						  min_u64(nr_slots[i], 256));
			}
}
