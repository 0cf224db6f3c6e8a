/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_server.c - the listening socket, the sessions, dispatch, and the server's own commands. */
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
#include "vmm/control/qmp_args.h"
#include "vmm/control/qmp_events.h"
#include "vmm/control/qmp_session.h"
#include "vmm/control/vm_socket.h"

#define PACKAGE "ebb " EBB_VERSION " (QMP subset, not QEMU)"
/* The first release of 7.2: old enough for every client, new enough for those that ask for 5. */
#define GREETING                                                                                   \
	"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 0}, "          \
	"\"package\": \"" PACKAGE "\"}, \"capabilities\": []}}"
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS) /* when descriptors run out */
#define FREE_DRAIN_NS (200 * NS_PER_MS)

struct qmp_server {
	struct loop *loop;
	const struct qmp_command *table;
	size_t nr_commands;
	void *ctx;
	struct vm_socket listener; /* fd -1: a single inherited session */
	struct loop_timer accept_again;
	uid_t owner; /* of a socket that we made; others but root are turned away */
	struct qmp_session *sessions;
	struct qmp_events events;
	struct qmp_server_stats stats;
	bool running_command;
};

/* What the server's own commands work on. */
struct own_ctx {
	struct qmp_server *server;
	struct qmp_session *session;
};

/* ---- own commands ---- */

static int run_capabilities(void *ctx, struct json_object *args, struct json_object **ret,
			    struct qmp_error *err)
{
	struct own_ctx *own = ctx;
	struct json_object *enable = qmp_arg(args, "enable");

	(void)ret;
	if (own->session->negotiated)
		return qmp_fail(err, QMP_COMMAND_NOT_FOUND,
				"the negotiation is over already; qmp_capabilities comes once");
	if (enable && json_object_array_length(enable) > 0)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"capability '%.64s' is not among those of the greeting",
				json_object_get_string(json_object_array_get_idx(enable, 0)));
	own->session->negotiated = true;
	return 0;
}

static int run_version(void *ctx, struct json_object *args, struct json_object **ret,
		       struct qmp_error *err)
{
	struct json_object *greeting = json_tokener_parse(GREETING), *qmp, *version;

	(void)ctx, (void)args;
	if (!json_object_object_get_ex(greeting, "QMP", &qmp) ||
	    !json_object_object_get_ex(qmp, "version", &version)) {
		json_object_put(greeting);
		return qmp_fail(err, QMP_GENERIC_ERROR, "out of memory");
	}
	*ret = json_object_get(version);
	json_object_put(greeting);
	return 0;
}

static int run_commands(void *ctx, struct json_object *args, struct json_object **ret,
			struct qmp_error *err);
static int run_help(void *ctx, struct json_object *args, struct json_object **ret,
		    struct qmp_error *err);

/* These get a struct own_ctx, the rows of the table their own context. */
static const struct qmp_command own_commands[] = {
	{ "qmp_capabilities", "enable?:[s]", "Ends the negotiation; nothing else works before it.",
	  run_capabilities },
	{ "query-commands", NULL, "Lists every command by name.", run_commands },
	{ "query-version", NULL, "Tells which server this is.", run_version },
	{ "__org.ebb_help", "command?:s", "Lists every command, or one, with arguments and help.",
	  run_help },
};

/* Row I of the server's own commands and the table's together; NULL behind the last. */
static const struct qmp_command *command_at(const struct qmp_server *server, size_t i)
{
	if (i < ARRAY_SIZE(own_commands))
		return &own_commands[i];
	i -= ARRAY_SIZE(own_commands);
	return i < server->nr_commands ? &server->table[i] : NULL;
}

static bool is_own(const struct qmp_command *c)
{
	return c >= own_commands && c < own_commands + ARRAY_SIZE(own_commands);
}

