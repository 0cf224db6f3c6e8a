/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_balloon_wire.h - layouts and numbers of the traditional memory balloon device (virtio,
 * Traditional Memory Balloon Device), tied to <linux/virtio_balloon.h>. The working set queues are
 * those proposed for Linux ("mm: workingset reporting", v4, 2024); no specification has them yet.
 */
#ifndef EBB_DEVICES_VIRTIO_BALLOON_WIRE_H
#define EBB_DEVICES_VIRTIO_BALLOON_WIRE_H

#include <linux/virtio_balloon.h>

#include "vmm/base/types.h"

/* Proposed; see above. */
#define BALLOON_F_WS_REPORTING 6

struct balloon_config {
	le32 num_pages; /* the target, of 4 KiB */
	le32 actual;	/* what the driver says to have reached */
	le32 free_page_hint_cmd_id;
	le32 poison_val;
};

_Static_assert(sizeof(struct balloon_config) == sizeof(struct virtio_balloon_config), "config");
_Static_assert(offsetof(struct balloon_config, actual) ==
		       offsetof(struct virtio_balloon_config, actual), "actual");
_Static_assert(offsetof(struct balloon_config, free_page_hint_cmd_id) ==
		       offsetof(struct virtio_balloon_config, free_page_hint_cmd_id), "cmd_id");
_Static_assert(offsetof(struct balloon_config, poison_val) ==
		       offsetof(struct virtio_balloon_config, poison_val), "poison_val");

/* Page numbers are of 4 KiB whatever the guest's pages are. */
#define BALLOON_PAGE_BYTES (UINT64_C(1) << VIRTIO_BALLOON_PFN_SHIFT)

/* Packed, so 10 bytes (the specification's 6 is a slip). */
#define BALLOON_STAT_BYTES 10
_Static_assert(sizeof(struct virtio_balloon_stat) == BALLOON_STAT_BYTES, "statistic");

#define BALLOON_WS_BINS 32
#define BALLOON_WS_REQUEST 1
#define BALLOON_WS_CONFIG 2

struct balloon_ws_notify {
	le16 op; /* BALLOON_WS_* */
	le16 node_id;
	le32 report_threshold, refresh_interval; /* ms, of BALLOON_WS_CONFIG */
	le32 idle_age[BALLOON_WS_BINS];		 /* ms, rising, up to UINT32_MAX */
};
_Static_assert(sizeof(struct balloon_ws_notify) == 140, "notify");

struct balloon_ws_report {
	le32 error; /* a negative errno, of a request that failed */
	le32 node_id;
	struct {
		le64 idle_age; /* ms; UINT64_MAX: the last bin */
		le64 anon_bytes, file_bytes;
	} bins[BALLOON_WS_BINS];
};
_Static_assert(sizeof(struct balloon_ws_report) == 776, "report");

#endif
