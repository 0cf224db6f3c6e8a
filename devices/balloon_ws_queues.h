/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_ws_queues.h - the two proposed queues about a guest's working set: in one the guest
 * reports it, in the other it hands over a buffer that the host fills when it has something to
 * say: report now, or report like this (what is in them: devices/balloon_ws.h). Internal to the
 * balloon device.
 *
 * Thread: the loop, under the device lock; balloon_ws_queues_reset() also on a vCPU thread.
 */
#ifndef EBB_DEVICES_BALLOON_WS_QUEUES_H
#define EBB_DEVICES_BALLOON_WS_QUEUES_H

#include "devices/balloon_queues.h"
#include "devices/balloon_ws.h"

struct balloon_ws_queues {
	struct balloon_queues *queues;
	void (*arrived)(void *ctx, const struct working_set *ws);
	void *ctx;
	bool held; /* the guest's buffer for the next notification is here */
	struct chain buffer;
	bool waits; /* a notification has no buffer yet */
	struct balloon_ws_notify next;
};

/* QUEUES outlives W. ARRIVED, optional: the guest has reported WS, which is valid for the call. */
void balloon_ws_queues_init(struct balloon_ws_queues *w, struct balloon_queues *queues,
			    void (*arrived)(void *ctx, const struct working_set *ws), void *ctx);
/* Device reset: forgets the buffer, and a notification that waits for one. */
void balloon_ws_queues_reset(struct balloon_ws_queues *w);

/* One report (a balloon_serve_fn, CTX is W). NULL, or what is wrong with it. */
const char *balloon_ws_queues_report(void *ctx, struct chain *c);
/* Takes a buffer from the queue of this number. A guest that breaks the rules breaks the device. */
void balloon_ws_queues_kick(struct balloon_ws_queues *w, unsigned int queue);

/*
 * Asks for a report of NODE now. -ENODEV: no driver with these queues; -EBUSY: the notification
 * before has not got a buffer yet.
 */
int must_check balloon_ws_queues_ask(struct balloon_ws_queues *w, uint16_t node);
/* Says how to report. Errors as above; -EINVAL: CFG is not valid (balloon_ws_config_valid()). */
int must_check balloon_ws_queues_configure(struct balloon_ws_queues *w,
					   const struct working_set_config *cfg);

#endif
