/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_stats_queue.h - when a guest's memory statistics come: the driver hands over one buffer,
 * the device keeps it and gives it back when a sample is wanted, the driver fills it anew (virtio,
 * Traditional Memory Balloon Device / Memory Statistics; what is in it: devices/balloon_stats.h).
 * Internal to the balloon device.
 *
 * Thread: the loop, under the device lock; balloon_stats_queue_reset() also on a vCPU thread.
 */
#ifndef EBB_DEVICES_BALLOON_STATS_QUEUE_H
#define EBB_DEVICES_BALLOON_STATS_QUEUE_H

#include "devices/balloon_queues.h"
#include "devices/balloon_stats.h"
#include "vmm/base/loop.h"

struct balloon_stats_queue {
	struct balloon_queues *queues;
	struct loop *loop;
	void (*arrived)(void *ctx);
	void *ctx;
	struct balloon_stats latest;
	uint64_t latest_s; /* time of day of it, seconds; 0: none has come */
	bool held;	   /* the buffer is here, not with the guest */
	struct chain buffer;
	uint64_t poll_s;
	struct loop_timer poll_timer;
};

/* QUEUES and LOOP outlive S. ARRIVED, optional: a sample has come; is called last in a kick. */
void balloon_stats_queue_init(struct balloon_stats_queue *s, struct balloon_queues *queues,
			      struct loop *loop, void (*arrived)(void *ctx), void *ctx);
/* No timer fires after this. */
void balloon_stats_queue_destroy(struct balloon_stats_queue *s);
/* Device reset: forgets the buffer. The latest sample stays, and polling goes on. */
void balloon_stats_queue_reset(struct balloon_stats_queue *s);
/* Takes what is in the queue of this number. A guest that breaks the rules breaks the device. */
void balloon_stats_queue_kick(struct balloon_stats_queue *s, unsigned int queue);
/* Asks for a sample, unless the guest is about to send one. -ENODEV: no driver with statistics. */
int must_check balloon_stats_queue_ask(struct balloon_stats_queue *s);
/* Asks every INTERVAL_S seconds, the first time in a millisecond; 0: no more. */
void balloon_stats_queue_poll(struct balloon_stats_queue *s, uint64_t interval_s);

#endif
