/* SPDX-License-Identifier: Apache-2.0 */
/* test_resize.c - the resize job, with a clock that the test turns by hand. */
#include "devices/resize.h"

#include <criterion/criterion.h>
#include <string.h>

#define T0     (1000 * NS_PER_S)
#define MS     NS_PER_MS
#define REGION (8 * GiB)

static const char put_off[] = "the host is out of sorts";
static struct resize job;

/* A job from START to TARGET with a driver there, started at T0. */
static void begin(uint64_t start, uint64_t target, uint64_t deadline_ns)
{
	job = (struct resize){ 0 };
	resize_driver(&job, true, T0);
	resize_start(&job, target, start, REGION, deadline_ns, T0);
}

static void plugged(uint64_t bytes, uint64_t now)
{
	resize_answered(&job, RESIZE_ACCEPTED, NULL);
	resize_plugged(&job, bytes, REGION, now);
}

/* Runs the clock to END as a loop would; the times of the interrupts in AT, their number back. */
static unsigned int run_until(uint64_t end, uint64_t *at, unsigned int room)
{
	unsigned int nr = 0;
	uint64_t next;

	while ((next = resize_next_ns(&job)) && next <= end) {
		if (resize_tick(&job, next) && nr < room)
			at[nr++] = next;
		cr_assert(!resize_next_ns(&job) || resize_next_ns(&job) > next);
	}
	return nr;
}

static struct resize_status at(uint64_t now) { return resize_status(&job, now); }

Test(resize, nothing_has_run_at_first)
{
	struct resize none = { 0 };

	cr_expect_eq(resize_status(&none, T0).state, RESIZE_NONE);
	cr_expect_eq(resize_status(&none, T0).id, 0);
	cr_expect_eq(resize_next_ns(&none), 0);
	cr_expect_not(resize_tick(&none, T0));
}

Test(resize, job_is_done_when_the_target_is_plugged)
{
	begin(0, 4 * GiB, 0);
	plugged(2 * GiB, T0 + 1);
	cr_expect_eq(at(T0 + 1).state, RESIZE_RUNNING);
	plugged(4 * GiB, T0 + 5 * MS);
	cr_expect_eq(at(T0 + NS_PER_S).state, RESIZE_DONE);
	cr_expect_eq(at(T0 + NS_PER_S).elapsed_ns, 5 * MS);
	cr_expect_eq(at(T0 + NS_PER_S).moved_bytes, 4 * GiB);
	cr_expect_eq(at(T0 + NS_PER_S).reason, RESIZE_UNHINDERED);
	cr_expect_eq(resize_next_ns(&job), 0);
}

Test(resize, job_to_the_present_size_is_done_at_once)
{
	begin(GiB, GiB, 0);
	cr_expect_eq(at(T0).state, RESIZE_DONE);
	cr_expect_eq(at(T0).elapsed_ns, 0);
}

Test(resize, interrupts_come_when_they_are_due_and_not_before)
{
	begin(0, GiB, 0);
	for (unsigned int i = 0; i < 10; i++) {
		uint64_t due = resize_next_ns(&job);

		cr_expect_not(resize_tick(&job, due - 1));
		cr_expect_eq(resize_next_ns(&job), due);
		cr_expect(resize_tick(&job, due));
	}
}

Test(resize, jobs_are_numbered_from_one)
{
	begin(0, GiB, 0);
	cr_expect_eq(at(T0).id, 1);
	resize_start(&job, 2 * GiB, 0, REGION, 0, T0);
	cr_expect_eq(at(T0).id, 2);
}

Test(resize, interrupt_is_raised_again_after_a_quarter_second_then_twice_as_late_up_to_five)
{
	static const uint64_t expected_ms[] = { 250, 750, 1750, 3750, 7750, 12750, 17750, 22750 };
	uint64_t raised[16];
	unsigned int nr;

	begin(4 * GiB, 0, 0);
	nr = run_until(T0 + 23 * NS_PER_S, raised, 16);
	cr_assert_eq(nr, ARRAY_SIZE(expected_ms));
	for (unsigned int i = 0; i < nr; i++)
		cr_expect_eq(raised[i] - T0, expected_ms[i] * MS, "interrupt %u at %llu ms", i,
			     (unsigned long long)((raised[i] - T0) / MS));
	/* The first one came with the start. */
	cr_expect_eq(at(T0 + 23 * NS_PER_S).nr_raises, nr + 1);
}

