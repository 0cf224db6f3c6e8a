/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_session.h - one client of the control socket: input to requests, replies to output.
 * Used by qmp_server.c alone; loop's thread.
 */
#ifndef EBB_CONTROL_QMP_SESSION_H
#define EBB_CONTROL_QMP_SESSION_H

#include <json-c/json.h>

#include "vmm/base/loop.h"
#include "vmm/control/qmp_fds.h"
#include "vmm/json/error.h"
#include "vmm/json/scan.h"

struct qmp_session;

struct qmp_session_ops {
	/* Runs COMMAND for SESSION; as qmp_command.run, but ARGS are unchecked. */
	int (*run)(void *ctx, struct qmp_session *session, const char *command,
		   struct json_object *args, struct json_object **ret, struct qmp_error *err);
	/* The client has gone and all it asked is done: the session may be freed, and must be. */
	void (*gone)(void *ctx, struct qmp_session *session);
};

struct qmp_session {
	struct qmp_session *next; /* the server's list */
	bool negotiated;
	struct qmp_fds fds; /* of this client */

	/* The rest is the session's own. */
	struct loop *loop;
	const struct qmp_session_ops *ops;
	void *ctx;
	int fd;
	uint32_t interest; /* epoll events asked for */
	bool at_eof;       /* the client will send no more */
	bool muted;        /* nobody reads what we send: output is thrown away */
	/* A command is answered later: nothing is read until then. */
	bool waiting, has_waiting_id;
	bool unwatched; /* and the client has gone meanwhile */
	struct json_object *waiting_id;
	/* Input: what was received and not yet looked at, then the request under way. */
	char in[4096];
	size_t in_pos, in_len;
	size_t request_bytes; /* 0: between requests */
	bool skipping;        /* inside a broken value */
	struct qmp_scan scan;
	struct json_tokener *tokener;
	/* Output that the socket did not take yet: [out_pos, out_len). */
	char *out;
	size_t out_pos, out_len, out_cap;
};

/* Takes FD, a connected stream socket, on success; makes it non-blocking. */
int must_check qmp_session_new(struct qmp_session **out, struct loop *loop, int fd,
			       const struct qmp_session_ops *ops, void *ctx);
void qmp_session_free(struct qmp_session *session);

/* Sends one line; LINE comes without CRLF. Keeps what the socket does not take. */
void qmp_session_send(struct qmp_session *session, const char *line, size_t bytes);
static inline size_t qmp_session_backlog(const struct qmp_session *session)
{
	return session->out_len - session->out_pos;
}
/* Answers the request that waits (see qmp_reply()). */
void qmp_session_reply(struct qmp_session *session, int r, struct json_object *ret,
		       struct qmp_error *err);
/* Waits until everything is sent, the client has gone or the loop's time is UNTIL_NS. */
void qmp_session_drain(struct qmp_session *session, uint64_t until_ns);

/* {"error": ...} as a line; for a client that gets no session. */
struct json_object *qmp_error_reply(const struct qmp_error *err);

#define QMP_JSON_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

#endif
