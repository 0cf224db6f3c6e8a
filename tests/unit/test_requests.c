/* SPDX-License-Identifier: Apache-2.0 */
/* test_requests.c - the mailbox between vCPU threads and the loop. */
#include "vmm/machine/requests.h"

#include <criterion/criterion.h>
#include <pthread.h>

#include "tests/unit/fake_clock.h"

static struct loop *loop;
static struct fake_clock ticks;
static struct requests r;
static unsigned int nr_made, nr_crash_kernels, made_after_crash_kernels;
static struct vm_request last;

static void made(void *ctx, const struct vm_request *request)
{
	cr_expect_eq(ctx, &last);
	nr_made++;
	last = *request;
	made_after_crash_kernels = nr_crash_kernels;
}

static void crash_kernel(void *ctx)
{
	cr_expect_eq(ctx, &last);
	nr_crash_kernels++;
}

static void run(void) { fake_clock_run(&ticks, loop, NS_PER_MS); }

static void setup(void)
{
	struct requests_env env = { .made = made, .crash_kernel = crash_kernel, .ctx = &last };

	nr_made = nr_crash_kernels = made_after_crash_kernels = 0;
	last = (struct vm_request){ 0 };
	cr_assert_eq(loop_new(&loop), 0);
	fake_clock_init(&ticks, loop);
	env.loop = loop;
	cr_assert_eq(requests_open(&r, &env), 0);
}

static void teardown(void)
{
	requests_close(&r);
	loop_free(loop);
}

TestSuite(requests, .init = setup, .fini = teardown, .timeout = 240);

static void exits_with_7(void) { requests_debug_exit(&r, 7); }
static void powers_off(void) { requests_power_off(&r); }
static void resets(void) { requests_reset(&r); }
static void panics(void) { requests_panicked(&r); }
static void falls(void) { requests_vcpu_ended(&r, VCPU_TRIPLE_FAULT, "three faults"); }
static void is_stuck(void) { requests_vcpu_ended(&r, VCPU_INTERNAL_ERROR, "emulation"); }
static void is_broken(void) { requests_vcpu_ended(&r, VCPU_HOST_ERROR, "an errno"); }
static void resets_by_kvm(void) { requests_vcpu_ended(&r, VCPU_RESET, NULL); }
static void ends_by_kvm(void) { requests_vcpu_ended(&r, VCPU_SHUTDOWN, NULL); }

static const struct {
	void (*ask)(void);
	struct vm_request want;
} rows[] = {
	{ powers_off, { .kind = REQUEST_POWER_OFF } },
	{ resets, { .kind = REQUEST_RESET } },
	{ exits_with_7, { .kind = REQUEST_DEBUG_EXIT, .exit_code = 7 } },
	{ panics, { .kind = REQUEST_PANIC } },
	{ falls, { .kind = REQUEST_CRASH, .text = "three faults", .guest_crashed = true } },
	{ is_stuck, { .kind = REQUEST_CRASH, .text = "emulation" } },
	{ is_broken, { .kind = REQUEST_CRASH, .text = "an errno" } },
	{ resets_by_kvm, { .kind = REQUEST_RESET } },
	{ ends_by_kvm, { .kind = REQUEST_POWER_OFF } },
};

static void expect_last(size_t i)
{
	const struct vm_request *want = &rows[i].want;

	cr_expect_eq(last.kind, want->kind, "row %zu", i);
	cr_expect_eq(last.exit_code, want->exit_code, "row %zu", i);
	cr_expect_eq(last.guest_crashed, want->guest_crashed, "row %zu", i);
	if (want->text)
		cr_expect_str_eq(last.text, want->text, "row %zu", i);
	else
		cr_expect_null(last.text, "row %zu", i);
}

Test(requests, each_is_handed_over_once_by_the_loop_and_not_before)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		rows[i].ask();
		cr_assert_eq(nr_made, i, "row %zu: whoever asks only asks", i);
		run();
		cr_assert_eq(nr_made, i + 1, "row %zu", i);
		expect_last(i);
		run();
		cr_assert_eq(nr_made, i + 1, "row %zu: once", i);
	}
	cr_expect_eq(nr_crash_kernels, 0);
}

Test(requests, the_first_one_counts)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		rows[i].ask();
		for (size_t j = 0; j < ARRAY_SIZE(rows); j++)
			rows[j].ask();
		run();
		cr_assert_eq(nr_made, i + 1, "row %zu", i);
		expect_last(i);
	}
}

Test(requests, a_crash_kernel_is_told_beside_a_request_and_before_it)
{
	requests_power_off(&r);
	requests_crash_kernel(&r);
	requests_crash_kernel(&r);
	run();
	cr_expect_eq(nr_crash_kernels, 1);
	cr_expect_eq(nr_made, 1);
	cr_expect_eq(last.kind, REQUEST_POWER_OFF);
	cr_expect_eq(made_after_crash_kernels, 1);
	requests_crash_kernel(&r);
	run();
	cr_expect_eq(nr_crash_kernels, 2);
	cr_expect_eq(nr_made, 1, "it is no request by itself");
}

Test(requests, what_is_dropped_is_not_done_and_the_next_one_is)
{
	requests_reset(&r);
	requests_crash_kernel(&r);
	requests_drop(&r);
	run();
	cr_expect_eq(nr_made + nr_crash_kernels, 0);
	requests_power_off(&r);
	run();
	cr_expect_eq(nr_made, 1);
	cr_expect_eq(nr_crash_kernels, 0);
	cr_expect_eq(last.kind, REQUEST_POWER_OFF);
	requests_drop(&r);
	run();
	cr_expect_eq(nr_made, 1);
}

/* The loop has found the descriptor and something else drops the request in the same turn. */
static void drop(void *ctx) { requests_drop(ctx); }

Test(requests, one_dropped_when_the_loop_is_on_its_way_to_it_is_not_done)
{
	struct loop_timer timer = { .fn = drop, .ctx = &r };

	for (int i = 0; i < 3; i++) {
		requests_reset(&r);
		loop_timer_set(loop, &timer, 1);
		run();
		cr_expect_leq(nr_made, 1, "done before, or not at all");
		cr_expect_eq(r.first.kind, REQUEST_NONE);
		nr_made = 0;
	}
}

static void *vcpu(void *ctx)
{
	(void)ctx;
	for (int i = 0; i < 100; i++) {
		loop_lock(loop);
		requests_panicked(&r);
		loop_unlock(loop);
		requests_vcpu_ended(&r, VCPU_TRIPLE_FAULT, "of a thread");
	}
	return NULL;
}

Test(requests, threads_ask_and_one_is_done)
{
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, vcpu, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	run();
	cr_expect_eq(nr_made, 1);
	cr_expect_eq(last.kind, REQUEST_PANIC, "each thread asks for that first");
}

static struct requests fresh;

Test(requests, one_that_was_never_opened_can_be_closed)
{
	requests_close(&fresh);
}
