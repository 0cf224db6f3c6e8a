/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_stats_queue.c - the queue of memory statistics. */
#include "devices/balloon_stats_queue.h"

#include <time.h>

static const char *take_sample(struct balloon_stats_queue *s, struct chain *c)
{
	char entries[BALLOON_MAX_STATS * BALLOON_STAT_BYTES];
	uint32_t bytes = chain_readable(c);
	const char *wrong;

	if (bytes > sizeof(entries))
		return "more than 256 statistics";
	if (chain_read(c, entries, bytes))
		return "statistics in memory that does not exist";
	wrong = balloon_stats_parse(&s->latest, entries, bytes);
	if (!wrong)
		s->latest_s = (uint64_t)time(NULL);
	return wrong;
}

void balloon_stats_queue_kick(struct balloon_stats_queue *s, unsigned int queue)
{
	struct virtio_dev *dev = s->queues->dev;
	bool arrived = false;
	const char *wrong;
	struct chain c;

	while (virtio_pop(dev, queue, &c)) {
		wrong = s->held ? "a second buffer of statistics" : take_sample(s, &c);
		if (wrong) {
			virtio_push(dev, queue, &c);
			virtio_notify(dev, queue);
			virtio_broken(dev, wrong);
			return;
		}
		s->held = arrived = true;
		s->buffer = c;
	}
	if (arrived && s->arrived)
		s->arrived(s->ctx);
}

int balloon_stats_queue_ask(struct balloon_stats_queue *s)
{
	int queue = balloon_queues_find(s->queues, BALLOON_ROLE_STATS);

	if (queue < 0)
		return queue;
	/* Else it is with the guest already, which will answer. */
	if (s->held) {
		s->held = false;
		virtio_push(s->queues->dev, (unsigned int)queue, &s->buffer);
		virtio_notify(s->queues->dev, (unsigned int)queue);
	}
	return 0;
}

static void on_poll(void *ctx)
{
	struct balloon_stats_queue *s = ctx;

	(void)!balloon_stats_queue_ask(s);
	loop_timer_set(s->loop, &s->poll_timer, loop_now(s->loop) + s->poll_s * NS_PER_S);
}

void balloon_stats_queue_poll(struct balloon_stats_queue *s, uint64_t interval_s)
{
	s->poll_s = interval_s;
	loop_timer_move(s->loop, &s->poll_timer, interval_s ? loop_now(s->loop) + NS_PER_MS : 0);
}

void balloon_stats_queue_init(struct balloon_stats_queue *s, struct balloon_queues *queues,
			      struct loop *loop, void (*arrived)(void *ctx), void *ctx)
{
	*s = (struct balloon_stats_queue){ .queues = queues,
					   .loop = loop,
					   .arrived = arrived,
					   .ctx = ctx,
					   .poll_timer = { .fn = on_poll, .ctx = s } };
	balloon_stats_init(&s->latest);
}

void balloon_stats_queue_destroy(struct balloon_stats_queue *s)
{
	loop_timer_cancel(s->loop, &s->poll_timer);
}

void balloon_stats_queue_reset(struct balloon_stats_queue *s) { s->held = false; }