static const struct qmp_command *find_command(const struct qmp_server *server, const char *name)
{
	const struct qmp_command *c;

	for (size_t i = 0; (c = command_at(server, i)); i++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static int unknown_command(const char *name, struct qmp_error *err)
{
	return qmp_fail(err, QMP_COMMAND_NOT_FOUND,
			"command '%.64s' is unknown; query-commands lists all", name);
}

static int run_commands(void *ctx, struct json_object *args, struct json_object **ret,
			struct qmp_error *err)
{
	struct own_ctx *own = ctx;
	const struct qmp_command *c;

	(void)args, (void)err;
	*ret = json_object_new_array();
	for (size_t i = 0; (c = command_at(own->server, i)); i++) {
		struct json_object *row = json_object_new_object();

		json_object_object_add(row, "name", json_object_new_string(c->name));
		json_object_array_add(*ret, row);
	}
	return 0;
}

static struct json_object *help_of(const struct qmp_command *c)
{
	struct json_object *row = json_object_new_object(), *list = json_object_new_array();
	const char *rest = c->args;
	struct qmp_arg arg;

	while (qmp_arg_next(&rest, &arg)) {
		struct json_object *a = json_object_new_object();

		json_object_object_add(a, "name",
				       json_object_new_string_len(arg.name, (int)arg.name_len));
		json_object_object_add(a, "type",
				       json_object_new_string_len(arg.type, (int)arg.type_len));
		json_object_object_add(a, "optional", json_object_new_boolean(arg.optional));
		json_object_array_add(list, a);
	}
	json_object_object_add(row, "name", json_object_new_string(c->name));
	json_object_object_add(row, "arguments", list);
	json_object_object_add(row, "help", json_object_new_string(c->help));
	return row;
}

static int run_help(void *ctx, struct json_object *args, struct json_object **ret,
		    struct qmp_error *err)
{
	struct own_ctx *own = ctx;
	const char *name = qmp_arg_str(args, "command", NULL);
	const struct qmp_command *c;

	if (name && !find_command(own->server, name))
		return unknown_command(name, err);
	*ret = json_object_new_array();
	for (size_t i = 0; (c = command_at(own->server, i)); i++)
		if (!name || !strcmp(c->name, name))
			json_object_array_add(*ret, help_of(c));
	return 0;
}

/* ---- sessions ---- */

static int run(void *ctx, struct qmp_session *session, const char *command,
	       struct json_object *args, struct json_object **ret, struct qmp_error *err)
{
	struct qmp_server *server = ctx;
	struct own_ctx own = { server, session };
	const struct qmp_command *c = find_command(server, command);
	int r;

	if (!session->negotiated && strcmp(command, "qmp_capabilities"))
		return qmp_fail(err, QMP_COMMAND_NOT_FOUND,
				"capabilities negotiation comes first: send qmp_capabilities");
	if (!c)
		return unknown_command(command, err);
	r = qmp_args_check(c->args, args, err);
	if (r)
		return r;
	server->running_command = true;
	r = c->run(is_own(c) ? &own : server->ctx, args, ret, err);
	server->running_command = false;
	return r;
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
	qmp_session_send(s, GREETING, strlen(GREETING));
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
		loop_timer_set(server->loop, &server->accept_again, clock_ns() + ACCEPT_PAUSE_NS);
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

/* A table that does not hold together is our own bug, found at the first start. */
static void check_table(const struct qmp_server *server)
{
	const struct qmp_command *c;

	for (size_t i = 0; (c = command_at(server, i)); i++) {
		const char *rest = c->args;
		struct qmp_arg arg;

		assert(c->name && c->help && c->run);
		assert(find_command(server, c->name) == c);
		while (qmp_arg_next(&rest, &arg))
			;
	}
}

static int new_server(struct qmp_server **out, struct loop *loop, const struct qmp_command *table,
		      size_t nr, void *ctx)
{
	struct qmp_server *server = calloc(1, sizeof(*server));

	if (!server)
		return fail(-ENOMEM, "control socket");
	*server = (struct qmp_server){
		.loop = loop, .table = table, .nr_commands = nr, .ctx = ctx,
		.listener = { .fd = -1 },
		.accept_again = { .fn = accept_again, .ctx = server },
		.owner = geteuid(),
	};
	qmp_events_init(&server->events, loop, send_event, server);
	check_table(server);
	*out = server;
	return 0;
}

int qmp_server_new(struct qmp_server **out, struct loop *loop, const char *path,
		   const struct qmp_command *table, size_t nr, void *ctx)
{
	struct qmp_server *server;
	int r = new_server(&server, loop, table, nr, ctx);

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
		      const struct qmp_command *table, size_t nr, void *ctx)
{
	struct qmp_server *server;
	bool is_listening = false;
	int r = look_at(fd, &is_listening);

	if (r)
		return r;
	r = new_server(&server, loop, table, nr, ctx);
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
	uint64_t until_ns = clock_ns() + FREE_DRAIN_NS;

	if (!server)
		return;
	assert(!server->running_command);
	while (server->sessions) {
		qmp_session_drain(server->sessions, until_ns);
		gone(server, server->sessions);
	}
	qmp_events_clear(&server->events);
	loop_timer_cancel(server->loop, &server->accept_again);
	if (server->listener.fd >= 0)
		loop_remove(server->loop, server->listener.fd);
	vm_socket_close(&server->listener);
	free(server);
}

struct qmp_server_stats qmp_server_stats(const struct qmp_server *server)
{
	struct qmp_server_stats stats = server->stats;

	for (const struct qmp_session *s = server->sessions; s; s = s->next)
		stats.backlog_bytes += qmp_session_backlog(s);
	return stats;
}