Test(resize, progress_brings_the_shortest_pause_back)
{
	uint64_t raised[16];

	begin(4 * GiB, 0, 0);
	run_until(T0 + 10 * NS_PER_S, raised, 16);
	plugged(3 * GiB, T0 + 10 * NS_PER_S);
	cr_assert_eq(run_until(T0 + 11 * NS_PER_S, raised, 16), 2);
	cr_expect_eq(raised[0], T0 + 10250 * MS);
	cr_expect_eq(raised[1], T0 + 10750 * MS);
}

Test(resize, no_interrupt_comes_between_while_the_guest_makes_progress)
{
	uint64_t raised[1];

	begin(4 * GiB, 0, 0);
	for (uint64_t i = 1; i <= 100; i++) {
		cr_assert_eq(run_until(T0 + i * 200 * MS, raised, 1), 0);
		plugged(4 * GiB - i * 2 * MiB, T0 + i * 200 * MS);
	}
}

Test(resize, requests_without_progress_do_not_bring_the_short_pause_back)
{
	uint64_t raised[4];

	begin(4 * GiB, 0, 0);
	run_until(T0 + 5 * NS_PER_S, raised, 4);
	resize_answered(&job, RESIZE_PUT_OFF, put_off);
	resize_plugged(&job, 4 * GiB, REGION, T0 + 5 * NS_PER_S);
	cr_expect_eq(resize_next_ns(&job), T0 + 7750 * MS);
}

Test(resize, moving_away_from_the_target_is_no_progress)
{
	begin(2 * GiB, GiB, 0);
	plugged(3 * GiB, T0 + 100 * MS);
	cr_expect_eq(at(T0 + 100 * MS).moved_bytes, 0);
	cr_expect_eq(at(T0 + 100 * MS).plugged_bytes, 3 * GiB);
	cr_expect_eq(resize_next_ns(&job), T0 + 250 * MS, "the pause of the start still runs");
}

Test(resize, deadline_ends_the_job_short_and_nothing_is_raised_after_it)
{
	uint64_t raised[16];

	begin(4 * GiB, 0, T0 + 2 * NS_PER_S);
	cr_expect_eq(at(T0).left_ns, 2 * NS_PER_S);
	cr_expect_eq(run_until(T0 + 60 * NS_PER_S, raised, 16), 3);
	cr_expect_eq(at(T0 + 60 * NS_PER_S).state, RESIZE_SHORT);
	cr_expect_eq(at(T0 + 60 * NS_PER_S).elapsed_ns, 2 * NS_PER_S);
	cr_expect_eq(at(T0 + 60 * NS_PER_S).left_ns, 0);
	cr_expect_eq(resize_next_ns(&job), 0);
	cr_expect_not(resize_tick(&job, T0 + 60 * NS_PER_S));
}

Test(resize, deadline_is_met_also_when_the_driver_never_comes)
{
	uint64_t raised[1];

	job = (struct resize){ 0 };
	resize_start(&job, GiB, 0, REGION, T0 + NS_PER_S, T0);
	cr_expect_eq(resize_next_ns(&job), T0 + NS_PER_S);
	cr_expect_eq(run_until(T0 + 9 * NS_PER_S, raised, 1), 0, "nobody is there to interrupt");
	cr_expect_eq(at(T0 + 9 * NS_PER_S).state, RESIZE_SHORT);
	cr_expect_eq(at(T0 + 9 * NS_PER_S).reason, RESIZE_NO_DRIVER);
	cr_expect_eq(at(T0 + 9 * NS_PER_S).nr_raises, 0);
}

Test(resize, progress_after_the_end_changes_nothing)
{
	begin(4 * GiB, 0, T0 + NS_PER_S);
	cr_expect_not(resize_tick(&job, T0 + NS_PER_S));
	plugged(0, T0 + 2 * NS_PER_S);
	cr_expect_eq(at(T0 + 3 * NS_PER_S).state, RESIZE_SHORT);
	cr_expect_eq(at(T0 + 3 * NS_PER_S).plugged_bytes, 4 * GiB);
}

