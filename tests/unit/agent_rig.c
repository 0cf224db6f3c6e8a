/* SPDX-License-Identifier: Apache-2.0 */
/* agent_rig.c - a conversation with an agent. */
#include "tests/unit/agent_rig.h"

#include <criterion/criterion.h>
#include <string.h>

/* As the device does. */
static void serve(struct agent_rig *r)
{
	while (r->nr_waits) {
		size_t nr = min_u64(r->nr_waits, agent_session_room(&r->s, r->now_ns));

		if (!nr)
			return;
		agent_session_put(&r->s, (const uint8_t *)r->waits, nr);
		r->waits += nr;
		r->nr_waits -= nr;
	}
}

static size_t receive(void *ctx, const uint8_t *bytes, size_t nr)
{
	struct agent_rig *r = ctx;

	nr = r->open ? min_u64(nr, min_u64(r->takes, sizeof(r->got) - 1 - r->nr_got)) : 0;
	memcpy(r->got + r->nr_got, bytes, nr);
	r->nr_got += nr;
	r->got[r->nr_got] = 0;
	r->takes -= nr;
	return nr;
}

static void transmit_ready(void *ctx) { serve(ctx); }

static void state_changed(void *ctx, enum agent_state state)
{
	struct agent_rig *r = ctx;

	if (r->nr_states < ARRAY_SIZE(r->states))
		r->states[r->nr_states] = state;
	r->nr_states++;
}

static void heard(void *ctx, const struct agent_message *m)
{
	struct agent_rig *r = ctx;

	r->nr_heard++;
	r->last = *m;
}

void agent_rig_init(struct agent_rig *r)
{
	struct guest_end guest = { .receive = receive, .transmit_ready = transmit_ready, .ctx = r };
	struct agent_session_env env = { state_changed, heard, r };
	struct agent_config config = { .interval_ms = 1000, .max_bytes = 1 };

	*r = (struct agent_rig){ .now_ns = NS_PER_S, .takes = SIZE_MAX };
	agent_session_init(&r->s, guest, &env, &config, r->now_ns);
}

void agent_rig_open(struct agent_rig *r, bool open)
{
	r->open = open;
	agent_session_opened(&r->s, open);
	agent_session_run(&r->s, r->now_ns);
}

void agent_rig_say(struct agent_rig *r, const char *bytes, size_t nr)
{
	r->waits = bytes;
	r->nr_waits = nr;
	/* As a busy loop: one turn may be all that the guest's kick gets. */
	do {
		serve(r);
		agent_session_run(&r->s, r->now_ns);
	} while (r->nr_waits && agent_session_room(&r->s, r->now_ns));
}

void agent_rig_say_text(struct agent_rig *r, const char *text)
{
	agent_rig_say(r, text, strlen(text));
}

void agent_rig_pass(struct agent_rig *r, uint64_t ns)
{
	uint64_t end = r->now_ns + ns, at;

	while ((at = agent_session_next_ns(&r->s)) && at <= end) {
		r->now_ns = max_u64(r->now_ns, at);
		agent_session_run(&r->s, r->now_ns);
		/* What was due is done: a loop would spin otherwise. */
		at = agent_session_next_ns(&r->s);
		cr_assert(!at || at > r->now_ns);
	}
	r->now_ns = end;
	agent_session_run(&r->s, r->now_ns);
}
