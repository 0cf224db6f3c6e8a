/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "tests/unit/fake_run.h"
#include "tests/unit/guard_rig.h"
#include "tests/unit/memory_rig.h"
#include "tests/unit/stderr_text.h"
#include "vmm/base/exit_code.h"
#include "vmm/machine/violations.h"

#define LOOK_NS (50 * NS_PER_MS)

static struct memory_rig rig;
static struct fake_run run;
static struct violations v;

static void start(enum config_violation policy)
{
	struct violations_env env = { .loop = rig.loop,
				      .memory = &rig.memory,
				      .run = fake_run_control(&run),
				      .sinks = &rig.recorder.sinks };

	cr_assert_eq(violations_open(&v, &env, policy), 0);
}

static void setup(void) { memory_rig_init(&rig, 64 * MiB, 2, true); }

static void teardown(void)
{
	violations_close(&v);
	memory_rig_destroy(&rig);
}

TestSuite(violations, .init = setup, .fini = teardown, .timeout = 240);

static struct ram *ram(unsigned int i) { return &rig.memory.elastic[i].elastic.ram; }

/* An access to memory of region I that is not plugged; the guard has counted and told of it. */
static void violate(unsigned int i, uint64_t offset)
{
	struct pollfd p = { .fd = rig.memory.guard_fd, .events = POLLIN };

	vcpu_write(ram(i), offset, 1);
	cr_assert_eq(poll(&p, 1, 60000), 1, "the guard tells of it");
}

Test(violations, a_contained_one_is_told_and_the_vm_goes_on)
{
	const struct vm_event *e;

	start(VIOLATION_CONTAIN);
	violate(1, 0);
	stderr_keep();
	memory_rig_run(&rig, LOOK_NS);
	cr_expect(strstr(stderr_text(), "memory of mem1 that it gave back"));
	e = recorder_last(&rig.recorder, VM_VIOLATION);
	cr_assert_not_null(e);
	cr_expect_eq(e->violation.device, 1);
	cr_expect_eq(recorder_count(&rig.recorder, VM_VIOLATION), 1);
	cr_expect(run.running);
	cr_expect_eq(run.nr_ends, 0);
	cr_expect_null(violations_forbid(&v));
}

Test(violations, looks_are_50_ms_apart_however_often_the_guard_tells)
{
	start(VIOLATION_CONTAIN);
	violate(0, 0);
	memory_rig_run(&rig, 1);
	cr_expect_eq(recorder_count(&rig.recorder, VM_VIOLATION), 1);
	violate(0, 1 * MiB);
	memory_rig_run(&rig, LOOK_NS - 2);
	cr_expect_eq(recorder_count(&rig.recorder, VM_VIOLATION), 1);
	memory_rig_run(&rig, 2);
	cr_expect_eq(recorder_count(&rig.recorder, VM_VIOLATION), 2);
}

Test(violations, pause_stops_the_vm_once_with_the_reason)
{
	start(VIOLATION_PAUSE);
	violate(0, 0);
	stderr_keep();
	memory_rig_run(&rig, LOOK_NS);
	cr_expect(strstr(stderr_text(), "the VM is paused"));
	cr_expect_eq(run.nr_pauses, 1);
	cr_expect_eq(recorder_count(&rig.recorder, VM_GUARD_STOP), 1);
	cr_expect(strstr(recorder_last(&rig.recorder, VM_GUARD_STOP)->text, "--violation=pause"));
	cr_expect_null(violations_forbid(&v), "whoever wants may go on");
	violate(0, 2 * MiB);
	memory_rig_run(&rig, 2 * LOOK_NS);
	cr_expect_eq(run.nr_pauses, 1, "it stands already");
	cr_expect_eq(recorder_count(&rig.recorder, VM_GUARD_STOP), 1);
}

