/* SPDX-License-Identifier: Apache-2.0 */
/* port.c - the agent's conversation in the loop. */
#include "vmm/agent/port.h"

#include <sys/epoll.h>

#include "vmm/base/event.h"

static void run(struct agent_port *p)
{
	uint64_t at;

	agent_session_run(&p->session, run_clock_ns(p->clock, loop_now(p->loop)));
	at = agent_session_next_ns(&p->session);
	/* A clock that stands is woken when it goes again. */
	if (at && !p->clock->stopped_at_ns)
		loop_timer_set(p->loop, &p->timer, run_clock_monotonic_ns(p->clock, at));
	else
		loop_timer_cancel(p->loop, &p->timer);
}

static void on_wake(void *ctx, uint32_t events)
{
	struct agent_port *p = ctx;

	(void)events;
	if (event_taken(p->wake_fd))
		run(p);
}

static void on_timer(void *ctx) { run(ctx); }

void agent_port_wake(struct agent_port *p) { event_raise(&p->wake_fd); }

/* --- the host's end ---------------------------------------------------------------------------- */

static size_t room(void *ctx)
{
	struct agent_port *p = ctx;
	size_t bytes = agent_session_room(&p->session, run_clock_ns(p->clock, loop_now(p->loop)));

	if (!bytes) /* the timer is to say when there is some */
		agent_port_wake(p);
	return bytes;
}

static void put(void *ctx, const uint8_t *bytes, size_t nr)
{
	struct agent_port *p = ctx;

	agent_session_put(&p->session, bytes, nr);
	agent_port_wake(p);
}

static void can_receive(void *ctx) { agent_port_wake(ctx); }

static void guest_opened(void *ctx, bool open)
{
	struct agent_port *p = ctx;

	agent_session_opened(&p->session, open);
	agent_port_wake(p);
}

struct host_end agent_port_host_end(struct agent_port *p)
{
	return (struct host_end){ .room = room,
				  .put = put,
				  .can_receive = can_receive,
				  .guest_opened = guest_opened,
				  .ctx = p };
}

int agent_port_open(struct agent_port *p, struct loop *loop, struct guest_end guest,
		    const struct run_clock *clock, const struct agent_session_env *env,
		    const struct agent_config *config)
{
	int r;

	*p = (struct agent_port){ .loop = loop,
				  .clock = clock,
				  .timer = { .fn = on_timer, .ctx = p },
				  .wake_fd = -1 };
	agent_session_init(&p->session, guest, env, config, run_clock_ns(clock, loop_now(loop)));
	r = event_new(&p->wake_fd);
	if (!r)
		r = loop_add(loop, p->wake_fd, EPOLLIN, on_wake, p);
	if (r)
		auto_close_fn(&p->wake_fd);
	return r;
}

void agent_port_close(struct agent_port *p)
{
	loop_timer_cancel(p->loop, &p->timer);
	loop_remove(p->loop, p->wake_fd);
	auto_close_fn(&p->wake_fd);
}
