/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_port.c - a conversation in a loop: wakes for what is said, for time, not in a pause. */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/agent/port.h"

#define HELLO "{\"msg\":\"hello\",\"version\":1,\"can\":[\"status\"]}\n"
#define SPARE "{\"msg\":\"spare\",\"bytes\":1}\n"

static struct loop *loop;
static struct run_clock run_time;
static struct agent_port port;
static struct host_end host;
static unsigned int nr_heard, nr_states, nr_waits; /* lines that have no room yet */
static char got[1024];
static size_t nr_got;

static void say(void)
{
	while (nr_waits && host.room(host.ctx) >= strlen(SPARE)) {
		host.put(host.ctx, (const uint8_t *)SPARE, strlen(SPARE));
		nr_waits--;
	}
}

static size_t receive(void *ctx, const uint8_t *bytes, size_t nr)
{
	(void)ctx;
	cr_assert_leq(nr_got + nr, sizeof(got));
	memcpy(got + nr_got, bytes, nr);
	nr_got += nr;
	return nr;
}

static void transmit_ready(void *ctx) { (void)ctx, say(); }
static void state_changed(void *ctx, enum agent_state state) { (void)ctx, (void)state, nr_states++; }
static void heard(void *ctx, const struct agent_message *m) { (void)ctx, (void)m, nr_heard++; }
static void stop(void *ctx) { loop_stop(ctx); }

static void run_for(uint64_t ns)
{
	struct loop_timer timer = { .fn = stop, .ctx = loop };

	loop_timer_set(loop, &timer, clock_ns() + ns);
	cr_assert_eq(loop_run(loop), 0);
	loop_timer_cancel(loop, &timer);
}

static void setup(void)
{
	struct guest_end guest = { .receive = receive, .transmit_ready = transmit_ready };
	struct agent_session_env env = { state_changed, heard, NULL };
	struct agent_config config = { .interval_ms = 1000 };

	run_time = (struct run_clock){ 0 };
	nr_heard = nr_states = nr_waits = 0;
	nr_got = 0;
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(agent_port_open(&port, loop, guest, &run_time, &env, &config), 0);
	host = agent_port_host_end(&port);
	host.guest_opened(host.ctx, true);
	host.put(host.ctx, (const uint8_t *)HELLO, strlen(HELLO));
	cr_assert_eq(nr_got, 0, "the device is not called back");
	run_for(10 * NS_PER_MS);
	cr_assert_eq(nr_states, 1);
	cr_assert_gt(nr_got, 0);
}

static void teardown(void)
{
	agent_port_close(&port);
	loop_free(loop);
}

TestSuite(agent_port, .init = setup, .fini = teardown, .timeout = 240);

Test(agent_port, what_has_no_room_comes_when_its_time_has)
{
	nr_waits = 300;
	say();
	run_for(20 * NS_PER_MS);
	cr_expect_geq(nr_heard, AGENT_LINES_BURST - 1);
	cr_expect_leq(nr_heard, AGENT_LINES_BURST + 1);
	cr_expect_gt(nr_waits, 0);
	run_for(500 * NS_PER_MS);
	cr_expect_geq(nr_heard, AGENT_LINES_BURST - 1 + AGENT_LINES_PER_S / 2 - 1);
	cr_expect_leq(nr_heard, AGENT_LINES_BURST + AGENT_LINES_PER_S);
}

Test(agent_port, a_clock_that_stands_brings_nothing)
{
	unsigned int before;

	nr_waits = 300;
	say();
	run_for(20 * NS_PER_MS);
	run_clock_stop(&run_time, loop_now(loop));
	agent_port_wake(&port);
	run_for(10 * NS_PER_MS);
	before = nr_heard;
	run_for(300 * NS_PER_MS);
	cr_expect_eq(nr_heard, before);
	run_clock_go(&run_time, loop_now(loop));
	agent_port_wake(&port);
	run_for(10 * NS_PER_MS);
	cr_expect_leq(nr_heard, before + 2, "nothing has gathered meanwhile");
	run_for(300 * NS_PER_MS);
	cr_expect_geq(nr_heard, before + 3);
}

Test(agent_port, the_clock_goes_on_where_it_stood)
{
	uint64_t before, after;

	run_clock_stop(&run_time, loop_now(loop));
	before = run_clock_ns(&run_time, loop_now(loop));
	run_clock_stop(&run_time, loop_now(loop));
	run_for(20 * NS_PER_MS);
	cr_expect_eq(run_clock_ns(&run_time, loop_now(loop)), before);
	run_clock_go(&run_time, loop_now(loop));
	run_clock_go(&run_time, loop_now(loop));
	after = run_clock_ns(&run_time, loop_now(loop));
	cr_expect_lt(after - before, 10 * NS_PER_MS);
	cr_expect_eq(run_clock_monotonic_ns(&run_time, after) - after, run_time.stood_ns);
}