Test(violations, the_second_after_a_resume_is_lenient)
{
	start(VIOLATION_PAUSE);
	violate(0, 0);
	memory_rig_run(&rig, LOOK_NS);
	violations_resumed(&v);
	run.running = true;
	violate(0, 2 * MiB);
	memory_rig_run(&rig, 2 * LOOK_NS);
	cr_expect(run.running, "the access that stopped it is made now");
	memory_rig_run(&rig, NS_PER_S);
	violate(0, 4 * MiB);
	memory_rig_run(&rig, 2 * LOOK_NS);
	cr_expect_not(run.running);
}

Test(violations, a_resume_after_another_pause_is_not_lenient)
{
	start(VIOLATION_PAUSE);
	violations_resumed(&v);
	violate(0, 0);
	memory_rig_run(&rig, LOOK_NS);
	cr_expect_not(run.running);
}

Test(violations, kill_ends_with_its_exit_code)
{
	start(VIOLATION_CONTAIN);
	violations_set_policy(&v, VIOLATION_KILL);
	violate(0, 0);
	violate(1, 0);
	stderr_keep();
	memory_rig_run(&rig, LOOK_NS);
	cr_expect(strstr(stderr_text(), "--violation=kill"));
	cr_expect_eq(run.nr_ends, 1);
	cr_expect_eq(run.exit_code, EXIT_VIOLATION);
	cr_expect(run.guest);
	cr_expect_str_eq(run.reason, "guest-panic");
	cr_expect_eq(recorder_count(&rig.recorder, VM_VIOLATION), 1, "it is over with the first");
}

/* --- the guard's own trouble ------------------------------------------------------------------- */

Test(violations, a_broken_guard_stops_the_vm_for_good)
{
	start(VIOLATION_CONTAIN);
	stderr_keep();
	guard_give_up(rig.memory.guard);
	memory_rig_run(&rig, LOOK_NS);
	cr_expect_not(run.running);
	cr_assert_not_null(violations_forbid(&v));
	cr_expect(strstr(violations_forbid(&v), "quit is left"));
	violations_resumed(&v);
	cr_expect_not_null(violations_forbid(&v));
	cr_expect_eq(violations_reset(&v), -EIO);
	cr_expect(strstr(stderr_text(), "can't be guarded any more"));
}

Test(violations, a_host_without_memory_for_an_answer_pauses_the_vm)
{
	start(VIOLATION_CONTAIN);
	stderr_keep();
	pthread_mutex_lock(&rig.memory.guard->lock);
	rig.memory.guard->status.error = -ENOMEM;
	pthread_mutex_unlock(&rig.memory.guard->lock);
	violate(0, 0);
	pthread_mutex_lock(&rig.memory.guard->lock);
	rig.memory.guard->status.error = -ENOMEM;
	pthread_mutex_unlock(&rig.memory.guard->lock);
	memory_rig_run(&rig, LOOK_NS);
	cr_expect_eq(run.nr_pauses, 1);
	cr_expect(strstr(recorder_last(&rig.recorder, VM_GUARD_STOP)->text, "has no memory"));
	cr_expect_null(violations_forbid(&v), "it may try again");
	(void)stderr_text();
}

Test(violations, a_thread_that_does_not_run_is_seen_by_the_tick)
{
	struct access a = { .ram = ram(0) };
	struct guard_rig g = { .g = rig.memory.guard };

	start(VIOLATION_CONTAIN);
	stderr_keep();
	pthread_mutex_lock(&rig.memory.guard->lock);
	access_start(&a);
	cr_assert(access_waits(&g));
	memory_rig_run(&rig, 3 * NS_PER_S);
	pthread_mutex_unlock(&rig.memory.guard->lock);
	cr_assert(access_end(&a));
	cr_expect_eq(run.nr_pauses, 1);
	cr_expect(strstr(stderr_text(), "the guard's thread does not run"));
}

/* --- page tables that violations leave behind -------------------------------------------------- */

static void pretend_many_tables(void)
{
	pthread_mutex_lock(&rig.memory.guard->lock);
	rig.memory.guard->status.nr_tables = GUARD_TABLES_MAX + 1;
	pthread_mutex_unlock(&rig.memory.guard->lock);
}

