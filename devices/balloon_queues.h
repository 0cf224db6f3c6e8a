/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_queues.h - the queues of a balloon: which one is for what, and how those are served whose
 * messages need no more than an answer each. Internal to the balloon device.
 *
 * Which queue has which index follows from what the driver accepted: queues of features that it
 * declined do not exist, and the ones after them move up (devices/virtio_balloon.h).
 *
 * Thread: as for the functions of a device (virtio/device.h), under the device lock.
 */
#ifndef EBB_DEVICES_BALLOON_QUEUES_H
#define EBB_DEVICES_BALLOON_QUEUES_H

#include "virtio/device.h"
#include "vmm/base/clock.h"

/* So long one kick may take of the loop; the request that it is at is served to its end. */
#define BALLOON_KICK_NS (10 * NS_PER_MS)

enum balloon_role {
	BALLOON_ROLE_INFLATE,
	BALLOON_ROLE_DEFLATE,
	BALLOON_ROLE_STATS,
	BALLOON_ROLE_HINT,
	BALLOON_ROLE_REPORT,
	BALLOON_ROLE_WS_REPORT,
	BALLOON_ROLE_WS_NOTIFY,
	BALLOON_NR_ROLES
};

struct balloon_queues {
	struct virtio_dev *dev;
	/* Of each queue, by its index; BALLOON_NR_ROLES: there is no such queue. */
	enum balloon_role role[VIRTIO_MAX_QUEUES];
};

/* FEATURES (bits) is what the driver chose, or before that what is offered: gives each its role. */
void balloon_queues_choose(struct balloon_queues *q, uint64_t features);
/* The index of the queue that has ROLE. -ENODEV: no driver is there, or it does without. */
int must_check balloon_queues_find(const struct balloon_queues *q, enum balloon_role role);

/* Acts on one message. NULL, or what is wrong with it: virtio_broken() is told then. */
typedef const char *(*balloon_serve_fn)(void *ctx, struct chain *c);
/*
 * Serves each message of queue number QUEUE and gives it back to the driver at once, one after the
 * other. What BALLOON_KICK_NS is too short for comes in a later turn of the loop.
 */
void balloon_queues_serve(struct balloon_queues *q, unsigned int queue, balloon_serve_fn serve,
			  void *ctx);

#endif
