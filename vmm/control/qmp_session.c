/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_session.c - framing by JSON value, requests, replies, and output that never blocks. */
#include "vmm/control/qmp_session.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json_visit.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/control/qmp_server.h"

/* ---- output ---- */

static bool is_full(const struct qmp_session *s)
{
	return qmp_session_backlog(s) >= QMP_MAX_BACKLOG;
}

static void update_interest(struct qmp_session *s)
{
	bool deaf = s->at_eof || s->waiting || is_full(s);
	/* Input at hand, or its end, needs a turn and nothing from outside. */
	bool busy = qmp_session_backlog(s) ||
		    (!s->waiting && (s->at_eof || s->in_pos < s->in_len));
	uint32_t want = (deaf ? 0u : (uint32_t)EPOLLIN) | (busy ? (uint32_t)EPOLLOUT : 0u);

	if (want != s->interest)
		loop_modify(s->loop, s->fd, want);
	s->interest = want;
}

static void drop_output(struct qmp_session *s)
{
	free(s->out);
	s->out = NULL;
	s->out_pos = s->out_len = s->out_cap = 0;
}

/* Requests still in the socket are carried out all the same: `quit` counts without a reader. */
static void mute(struct qmp_session *s)
{
	s->muted = true;
	drop_output(s);
}

static void flush(struct qmp_session *s)
{
	while (qmp_session_backlog(s)) {
		ssize_t n = send(s->fd, s->out + s->out_pos, qmp_session_backlog(s),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			mute(s);
			return;
		}
		s->out_pos += (size_t)n;
	}
	drop_output(s);
}

static bool reserve(struct qmp_session *s, size_t bytes)
{
	size_t used = qmp_session_backlog(s);
	char *p;

	if (s->out_pos) {
		memmove(s->out, s->out + s->out_pos, used);
		s->out_pos = 0;
		s->out_len = used;
	}
	if (used + bytes <= s->out_cap)
		return true;
	p = realloc(s->out, used + bytes);
	if (!p)
		return false;
	s->out = p;
	s->out_cap = used + bytes;
	return true;
}

void qmp_session_send(struct qmp_session *s, const char *line, size_t bytes)
{
	if (s->muted)
		return;
	if (!reserve(s, bytes + 2)) {
		/* A reply must not be lost in silence: the client sees the connection end. */
		fail(-ENOMEM, "control socket: reply of %zu bytes", bytes);
		shutdown(s->fd, SHUT_RDWR);
		mute(s);
		return;
	}
	memcpy(s->out + s->out_len, line, bytes);
	memcpy(s->out + s->out_len + bytes, "\r\n", 2);
	s->out_len += bytes + 2;
	flush(s);
	update_interest(s);
}

void qmp_session_drain(struct qmp_session *s, uint64_t until_ns)
{
	flush(s);
	while (qmp_session_backlog(s)) {
		uint64_t now = loop_now(s->loop);
		struct pollfd p = { .fd = s->fd, .events = POLLOUT };

		if (now >= until_ns)
			break;
		if (poll(&p, 1, (int)((until_ns - now + NS_PER_MS - 1) / NS_PER_MS)) < 0 &&
		    errno != EINTR)
			break;
		flush(s);
	}
}

/* ---- replies ---- */

struct json_object *qmp_error_reply(const struct qmp_error *err)
{
	struct json_object *reply = json_object_new_object(), *e = json_object_new_object();

	json_object_object_add(e, "class", json_object_new_string(qmp_class_name(err->class)));
	json_object_object_add(e, "desc", json_object_new_string(err->desc));
	json_object_object_add(reply, "error", e);
	return reply;
}

/* Sends REPLY with ID, and takes REPLY. False, and nothing sent, above MAX_BYTES. */
static bool send_reply(struct qmp_session *s, struct json_object *reply, bool has_id,
		       struct json_object *id, size_t max_bytes, size_t *bytes)
{
	const char *line;

	*bytes = 0;
	if (s->muted) { /* nor need it be put into words */
		json_object_put(reply);
		return true;
	}
	if (has_id)
		json_object_object_add(reply, "id", json_object_get(id));
	line = json_object_to_json_string_length(reply, QMP_JSON_FLAGS, bytes);
	if (*bytes + 2 <= max_bytes)
		qmp_session_send(s, line, *bytes);
	json_object_put(reply);
	return *bytes + 2 <= max_bytes;
}

static void reply_error(struct qmp_session *s, const struct qmp_error *err, bool has_id,
			struct json_object *id)
{
	size_t bytes;

	send_reply(s, qmp_error_reply(err), has_id, id, SIZE_MAX, &bytes);
}

static void reply_value(struct qmp_session *s, struct json_object *value, bool has_id,
			struct json_object *id)
{
	struct json_object *reply = json_object_new_object();
	struct qmp_error err = { 0 };
	size_t bytes;

	json_object_object_add(reply, "return", value ? value : json_object_new_object());
	if (send_reply(s, reply, has_id, id, QMP_MAX_REPLY, &bytes))
		return;
	qmp_fail(&err, QMP_GENERIC_ERROR, "the reply would be %zu bytes long, more than %zu", bytes,
		 (size_t)QMP_MAX_REPLY);
	reply_error(s, &err, has_id, id);
}

