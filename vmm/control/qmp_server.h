/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_server.h - the control socket: a QMP subset served from a table of commands.
 *
 * Framing is by JSON value: no newline needed, any number of requests in one write, single quotes
 * accepted. A reply is one line that ends in CRLF. Up to QMP_MAX_CLIENTS at once, each with its own
 * negotiation. A request is at most QMP_MAX_REQUEST bytes, QMP_MAX_DEPTH brackets deep, of at most
 * QMP_MAX_CONTAINERS objects and arrays, in UTF-8, without duplicate keys.
 *
 * After a syntax error (or a limit) the client gets one GenericError; input is then skipped to the
 * end of the broken value, found by its brackets, or to the end of its line, whichever comes first,
 * and the session goes on. Between values, anything up to the next '{' or end of line is skipped.
 *
 * The loop never waits for a client. A client that does not read is not read from either, once
 * QMP_MAX_BACKLOG bytes wait for it; replies are never dropped. Events are dropped, and counted,
 * while more than QMP_MAX_EVENT_BACKLOG bytes wait.
 *
 * Every function belongs to the loop's thread (or to the time before it runs).
 */
#ifndef EBB_CONTROL_QMP_SERVER_H
#define EBB_CONTROL_QMP_SERVER_H

#include <json-c/json.h>

#include "vmm/base/loop.h"
#include "vmm/json/error.h"

#define QMP_MAX_CLIENTS 64
#define QMP_MAX_REQUEST (64 * KiB)
#define QMP_MAX_DEPTH 32
#define QMP_MAX_CONTAINERS 1024
#define QMP_MAX_REPLY (64 * KiB - 1) /* with its CRLF; clients read lines into 64 KiB */
#define QMP_MAX_BACKLOG (64 * KiB)
#define QMP_MAX_EVENT_BACKLOG (16 * KiB)
#define QMP_EVENT_INTERVAL_NS UINT64_C(1000000000) /* of qmp_event_limited() */

/* One call of a command. */
struct qmp_call {
	void *ctx;		  /* of qmp_server_new() */
	struct json_object *args; /* they fit the schema already; NULL: the request has none */
	struct json_object *ret;  /* what to return, the server takes it; left NULL: {} */
	struct qmp_error *err;	  /* for qmp_fail() */
};

/* One row of a table of commands. Every string is a constant. */
struct qmp_command {
	const char *name;
	const char *args; /* schema, see json/schema.h; NULL: none */
	const char *returns; /* type of what it returns, see json/schema.h; NULL: {} */
	const char *help; /* one sentence */
	/*
	 * 0; or a negative errno and call->err filled by qmp_fail() (left empty, the client gets the
	 * errno's text); or QMP_DEFERRED. May call qmp_event(), which then goes out before the reply;
	 * must not free the server.
	 */
	int (*run)(struct qmp_call *call);
};

struct qmp_event_type {
	const char *name;
	const char *data; /* schema of its data; NULL: {} */
};

/* What a server serves. */
struct qmp_table {
	const struct qmp_command *commands;
	size_t nr_commands;
	const struct qmp_event_type *events; /* for query-qmp-schema */
	size_t nr_events;
};

struct qmp_server;
struct qmp_session;

/*
 * Listens on a new socket at PATH (mode 0600; see vm_socket_listen() for its errors) and serves
 * TABLE beside the server's own commands (qmp_builtin.c). TABLE must outlive the server. Nothing is
 * left behind on failure.
 */
int must_check qmp_server_new(struct qmp_server **out, struct loop *loop, const char *path,
			      const struct qmp_table *table, void *ctx);
/*
 * The same on an inherited stream socket: a listening one, or a connected one, which becomes the
 * one session. Takes FD on success, leaves it alone on failure. -ENOTSOCK, -EPROTOTYPE.
 */
int must_check qmp_server_new_fd(struct qmp_server **out, struct loop *loop, int fd,
				 const struct qmp_table *table, void *ctx);
/*
 * Sends what still waits for the clients (200 ms for all of them together, only if one does not
 * read), closes every session and removes the socket. NULL: no effect.
 */
void qmp_server_free(struct qmp_server *server);

/*
 * To every negotiated session, with the time of day. Takes DATA; NULL stands for {}.
 * SERVER NULL: only frees DATA.
 */
void qmp_event(struct qmp_server *server, const char *name, struct json_object *data);
/*
 * The same, but at most one per QMP_EVENT_INTERVAL_NS for each NAME and KEY (NULL: ""). Of those
 * held back the last one is sent when the interval ends, with the time at which it was raised;
 * those still held back when the server is freed are lost.
 */
void qmp_event_limited(struct qmp_server *server, const char *name, const char *key,
		       struct json_object *data);

/*
 * A command may be answered later: it keeps what qmp_defer() gives and returns QMP_DEFERRED. Its
 * client is not read from until then; the session stays, even when the client goes, until
 * qmp_reply() or the end of the server, after which there must be no reply.
 */
#define QMP_DEFERRED 1
struct qmp_session *qmp_defer(struct qmp_server *server);
/* R as of qmp_command.run, RET (taken) and ERR as of qmp_call. Not inside a command of the same client. */
void qmp_reply(struct qmp_session *session, int r, struct json_object *ret, struct qmp_error *err);

/*
 * Inside a command: the descriptor that its client has named NAME by getfd, the caller's from here
 * on. -EINVAL and ERR when there is none.
 */
int must_check qmp_take_fd(struct qmp_server *server, const char *name, struct qmp_error *err);

struct qmp_server_stats {
	unsigned int nr_clients;
	size_t backlog_bytes; /* replies and events that wait for clients */
	uint64_t nr_events_dropped, nr_clients_refused;
};
struct qmp_server_stats qmp_server_stats(const struct qmp_server *server);

#endif
