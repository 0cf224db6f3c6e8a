/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_events.c - one slot per event name and key, alive for one interval after the last event. */
#include "vmm/control/qmp_events.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/control/qmp_server.h"
#include "vmm/control/qmp_session.h"

struct qmp_event_slot {
	struct qmp_event_slot *next;
	char *name, *key;
	uint64_t free_at_ns;          /* from then on the next one may be sent */
	struct json_object *held;     /* the last one that came too early */
};

static struct json_object *build(const char *name, struct json_object *data)
{
	struct json_object *event = json_object_new_object(), *t = json_object_new_object();
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	json_object_object_add(t, "seconds", json_object_new_int64(now.tv_sec));
	json_object_object_add(t, "microseconds", json_object_new_int64(now.tv_nsec / 1000));
	json_object_object_add(event, "timestamp", t);
	json_object_object_add(event, "event", json_object_new_string(name));
	json_object_object_add(event, "data", data ? data : json_object_new_object());
	return event;
}

static void send_and_put(struct qmp_events *e, struct json_object *event)
{
	size_t bytes;
	const char *line = json_object_to_json_string_length(event, QMP_JSON_FLAGS, &bytes);

	e->send(e->ctx, line, bytes);
	json_object_put(event);
}

static void free_slot(struct qmp_event_slot *slot)
{
	json_object_put(slot->held);
	free(slot->name);
	free(slot->key);
	free(slot);
}

static void arm(struct qmp_events *e)
{
	uint64_t at_ns = UINT64_MAX;

	for (struct qmp_event_slot *s = e->slots; s; s = s->next)
		at_ns = min_u64(at_ns, s->free_at_ns);
	if (e->slots)
		loop_timer_set(e->loop, &e->timer, at_ns);
	else
		loop_timer_cancel(e->loop, &e->timer);
}

static void on_timer(void *ctx)
{
	struct qmp_events *e = ctx;
	uint64_t now = loop_now(e->loop);

	for (struct qmp_event_slot **p = &e->slots; *p;) {
		struct qmp_event_slot *slot = *p;

		if (slot->free_at_ns > now) {
			p = &slot->next;
		} else if (slot->held) {
			send_and_put(e, slot->held);
			slot->held = NULL;
			slot->free_at_ns = now + QMP_EVENT_INTERVAL_NS;
			p = &slot->next;
		} else {
			*p = slot->next;
			free_slot(slot);
		}
	}
	arm(e);
}

void qmp_events_init(struct qmp_events *e, struct loop *loop,
		     void (*send)(void *ctx, const char *line, size_t bytes), void *ctx)
{
	*e = (struct qmp_events){
		.loop = loop, .send = send, .ctx = ctx,
		.timer = { .fn = on_timer, .ctx = e },
	};
}

void qmp_events_clear(struct qmp_events *e)
{
	while (e->slots) {
		struct qmp_event_slot *slot = e->slots;

		e->slots = slot->next;
		free_slot(slot);
	}
	loop_timer_cancel(e->loop, &e->timer);
}

void qmp_events_send(struct qmp_events *e, const char *name, struct json_object *data)
{
	send_and_put(e, build(name, data));
}

/* NULL without memory. */
static struct qmp_event_slot *add_slot(struct qmp_events *e, const char *name, const char *key)
{
	struct qmp_event_slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return NULL;
	slot->name = strdup(name);
	slot->key = strdup(key);
	if (!slot->name || !slot->key) {
		free_slot(slot);
		return NULL;
	}
	slot->next = e->slots;
	e->slots = slot;
	return slot;
}

void qmp_events_send_limited(struct qmp_events *e, const char *name, const char *key,
			     struct json_object *data)
{
	struct json_object *event = build(name, data);
	struct qmp_event_slot *slot = e->slots;
	uint64_t now = loop_now(e->loop);

	while (slot && (strcmp(slot->name, name) || strcmp(slot->key, key)))
		slot = slot->next;
	if (slot && now < slot->free_at_ns) {
		json_object_put(slot->held);
		slot->held = event;
		return;
	}
	if (!slot)
		slot = add_slot(e, name, key);
	if (slot) {
		/* The timer may be late: what was held is older than this one. */
		json_object_put(slot->held);
		slot->held = NULL;
		slot->free_at_ns = now + QMP_EVENT_INTERVAL_NS;
		arm(e);
	}
	send_and_put(e, event);
}