/* ---- requests ---- */

/* Finds the parts of a request. ID is found even in a request that is wrong. */
static int take_apart(struct json_object *request, const char **command, struct json_object **args,
		      struct qmp_error *err)
{
	struct json_object *execute = NULL;

	json_object_object_foreach(request, key, value)
	{
		if (!strcmp(key, "execute"))
			execute = value;
		else if (!strcmp(key, "arguments"))
			*args = value;
		else if (strcmp(key, "id"))
			return qmp_fail(err, QMP_GENERIC_ERROR,
					"'%.64s' is unknown; a request has execute, arguments, id",
					key);
		if (!strcmp(key, "arguments") && !json_object_is_type(value, json_type_object))
			return qmp_fail(err, QMP_GENERIC_ERROR, "'arguments' must be an object");
	}
	if (!json_object_object_get_ex(request, "execute", NULL))
		return qmp_fail(err, QMP_GENERIC_ERROR, "'execute' is missing");
	if (!json_object_is_type(execute, json_type_string))
		return qmp_fail(err, QMP_GENERIC_ERROR, "'execute' must be a string");
	*command = json_object_get_string(execute);
	if (strlen(*command) != (size_t)json_object_get_string_len(execute))
		return qmp_fail(err, QMP_COMMAND_NOT_FOUND, "a command's name has no NUL in it");
	return 0;
}

/* Takes RET. */
static void reply(struct qmp_session *s, int r, struct json_object *ret, struct qmp_error *err,
		  bool has_id, struct json_object *id)
{
	if (!r) {
		reply_value(s, ret, has_id, id);
		return;
	}
	json_object_put(ret);
	if (!err->desc[0])
		qmp_fail(err, QMP_GENERIC_ERROR, "%s", strerror(r < 0 ? -r : r));
	reply_error(s, err, has_id, id);
}

static void handle(struct qmp_session *s, struct json_object *request)
{
	struct json_object *args = NULL, *ret = NULL, *id = NULL;
	struct qmp_error err = { 0 };
	const char *command = NULL;
	bool has_id;
	int r;

	if (!json_object_is_type(request, json_type_object)) {
		qmp_fail(&err, QMP_GENERIC_ERROR, "a request must be a JSON object");
		reply_error(s, &err, false, NULL);
		return;
	}
	has_id = json_object_object_get_ex(request, "id", &id);
	r = take_apart(request, &command, &args, &err);
	if (!r)
		r = s->ops->run(s->ctx, s, command, args, &ret, &err);
	if (r == QMP_DEFERRED) {
		s->waiting = true;
		s->has_waiting_id = has_id;
		s->waiting_id = json_object_get(id);
		return;
	}
	reply(s, r, ret, &err, has_id, id);
}

/* ---- framing ---- */

static void next_request(struct qmp_session *s)
{
	json_tokener_reset(s->tokener);
	s->scan = (struct qmp_scan){ 0 };
	s->request_bytes = 0;
	s->skipping = false;
}

static void complain(struct qmp_session *s, const char *why)
{
	struct qmp_error err = { 0 };

	qmp_fail(&err, QMP_GENERIC_ERROR, "JSON parse error: %s", why);
	reply_error(s, &err, false, NULL);
}

/* Past the broken value or its line, in constant memory. */
static void skip(struct qmp_session *s)
{
	while (s->in_pos < s->in_len) {
		char c = s->in[s->in_pos];
		bool outside = !s->scan.depth;

		if (outside && c == '{') {
			next_request(s);
			return;
		}
		s->in_pos++;
		if (c == '\n' || (!outside && qmp_scan_byte(&s->scan, c) == QMP_SCAN_END)) {
			next_request(s);
			return;
		}
	}
}

static int count_members(struct json_object *value, int flags, struct json_object *parent,
			 const char *key, size_t *index, void *count)
{
	(void)value, (void)parent, (void)index;
	if (key && !(flags & JSON_C_VISIT_SECOND))
		++*(unsigned int *)count;
	return JSON_C_VISIT_RETURN_CONTINUE;
}

/* json-c keeps the last of two equal keys; then the tree has fewer members than the text. */
static bool has_duplicate_keys(struct json_object *request, const struct qmp_scan *scan)
{
	unsigned int count = 0;

	json_c_visit(request, 0, count_members, &count);
	return count != scan->nr_members;
}

/* What forbids the bytes scanned so far, whatever follows; NULL: nothing. */
static const char *limit_broken(const struct qmp_session *s, size_t bytes)
{
	if (bytes > QMP_MAX_REQUEST)
		return "a request may have 65536 bytes";
	if (s->scan.depth > QMP_MAX_DEPTH)
		return "a request may nest 32 deep";
	if (s->scan.nr_containers > QMP_MAX_CONTAINERS)
		return "a request may have 1024 objects and arrays";
	return NULL;
}

/* REQUEST is a whole value. */
static void finish(struct qmp_session *s, struct json_object *request)
{
	bool twice = has_duplicate_keys(request, &s->scan);

	next_request(s);
	if (twice)
		complain(s, "a key stands twice in one object");
	else
		handle(s, request);
}

