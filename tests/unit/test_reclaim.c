/* SPDX-License-Identifier: Apache-2.0 */
/* test_reclaim.c - a run of free page hinting, with a clock that the test turns by hand. */
#include "devices/reclaim.h"

#include <criterion/criterion.h>
#include <linux/virtio_balloon.h>
#include <string.h>

#define T0   (1000 * NS_PER_S)
#define STOP VIRTIO_BALLOON_CMD_ID_STOP
#define DONE VIRTIO_BALLOON_CMD_ID_DONE

static struct reclaim run;

static void setup(void) { run = (struct reclaim){ 0 }; }
TestSuite(reclaim, .init = setup);

static void start(void) { reclaim_start(&run, T0 + 10 * NS_PER_S, T0); }

/* The driver sends an id that does not end the run. */
static void begins(uint32_t id) { cr_expect_not(reclaim_guest_id(&run, id, T0 + 1)); }

Test(reclaim, nothing_has_run_at_first)
{
	cr_expect_eq(run.state, RECLAIM_NONE);
	cr_expect_eq(run.cmd_id, STOP, "what a driver reads then");
	cr_expect_not(reclaim_takes(&run));
	reclaim_end(&run, RECLAIM_CANCELLED, RECLAIM_UNHINDERED, T0);
	reclaim_expire(&run, T0);
	reclaim_driver_gone(&run, T0);
	cr_expect_eq(run.state, RECLAIM_NONE);
}

Test(reclaim, a_run_takes_memory_between_its_id_and_the_stop_alone)
{
	start();
	cr_expect_eq(run.state, RECLAIM_RUNNING);
	cr_expect_eq(run.id, 1);
	cr_expect_not(reclaim_takes(&run), "the guest has not begun");
	begins(run.cmd_id);
	cr_expect(reclaim_takes(&run));
	cr_expect(reclaim_guest_id(&run, STOP, T0 + 5));
	cr_expect_not(reclaim_takes(&run));
	cr_expect_eq(run.state, RECLAIM_DONE);
	cr_expect_eq(run.reason, RECLAIM_UNHINDERED);
	cr_expect_eq(run.ended_ns, T0 + 5);
	cr_expect_eq(run.cmd_id, DONE);
	begins(STOP); /* once more, after the end */
	cr_expect_eq(run.state, RECLAIM_DONE);
	cr_expect_eq(run.ended_ns, T0 + 5);
}

Test(reclaim, ids_that_are_not_the_runs_take_nothing_and_end_nothing)
{
	start();
	begins(STOP);
	begins(DONE);
	begins(run.cmd_id - 1);
	begins(run.cmd_id + 1);
	cr_expect_not(reclaim_takes(&run));
	begins(STOP);
	cr_expect_eq(run.state, RECLAIM_RUNNING, "a stop of another run is not ours");
	begins(run.cmd_id);
	begins(run.cmd_id + 1);
	cr_expect_not(reclaim_takes(&run), "the driver has gone over to something else");
	begins(run.cmd_id);
	cr_expect(reclaim_takes(&run));
}

Test(reclaim, no_run_has_the_id_of_the_one_before_nor_one_with_a_meaning)
{
	uint32_t last = 0;

	for (int i = 0; i < 100; i++) {
		start();
		cr_assert_neq(run.cmd_id, last);
		cr_assert_neq(run.cmd_id, STOP);
		cr_assert_neq(run.cmd_id, DONE);
		last = run.cmd_id;
		if (i & 1)
			reclaim_driver_gone(&run, T0);
		else
			reclaim_end(&run, RECLAIM_DONE, RECLAIM_UNHINDERED, T0);
	}
	cr_expect_eq(run.id, 100);
	run.last_run = UINT32_MAX;
	start();
	cr_expect_gt(run.cmd_id, UINT32_C(1) << 30, "far from those with a meaning after a wrap");
}

Test(reclaim, memory_named_with_an_old_id_is_not_taken_by_the_next_run)
{
	start();
	begins(run.cmd_id);
	reclaim_end(&run, RECLAIM_CANCELLED, RECLAIM_UNHINDERED, T0 + 2);
	cr_expect_not(reclaim_takes(&run));
	start();
	cr_expect_not(reclaim_takes(&run), "the guest is still at the run before");
	cr_expect_not(reclaim_guest_id(&run, STOP, T0 + 3), "which that stop ended");
	cr_expect_eq(run.state, RECLAIM_RUNNING);
}

Test(reclaim, counters_are_of_one_run)
{
	start();
	run.hinted_bytes = run.freed_bytes = run.written_bytes = run.nr_batches = 5;
	reclaim_end(&run, RECLAIM_DONE, RECLAIM_UNHINDERED, T0);
	cr_expect_eq(run.hinted_bytes, 5);
	start();
	cr_expect_eq(run.hinted_bytes | run.freed_bytes | run.written_bytes | run.nr_batches, 0);
	cr_expect_eq(run.ended_ns, 0);
}

Test(reclaim, deadline_ends_it_and_says_whether_the_guest_had_begun)
{
	start();
	reclaim_expire(&run, T0 + 10 * NS_PER_S - 1);
	cr_expect_eq(run.state, RECLAIM_RUNNING);
	reclaim_expire(&run, T0 + 10 * NS_PER_S);
	cr_expect_eq(run.state, RECLAIM_SHORT);
	cr_expect_eq(run.reason, RECLAIM_SILENT);
	cr_expect_eq(run.cmd_id, DONE, "the driver may let go");
	start();
	begins(run.cmd_id);
	reclaim_expire(&run, T0 + 11 * NS_PER_S);
	cr_expect_eq(run.state, RECLAIM_SHORT);
	cr_expect_eq(run.reason, RECLAIM_DEADLINE);
	reclaim_end(&run, RECLAIM_DONE, RECLAIM_UNHINDERED, T0 + 12 * NS_PER_S);
	cr_expect_eq(run.state, RECLAIM_SHORT, "it ends once");
	cr_expect_eq(run.ended_ns, T0 + 11 * NS_PER_S);
}

Test(reclaim, a_driver_that_went_ends_it_and_the_next_one_finds_a_stop)
{
	start();
	begins(run.cmd_id);
	reclaim_driver_gone(&run, T0 + 4);
	cr_expect_eq(run.state, RECLAIM_SHORT);
	cr_expect_eq(run.reason, RECLAIM_NO_DRIVER);
	cr_expect_eq(run.cmd_id, STOP);
	cr_expect_eq(run.guest_id, STOP);
	cr_expect_not(reclaim_takes(&run));
}

Test(reclaim, states_and_reasons_have_words)
{
	cr_expect_str_eq(reclaim_state_name(RECLAIM_NONE), "none");
	cr_expect_str_eq(reclaim_state_name(RECLAIM_RUNNING), "running");
	cr_expect_str_eq(reclaim_state_name(RECLAIM_DONE), "done");
	cr_expect_str_eq(reclaim_state_name(RECLAIM_SHORT), "short");
	cr_expect_str_eq(reclaim_state_name(RECLAIM_CANCELLED), "cancelled");
	cr_expect_null(reclaim_reason_name(RECLAIM_UNHINDERED));
	cr_expect_str_eq(reclaim_explain(RECLAIM_UNHINDERED), "");
	for (int r = RECLAIM_NO_DRIVER; r <= RECLAIM_HOST; r++) {
		cr_expect_not_null(reclaim_reason_name((enum reclaim_reason)r));
		cr_expect_gt(strlen(reclaim_explain((enum reclaim_reason)r)), 20);
	}
}
