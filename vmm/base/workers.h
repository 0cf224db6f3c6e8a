/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workers.h - threads that do for the loop what may take long, such as I/O on a file.
 * Work is handed over by submit and comes back to the loop, by done(), when it was run; in between
 * it belongs to the thread that runs it. Started in the order of submission, done in any.
 * Threads come when there is work for them, at most MAX, and stay. Signals are blocked in them as
 * in whoever submits. They take no lock but their own, so that whoever holds the device lock can
 * wait for them.
 */
#ifndef EBB_BASE_WORKERS_H
#define EBB_BASE_WORKERS_H

#include "vmm/base/loop.h"

/* Embedded in its user. */
struct work {
	void (*run)(struct work *work); /* on a thread of its own, without the device lock */
	struct work *next;
};

struct workers;

/*
 * DONE gets what was run, a list by `next`, on the loop's thread under the device lock; it may
 * submit again. 0 or -errno, logged; there is one thread at least then.
 */
int must_check workers_new(struct workers **out, struct loop *loop, unsigned int max,
			   void (*done)(void *ctx, struct work *list), void *ctx);
/* None may be under way (workers_cancel()). NULL is fine. */
void workers_free(struct workers *w);

/* Under the device lock. Nothing starts before workers_go(). */
void workers_submit(struct workers *w, struct work *work);
/* What was submitted may start: one wake-up, however much it is. */
void workers_go(struct workers *w);
/* Waits until all that was submitted was run, and has it done(). The loop's thread. */
void workers_drain(struct workers *w);
/*
 * Forgets what was submitted; what runs is waited for. Nothing of it comes to done() any more. Any
 * thread, under the device lock.
 */
void workers_cancel(struct workers *w);

#endif
