/* SPDX-License-Identifier: Apache-2.0 */
/* message.c - the lines of the agent's port. */
#include "vmm/agent/message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/names.h"
#include "vmm/json/scan.h"
#include "vmm/json/schema.h"

/* json-c counts the values inside of the innermost brackets, too. */
#define TOKENER_DEPTH (AGENT_DEPTH_MAX + 1)

/* Schemas as of json/schema.h. */
#define U "u(0..9223372036854775807)"
#define STATUS_MEMBERS                                                                             \
	"free?:" U " file?:" U " swap-free?:" U " some-us?:" U " full-us?:" U " refault?:" U       \
	" evicted?:" U " oom-kills?:" U

/* --- members ----------------------------------------------------------------------------------- */

/* TEXT from a member that may be left out. */
static int take_name(struct json_object *o, const char *key, char text[AGENT_NAME_BYTES],
		     struct qmp_error *err)
{
	const char *said = qmp_arg_str(o, key, "");
	size_t n = strlen(said);

	for (size_t i = 0; i < n; i++)
		if (said[i] < ' ' || said[i] > '~')
			return qmp_fail(err, QMP_GENERIC_ERROR, "'%s' is not printable ASCII", key);
	if (n >= AGENT_NAME_BYTES)
		return qmp_fail(err, QMP_GENERIC_ERROR, "'%s' has more than %d bytes", key,
				AGENT_NAME_BYTES - 1);
	memcpy(text, said, n + 1);
	return 0;
}

const char *const agent_cans[AGENT_NR_CANS] = { "status", "working-set", "cache-age" };

static int take_hello(struct agent_message *m, struct json_object *o, struct qmp_error *err)
{
	struct json_object *can = qmp_arg(o, "can");
	int r;

	m->hello.version = (uint32_t)min_u64(qmp_arg_u64(o, "version", 0), AGENT_VERSION);
	for (size_t i = 0; can && i < json_object_array_length(can); i++) {
		int word = name_index(agent_cans, AGENT_NR_CANS,
				      json_object_get_string(json_object_array_get_idx(can, i)));

		if (word >= 0)
			m->hello.can |= 1u << word;
	}
	r = take_name(o, "agent", m->hello.agent, err);
	return r ? r : take_name(o, "kernel", m->hello.kernel, err);
}

static void take_status(struct agent_message *m, struct json_object *o)
{
	m->status = (struct autosize_status){
		.total_bytes = qmp_arg_u64(o, "total", UINT64_MAX),
		.available_bytes = qmp_arg_u64(o, "available", UINT64_MAX),
		.free_bytes = qmp_arg_u64(o, "free", UINT64_MAX),
		.file_bytes = qmp_arg_u64(o, "file", UINT64_MAX),
		.some_us = qmp_arg_u64(o, "some-us", UINT64_MAX),
		.full_us = qmp_arg_u64(o, "full-us", UINT64_MAX),
		.refault_bytes = qmp_arg_u64(o, "refault", UINT64_MAX),
		.evicted_bytes = qmp_arg_u64(o, "evicted", UINT64_MAX),
		.oom_kills = qmp_arg_u64(o, "oom-kills", UINT64_MAX),
	};
	m->swap_free_bytes = qmp_arg_u64(o, "swap-free", UINT64_MAX);
}

static int take_status_message(struct agent_message *m, struct json_object *o,
			       struct qmp_error *err)
{
	(void)err;
	take_status(m, o);
	return 0;
}

static const char *const needs[] = {
	[AGENT_NEED_UNSAID] = NULL,	  [AGENT_NEED_STALL] = "stall",
	[AGENT_NEED_LOW] = "low",	  [AGENT_NEED_REQUEST] = "request",
};

const char *agent_need_name(enum agent_need why) { return needs[why]; }

