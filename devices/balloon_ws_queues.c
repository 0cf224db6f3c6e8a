/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_ws_queues.c - reports of the working set, and the notifications that ask for them. */
#include "devices/balloon_ws_queues.h"

#include <errno.h>

void balloon_ws_queues_init(struct balloon_ws_queues *w, struct balloon_queues *queues,
			    void (*arrived)(void *ctx, const struct working_set *ws), void *ctx)
{
	*w = (struct balloon_ws_queues){ .queues = queues, .arrived = arrived, .ctx = ctx };
}

void balloon_ws_queues_reset(struct balloon_ws_queues *w) { w->held = w->waits = false; }

const char *balloon_ws_queues_report(void *ctx, struct chain *c)
{
	struct balloon_ws_queues *w = ctx;
	struct balloon_ws_report report;
	struct working_set ws;
	const char *wrong;

	if (chain_readable(c) != sizeof(report) || chain_read_obj(c, &report))
		return "a working set that is not of 776 bytes that exist";
	wrong = balloon_ws_parse(&ws, &report);
	if (!wrong && w->arrived)
		w->arrived(w->ctx, &ws);
	return wrong;
}

/* When both are there, the notification and the buffer for it. */
static const char *send_next(struct balloon_ws_queues *w, unsigned int queue)
{
	const char *wrong = NULL;

	if (!w->held || !w->waits)
		return NULL;
	if (chain_write_obj(&w->buffer, &w->next))
		wrong = "less than 140 bytes for a notification, or in memory that does not exist";
	w->held = w->waits = false;
	virtio_push(w->queues->dev, queue, &w->buffer);
	virtio_notify(w->queues->dev, queue);
	return wrong;
}

void balloon_ws_queues_kick(struct balloon_ws_queues *w, unsigned int queue)
{
	const char *wrong = NULL;
	struct chain c;

	while (!wrong && virtio_pop(w->queues->dev, queue, &c)) {
		if (w->held) {
			virtio_push(w->queues->dev, queue, &c);
			wrong = "a second buffer for notifications";
			break;
		}
		w->held = true;
		w->buffer = c;
		wrong = send_next(w, queue);
	}
	if (wrong)
		virtio_broken(w->queues->dev, wrong);
}

static int notify(struct balloon_ws_queues *w, struct balloon_ws_notify notification)
{
	int queue = balloon_queues_find(w->queues, BALLOON_ROLE_WS_NOTIFY);
	const char *wrong;

	if (queue < 0)
		return queue;
	if (w->waits)
		return -EBUSY;
	w->waits = true;
	w->next = notification;
	wrong = send_next(w, (unsigned int)queue);
	if (wrong)
		virtio_broken(w->queues->dev, wrong);
	return 0;
}

int balloon_ws_queues_ask(struct balloon_ws_queues *w, uint16_t node)
{
	return notify(w, balloon_ws_request(node));
}

int balloon_ws_queues_configure(struct balloon_ws_queues *w, const struct working_set_config *cfg)
{
	if (!balloon_ws_config_valid(cfg))
		return -EINVAL;
	return notify(w, balloon_ws_configure(cfg));
}
