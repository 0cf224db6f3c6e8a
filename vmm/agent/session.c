/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - the conversation with a guest's agent. */
#include "vmm/agent/session.h"

#include <stdio.h>
#include <string.h>

#include "vmm/base/log.h"

static const char *const states[] = {
	[AGENT_GONE] = "gone",	   [AGENT_CONNECTED] = "connected",
	[AGENT_SILENT] = "silent", [AGENT_BROKEN] = "broken",
};

const char *agent_state_name(enum agent_state state) { return states[state]; }

void agent_session_init(struct agent_session *s, struct guest_end guest,
			const struct agent_session_env *env, const struct agent_config *config,
			uint64_t now)
{
	*s = (struct agent_session){
		.guest = guest,
		.env = *env,
		.bucket = token_bucket_full(AGENT_LINES_PER_S, AGENT_LINES_BURST, now),
		.config = *config,
	};
}

static bool is_there(const struct agent_session *s)
{
	return s->state == AGENT_CONNECTED || s->state == AGENT_SILENT;
}

bool agent_session_can(const struct agent_session *s, unsigned int what)
{
	return is_there(s) && (s->hello.can & what) == what;
}

void agent_session_opened(struct agent_session *s, bool open)
{
	(void)open; /* either way nothing is left of what was before */
	s->left = true;
	s->state = AGENT_GONE;
	s->nr_faults = 0;
	s->nr_input = 0;
	s->too_long = false;
	s->nr_queued = 0;
	s->config_due = false;
	s->nr_current = s->nr_sent = 0;
}

/* --- what the guest says ----------------------------------------------------------------------- */

size_t agent_session_room(struct agent_session *s, uint64_t now)
{
	size_t room = sizeof(s->input) - s->nr_input;

	if (s->state == AGENT_BROKEN || !token_bucket_level(&s->bucket, now))
		room = 0;
	s->starved = !room;
	return room;
}

void agent_session_put(struct agent_session *s, const uint8_t *bytes, size_t nr)
{
	nr = min_u64(nr, sizeof(s->input) - s->nr_input);
	memcpy(s->input + s->nr_input, bytes, nr);
	s->nr_input += nr;
}

static void fault(struct agent_session *s, const char *what)
{
	/* What stands before a hello is nothing: it may be left of an earlier opening. */
	if (s->state == AGENT_GONE)
		return;
	log_guest("agent: a line that is no message: %s", what);
	snprintf(s->fault, sizeof(s->fault), "%.*s", (int)sizeof(s->fault) - 1, what);
	s->nr_faults_ever++;
	if (++s->nr_faults == AGENT_FAULTS_MAX)
		s->state = AGENT_BROKEN;
}

static void take_message(struct agent_session *s, const struct agent_message *m, uint64_t now)
{
	if (m->kind == AGENT_HELLO) {
		s->hello = m->hello;
		s->config_due = true;
		s->nr_queued = 0;
		s->state = AGENT_CONNECTED;
	}
	if (s->state == AGENT_GONE)
		return;
	s->heard_ns = now;
	s->state = AGENT_CONNECTED;
	if (m->kind == AGENT_STATUS || m->kind == AGENT_NEED || m->kind == AGENT_SPARE ||
	    m->kind == AGENT_WORKING_SET)
		s->env.heard(s->env.ctx, m);
}

static void take_line(struct agent_session *s, size_t bytes, uint64_t now)
{
	struct agent_message m;
	struct qmp_error err;

	s->nr_lines++;
	if (!bytes)
		return;
	if (agent_message_parse(&m, s->input, bytes, &err))
		fault(s, err.desc);
	else
		take_message(s, &m, now);
}

static void tell_state(struct agent_session *s)
{
	bool left = s->left;

	s->left = false;
	if (left && s->told_state != AGENT_GONE) {
		s->told_state = AGENT_GONE;
		s->env.state_changed(s->env.ctx, AGENT_GONE);
	}
	if (s->state != s->told_state) {
		s->told_state = s->state;
		s->env.state_changed(s->env.ctx, s->state);
	}
}