static int take_need(struct agent_message *m, struct json_object *o, struct qmp_error *err)
{
	const char *why = qmp_arg_str(o, "why", NULL);

	(void)err;
	m->bytes = qmp_arg_u64(o, "bytes", 0);
	if (why)
		m->why = (enum agent_need)(1 + name_index(needs + 1, ARRAY_SIZE(needs) - 1, why));
	take_status(m, o);
	return 0;
}

static int take_spare(struct agent_message *m, struct json_object *o, struct qmp_error *err)
{
	(void)err;
	m->bytes = qmp_arg_u64(o, "bytes", 0);
	return 0;
}

/* Bins of ages that rise; the last one alone has no end. */
static int take_bins(struct working_set *ws, struct json_object *bins, struct qmp_error *err)
{
	size_t nr = json_object_array_length(bins);
	uint64_t before = 0;

	if (nr > ARRAY_SIZE(ws->bins))
		return qmp_fail(err, QMP_GENERIC_ERROR, "'bins' has more than %zu",
				ARRAY_SIZE(ws->bins));
	for (size_t i = 0; i < nr; i++) {
		struct json_object *bin = json_object_array_get_idx(bins, i);
		uint64_t idle_ms = qmp_arg_u64(bin, "idle-ms", UINT64_MAX);

		if (idle_ms <= before || (idle_ms == UINT64_MAX) != (i + 1 == nr))
			return qmp_fail(err, QMP_GENERIC_ERROR,
					"'idle-ms' of 'bins' does not rise up to a last bin without "
					"one");
		ws->bins[i].idle_ms = before = idle_ms;
		ws->bins[i].anon_bytes = qmp_arg_u64(bin, "anon", 0);
		ws->bins[i].file_bytes = qmp_arg_u64(bin, "file", 0);
	}
	ws->nr_bins = (unsigned int)nr;
	return 0;
}

static int take_working_set(struct agent_message *m, struct json_object *o, struct qmp_error *err)
{
	struct working_set_record *w = &m->working_set;
	int r = take_name(o, "error", w->error, err);

	w->source = strcmp(qmp_arg_str(o, "source", ""), "mglru") ? WORKING_SET_LRU
								   : WORKING_SET_MGLRU;
	w->ws.node = (uint32_t)qmp_arg_u64(o, "node", 0);
	if (!r)
		r = take_bins(&w->ws, qmp_arg(o, "bins"), err);
	if (!r && !w->ws.nr_bins && !w->error[0])
		r = qmp_fail(err, QMP_GENERIC_ERROR, "neither 'bins' nor 'error'");
	return r;
}

/* --- a line ------------------------------------------------------------------------------------ */

static const struct {
	const char *name, *schema;
	int (*take)(struct agent_message *m, struct json_object *o, struct qmp_error *err);
} kinds[] = {
	[AGENT_HELLO] = { "hello", "version:u(1..4294967295) agent?:s kernel?:s can?:[s] ...",
			  take_hello },
	[AGENT_STATUS] = { "status", "total:" U " available:" U " " STATUS_MEMBERS " ...",
			   take_status_message },
	[AGENT_NEED] = { "need",
			 "bytes:" U " why?:stall|low|request total?:" U " available?:" U " "
			 STATUS_MEMBERS " ...", take_need },
	[AGENT_SPARE] = { "spare", "bytes:" U " ...", take_spare },
	[AGENT_WORKING_SET] = { "working-set",
				"node:u(0..65535) source:mglru|lru "
				"bins:[{idle-ms?:" U " anon?:" U " file?:" U " ...}] error?:s ...",
				take_working_set },
};

static int not_json(struct qmp_error *err, const char *why)
{
	return qmp_fail(err, QMP_GENERIC_ERROR, "no JSON object: %s", why);
}

