/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_events.h - builds events and holds back those that come too often. Loop's thread. */
#ifndef EBB_CONTROL_QMP_EVENTS_H
#define EBB_CONTROL_QMP_EVENTS_H

#include <json-c/json.h>

#include "vmm/base/loop.h"

struct qmp_events {
	struct loop *loop;
	void (*send)(void *ctx, const char *line, size_t bytes);
	void *ctx;
	struct qmp_event_slot *slots; /* names and keys sent within the last interval */
	struct loop_timer timer;
};

void qmp_events_init(struct qmp_events *events, struct loop *loop,
		     void (*send)(void *ctx, const char *line, size_t bytes), void *ctx);
/* Forgets what is held back. */
void qmp_events_clear(struct qmp_events *events);

/* See qmp_event() and qmp_event_limited(). */
void qmp_events_send(struct qmp_events *events, const char *name, struct json_object *data);
void qmp_events_send_limited(struct qmp_events *events, const char *name, const char *key,
			     struct json_object *data);

#endif
