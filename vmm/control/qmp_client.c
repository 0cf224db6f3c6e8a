/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_client.c - requests, replies and the events between them. */
#include "vmm/control/qmp_client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/rundir/vm_socket.h"

#define NEVER_NS UINT64_MAX
#define MAX_DEPTH 64

struct qmp_client {
	int fd;
	int passed_fd; /* goes with the next request; -1: none */
	int timeout_ms;
	char *name;
	int64_t last_id;
	struct json_tokener *tokener;
	size_t message_bytes; /* of the message under way */
	char in[16384];
	size_t in_pos, in_len;
	struct json_object *events[QMP_CLIENT_MAX_EVENTS];
	unsigned int first_event, nr_events;
};

static uint64_t deadline(int timeout_ms)
{
	return timeout_ms < 0 ? NEVER_NS : clock_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

/* 0 when the socket is ready for EVENTS; -ETIMEDOUT, -EINTR. */
static int wait_ready(struct qmp_client *c, short events, uint64_t until_ns)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	int timeout_ms = -1, n;

	if (until_ns != NEVER_NS) {
		uint64_t now = clock_ns();
		uint64_t left_ns = now < until_ns ? until_ns - now : 0;

		timeout_ms = (int)min_u64((left_ns + NS_PER_MS - 1) / NS_PER_MS, INT_MAX);
	}
	n = poll(&p, 1, timeout_ms);
	return n > 0 ? 0 : n ? -errno : -ETIMEDOUT;
}

static int receive(struct qmp_client *c, uint64_t until_ns)
{
	for (;;) {
		ssize_t n = recv(c->fd, c->in, sizeof(c->in), MSG_DONTWAIT);
		int r;

		if (n > 0) {
			c->in_pos = 0;
			c->in_len = (size_t)n;
			return 0;
		}
		if (!n || (errno != EAGAIN && errno != EINTR))
			return -ECONNRESET;
		r = wait_ready(c, POLLIN, until_ns);
		if (r)
			return r;
	}
}

/* The next message, an object. Not logged. */
static int read_message(struct qmp_client *c, uint64_t until_ns, struct json_object **message)
{
	for (;;) {
		enum json_tokener_error code;
		int r;

		if (c->in_pos == c->in_len) {
			r = receive(c, until_ns);
			if (r)
				return r;
		}
		*message = json_tokener_parse_ex(c->tokener, c->in + c->in_pos,
						 (int)(c->in_len - c->in_pos));
		code = json_tokener_get_error(c->tokener);
		if (code == json_tokener_success) {
			c->in_pos += json_tokener_get_parse_end(c->tokener);
			c->message_bytes = 0;
			if (json_object_is_type(*message, json_type_object))
				return 0;
			json_object_put(*message);
			return -EPROTO;
		}
		c->message_bytes += c->in_len - c->in_pos;
		c->in_pos = c->in_len;
		if (code != json_tokener_continue || c->message_bytes > QMP_CLIENT_MAX_MESSAGE)
			return -EPROTO;
	}
}

static void keep_event(struct qmp_client *c, struct json_object *event)
{
	if (c->nr_events == QMP_CLIENT_MAX_EVENTS) {
		json_object_put(c->events[c->first_event]);
		c->first_event = (c->first_event + 1) % QMP_CLIENT_MAX_EVENTS;
		c->nr_events--;
	}
	c->events[(c->first_event + c->nr_events++) % QMP_CLIENT_MAX_EVENTS] = event;
}

static struct json_object *take_event(struct qmp_client *c)
{
	struct json_object *event = c->events[c->first_event];

	c->first_event = (c->first_event + 1) % QMP_CLIENT_MAX_EVENTS;
	c->nr_events--;
	return event;
}

/* Says in one line why the VM does not answer. */
static int give_up(const struct qmp_client *c, int r)
{
	switch (r) {
	case -ETIMEDOUT:
		log_error("VM %s does not answer within %g s", c->name, c->timeout_ms / 1000.0);
		break;
	case -ECONNRESET:
		log_error("VM %s closed the connection", c->name);
		break;
	case -EPROTO:
		log_error("%s does not speak QMP", c->name);
		break;
	default:
		fail(r, "VM %s", c->name);
	}
	return r;
}

/* A descriptor that is to be passed goes with the first byte. */
static ssize_t send_some(struct qmp_client *c, const char *p, size_t bytes)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { (void *)(uintptr_t)p, bytes };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (c->passed_fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &c->passed_fd, sizeof(int));
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
	}
	n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		c->passed_fd = -1;
	return n;
}

static int send_all(struct qmp_client *c, const char *p, size_t bytes, uint64_t until_ns)
{
	while (bytes) {
		ssize_t n = send_some(c, p, bytes);

		if (n >= 0) {
			p += n;
			bytes -= (size_t)n;
		} else if (errno == EAGAIN) {
			int r = wait_ready(c, POLLOUT, until_ns);

			if (r && r != -EINTR)
				return r;
		} else if (errno != EINTR) {
			return -ECONNRESET;
		}
	}
	return 0;
}

/* The reply to request ID; events on the way are kept. */
static int read_reply(struct qmp_client *c, int64_t id, uint64_t until_ns,
		      struct json_object **reply)
{
	for (;;) {
		int r = read_message(c, until_ns, reply);

		if (r == -EINTR)
			continue;
		if (r)
			return r;
		if (json_object_object_get_ex(*reply, "event", NULL))
			keep_event(c, *reply);
		else if (json_object_get_int64(json_object_object_get(*reply, "id")) == id)
			return 0;
		else
			json_object_put(*reply);
	}
}