/* One line, or as much of one that is too long as there is. False: there is none, or no token. */
static bool take_some(struct agent_session *s, uint64_t now)
{
	char *end = memchr(s->input, '\n', s->nr_input);
	size_t nr = end ? (size_t)(end - s->input) : s->nr_input;

	if (s->state == AGENT_BROKEN) {
		s->nr_input = 0;
		return false;
	}
	if ((!end && nr < sizeof(s->input)) || !token_bucket_level(&s->bucket, now))
		return false;
	token_bucket_take(&s->bucket, 1, now);
	if (end && !s->too_long)
		take_line(s, nr, now);
	else if (!s->too_long)
		fault(s, "longer than 4095 bytes");
	s->too_long = !end;
	nr += end != NULL;
	s->nr_input -= nr;
	memmove(s->input, s->input + nr, s->nr_input);
	return true;
}

static uint64_t silent_ns(const struct agent_session *s)
{
	return s->heard_ns + AGENT_SILENCE_NS + 3 * s->config.interval_ms * NS_PER_MS;
}

static bool may_fall_silent(const struct agent_session *s)
{
	return s->state == AGENT_CONNECTED && s->hello.can & AGENT_CAN_STATUS;
}

/* --- what the host says ------------------------------------------------------------------------ */

void agent_session_configure(struct agent_session *s, const struct agent_config *c)
{
	bool same = s->config.interval_ms == c->interval_ms &&
		    s->config.min_bytes == c->min_bytes && s->config.max_bytes == c->max_bytes &&
		    s->config.size_bytes == c->size_bytes &&
		    s->config.cache_age_s == c->cache_age_s;

	s->config = *c;
	s->config_due |= !same && is_there(s);
}

void agent_session_send(struct agent_session *s, const char *line)
{
	char *at;

	if (!is_there(s))
		return;
	if (s->nr_queued == AGENT_QUEUE_LINES) {
		s->first = (s->first + 1) % AGENT_QUEUE_LINES;
		s->nr_queued--;
		s->nr_lost++;
	}
	at = s->queue[(s->first + s->nr_queued++) % AGENT_QUEUE_LINES];
	snprintf(at, AGENT_HOST_LINE_BYTES, "%s", line);
}

/* The next line to send; false: there is none. */
static bool next_line(struct agent_session *s)
{
	if (s->config_due) {
		agent_config_line(s->current, &s->config);
		s->config_due = false;
	} else if (s->nr_queued) {
		memcpy(s->current, s->queue[s->first], AGENT_HOST_LINE_BYTES);
		s->first = (s->first + 1) % AGENT_QUEUE_LINES;
		s->nr_queued--;
	} else {
		return false;
	}
	s->nr_current = strlen(s->current);
	s->nr_sent = 0;
	return true;
}

static void send_lines(struct agent_session *s)
{
	while (s->nr_sent < s->nr_current || next_line(s)) {
		size_t nr = s->guest.receive(s->guest.ctx,
					     (const uint8_t *)s->current + s->nr_sent,
					     s->nr_current - s->nr_sent);

		if (!nr)
			return; /* the guest's end says when there is room */
		s->nr_sent += nr;
	}
}

/* --- the whole --------------------------------------------------------------------------------- */

void agent_session_run(struct agent_session *s, uint64_t now)
{
	bool again;

	do {
		while (take_some(s, now))
			tell_state(s);
		tell_state(s);
		again = s->starved && agent_session_room(s, now);
		if (again)
			s->guest.transmit_ready(s->guest.ctx); /* which may put some */
	} while (again);
	if (may_fall_silent(s) && now >= silent_ns(s))
		s->state = AGENT_SILENT;
	tell_state(s);
	send_lines(s);
}

uint64_t agent_session_next_ns(const struct agent_session *s)
{
	bool waits = s->starved || s->nr_input == sizeof(s->input) ||
		     memchr(s->input, '\n', s->nr_input);
	uint64_t token = waits && s->state != AGENT_BROKEN ? token_bucket_when(&s->bucket, 1) : 0;
	uint64_t silent = may_fall_silent(s) ? silent_ns(s) : 0;

	return token && silent ? min_u64(token, silent) : max_u64(token, silent);
}