Test(resize, cancel_ends_a_running_job_only)
{
	begin(0, GiB, 0);
	resize_cancel(&job, T0 + 7);
	cr_expect_eq(at(T0 + 9).state, RESIZE_CANCELLED);
	cr_expect_eq(at(T0 + 9).elapsed_ns, 7);
	cr_expect_eq(resize_next_ns(&job), 0);
	begin(GiB, GiB, 0);
	resize_cancel(&job, T0 + 7);
	cr_expect_eq(at(T0 + 9).state, RESIZE_DONE);
}

Test(resize, missing_driver_is_told_at_once)
{
	job = (struct resize){ 0 };
	resize_start(&job, GiB, 0, REGION, 0, T0);
	cr_expect_eq(at(T0).reason, RESIZE_NO_DRIVER);
	resize_driver(&job, true, T0 + MS);
	cr_expect_eq(at(T0 + MS).reason, RESIZE_UNHINDERED);
	cr_expect_eq(resize_next_ns(&job), T0 + 251 * MS, "the new driver gets a moment first");
	resize_driver(&job, false, T0 + 2 * MS);
	cr_expect_eq(at(T0 + 2 * MS).reason, RESIZE_NO_DRIVER);
	cr_expect_eq(resize_next_ns(&job), 0);
	cr_expect_not(resize_tick(&job, T0 + NS_PER_S), "nobody is there to interrupt");
}

Test(resize, silence_is_a_reason_after_a_second_and_counts_the_interrupts)
{
	uint64_t raised[4];

	begin(4 * GiB, 0, 0);
	run_until(T0 + 999 * MS, raised, 4);
	cr_expect_eq(at(T0 + 999 * MS).reason, RESIZE_UNHINDERED);
	cr_expect_eq(at(T0 + 1000 * MS).reason, RESIZE_SILENT);
	cr_expect_eq(at(T0 + 1000 * MS).nr_ignored, 3);
	resize_answered(&job, RESIZE_ACCEPTED, NULL);
	cr_expect_eq(at(T0 + 1000 * MS).nr_ignored, 0);
	cr_expect_eq(at(T0 + 1000 * MS).nr_raises, 3);
}

Test(resize, guest_that_stops_after_some_progress_is_told_apart_from_a_silent_one)
{
	begin(4 * GiB, 0, T0 + 10 * NS_PER_S);
	plugged(3 * GiB, T0 + 100 * MS);
	cr_expect_eq(at(T0 + 1099 * MS).reason, RESIZE_UNHINDERED);
	cr_expect_eq(at(T0 + 1100 * MS).reason, RESIZE_STOPPED);
	cr_expect_eq(at(T0 + 1100 * MS).moved_bytes, GiB);
	cr_expect_not(resize_tick(&job, T0 + 10 * NS_PER_S));
	cr_expect_eq(at(T0 + 11 * NS_PER_S).reason, RESIZE_STOPPED);
}

Test(resize, busy_stays_the_reason_until_the_guest_gets_another_answer)
{
	begin(4 * GiB, 0, 0);
	resize_answered(&job, RESIZE_PUT_OFF, put_off);
	cr_expect_eq(at(T0 + 2 * NS_PER_S).reason, RESIZE_BUSY);
	cr_expect_eq(at(T0 + 2 * NS_PER_S).put_off_text, put_off);
	plugged(3 * GiB, T0 + 3 * NS_PER_S);
	cr_expect_eq(at(T0 + 3 * NS_PER_S).reason, RESIZE_UNHINDERED);
	cr_expect_eq(at(T0 + 9 * NS_PER_S).reason, RESIZE_STOPPED);
}

Test(resize, nack_is_a_reason)
{
	begin(0, 64 * MiB, 0);
	resize_answered(&job, RESIZE_TOO_MUCH, NULL);
	cr_expect_eq(at(T0 + 2 * NS_PER_S).reason, RESIZE_NACK);
}

Test(resize, driver_that_got_an_error_is_remembered_by_the_next_job_until_it_is_reset)
{
	begin(0, GiB, 0);
	resize_answered(&job, RESIZE_ERROR, NULL);
	resize_start(&job, 2 * GiB, 0, REGION, 0, T0 + 1);
	cr_expect_eq(at(T0 + 2 * NS_PER_S).reason, RESIZE_REFUSED);
	resize_driver(&job, false, T0 + 3 * NS_PER_S);
	resize_driver(&job, true, T0 + 3 * NS_PER_S);
	cr_expect_eq(at(T0 + 4 * NS_PER_S).reason, RESIZE_SILENT);
}