static int refused(const struct qmp_client *c, struct json_object *error, struct qmp_error *err)
{
	struct qmp_error own;

	if (!err)
		err = &own;
	qmp_fail(err, qmp_class_parse(qmp_get_str(error, "class", NULL)), "%s",
		 qmp_get_str(error, "desc", "refused"));
	if (err == &own)
		log_error("VM %s: %s", c->name, err->desc);
	return -EREMOTEIO;
}

int qmp_client_run(struct qmp_client *c, const char *command, struct json_object *args,
		   struct json_object **ret, struct qmp_error *err)
{
	struct json_object *request = json_object_new_object(), *reply, *value;
	uint64_t until_ns = deadline(c->timeout_ms);
	size_t bytes;
	const char *text;
	int r;

	json_object_object_add(request, "execute", json_object_new_string(command));
	if (args)
		json_object_object_add(request, "arguments", args);
	json_object_object_add(request, "id", json_object_new_int64(++c->last_id));
	text = json_object_to_json_string_length(
		request, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &bytes);
	r = send_all(c, text, bytes, until_ns);
	if (!r)
		r = send_all(c, "\n", 1, until_ns);
	json_object_put(request);
	if (!r)
		r = read_reply(c, c->last_id, until_ns, &reply);
	if (r)
		return give_up(c, r);
	if (json_object_object_get_ex(reply, "error", &value))
		r = refused(c, value, err);
	else if (!json_object_object_get_ex(reply, "return", &value))
		r = give_up(c, -EPROTO);
	else if (ret)
		*ret = json_object_get(value);
	json_object_put(reply);
	return r;
}

int qmp_client_pass_fd(struct qmp_client *c, int fd, const char *name)
{
	struct json_object *args = json_object_new_object();

	json_object_object_add(args, "fdname", json_object_new_string(name));
	c->passed_fd = fd;
	return qmp_client_run(c, "getfd", args, NULL, NULL);
}

int qmp_client_event(struct qmp_client *c, const char *name, int timeout_ms,
		     struct json_object **event)
{
	uint64_t until_ns = deadline(timeout_ms);

	for (;;) {
		const char *found;

		if (c->nr_events) {
			*event = take_event(c);
		} else {
			int r = read_message(c, until_ns, event);

			if (r)
				return r;
		}
		found = qmp_get_str(*event, "event", NULL);
		if (found && (!name || !strcmp(found, name)))
			return 0;
		json_object_put(*event);
	}
}

/* Reads the greeting and answers it. */
static int negotiate(struct qmp_client *c)
{
	uint64_t until_ns = deadline(c->timeout_ms);
	struct json_object *greeting, *error;
	int r;

	do {
		r = read_message(c, until_ns, &greeting);
	} while (r == -EINTR);
	if (r)
		return give_up(c, r);
	if (json_object_object_get_ex(greeting, "error", &error))
		r = refused(c, error, NULL);
	else if (!json_object_object_get_ex(greeting, "QMP", NULL))
		r = give_up(c, -EPROTO);
	json_object_put(greeting);
	return r ? r : qmp_client_run(c, "qmp_capabilities", NULL, NULL, NULL);
}

int qmp_client_open_fd(struct qmp_client **out, int fd, const char *name, int timeout_ms)
{
	struct qmp_client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return fail(-ENOMEM, "QMP client");
	c->fd = c->passed_fd = -1;
	c->timeout_ms = timeout_ms;
	c->name = strdup(name);
	c->tokener = json_tokener_new_ex(MAX_DEPTH);
	if (!c->name || !c->tokener) {
		qmp_client_close(c);
		return fail(-ENOMEM, "QMP client");
	}
	c->fd = fd;
	r = negotiate(c);
	if (r) {
		c->fd = -1; /* the caller's still */
		qmp_client_close(c);
		return r;
	}
	*out = c;
	return 0;
}

int qmp_client_open(struct qmp_client **out, const char *vm, int timeout_ms)
{
	char path[VM_PATH_SIZE];
	auto_close int fd = -1;
	int r = vm_path(path, vm);

	if (r)
		return r;
	r = vm_socket_connect(path, deadline(timeout_ms), &fd);
	if (r == -ENOENT)
		log_error("no VM %s (no socket %s); `ebb list` shows those that run", vm, path);
	else if (r == -ECONNREFUSED)
		log_error("VM %s has died and left %s behind; start it again or remove the file",
			  vm, path);
	else if (r == -ETIMEDOUT)
		log_error("VM %s takes no connection within %g s", vm, timeout_ms / 1000.0);
	else if (r)
		fail(r, "connect to %s", path);
	if (r)
		return r;
	r = qmp_client_open_fd(out, fd, vm, timeout_ms);
	if (!r)
		take_fd(&fd);
	return r;
}

void qmp_client_close(struct qmp_client *c)
{
	if (!c)
		return;
	while (c->nr_events)
		json_object_put(take_event(c));
	json_tokener_free(c->tokener);
	if (c->fd >= 0)
		close(c->fd);
	free(c->name);
	free(c);
}

uint64_t qmp_get_u64(struct json_object *object, const char *name, uint64_t fallback)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value) ||
	    !json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return fallback;
	return json_object_get_uint64(value);
}

const char *qmp_get_str(struct json_object *object, const char *name, const char *fallback)
{
	struct json_object *value;

	return json_object_object_get_ex(object, name, &value) &&
			       json_object_is_type(value, json_type_string) ?
		       json_object_get_string(value) : fallback;
}

bool qmp_get_bool(struct json_object *object, const char *name, bool fallback)
{
	struct json_object *value;

	return json_object_object_get_ex(object, name, &value) &&
			       json_object_is_type(value, json_type_boolean) ?
		       json_object_get_boolean(value) : fallback;
}