Test(violations, page_tables_are_reclaimed_while_the_vcpus_stand)
{
	start(VIOLATION_CONTAIN);
	violate(0, 0);
	pretend_many_tables();
	memory_rig_run(&rig, LOOK_NS);
	cr_expect_eq(run.nr_parks, 1);
	cr_expect_eq(run.nr_unparks, 1);
	cr_expect_eq(v.nr_reclaims, 1);
}

Test(violations, a_vcpu_that_can_not_be_stopped_puts_that_off)
{
	start(VIOLATION_CONTAIN);
	run.refuses_to_park = true;
	violate(0, 0);
	pretend_many_tables();
	memory_rig_run(&rig, LOOK_NS);
	cr_expect_eq(run.nr_parks, 1);
	cr_expect_eq(run.nr_unparks, 1);
	cr_expect_eq(v.nr_reclaims, 0);
	cr_expect_gt(guard_peek(rig.memory.guard).nr_tables, GUARD_TABLES_MAX);
	cr_expect_null(violations_forbid(&v));
}

Test(violations, a_vm_that_stands_need_not_be_stopped)
{
	start(VIOLATION_CONTAIN);
	run.running = false;
	violate(0, 0);
	pretend_many_tables();
	memory_rig_run(&rig, LOOK_NS);
	cr_expect_eq(run.nr_parks, 0);
	cr_expect_eq(v.nr_reclaims, 1);
}

Test(violations, a_reset_frees_them_and_forgets_the_trouble)
{
	start(VIOLATION_PAUSE);
	violate(0, 0);
	memory_rig_run(&rig, LOOK_NS);
	cr_assert_not_null(v.trouble);
	cr_expect_eq(violations_reset(&v), 0);
	cr_expect_null(v.trouble);
	cr_expect_eq(guard_peek(rig.memory.guard).nr_tables, 0);
	cr_expect(becomes_empty(ram(0)));
}

/* --- the host is asked ------------------------------------------------------------------------- */

Test(violations, more_than_the_ring_behind_unplugged_blocks_is_an_error_once)
{
	start(VIOLATION_CONTAIN);
	stderr_keep();
	violate(0, 0);
	memory_rig_run(&rig, LOOK_NS);
	/* Past the guard: by the file, as nothing of ours does. */
	cr_assert_eq(pwrite(ram(1)->fd, &rig, sizeof(rig.cfg), 4 * MiB), (ssize_t)sizeof(rig.cfg));
	for (uint64_t at = 8 * MiB; at < 12 * MiB; at += 4 * KiB)
		cr_assert_eq(pwrite(ram(1)->fd, "x", 1, (off_t)at), 1);
	memory_rig_run(&rig, 3 * NS_PER_S);
	cr_expect_geq(v.nr_ledger_errors, 1);
	cr_expect(strstr(stderr_text(), "behind memory that was given back"));
	cr_expect(run.running);
}

Test(violations, without_one_the_ledger_is_not_looked_at)
{
	start(VIOLATION_CONTAIN);
	for (uint64_t at = 8 * MiB; at < 12 * MiB; at += 4 * KiB)
		cr_assert_eq(pwrite(ram(1)->fd, "x", 1, (off_t)at), 1);
	memory_rig_run(&rig, 3 * NS_PER_S);
	cr_expect_eq(v.nr_ledger_errors, 0);
}

/* --- without a guard --------------------------------------------------------------------------- */

static void setup_unguarded(void)
{
	memory_rig_init(&rig, 64 * MiB, 1, false);
	start(VIOLATION_KILL);
}

TestSuite(violations_off, .init = setup_unguarded, .fini = teardown, .timeout = 240);

Test(violations_off, nothing_is_watched_and_nothing_forbids)
{
	vcpu_write(ram(0), 0, 1);
	memory_rig_run(&rig, 3 * NS_PER_S);
	cr_expect_eq(run.nr_ends, 0);
	cr_expect_eq(violations_reset(&v), 0);
	violations_stop(&v);
	cr_expect_null(violations_forbid(&v));
}

Test(violations_off, one_that_was_never_opened_can_be_closed)
{
	struct violations none = { 0 };

	violations_stop(&none);
	violations_close(&none);
}