Test(resize, old_busy_is_no_reason_for_the_next_job)
{
	begin(4 * GiB, 0, 0);
	resize_answered(&job, RESIZE_PUT_OFF, put_off);
	resize_start(&job, GiB, 4 * GiB, REGION, 0, T0 + 1);
	cr_expect_eq(at(T0 + 2 * NS_PER_S).reason, RESIZE_SILENT);
}

Test(resize, growth_beyond_the_last_whole_guest_memory_block_names_the_usable_region)
{
	begin(0, GiB + 64 * MiB, 0);
	resize_answered(&job, RESIZE_ACCEPTED, NULL);
	resize_plugged(&job, GiB, GiB, T0 + 1);
	cr_expect_eq(at(T0 + 2 * NS_PER_S).reason, RESIZE_USABLE_REGION);
	/* Still room for whole blocks: then it is not the region. */
	begin(0, GiB + 64 * MiB, 0);
	resize_answered(&job, RESIZE_ACCEPTED, NULL);
	resize_plugged(&job, GiB - 128 * MiB, GiB, T0 + 1);
	cr_expect_eq(at(T0 + 2 * NS_PER_S).reason, RESIZE_STOPPED);
}

Test(resize, deadline_during_steady_progress_is_the_reason_itself)
{
	begin(4 * GiB, 0, T0 + 2 * NS_PER_S);
	for (uint64_t i = 1; i < 20; i++)
		plugged(4 * GiB - i * 2 * MiB, T0 + i * 100 * MS);
	cr_expect_not(resize_tick(&job, T0 + 2 * NS_PER_S));
	cr_expect_eq(at(T0 + 2 * NS_PER_S).reason, RESIZE_DEADLINE);
}

Test(resize, deadline_before_anything_could_happen_still_has_a_reason)
{
	begin(4 * GiB, 0, T0);
	cr_expect_not(resize_tick(&job, T0));
	cr_expect_eq(at(T0).state, RESIZE_SHORT);
	cr_expect_eq(at(T0).reason, RESIZE_SILENT);
}

Test(resize, system_reset_keeps_the_job_which_then_grows_to_its_target)
{
	begin(4 * GiB, 2 * GiB, 0);
	plugged(3 * GiB, T0 + MS);
	resize_system_reset(&job, 0, REGION, T0 + 2 * MS);
	cr_expect_eq(at(T0 + 2 * MS).state, RESIZE_RUNNING);
	cr_expect_eq(at(T0 + 2 * MS).reason, RESIZE_NO_DRIVER);
	cr_expect_eq(at(T0 + 2 * MS).moved_bytes, 0, "the reset was no doing of the guest");
	resize_driver(&job, true, T0 + NS_PER_S);
	plugged(2 * GiB, T0 + NS_PER_S);
	cr_expect_eq(at(T0 + NS_PER_S).state, RESIZE_DONE);
	cr_expect_eq(at(T0 + NS_PER_S).moved_bytes, 2 * GiB);
}

Test(resize, system_reset_finishes_a_shrink_to_nothing)
{
	begin(4 * GiB, 0, 0);
	resize_system_reset(&job, 0, REGION, T0 + MS);
	cr_expect_eq(at(T0 + MS).state, RESIZE_DONE);
}

static const char *words(struct resize_status s)
{
	static char buf[256];

	memset(buf, 'x', sizeof(buf));
	return resize_explain(&s, buf, sizeof(buf));
}

Test(resize, every_reason_explains_itself_with_its_figures)
{
	struct resize_status s = { .state = RESIZE_SHORT,
				   .start_bytes = 4 * GiB,
				   .plugged_bytes = 1536 * MiB,
				   .moved_bytes = 2560 * MiB,
				   .target_bytes = GiB,
				   .nr_ignored = 17,
				   .put_off_text = put_off };

	for (int r = RESIZE_NO_DRIVER; r <= RESIZE_DEADLINE; r++) {
		s.reason = (enum resize_reason)r;
		cr_expect_gt(strlen(words(s)), 20, "reason %d", r);
		cr_expect_lt(strlen(words(s)), 200, "reason %d", r);
		cr_expect_not_null(resize_reason_name(s.reason));
	}
	s.reason = RESIZE_STOPPED;
	cr_expect_not_null(strstr(words(s), "after 2560 MiB, 512 MiB short"));
	cr_expect_not_null(strstr(words(s), "movable"));
	s.reason = RESIZE_SILENT;
	cr_expect_not_null(strstr(words(s), "since 17 interrupts"));
	s.reason = RESIZE_BUSY;
	cr_expect_not_null(strstr(words(s), put_off));
	s.target_bytes = 2 * GiB; /* a growth is explained in other words than a shrink */
	s.reason = RESIZE_STOPPED;
	cr_expect_null(strstr(words(s), "movable"));
	s.reason = RESIZE_UNHINDERED;
	cr_expect_str_eq(words(s), "");
	cr_expect_null(resize_reason_name(RESIZE_UNHINDERED));
	cr_expect_str_eq(resize_state_name(RESIZE_SHORT), "short");
}

