/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/memory_rig.h"
#include "tests/unit/stderr_text.h"
#include "vmm/machine/working_set_estimate.h"

static struct memory_rig rig;
static struct working_set_store store;
static struct estimate estimate;
static bool must_wait;

static bool waits(void *ctx)
{
	(void)ctx;
	return must_wait;
}

static void setup(void)
{
	struct estimate_env env = { .memory = &rig.memory, .store = &store, .must_wait = waits };

	memory_rig_init(&rig, 64 * MiB, 1, false);
	env.loop = rig.loop;
	store.sinks = &rig.recorder.sinks;
	estimate_open(&estimate, &env);
}

static void teardown(void)
{
	estimate_end(&estimate, "the test is over");
	memory_rig_destroy(&rig);
}

TestSuite(estimate, .init = setup, .fini = teardown, .timeout = 240);

static void touch(uint64_t at, uint64_t bytes)
{
	memset((char *)rig.memory.boot.host + at, 1, bytes);
}

Test(estimate, what_is_used_within_each_time_is_in_its_bin_and_the_rest_in_the_last)
{
	static const uint32_t times[] = { 1000, 10000 };
	const struct working_set *ws = &store.sets.host.ws;

	touch(0, 12 * MiB);
	cr_assert_eq(estimate_start(&estimate, times, 2), 0);
	cr_expect(estimate_runs(&estimate));
	memory_rig_run(&rig, 500 * NS_PER_MS);
	touch(0, 4 * MiB);
	memory_rig_run(&rig, 2 * NS_PER_S);
	touch(4 * MiB, 2 * MiB);
	memory_rig_run(&rig, 10 * NS_PER_S);
	cr_expect_not(estimate_runs(&estimate));
	cr_assert_eq(recorder_count(&rig.recorder, VM_WORKING_SET), 1);
	cr_expect_str_empty(store.sets.host.error);
	cr_assert_eq(ws->nr_bins, 3);
	cr_expect_eq(ws->bins[0].idle_ms, 1000);
	cr_expect_eq(ws->bins[1].idle_ms, 10000);
	cr_expect_eq(ws->bins[2].idle_ms, UINT64_MAX);
	cr_expect_eq(ws->bins[0].anon_bytes, 4 * MiB);
	cr_expect_eq(ws->bins[1].anon_bytes, 2 * MiB);
	cr_expect_eq(ws->bins[2].anon_bytes, 6 * MiB);
}

Test(estimate, a_time_that_is_over_before_the_sweep_is_longer)
{
	static const uint32_t times[] = { 1 };

	touch(0, 1 * MiB);
	rig.clock.look_ns = 5 * NS_PER_MS; /* the host is slow */
	cr_assert_eq(estimate_start(&estimate, times, 1), 0);
	memory_rig_run(&rig, 20 * NS_PER_S);
	cr_assert_eq(store.sets.host.ws.nr_bins, 2);
	cr_expect_gt(store.sets.host.ws.bins[0].idle_ms, 1);
}

Test(estimate, there_is_one_at_a_time)
{
	static const uint32_t times[] = { 1000 };

	cr_assert_eq(estimate_start(&estimate, times, 1), 0);
	cr_expect_eq(estimate_start(&estimate, times, 1), -EBUSY);
	memory_rig_run(&rig, 2 * NS_PER_S);
	cr_expect_eq(estimate_start(&estimate, times, 1), 0);
}

Test(estimate, it_does_not_begin_when_it_must_wait)
{
	static const uint32_t times[] = { 1000 };

	must_wait = true;
	cr_expect_eq(estimate_start(&estimate, times, 1), -EBUSY);
	cr_expect_not(estimate_runs(&estimate));
	cr_expect_eq(recorder_count(&rig.recorder, VM_WORKING_SET), 0);
}

Test(estimate, one_that_is_ended_says_why_and_no_more)
{
	static const uint32_t times[] = { 1000 };

	cr_assert_eq(estimate_start(&estimate, times, 1), 0);
	memory_rig_run(&rig, 100 * NS_PER_MS);
	estimate_end(&estimate, "the VM was paused");
	cr_expect_not(estimate_runs(&estimate));
	cr_assert_eq(recorder_count(&rig.recorder, VM_WORKING_SET), 1);
	cr_expect_str_eq(store.sets.host.error, "the VM was paused");
	cr_expect_eq(store.sets.host.ws.nr_bins, 0);
	estimate_end(&estimate, "again");
	memory_rig_run(&rig, 5 * NS_PER_S);
	cr_expect_eq(recorder_count(&rig.recorder, VM_WORKING_SET), 1);
}

/* --- where working sets are kept --------------------------------------------------------------- */

Test(estimate, records_are_kept_by_node_and_told)
{
	struct working_set_record r = { .source = WORKING_SET_MGLRU, .ws = { .node = 7 } };

	working_set_store_put(&store, &r);
	cr_assert_eq(recorder_count(&rig.recorder, VM_WORKING_SET), 1);
	cr_expect_eq(recorder_last(&rig.recorder, VM_WORKING_SET)->working_set, &store.sets.node[7]);
	cr_expect_neq(store.sets.node[7].at_s, 0, "with the time of day");
	working_set_store_reset(&store);
	cr_expect_eq(store.sets.node[7].at_s, 0);
}

Test(estimate, one_of_a_node_that_is_not_kept_is_logged_alone)
{
	struct working_set_record r = { .source = WORKING_SET_MGLRU,
					.ws = { .node = WORKING_SETS_MAX_NODES } };

	stderr_keep();
	working_set_store_put(&store, &r);
	cr_expect(strstr(stderr_text(), "a working set of node 8; 8 nodes are kept"));
	cr_expect_eq(recorder_count(&rig.recorder, VM_WORKING_SET), 0);
}
