/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vballoon.h - a virtio-balloon driver (virtio, Traditional Memory Balloon Device), with page
 * reporting, free page hinting, statistics and the proposed working set queues.
 * Buffers given to it are identity-mapped and outlive the request.
 */
#ifndef EBB_GUESTS_VBALLOON_H
#define EBB_GUESTS_VBALLOON_H

#include <linux/virtio_balloon.h>

#include "guests/lib.h"
#include "guests/vq.h"

#define VBALLOON_REQUEST_PAGES 256 /* in an array of page frame numbers, as Linux has it */
#define VBALLOON_REPORT_RANGES 32  /* in one report, as Linux has it */

/*
 * Working set reporting as proposed for Linux 6.13 (LKML, November 2024, not merged). Bins end with
 * the one whose age has all bits set.
 */
#define VBALLOON_F_WS 6
#define WS_BINS 32
#define WS_OP_REQUEST 1
#define WS_OP_CONFIG 2
#define WS_LAST_AGE UINT32_MAX /* ms, of a configuration */
#define WS_LAST_BIN UINT64_MAX /* of a report */
struct ws_notify {
	uint16_t op, node_id;
	uint32_t report_threshold, refresh_interval; /* ms */
	uint32_t idle_age[WS_BINS];		     /* ms, ascending */
};
struct ws_report {
	uint32_t error, node_id;
	struct {
		uint64_t idle_age, anon_bytes, file_bytes;
	} bins[WS_BINS];
};
_Static_assert(sizeof(struct ws_notify) == 140, "wire format");
_Static_assert(sizeof(struct ws_report) == 776, "wire format");

enum vballoon_role {
	VBALLOON_INFLATE,
	VBALLOON_DEFLATE,
	VBALLOON_STATS,
	VBALLOON_HINT,
	VBALLOON_REPORT,
	VBALLOON_WS_REPORT,
	VBALLOON_WS_NOTIFY,
	VBALLOON_NR_ROLES
};

struct vballoon {
	struct virtio dev;
	/* A role's queue is there when its feature was negotiated; indexes count those alone. */
	struct vq vqs[VBALLOON_NR_ROLES];
	uint32_t hint_id, hint_stop; /* what the buffers hold */
};

#define VBALLOON_BIT(feature) (UINT64_C(1) << (feature))

/*
 * Takes the machine's balloon up to DRIVER_OK with those of the FEATURES that it offers, and tells
 * it POISON_VAL where PAGE_POISON is one of them. On the command line interrupts=1 has requests
 * wait for an interrupt, ring=plain is a ring without event index, ring=indirect one with indirect
 * descriptors. STATS_VQ comes along unless stats=0: QEMU counts the queues of what it offers, so
 * for the ones behind it to be found it must not be left out. Fails the guest where there is no
 * balloon.
 */
void vballoon_open(struct vballoon *balloon, uint64_t features, uint32_t poison_val);
/* FEATURE, a number, was negotiated. */
bool vballoon_has(const struct vballoon *balloon, unsigned int feature);

/* What the host wants, in pages. */
uint32_t vballoon_target(const struct vballoon *balloon);
uint32_t vballoon_actual(const struct vballoon *balloon);
void vballoon_set_actual(const struct vballoon *balloon, uint32_t pages);
uint32_t vballoon_hint_cmd(const struct vballoon *balloon);

/* At most VBALLOON_REQUEST_PAGES; back when the device has answered. */
void vballoon_inflate(struct vballoon *balloon, const uint32_t *pfns, unsigned int nr);
void vballoon_deflate(struct vballoon *balloon, const uint32_t *pfns, unsigned int nr);
/* In two halves: pages may be used in between where MUST_TELL_HOST was not negotiated. */
uint16_t vballoon_begin_deflate(struct vballoon *balloon, const uint32_t *pfns, unsigned int nr);
void vballoon_end_deflate(struct vballoon *balloon, uint16_t head);

/* One chain of at most VBALLOON_REPORT_RANGES, each a buffer to write to. */
void vballoon_report(struct vballoon *balloon, const struct range *ranges, unsigned int nr);

/* The one buffer that the device keeps until it wants another. */
void vballoon_post_stats(struct vballoon *balloon, const struct virtio_balloon_stat *stats,
			 unsigned int nr);
/* Whether it wants one. */
bool vballoon_stats_wanted(struct vballoon *balloon);

/* Hinting, asynchronous: waits only where the queue is full. First the id of the run. */
void vballoon_hint_begin(struct vballoon *balloon, uint32_t id);
/* The device may see the block from now on, but is not told yet. */
void vballoon_hint(struct vballoon *balloon, struct range block);
void vballoon_hint_kick(struct vballoon *balloon);
/* Sends STOP and waits until the device has taken everything. */
void vballoon_hint_end(struct vballoon *balloon);

/* A buffer for the device to fill. */
void vballoon_post_ws_notify(struct vballoon *balloon, struct ws_notify *notify);
/* Whether it was filled. */
bool vballoon_ws_notified(struct vballoon *balloon);
void vballoon_ws_report(struct vballoon *balloon, const struct ws_report *report);

#endif
