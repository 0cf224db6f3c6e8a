/* SPDX-License-Identifier: Apache-2.0 */
/* fake_clock.c - a loop's time in the hand of a test. */
#include "tests/unit/fake_clock.h"

#include <criterion/criterion.h>
#include <sys/epoll.h>

static uint64_t now(struct loop_clock *c)
{
	struct fake_clock *clock = container_of(c, struct fake_clock, clock);

	clock->now_ns += clock->look_ns;
	return clock->now_ns;
}

static int wait(struct loop_clock *c, int epoll_fd, struct epoll_event *events, int nr,
		uint64_t until_ns)
{
	struct fake_clock *clock = container_of(c, struct fake_clock, clock);
	int found = epoll_wait(epoll_fd, events, nr, 0);

	clock->nr_waits++;
	if (found)
		return found;
	cr_assert_neq(until_ns, LOOP_NEVER, "nothing would ever end this wait");
	clock->now_ns = max_u64(clock->now_ns, until_ns);
	return 0;
}

void fake_clock_init(struct fake_clock *clock, struct loop *loop)
{
	*clock = (struct fake_clock){ .clock = { now, wait }, .now_ns = 1000 * NS_PER_S };
	loop_use_clock(loop, &clock->clock);
}

static void stop(void *ctx) { loop_stop(ctx); }

void fake_clock_run(struct fake_clock *clock, struct loop *loop, uint64_t ns)
{
	struct loop_timer end = { .fn = stop, .ctx = loop };

	loop_timer_set(loop, &end, clock->now_ns + ns);
	cr_assert_eq(loop_run(loop), 0);
	loop_timer_cancel(loop, &end);
}
