/* SPDX-License-Identifier: Apache-2.0 */
/* agent_rig.h - a conversation with an agent: a guest's end that takes what it is told to. */
#ifndef EBB_TESTS_AGENT_RIG_H
#define EBB_TESTS_AGENT_RIG_H

#include "vmm/agent/session.h"

#define AGENT_RIG_OUTPUT 65536

struct agent_rig {
	struct agent_session s;
	uint64_t now_ns;
	/* What the guest has said and the host's end had no room for yet. */
	const char *waits;
	size_t nr_waits;
	/* What the guest got; it takes TAKES more bytes. */
	char got[AGENT_RIG_OUTPUT];
	size_t nr_got, takes;
	bool open;
	/* What the host heard. */
	unsigned int nr_states, nr_heard;
	enum agent_state states[64]; /* the first ones */
	struct agent_message last;
};

/* Closed, with a guest that reads all. */
void agent_rig_init(struct agent_rig *r);
void agent_rig_open(struct agent_rig *r, bool open);
/* The guest says NR bytes, which wait with it while there is no room; they must stay. */
void agent_rig_say(struct agent_rig *r, const char *bytes, size_t nr);
void agent_rig_say_text(struct agent_rig *r, const char *text);
/* Time goes on, with all that is due on the way. */
void agent_rig_pass(struct agent_rig *r, uint64_t ns);

#endif
