/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_balloon.h - the traditional memory balloon device (virtio, Traditional Memory Balloon
 * Device): inflate and deflate toward a target, statistics, free page reporting, free page hinting
 * as host-triggered reclaim, and the proposed working set queues.
 *
 * Which queue has which index follows from what the driver accepted: those of features that it
 * declined do not exist, the ones after them move up (as Linux does; the specification's table has
 * fixed ones).
 *
 * Thread: the loop, under the device lock. Sizes are in bytes, times in nanoseconds of loop_now()
 * unless a name says otherwise. A function that returns an error has changed nothing.
 */
#ifndef EBB_DEVICES_VIRTIO_BALLOON_H
#define EBB_DEVICES_VIRTIO_BALLOON_H

#include "devices/balloon_stats.h"
#include "devices/balloon_ws.h"
#include "devices/reclaim.h"
#include "devices/resize.h"
#include "virtio/device.h"
#include "vmm/base/loop.h"
#include "vmm/memory/dirty_pages.h"
#include "vmm/memory/page_ledger.h"

struct balloon;

/* What is offered. Inflation and statistics always are. */
struct balloon_cfg {
	uint64_t boot_bytes; /* the RAM that sizes speak of */
	bool deflate_on_oom, reporting, hinting, working_set;
};

/* What the device works on; all of it outlives the device. */
struct balloon_env {
	struct loop *loop;
	const struct guest_mem *gm;
	struct page_ledger *returned;
	/*
	 * For hinting; needed with cfg.hinting. From log_start() to log_stop() it is noted what is
	 * written, by anybody; log_start() may fail (-errno): no run starts then. freeze() stops
	 * all vCPUs and brings WRITTEN up to date, if it is noted, thaw() lets them go on. freeze()
	 * may fail, too (-errno): nothing has stopped then, and the run ends short.
	 */
	const struct dirty_pages *written;
	int (*log_start)(void *ctx);
	void (*log_stop)(void *ctx);
	int (*freeze)(void *ctx);
	void (*thaw)(void *ctx);
	/* Optional, called last. They may call back into the device, but not free it. */
	void (*size_changed)(void *ctx);
	void (*job_changed)(void *ctx);
	void (*stats_arrived)(void *ctx);
	void (*reclaim_changed)(void *ctx); /* a run has started or ended */
	void (*working_set_arrived)(void *ctx, const struct working_set *ws);
	void *ctx;
};

/*
 * CFG and ENV are copied; CFG's boot_bytes is a multiple of 4 KiB, below 16 TiB. The target is all
 * of it: nothing is to be ballooned. -ENOMEM, logged.
 */
int must_check balloon_new(struct balloon **out, const struct balloon_cfg *cfg,
			   const struct balloon_env *env);
/* Calls no callback but log_stop(). NULL: no effect. */
void balloon_free(struct balloon *b);
/* To be put behind a transport; it lives as long as B. */
struct virtio_dev *balloon_dev(struct balloon *b);
/*
 * The machine is reset, after the transport has reset the device: memory is whole again. A run of
 * hinting ends short; the target and a running job stay, and the next driver inflates to it.
 */
void balloon_system_reset(struct balloon *b);

/*
 * The guest shall have RAM_BYTES of its boot memory left (rounded up to 4 KiB; at most all of it).
 * As a job (devices/resize.h) that ends `short` at DEADLINE_NS (0: no deadline); the target stays
 * then. A running one is cancelled first. job_changed() tells of both.
 */
void balloon_resize(struct balloon *b, uint64_t ram_bytes, uint64_t deadline_ns);
/*
 * Ends the running job; the target becomes what is reached, so that the guest stops there.
 * -ENOENT: no job is running.
 */
int must_check balloon_cancel(struct balloon *b);
/* The latest job, as of now. */
struct resize_status balloon_job(const struct balloon *b);

/* Asks for a sample every INTERVAL_S seconds, whether or not a driver is there; 0: no more. */
void balloon_poll_stats(struct balloon *b, uint64_t interval_s);
/* Asks for a sample now; stats_arrived() tells when it is there. -ENODEV: no driver with them. */
int must_check balloon_ask_stats(struct balloon *b);

/*
 * Starts a run of free page hinting, which takes the guest's free memory and ends at DEADLINE_NS at
 * the latest (devices/reclaim.h); reclaim_changed() tells of start and end. Needs cfg.hinting.
 * -EBUSY: a run is under way; -ENODEV: no driver with free page hinting; -errno of log_start().
 */
int must_check balloon_reclaim(struct balloon *b, uint64_t deadline_ns);
/* Ends the running run; what it has taken stays taken. -ENOENT: none is running. */
int must_check balloon_cancel_reclaim(struct balloon *b);

/*
 * Asks for the working set of NODE (NUMA node); working_set_arrived() tells it. -ENODEV: no driver
 * with working set queues; -EBUSY: the driver has not taken the notification before this one yet.
 */
int must_check balloon_ask_working_set(struct balloon *b, uint16_t node);
/* How the guest shall report by itself. Errors as above; -EINVAL: not valid (balloon_ws.h). */
int must_check balloon_configure_working_set(struct balloon *b,
					     const struct working_set_config *cfg);

struct balloon_info {
	bool driver_ready;
	uint64_t features;	/* negotiated */
	uint64_t target_bytes;	/* of RAM */
	uint64_t size_bytes;	/* of RAM: what is not ballooned */
	uint64_t claimed_bytes; /* ballooned, as the driver says */
	uint64_t waiting_bytes; /* ballooned, about to be discarded */
	uint64_t poll_s;	/* of balloon_poll_stats() */
	struct balloon_stats stats;
	uint64_t stats_s; /* time of day of the sample, seconds; 0: none */
	struct reclaim reclaim; /* the latest run */
	struct balloon_counters {
		uint64_t inflated_pages, deflated_pages; /* of 4 KiB, as asked for */
		uint64_t reports, kept_bytes; /* reported, but left alone for the page poison */
	} counters;
};
/* Fills *INFO with how things are now. */
void balloon_info(const struct balloon *b, struct balloon_info *info);

#endif
