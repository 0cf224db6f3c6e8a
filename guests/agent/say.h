/* SPDX-License-Identifier: Apache-2.0 */
/* say.h - what the agent says: lines of PROTOCOL.md, with their '\n'. Pure. */
#ifndef EBB_AGENT_SAY_H
#define EBB_AGENT_SAY_H

#include "guests/agent/memory.h"
#include "guests/agent/psi.h"
#include "guests/agent/text.h"
#include "guests/agent/working_set.h"

#define AGENT_PROTOCOL 1

/* How the guest stands. Each function replaces what is in T. */
struct say_state {
	const struct memory *memory;
	const struct psi *psi;
	uint64_t evicted;
};

void say_hello(struct text *t, const char *agent, const char *kernel, bool working_set,
	       bool cache_age);
void say_status(struct text *t, const struct say_state *state);
void say_need(struct text *t, uint64_t bytes, const char *why, const struct say_state *state);
void say_spare(struct text *t, uint64_t bytes);
void say_working_set(struct text *t, const struct working_set *w, unsigned int node);
void say_no_working_set(struct text *t, uint64_t node, const char *error);

#endif
