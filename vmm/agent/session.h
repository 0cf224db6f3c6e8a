/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - the host's side of the conversation with a guest's agent: lines out of bytes,
 * faults, silence, and how fast any of it is taken. Pure: the time, that of the guest (its VM runs),
 * is an argument and never goes back. One struct lives as long as the port.
 *
 * A line, also one that is nothing or too long, costs a token of a bucket, which the guest can't
 * fill by opening the port anew; without one the guest waits. Who says nothing for long is silent
 * until he speaks; who has made too many faults is not listened to until the port is opened anew.
 *
 * Thread: agent_session_opened(), _room() and _put() any, the rest the loop; all under one lock.
 */
#ifndef EBB_AGENT_SESSION_H
#define EBB_AGENT_SESSION_H

#include "devices/chardev_ends.h"
#include "vmm/agent/message.h"
#include "vmm/base/token_bucket.h"

#define AGENT_LINES_PER_S 20
#define AGENT_LINES_BURST 40
#define AGENT_FAULTS_MAX  8
#define AGENT_QUEUE_LINES 16 /* for a guest that does not read */
/* And three intervals of `status`. */
#define AGENT_SILENCE_NS (30 * NS_PER_S)

enum agent_state {
	AGENT_GONE,	 /* the guest's end is closed, or it has not said hello */
	AGENT_CONNECTED,
	AGENT_SILENT,
	AGENT_BROKEN,	 /* too many faults */
};
/* "gone", "connected", "silent", "broken". */
#define AGENT_STATES "gone|connected|silent|broken"
const char *agent_state_name(enum agent_state state);

struct agent_session_env {
	/* From agent_session_run() alone; both may send. */
	void (*state_changed)(void *ctx, enum agent_state state);
	/* Whatever is no hello comes after one. */
	void (*heard)(void *ctx, const struct agent_message *m);
	void *ctx;
};

struct agent_session {
	struct guest_end guest;
	struct agent_session_env env;
	enum agent_state state, told_state;
	bool left; /* the guest has closed since the state was told */
	struct agent_hello hello;
	struct token_bucket bucket;
	unsigned int nr_faults; /* of this opening */
	uint64_t heard_ns;
	uint64_t nr_lines, nr_faults_ever; /* taken; of them faults */
	uint64_t nr_lost;		   /* of ours, not read by the guest */
	char fault[128]; /* the last one; "": none yet */

	char input[AGENT_LINE_BYTES + 1];
	size_t nr_input;
	bool too_long; /* the rest of a line that was is passed over */
	bool starved;  /* the device was told that there is no room */

	struct agent_config config;
	bool config_due; /* goes before what is queued */
	char queue[AGENT_QUEUE_LINES][AGENT_HOST_LINE_BYTES];
	unsigned int first, nr_queued;
	char current[AGENT_HOST_LINE_BYTES]; /* the line under way */
	size_t nr_current, nr_sent;
};

void agent_session_init(struct agent_session *s, struct guest_end guest,
			const struct agent_session_env *env, const struct agent_config *config,
			uint64_t now_ns);

/* The guest's end is open, or closed; what was said on it before is forgotten. Run it then. */
void agent_session_opened(struct agent_session *s, bool open);
/* Bytes that put() takes now. */
size_t agent_session_room(struct agent_session *s, uint64_t now_ns);
/* At most room(). Run it then. */
void agent_session_put(struct agent_session *s, const uint8_t *bytes, size_t nr);

/* Takes what there is to take and sends what there is to send; also at agent_session_next_ns(). */
void agent_session_run(struct agent_session *s, uint64_t now_ns);
/* 0: never, as things are. */
uint64_t agent_session_next_ns(const struct agent_session *s);

/* What the guest is to know from now on: is sent if it has said hello, and whenever it does. */
void agent_session_configure(struct agent_session *s, const struct agent_config *config);
/* Queues LINE for a guest that has said hello; the oldest one is lost where there is no room. */
void agent_session_send(struct agent_session *s, const char *line);
/* Whether the guest is there and can, see AGENT_CAN_*. */
bool agent_session_can(const struct agent_session *s, unsigned int what);

#endif
