/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_client.h - a blocking QMP client for the `ebb` verbs. One thread per client.
 * What the server says is not trusted: a message has at most QMP_CLIENT_MAX_MESSAGE bytes.
 */
#ifndef EBB_CONTROL_QMP_CLIENT_H
#define EBB_CONTROL_QMP_CLIENT_H

#include <json-c/json.h>

#include "vmm/json/error.h"

#define QMP_CLIENT_MAX_MESSAGE (16 * MiB)
#define QMP_CLIENT_MAX_EVENTS 256 /* kept for qmp_client_event(); the oldest goes first */

struct qmp_client;

/*
 * Connects to VM (a name, or a path that holds a '/') and negotiates. TIMEOUT_MS bounds this and
 * later each reply; -1: no bound. Errors are logged with the way out: -ENOENT (no such VM),
 * -ECONNREFUSED (it died), -ETIMEDOUT, -ECONNRESET, -EPROTO (not QMP), -EINVAL (not a name).
 */
int must_check qmp_client_open(struct qmp_client **out, const char *vm, int timeout_ms);
/* The same on a connected stream socket; takes FD on success. NAME stands in messages. */
int must_check qmp_client_open_fd(struct qmp_client **out, int fd, const char *name,
				  int timeout_ms);
void qmp_client_close(struct qmp_client *client);

/*
 * Runs COMMAND and takes ARGS (NULL: none). 0 and *RET (RET may be NULL), to be put by the caller.
 * -EREMOTEIO: the VM refused; its class and sentence are in ERR, or logged when ERR is NULL.
 * -ETIMEDOUT, -ECONNRESET, -EPROTO: logged; of use then is only qmp_client_close().
 */
int must_check qmp_client_run(struct qmp_client *client, const char *command,
			      struct json_object *args, struct json_object **ret,
			      struct qmp_error *err);
/* Hands FD over, which stays the caller's too, as NAME (getfd). Errors as qmp_client_run(). */
int must_check qmp_client_pass_fd(struct qmp_client *client, int fd, const char *name);
/*
 * The next event called NAME (NULL: any), one that came during a command included; others before
 * it are thrown away. 0 and *EVENT, to be put by the caller. Not logged: -ETIMEDOUT after
 * TIMEOUT_MS (-1: never), -ECONNRESET when the VM has ended, -EINTR after a signal.
 */
int must_check qmp_client_event(struct qmp_client *client, const char *name, int timeout_ms,
				struct json_object **event);

/* Members of a reply; FALLBACK when one is missing or of another type, or OBJECT is none. */
uint64_t qmp_get_u64(struct json_object *object, const char *name, uint64_t fallback);
const char *qmp_get_str(struct json_object *object, const char *name, const char *fallback);
bool qmp_get_bool(struct json_object *object, const char *name, bool fallback);

#endif
