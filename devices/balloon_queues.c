/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_queues.c - which queue of a balloon is for what. */
#include "devices/balloon_queues.h"

#include <errno.h>

#include "devices/virtio_balloon_wire.h"

static void clear(struct balloon_queues *q)
{
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++)
		q->role[i] = BALLOON_NR_ROLES;
}

void balloon_queues_choose(struct balloon_queues *q, uint64_t features)
{
	static const struct {
		enum balloon_role role;
		int feature; /* -1: always there */
	} order[] = {
		{ BALLOON_ROLE_INFLATE, -1 },
		{ BALLOON_ROLE_DEFLATE, -1 },
		{ BALLOON_ROLE_STATS, VIRTIO_BALLOON_F_STATS_VQ },
		{ BALLOON_ROLE_HINT, VIRTIO_BALLOON_F_FREE_PAGE_HINT },
		{ BALLOON_ROLE_REPORT, VIRTIO_BALLOON_F_REPORTING },
		{ BALLOON_ROLE_WS_REPORT, BALLOON_F_WS_REPORTING },
		{ BALLOON_ROLE_WS_NOTIFY, BALLOON_F_WS_REPORTING },
	};
	unsigned int nr = 0;

	clear(q);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (order[i].feature < 0 || features >> order[i].feature & 1)
			q->role[nr++] = order[i].role;
}

int balloon_queues_find(const struct balloon_queues *q, enum balloon_role role)
{
	if (!virtio_live(q->dev))
		return -ENODEV;
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++)
		if (q->role[i] == role)
			return (int)i;
	return -ENODEV;
}

void balloon_queues_serve(struct balloon_queues *q, unsigned int queue, balloon_serve_fn serve,
			  void *ctx)
{
	uint64_t end_ns = clock_ns() + BALLOON_KICK_NS;
	struct chain c;

	while (virtio_pop(q->dev, queue, &c)) {
		const char *wrong = serve(ctx, &c);

		virtio_push(q->dev, queue, &c);
		if (wrong) {
			virtio_notify(q->dev, queue);
			virtio_broken(q->dev, wrong);
		}
		if (clock_ns() >= end_ns)
			virtio_yield(q->dev);
	}
	virtio_notify(q->dev, queue);
}
