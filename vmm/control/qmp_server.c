/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_server.c - the listening socket, the sessions, and dispatch. */
#include "vmm/control/qmp_server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/version.h"
#include "vmm/control/qmp_builtin.h"
#include "vmm/control/qmp_events.h"
#include "vmm/control/qmp_session.h"
#include "vmm/json/schema.h"
#include "vmm/rundir/vm_socket.h"

#define ACCEPT_PAUSE_NS (100 * NS_PER_MS) /* when descriptors run out */
#define FREE_DRAIN_NS (200 * NS_PER_MS)

struct qmp_server {
	struct loop *loop;
	const struct qmp_table *table;
	void *ctx;
	struct vm_socket listener; /* fd -1: a single inherited session */
	struct loop_timer accept_again;
	uid_t owner; /* of a socket that we made; others but root are turned away */
	struct qmp_session *sessions;
	struct qmp_events events;
	struct qmp_server_stats stats;
	struct json_object *schema; /* NULL: not asked for yet */
	struct qmp_session *running; /* the client whose command runs now */
};

/* ---- sessions ---- */

static int run(void *ctx, struct qmp_session *session, const char *command,
	       struct json_object *args, struct json_object **ret, struct qmp_error *err)
{
	struct qmp_server *server = ctx;
	struct qmp_builtin own = { server->table, session, &server->schema };
	const struct qmp_command *c = qmp_command_find(server->table, command);
	struct qmp_call call = { .ctx = server->ctx, .args = args, .err = err };
	int r;

	if (!session->negotiated && strcmp(command, "qmp_capabilities"))
		return qmp_fail(err, QMP_COMMAND_NOT_FOUND,
				"capabilities negotiation comes first: send qmp_capabilities");
	if (!c)
		return qmp_command_unknown(command, err);
	r = qmp_args_check(c->args, args, err);
	if (r)
		return r;
	server->running = session;
	if (qmp_command_is_builtin(c))
		call.ctx = &own;
	r = c->run(&call);
	*ret = call.ret;
	server->running = NULL;
	return r;
}

struct qmp_session *qmp_defer(struct qmp_server *server)
{
	assert(server->running);
	return server->running;
}

void qmp_reply(struct qmp_session *session, int r, struct json_object *ret, struct qmp_error *err)
{
	qmp_session_reply(session, r, ret, err);
}

int qmp_take_fd(struct qmp_server *server, const char *name, struct qmp_error *err)
{
	assert(server->running);
	return qmp_fds_take(&server->running->fds, name, err);
}

static void gone(void *ctx, struct qmp_session *session)
{
	struct qmp_server *server = ctx;
	struct qmp_session **p = &server->sessions;

	while (*p != session)
		p = &(*p)->next;
	*p = session->next;
	qmp_session_free(session);
	server->stats.nr_clients--;
}

static const struct qmp_session_ops session_ops = { .run = run, .gone = gone };

static int add_session(struct qmp_server *server, int fd)
{
	struct qmp_session *s;
	int r = qmp_session_new(&s, server->loop, fd, &session_ops, server);

	if (r)
		return r;
	s->next = server->sessions;
	server->sessions = s;
	server->stats.nr_clients++;
	qmp_session_send(s, QMP_GREETING, strlen(QMP_GREETING));
	return 0;
}

/* The file's mode keeps others out already; this also holds when somebody changes it. */
static bool may_connect(const struct qmp_server *server, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (!server->listener.path[0])
		return true; /* whoever made an inherited socket decided */
	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
	       (peer.uid == 0 || peer.uid == server->owner || peer.uid == geteuid());
}