/* The same figures of a balloon: its sizes are what is left to the guest. */
Test(resize, a_balloon_explains_itself_in_words_of_its_own)
{
	struct resize_status s = { .kind = RESIZE_BALLOON,
				   .state = RESIZE_SHORT,
				   .start_bytes = 4 * GiB,
				   .plugged_bytes = 1536 * MiB,
				   .moved_bytes = 2560 * MiB,
				   .target_bytes = GiB,
				   .nr_ignored = 17,
				   .put_off_text = put_off };

	for (int r = RESIZE_NO_DRIVER; r <= RESIZE_DEADLINE; r++) {
		s.reason = (enum resize_reason)r;
		cr_expect_gt(strlen(words(s)), 20, "reason %d", r);
		cr_expect_lt(strlen(words(s)), 200, "reason %d", r);
		cr_expect_null(strstr(words(s), "virtio-mem"), "reason %d", r);
		cr_expect_null(strstr(words(s), "movable"), "reason %d", r);
	}
	s.reason = RESIZE_NO_DRIVER;
	cr_expect_not_null(strstr(words(s), "no virtio-balloon driver"));
	s.kind = RESIZE_VMEM;
	cr_expect_not_null(strstr(words(s), "no virtio-mem driver"));
	s.kind = RESIZE_BALLOON;
	/* Inflating is limited by what the guest can spare, deflating is not. */
	s.reason = RESIZE_STOPPED;
	cr_expect_not_null(strstr(words(s), "after 2560 MiB, 512 MiB short"));
	cr_expect_not_null(strstr(words(s), "no free memory left to give"));
	s.reason = RESIZE_SILENT;
	cr_expect_not_null(strstr(words(s), "since 17 interrupts"));
	cr_expect_not_null(strstr(words(s), "no free memory to give"));
	s.target_bytes = 2 * GiB;
	cr_expect_null(strstr(words(s), "memory to give"));
	s.reason = RESIZE_STOPPED;
	cr_expect_null(strstr(words(s), "memory left to give"));
}

Test(resize, kind_is_part_of_the_status_and_outlives_jobs)
{
	job = (struct resize){ .kind = RESIZE_BALLOON };
	cr_expect_eq(at(T0).kind, RESIZE_BALLOON);
	resize_start(&job, 0, GiB, UINT64_MAX, 0, T0);
	resize_cancel(&job, T0 + 1);
	resize_start(&job, GiB, GiB, UINT64_MAX, 0, T0 + 2);
	cr_expect_eq(at(T0 + 2).kind, RESIZE_BALLOON);
}

/* The limit of a region has no meaning for a balloon: it never is the reason. */
Test(resize, a_balloon_that_stops_is_never_at_the_end_of_a_region)
{
	job = (struct resize){ .kind = RESIZE_BALLOON };
	resize_driver(&job, true, T0);
	resize_start(&job, 4 * GiB, GiB, UINT64_MAX, 0, T0);
	resize_answered(&job, RESIZE_ACCEPTED, NULL);
	resize_plugged(&job, 2 * GiB, UINT64_MAX, T0 + 1);
	cr_expect_eq(at(T0 + 2 * NS_PER_S).reason, RESIZE_STOPPED);
	cr_expect_eq(at(T0 + 2 * NS_PER_S).moved_bytes, GiB);
}

Test(resize, explanation_is_cut_to_the_buffer)
{
	struct resize_status s = { .reason = RESIZE_STOPPED };
	char buf[8] = "1234567";

	cr_expect_eq(strlen(resize_explain(&s, buf, sizeof(buf))), sizeof(buf) - 1);
}
