/* SPDX-License-Identifier: Apache-2.0 */
/* say.c - what the agent says. */
#include "guests/agent/say.h"

static void begin(struct text *t, const char *msg)
{
	t->used = 0;
	t->full = false;
	text_put(t, "{\"msg\":\"");
	text_put(t, msg);
	text_put(t, "\"");
}

static void key(struct text *t, const char *name)
{
	text_put(t, ",\"");
	text_put(t, name);
	text_put(t, "\":");
}

static void number(struct text *t, const char *name, uint64_t value)
{
	key(t, name);
	text_put_number(t, min_u64(value, INT64_MAX));
}

/* Printable ASCII, at most 63 bytes; other bytes become dots. */
static void words(struct text *t, const char *name, const char *value)
{
	char clean[64];
	size_t n = 0;

	for (; value[n] && n < sizeof clean - 1; n++) {
		bool fits =
			value[n] >= ' ' && value[n] <= '~' && value[n] != '"' && value[n] != '\\';

		clean[n] = fits ? value[n] : '.';
	}
	clean[n] = '\0';
	key(t, name);
	text_put(t, "\"");
	text_put(t, clean);
	text_put(t, "\"");
}

static void end(struct text *t) { text_put(t, "}\n"); }

void say_hello(struct text *t, const char *agent, const char *kernel, bool working_set,
	       bool cache_age)
{
	begin(t, "hello");
	number(t, "version", AGENT_PROTOCOL);
	words(t, "agent", agent);
	words(t, "kernel", kernel);
	key(t, "can");
	text_put(t, "[\"status\"");
	text_put(t, working_set ? ",\"working-set\"" : "");
	text_put(t, cache_age ? ",\"cache-age\"" : "");
	text_put(t, "]");
	end(t);
}

static void state_keys(struct text *t, const struct say_state *state)
{
	const struct memory *m = state->memory;

	number(t, "total", m->total);
	number(t, "available", m->available);
	number(t, "free", m->free);
	number(t, "file", m->file);
	number(t, "swap-free", m->swap_free);
	if (state->psi->file >= 0) {
		number(t, "some-us", state->psi->some_us);
		number(t, "full-us", state->psi->full_us);
	}
	number(t, "refault", m->refault);
	number(t, "evicted", state->evicted);
	number(t, "oom-kills", m->oom_kills);
	end(t);
}

void say_status(struct text *t, const struct say_state *state)
{
	begin(t, "status");
	state_keys(t, state);
}

void say_need(struct text *t, uint64_t bytes, const char *why, const struct say_state *state)
{
	begin(t, "need");
	number(t, "bytes", bytes);
	words(t, "why", why);
	state_keys(t, state);
}

void say_spare(struct text *t, uint64_t bytes)
{
	begin(t, "spare");
	number(t, "bytes", bytes);
	end(t);
}

static void bin(struct text *t, const struct working_set_node *n, unsigned int i)
{
	text_put(t, "\"anon\":");
	text_put_number(t, n->bins[i].anon);
	text_put(t, ",\"file\":");
	text_put_number(t, n->bins[i].file);
	text_put(t, "}");
}

void say_working_set(struct text *t, const struct working_set *w, unsigned int node)
{
	const struct working_set_node *n = &w->nodes[node];
	bool open = !w->ages || n->nr_bins == WORKING_SET_BINS;

	begin(t, "working-set");
	number(t, "node", n->node);
	words(t, "source", w->ages ? "mglru" : "lru");
	key(t, "bins");
	for (unsigned int i = 0; i < n->nr_bins; i++) {
		text_put(t, i ? ",{" : "[{");
		if (!open || i + 1 < n->nr_bins) {
			text_put(t, "\"idle-ms\":");
			text_put_number(t, w->ages ? working_set_idle_ms(i) : 1);
			text_put(t, ",");
		}
		bin(t, n, i);
	}
	/* The last one has no end; what has a bin of its own is not older than that. */
	text_put(t, open ? "]" : ",{\"anon\":0,\"file\":0}]");
	end(t);
}

void say_no_working_set(struct text *t, uint64_t node, const char *error)
{
	begin(t, "working-set");
	number(t, "node", node);
	words(t, "source", "lru");
	text_put(t, ",\"bins\":[]");
	words(t, "error", error);
	end(t);
}
