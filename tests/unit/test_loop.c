/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop.c - descriptors, timers and the device lock of the main loop. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "tests/unit/fake_clock.h"

static struct loop *loop;
static struct fake_clock clock_of_loop;

static void setup(void)
{
	cr_assert_eq(loop_new(&loop), 0);
	fake_clock_init(&clock_of_loop, loop);
}

static void use_hosts_clock(void) { loop_use_clock(loop, NULL); }
static void teardown(void) { loop_free(loop); }

TestSuite(loop, .init = setup, .fini = teardown, .timeout = 240);

/* An eventfd that counts how often its callback ran, and what that does besides. */
struct event {
	int fd;
	unsigned int nr;
	uint32_t events;
	struct event *removes;
	bool stops;
};

static void on_event(void *ctx, uint32_t events)
{
	struct event *e = ctx;
	uint64_t value;

	e->nr++;
	e->events = events;
	if (events & EPOLLIN)
		cr_assert_eq(read(e->fd, &value, sizeof(value)), sizeof(value));
	if (e->removes)
		loop_remove(loop, e->removes->fd);
	if (e->stops)
		loop_stop(loop);
}

static void signal_event(const struct event *e)
{
	const uint64_t one = 1;

	cr_assert_eq(write(e->fd, &one, sizeof(one)), sizeof(one));
}

static struct event event_new(void)
{
	struct event e = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };

	cr_assert_geq(e.fd, 0);
	return e;
}

/* Runs for MS milliseconds of its time. */
static void run_for(uint64_t ms) { fake_clock_run(&clock_of_loop, loop, ms * NS_PER_MS); }

Test(loop, readable_descriptor_runs_its_callback)
{
	struct event e = event_new();

	e.stops = true;
	cr_assert_eq(loop_add(loop, e.fd, EPOLLIN, on_event, &e), 0);
	signal_event(&e);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(e.nr, 1);
	cr_assert_eq(e.events, EPOLLIN);
	close(e.fd);
}

Test(loop, descriptor_is_watched_once)
{
	struct event e = event_new();

	cr_assert_eq(loop_add(loop, e.fd, EPOLLIN, on_event, &e), 0);
	cr_assert_eq(loop_add(loop, e.fd, EPOLLIN, on_event, &e), -EEXIST);
	loop_remove(loop, e.fd);
	cr_assert_eq(loop_add(loop, e.fd, EPOLLIN, on_event, &e), 0);
	close(e.fd);
}

Test(loop, descriptor_that_cannot_be_watched_is_refused)
{
	int file = memfd_create("file", MFD_CLOEXEC);
	struct event e = { .fd = file };

	cr_assert_eq(loop_add(loop, file, EPOLLIN, on_event, &e), -EPERM);
	cr_assert_eq(loop_add(loop, -1, EPOLLIN, on_event, &e), -EBADF);
	close(file);
}

Test(loop, removed_descriptor_is_silent)
{
	struct event e = event_new();

	cr_assert_eq(loop_add(loop, e.fd, EPOLLIN, on_event, &e), 0);
	signal_event(&e);
	loop_remove(loop, e.fd);
	loop_remove(loop, e.fd);
	run_for(20);
	cr_assert_eq(e.nr, 0);
	close(e.fd);
}

Test(loop, callback_may_remove_another_that_is_due_in_the_same_turn)
{
	struct event a = event_new(), b = event_new();

	a.removes = &b;
	b.removes = &a;
	cr_assert_eq(loop_add(loop, a.fd, EPOLLIN, on_event, &a), 0);
	cr_assert_eq(loop_add(loop, b.fd, EPOLLIN, on_event, &b), 0);
	signal_event(&a);
	signal_event(&b);
	run_for(20);
	cr_assert_eq(a.nr + b.nr, 1);
	close(a.fd);
	close(b.fd);
}

Test(loop, callback_may_remove_itself)
{
	struct event e = event_new();

	e.removes = &e;
	cr_assert_eq(loop_add(loop, e.fd, EPOLLIN, on_event, &e), 0);
	signal_event(&e);
	run_for(20);
	signal_event(&e);
	run_for(20);
	cr_assert_eq(e.nr, 1);
	close(e.fd);
}

Test(loop, modified_descriptor_reports_what_was_asked_last)
{
	struct event e = event_new();

	cr_assert_eq(loop_add(loop, e.fd, EPOLLIN, on_event, &e), 0);
	loop_modify(loop, e.fd, EPOLLOUT);
	e.stops = true;
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(e.events, EPOLLOUT);
	close(e.fd);
}

/* Timers write their letter. */
static char fired[16];
static unsigned int nr_fired;

struct letter {
	struct loop_timer timer;
	char name;
	uint64_t again_ns;
	struct loop_timer *cancels;
	bool stops;
};

static void on_timer(void *ctx)
{
	struct letter *l = ctx;

	if (nr_fired < sizeof(fired) - 1)
		fired[nr_fired] = l->name;
	nr_fired++;
	if (l->cancels)
		loop_timer_cancel(loop, l->cancels);
	if (l->again_ns)
		loop_timer_set(loop, &l->timer, loop_now(loop) + l->again_ns);
	if (l->stops)
		loop_stop(loop);
}

static void arm(struct letter *l, char name, uint64_t at_ns)
{
	l->name = name;
	l->timer.fn = on_timer;
	l->timer.ctx = l;
	loop_timer_set(loop, &l->timer, at_ns);
}

