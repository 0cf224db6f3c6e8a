/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_hinting.h - runs of free page hinting, in which the host takes a guest's free memory: the
 * hint queue, and what of the memory named there may go (the steps of a run: devices/reclaim.h).
 * Internal to the balloon device.
 *
 * Hints are late: a page named as free may be in use again when the host hears of it. So hints are
 * looked at while all vCPUs stand, and only memory goes that nobody has written since the run
 * began, as a log of writes tells, or that is zeros.
 *
 * Thread: the loop, under the device lock; balloon_hinting_reset() also on a vCPU thread.
 */
#ifndef EBB_DEVICES_BALLOON_HINTING_H
#define EBB_DEVICES_BALLOON_HINTING_H

#include "devices/balloon_queues.h"
#include "devices/reclaim.h"
#include "vmm/base/loop.h"
#include "vmm/memory/dirty_pages.h"
#include "vmm/memory/page_ledger.h"

/* What hinting works on; all of it outlives the struct balloon_hinting. */
struct balloon_hinting_env {
	struct balloon_queues *queues; /* of a device whose guest memory is set */
	struct loop *loop;
	struct page_ledger *returned;
	/* The log of writes and the vCPUs, as in struct balloon_env; CTX is theirs. */
	const struct dirty_pages *written;
	int (*log_start)(void *ctx);
	void (*log_stop)(void *ctx);
	int (*freeze)(void *ctx);
	void (*thaw)(void *ctx);
	void *ctx;
	/* A run has ended at its deadline, in a turn of the loop: now balloon_hinting_settle(). */
	void (*expired)(void *owner);
	void *owner;
};

/* What hinted memory was found to be. */
enum balloon_found { BALLOON_UNWRITTEN, BALLOON_CLEARED, BALLOON_IN_USE, BALLOON_NR_FOUND };

struct balloon_hinting {
	struct balloon_hinting_env env;
	struct reclaim run; /* the latest */
	bool run_open;	    /* it is running, or its end has not been settled */
	bool logging;
	bool clears; /* the guest clears what it names, by its latest hints */
	uint64_t found[BALLOON_NR_FOUND]; /* bytes, in the latest look */
	uint32_t nr_resets;
	struct loop_timer deadline_timer;
	struct chain *hints; /* those that are looked at together */
	/* What balloon_hinting_settle() saw last. */
	uint32_t settled_id;
	enum reclaim_state settled_state;
};

/* ENV is copied. -ENOMEM, not logged; nothing is to be destroyed then. */
int must_check balloon_hinting_init(struct balloon_hinting *h,
				    const struct balloon_hinting_env *env);
/* Stops a log that is being kept; no timer fires any more. */
void balloon_hinting_destroy(struct balloon_hinting *h);

/*
 * Starts a run that ends at DEADLINE_NS (monotonic) at the latest, and interrupts the driver.
 * -EBUSY: one is running; -ENODEV: no driver with free page hinting; -errno of log_start(). To be
 * settled, unless it fails.
 */
int must_check balloon_hinting_start(struct balloon_hinting *h, uint64_t deadline_ns);
/* Ends the running run. -ENOENT: none is running. To be settled. */
int must_check balloon_hinting_cancel(struct balloon_hinting *h);
/*
 * Takes what is in the queue of this number: hints and the ids of the guest's runs. A guest that
 * breaks the rules breaks the device. POISONED: the guest counts on its pattern in free pages, so
 * none is taken. To be settled.
 */
void balloon_hinting_kick(struct balloon_hinting *h, unsigned int queue, bool poisoned);
/* No driver is there any more: a running run ends short. To be settled. */
void balloon_hinting_driver_gone(struct balloon_hinting *h);
/* Device reset: the driver is gone, and every chain of it. To be settled, later, by the loop. */
void balloon_hinting_reset(struct balloon_hinting *h);

/*
 * After any of the above, in the loop's thread: sets the timer, and closes a run that has ended,
 * whoever ended it: stops its log and interrupts the driver, which may use its memory again. True:
 * a run has started or ended since the last call.
 */
bool must_check balloon_hinting_settle(struct balloon_hinting *h);

#endif