static void refuse(struct qmp_server *server, int fd, const char *why)
{
	struct qmp_error err = { 0 };
	struct json_object *reply;
	const char *text;
	char line[640];
	int n;

	server->stats.nr_clients_refused++;
	log_guest("control socket: client refused: %s", why);
	qmp_fail(&err, QMP_GENERIC_ERROR, "%s", why);
	reply = qmp_error_reply(&err);
	text = json_object_to_json_string_ext(reply, QMP_JSON_FLAGS);
	n = snprintf(line, sizeof(line), "%s\r\n", text);
	/* A fresh socket has room for it; if not, the end of the connection says enough. */
	if (send(fd, line, min_u64((uint64_t)n, sizeof(line) - 1), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("control socket: refused client did not listen");
	json_object_put(reply);
}

static void on_accept(void *ctx, uint32_t events)
{
	struct qmp_server *server = ctx;
	auto_close int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0) {
		static struct log_limit limit;

		if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
			return; /* the client gave up */
		log_limited(&limit, LOG_WARN, "control socket: accept: %s", strerror(errno));
		/* The client waits in the backlog; asking again at once would keep us busy. */
		loop_modify(server->loop, server->listener.fd, 0);
		loop_timer_set(server->loop, &server->accept_again, loop_now(server->loop) + ACCEPT_PAUSE_NS);
		return;
	}
	if (!may_connect(server, fd))
		refuse(server, fd, "this socket is for the owner of the VM and for root");
	else if (server->stats.nr_clients >= QMP_MAX_CLIENTS)
		refuse(server, fd, "64 clients are connected already; close one");
	else if (!add_session(server, fd))
		take_fd(&fd);
}

static void accept_again(void *ctx)
{
	struct qmp_server *server = ctx;

	loop_modify(server->loop, server->listener.fd, EPOLLIN);
}

/* ---- events ---- */

/* EVENTS hands over a finished line. */
static void send_event(void *ctx, const char *line, size_t bytes)
{
	struct qmp_server *server = ctx;

	assert(bytes + 2 <= QMP_MAX_REPLY);
	for (struct qmp_session *s = server->sessions; s; s = s->next) {
		if (!s->negotiated)
			continue;
		if (qmp_session_backlog(s) > QMP_MAX_EVENT_BACKLOG)
			server->stats.nr_events_dropped++;
		else
			qmp_session_send(s, line, bytes);
	}
}

void qmp_event(struct qmp_server *server, const char *name, struct json_object *data)
{
	if (server)
		qmp_events_send(&server->events, name, data);
	else
		json_object_put(data);
}

void qmp_event_limited(struct qmp_server *server, const char *name, const char *key,
		       struct json_object *data)
{
	if (server)
		qmp_events_send_limited(&server->events, name, key ? key : "", data);
	else
		json_object_put(data);
}

/* ---- life ---- */

static void check_schema(const char *schema)
{
	struct qmp_arg arg;

	while (qmp_arg_next(&schema, &arg))
		;
	assert(!schema || !*schema);
}

/* A table that does not hold together is our own bug, found at the first start. */
static void check_table(const struct qmp_table *table)
{
	const struct qmp_command *c;

	for (size_t i = 0; (c = qmp_command_at(table, i)); i++) {
		assert(c->name && c->help && c->run);
		assert(qmp_command_find(table, c->name) == c);
		check_schema(c->args);
	}
	for (size_t i = 0; i < table->nr_events; i++)
		check_schema(table->events[i].data);
}

static int new_server(struct qmp_server **out, struct loop *loop, const struct qmp_table *table,
		      void *ctx)
{
	struct qmp_server *server = calloc(1, sizeof(*server));

	if (!server)
		return fail(-ENOMEM, "control socket");
	*server = (struct qmp_server){
		.loop = loop, .table = table, .ctx = ctx,
		.listener = { .fd = -1 },
		.accept_again = { .fn = accept_again, .ctx = server },
		.owner = geteuid(),
	};
	qmp_events_init(&server->events, loop, send_event, server);
	check_table(table);
	*out = server;
	return 0;
}

int qmp_server_new(struct qmp_server **out, struct loop *loop, const char *path,
		   const struct qmp_table *table, void *ctx)
{
	struct qmp_server *server;
	int r = new_server(&server, loop, table, ctx);

	if (r)
		return r;
	r = vm_socket_listen(&server->listener, path);
	if (!r) {
		r = loop_add(loop, server->listener.fd, EPOLLIN, on_accept, server);
		if (r)
			fail(r, "watch the control socket");
	}
	if (r) {
		qmp_server_free(server);
		return r;
	}
	*out = server;
	return 0;
}

/* Of an inherited descriptor: is it a stream socket, and does it listen? */
static int look_at(int fd, bool *is_listening)
{
	int type, listening = 0;
	socklen_t size = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size))
		return fail(-errno, "control socket on descriptor %d", fd);
	if (type != SOCK_STREAM)
		return fail(-EPROTOTYPE, "control socket on descriptor %d: no stream socket", fd);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size))
		return fail(-errno, "control socket on descriptor %d", fd);
	*is_listening = listening;
	return 0;
}

int qmp_server_new_fd(struct qmp_server **out, struct loop *loop, int fd,
		      const struct qmp_table *table, void *ctx)
{
	struct qmp_server *server;
	bool is_listening = false;
	int r = look_at(fd, &is_listening);

	if (r)
		return r;
	r = new_server(&server, loop, table, ctx);
	if (r)
		return r;
	if (!is_listening) {
		r = add_session(server, fd);
	} else {
		int flags = fcntl(fd, F_GETFL);

		r = flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -errno : 0;
		if (!r)
			r = loop_add(loop, fd, EPOLLIN, on_accept, server);
		if (r)
			fail(r, "watch the control socket on descriptor %d", fd);
		else
			server->listener.fd = fd;
	}
	if (r) {
		qmp_server_free(server);
		return r;
	}
	*out = server;
	return 0;
}

void qmp_server_free(struct qmp_server *server)
{
	uint64_t until_ns;

	if (!server)
		return;
	until_ns = loop_now(server->loop) + FREE_DRAIN_NS;
	assert(!server->running);
	loop_timer_cancel(server->loop, &server->accept_again);
	if (server->listener.fd >= 0)
		loop_remove(server->loop, server->listener.fd);
	/* Before its clients hear of the end: they find no socket any more. */
	vm_socket_close(&server->listener);
	while (server->sessions) {
		qmp_session_drain(server->sessions, until_ns);
		gone(server, server->sessions);
	}
	qmp_events_clear(&server->events);
	json_object_put(server->schema);
	free(server);
}

struct qmp_server_stats qmp_server_stats(const struct qmp_server *server)
{
	struct qmp_server_stats stats = server->stats;

	for (const struct qmp_session *s = server->sessions; s; s = s->next)
		stats.backlog_bytes += qmp_session_backlog(s);
	return stats;
}
