/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_pages.h - memory that the guest hands over by itself: pages into the balloon and out of
 * it again (inflate, deflate), and free pages that it reports (virtio, Traditional Memory Balloon
 * Device / Free Page Reporting). Internal to the balloon device.
 *
 * Ballooned pages are not discarded one by one: they wait a moment for the rest of their 2 MiB.
 *
 * Thread: the loop, under the device lock.
 */
#ifndef EBB_DEVICES_BALLOON_PAGES_H
#define EBB_DEVICES_BALLOON_PAGES_H

#include "virtio/device.h"
#include "vmm/base/loop.h"
#include "vmm/memory/page_ledger.h"

struct balloon_pages {
	const struct virtio_dev *dev;
	struct loop *loop;
	struct page_ledger *returned;
	struct loop_timer flush_timer;
	uint64_t waiting_since_ns; /* while anything waits */
	/* Counted since the device was made. */
	uint64_t inflated_pages, deflated_pages; /* of 4 KiB, as asked for */
	uint64_t reports;
	uint64_t kept_bytes; /* reported, but left alone for the page poison */
};

/* DEV (with its guest memory set), LOOP and RETURNED outlive P. */
void balloon_pages_init(struct balloon_pages *p, const struct virtio_dev *dev, struct loop *loop,
			struct page_ledger *returned);
/*
 * Nothing is discarded by time any more, until the next inflation: before the device is freed, and
 * when a machine reset has made memory whole again.
 */
void balloon_pages_stop(struct balloon_pages *p);

/*
 * One message of the inflate (INFLATE) or deflate queue: page numbers. NULL, or what is wrong with
 * it; then none of its pages has changed hands.
 */
const char *balloon_pages_serve(struct balloon_pages *p, struct chain *c, bool inflate);
/*
 * One report: the buffers of C are free memory, which the host takes. POISONED: the guest counts on
 * its pattern in free pages, which a discard would lose, so it is counted only. NULL, or what is
 * wrong with it.
 */
const char *balloon_pages_report(struct balloon_pages *p, struct chain *c, bool poisoned);

#endif