Test(loop, timers_fire_in_the_order_of_their_times)
{
	struct letter a = { .name = 0 }, b = a, c = a;
	uint64_t now = loop_now(loop);

	arm(&a, 'a', now + 30 * NS_PER_MS);
	arm(&b, 'b', now + 10 * NS_PER_MS);
	arm(&c, 'c', now + 20 * NS_PER_MS);
	run_for(60);
	cr_assert_str_eq(fired, "bca");
	cr_assert_eq(a.timer.at_ns, 0, "one-shot");
}

Test(loop, timer_does_not_fire_early)
{
	struct letter a = { .stops = true };
	uint64_t at;

	use_hosts_clock();
	at = clock_ns() + 30 * NS_PER_MS;
	arm(&a, 'a', at);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(nr_fired, 1);
	cr_assert_geq(clock_ns(), at);
}

Test(loop, timer_in_the_past_fires_on_the_next_turn)
{
	struct letter a = { .name = 0 }, b = a;

	arm(&a, 'a', 0);
	arm(&b, 'b', loop_now(loop) - NS_PER_S);
	run_for(1);
	cr_assert_str_eq(fired, "ab");
}

Test(loop, rearmed_timer_fires_once_at_its_new_time)
{
	struct letter a = { .name = 0 }, b = a;
	uint64_t now = loop_now(loop);

	arm(&a, 'a', now + 5 * NS_PER_MS);
	arm(&b, 'b', now + 15 * NS_PER_MS);
	arm(&a, 'a', now + 25 * NS_PER_MS);
	run_for(60);
	cr_assert_str_eq(fired, "ba");
}

Test(loop, cancelled_timer_does_not_fire)
{
	struct letter a = { .name = 0 }, b = a;
	uint64_t now = loop_now(loop);

	arm(&a, 'a', now);
	arm(&b, 'b', now + 1);
	a.cancels = &b.timer;
	run_for(20);
	cr_assert_str_eq(fired, "a", "not even when due in the same turn");
	loop_timer_cancel(loop, &b.timer);
}

Test(loop, moved_timer_fires_at_its_new_time_or_not_at_all)
{
	struct letter a = { .name = 0 }, b = a;
	uint64_t now = loop_now(loop);

	arm(&a, 'a', now + 5 * NS_PER_MS);
	arm(&b, 'b', now + 10 * NS_PER_MS);
	loop_timer_move(loop, &a.timer, now + 15 * NS_PER_MS);
	run_for(20);
	cr_assert_str_eq(fired, "ba");
	loop_timer_move(loop, &a.timer, now + 30 * NS_PER_MS);
	loop_timer_move(loop, &a.timer, 0);
	run_for(20);
	cr_assert_eq(nr_fired, 2);
}

/* Set anew it would come after the other. */
Test(loop, timer_moved_to_its_own_time_keeps_its_turn)
{
	struct letter a = { .name = 0 }, b = a;
	uint64_t now = loop_now(loop);

	arm(&a, 'a', now);
	arm(&b, 'b', now);
	loop_timer_move(loop, &a.timer, now);
	run_for(1);
	cr_assert_str_eq(fired, "ab");
}

Test(loop, timer_may_arm_itself_again)
{
	struct letter a = { .again_ns = 2 * NS_PER_MS };

	arm(&a, 'a', loop_now(loop));
	run_for(100);
	cr_assert_eq(nr_fired, 50, "0, 2, 4 ... 98 ms: at 100 the loop was to stop first");
	loop_timer_cancel(loop, &a.timer);
}

Test(loop, timer_that_is_always_due_does_not_starve_descriptors)
{
	struct letter a = { .again_ns = 0 };
	struct event e = event_new();

	e.stops = true;
	cr_assert_eq(loop_add(loop, e.fd, EPOLLIN, on_event, &e), 0);
	arm(&a, 'a', loop_now(loop));
	a.again_ns = 1;
	signal_event(&e);
	cr_assert_eq(loop_run(loop), 0);
	cr_assert_eq(e.nr, 1);
	loop_timer_cancel(loop, &a.timer);
	close(e.fd);
}

/* Two threads, one lock: neither ever sees the other's half-done work. */
struct shared {
	unsigned int a, b; /* equal outside the lock */
	struct event e;
	bool stop;
	unsigned int nr_torn;
};

static void *vcpu(void *ctx)
{
	struct shared *s = ctx;

	for (int i = 0; i < 20000; i++) {
		loop_lock(loop);
		s->nr_torn += s->a != s->b;
		s->a++;
		s->b++;
		loop_unlock(loop);
		signal_event(&s->e);
	}
	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	signal_event(&s->e);
	return NULL;
}

static void on_shared(void *ctx, uint32_t events)
{
	struct shared *s = ctx;
	uint64_t value;

	(void)events;
	cr_assert_eq(read(s->e.fd, &value, sizeof(value)), sizeof(value));
	s->nr_torn += s->a != s->b;
	s->a++;
	s->b++;
	if (__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE))
		loop_stop(loop);
}

Test(loop, callbacks_and_vcpu_threads_exclude_each_other)
{
	struct shared s = { .e = event_new() };
	pthread_t thread;

	use_hosts_clock();
	cr_assert_eq(loop_add(loop, s.e.fd, EPOLLIN, on_shared, &s), 0);
	cr_assert_eq(pthread_create(&thread, NULL, vcpu, &s), 0);
	cr_assert_eq(loop_run(loop), 0);
	pthread_join(thread, NULL);
	cr_assert_eq(s.nr_torn, 0);
	cr_assert_gt(s.a, 20000);
	close(s.e.fd);
}

Test(loop, loop_can_run_again_after_it_was_stopped)
{
	struct event e = event_new();

	cr_assert_eq(loop_add(loop, e.fd, EPOLLIN, on_event, &e), 0);
	run_for(1);
	signal_event(&e);
	run_for(5);
	cr_assert_eq(e.nr, 1);
	close(e.fd);
}