/* Takes input up to the end of one value at most. */
static void parse(struct qmp_session *s)
{
	const struct qmp_scan before = s->scan;
	const char *p = s->in + s->in_pos, *why = NULL;
	size_t n = 0, used, avail = s->in_len - s->in_pos;
	bool end = false;
	struct json_object *request;
	enum json_tokener_error code;

	while (n < avail && !end && !why) {
		enum qmp_scan_result r = qmp_scan_byte(&s->scan, p[n]);

		end = r == QMP_SCAN_END;
		why = r == QMP_SCAN_BAD ? "unexpected byte" :
					  limit_broken(s, s->request_bytes + ++n);
	}
	request = json_tokener_parse_ex(s->tokener, p, (int)n);
	code = json_tokener_get_error(s->tokener);
	used = json_tokener_get_parse_end(s->tokener);
	if (code != json_tokener_continue && used < n) {
		/* A bare number or word ended before N, or the tokener stumbled: scan to there. */
		s->scan = before;
		for (size_t i = 0; i < used; i++)
			qmp_scan_byte(&s->scan, p[i]);
		why = NULL;
		n = used;
	}
	s->in_pos += n;
	s->request_bytes += n;
	if (!why && code != json_tokener_success && code != json_tokener_continue)
		why = json_tokener_error_desc(code);
	if (why) {
		complain(s, why);
		json_tokener_reset(s->tokener);
		s->skipping = true;
	} else if (code == json_tokener_success) {
		finish(s, request);
	}
	json_object_put(request);
}

static void take_input(struct qmp_session *s)
{
	while (s->in_pos < s->in_len && !s->waiting && !is_full(s)) {
		if (s->skipping)
			skip(s);
		else if (!s->request_bytes && strchr(" \t\r\n", s->in[s->in_pos]) &&
			 s->in[s->in_pos])
			s->in_pos++;
		else
			parse(s);
	}
}

static void receive(struct qmp_session *s)
{
	ssize_t n = qmp_fds_receive(&s->fds, s->fd, s->in, sizeof(s->in));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	s->in_pos = 0;
	s->in_len = n > 0 ? (size_t)n : 0;
	s->at_eof = n <= 0;
}

static void on_ready(void *ctx, uint32_t events)
{
	struct qmp_session *s = ctx;

	/* A hang-up shows as EPIPE, and as the end of input once all of it is read. */
	flush(s);
	take_input(s);
	/* One receive per turn: the others' turn comes. */
	if (s->in_pos == s->in_len && !s->at_eof && !s->waiting && !is_full(s)) {
		receive(s);
		take_input(s);
	}
	if (s->waiting && events & (EPOLLHUP | EPOLLERR)) {
		/* Reported again and again, and there is nothing to do about it before the reply. */
		mute(s);
		loop_remove(s->loop, s->fd);
		s->unwatched = true;
	} else if (s->at_eof && s->in_pos == s->in_len && !s->waiting && !qmp_session_backlog(s)) {
		s->ops->gone(s->ctx, s);
	} else {
		update_interest(s);
	}
}

void qmp_session_reply(struct qmp_session *s, int r, struct json_object *ret, struct qmp_error *err)
{
	assert(s->waiting);
	s->waiting = false;
	if (s->unwatched && loop_add(s->loop, s->fd, s->interest, on_ready, s)) {
		json_object_put(ret);
		s->ops->gone(s->ctx, s);
		return;
	}
	s->unwatched = false;
	reply(s, r, ret, err, s->has_waiting_id, s->waiting_id);
	json_object_put(s->waiting_id);
	s->waiting_id = NULL;
	update_interest(s);
}

int qmp_session_new(struct qmp_session **out, struct loop *loop, int fd,
		    const struct qmp_session_ops *ops, void *ctx)
{
	struct qmp_session *s = calloc(1, sizeof(*s));
	int flags, r;

	if (!s)
		return fail(-ENOMEM, "control socket: a client");
	*s = (struct qmp_session){
		.loop = loop, .ops = ops, .ctx = ctx, .fd = fd, .interest = EPOLLIN,
	};
	qmp_fds_init(&s->fds);
	/* Room for one level more than the scanner lets through. */
	s->tokener = json_tokener_new_ex(QMP_MAX_DEPTH + 2);
	if (!s->tokener) {
		free(s);
		return fail(-ENOMEM, "control socket: a client");
	}
	flags = fcntl(fd, F_GETFL);
	r = flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -errno : 0;
	if (!r)
		r = loop_add(loop, fd, EPOLLIN, on_ready, s);
	if (r) {
		json_tokener_free(s->tokener);
		free(s);
		return fail(r, "control socket: watch a client");
	}
	*out = s;
	return 0;
}

void qmp_session_free(struct qmp_session *s)
{
	loop_remove(s->loop, s->fd);
	close(s->fd);
	json_tokener_free(s->tokener);
	json_object_put(s->waiting_id);
	qmp_fds_clear(&s->fds);
	drop_output(s);
	free(s);
}