/* One object and nothing else, of what the protocol allows. */
static int scan(const char *line, size_t bytes, struct qmp_error *err)
{
	struct qmp_scan s = { 0 };
	size_t i = 0;
	enum qmp_scan_result r = QMP_SCAN_MORE;

	for (; i < bytes && r == QMP_SCAN_MORE; i++) {
		r = qmp_scan_byte(&s, line[i]);
		if (s.depth > AGENT_DEPTH_MAX)
			return qmp_fail(err, QMP_GENERIC_ERROR, "more than %d levels",
					AGENT_DEPTH_MAX);
	}
	if (r == QMP_SCAN_BAD)
		return not_json(err, "a byte that can't stand there");
	if (r != QMP_SCAN_END)
		return not_json(err, "it has no end");
	for (; i < bytes; i++)
		if (!memchr(" \t\r", line[i], 3))
			return not_json(err, "something follows it");
	return 0;
}

static int parse_json(const char *line, size_t bytes, struct json_object **out,
		      struct qmp_error *err)
{
	struct json_tokener *tokener;
	enum json_tokener_error error;
	int r = scan(line, bytes, err);

	if (r)
		return r;
	tokener = json_tokener_new_ex(TOKENER_DEPTH);
	if (!tokener)
		return not_json(err, "no memory to read it");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	*out = json_tokener_parse_ex(tokener, line, (int)bytes);
	error = json_tokener_get_error(tokener);
	json_tokener_free(tokener);
	if (error != json_tokener_success)
		return not_json(err, json_tokener_error_desc(error));
	return json_object_is_type(*out, json_type_object) ? 0 : not_json(err, "another value");
}

int agent_message_parse(struct agent_message *out, const char *line, size_t bytes,
			struct qmp_error *err)
{
	struct json_object *o = NULL;
	int r = parse_json(line, bytes, &o, err);

	*out = (struct agent_message){ 0 };
	if (!r)
		r = qmp_args_check("msg:s ...", o, err);
	for (size_t i = AGENT_HELLO; i < ARRAY_SIZE(kinds) && !r; i++) {
		if (strcmp(qmp_arg_str(o, "msg", ""), kinds[i].name) != 0)
			continue;
		out->kind = (enum agent_kind)i;
		r = qmp_args_check(kinds[i].schema, o, err);
		if (!r)
			r = kinds[i].take(out, o, err);
	}
	json_object_put(o);
	return r;
}

/* --- the host's lines -------------------------------------------------------------------------- */

void agent_config_line(char line[AGENT_HOST_LINE_BYTES], const struct agent_config *c)
{
	snprintf(line, AGENT_HOST_LINE_BYTES,
		 "{\"msg\":\"config\",\"version\":%d,\"interval-ms\":%" PRIu32 ",\"min\":%" PRIu64
		 ",\"max\":%" PRIu64 ",\"size\":%" PRIu64 ",\"cache-age-s\":%" PRIu32 "}\n",
		 AGENT_VERSION, c->interval_ms, c->min_bytes, c->max_bytes, c->size_bytes,
		 c->cache_age_s);
}

void agent_answer_line(char line[AGENT_HOST_LINE_BYTES], const struct autosize_answer *answer,
		       uint64_t size_bytes)
{
	snprintf(line, AGENT_HOST_LINE_BYTES,
		 "{\"msg\":\"answer\",\"granted\":%" PRIu64 ",\"size\":%" PRIu64
		 ",\"why\":\"%s\"}\n",
		 answer->granted_bytes, size_bytes, autosize_why_name(answer->why));
}

void agent_ask_status_line(char line[AGENT_HOST_LINE_BYTES])
{
	snprintf(line, AGENT_HOST_LINE_BYTES, "{\"msg\":\"ask\",\"what\":\"status\"}\n");
}

void agent_ask_working_set_line(char line[AGENT_HOST_LINE_BYTES], int node)
{
	char which[32] = "";

	if (node >= 0)
		snprintf(which, sizeof(which), ",\"node\":%d", node);
	snprintf(line, AGENT_HOST_LINE_BYTES, "{\"msg\":\"ask\",\"what\":\"working-set\"%s}\n",
		 which);
}
