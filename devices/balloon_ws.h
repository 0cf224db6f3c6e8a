/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_ws.h - a guest's working set (memory/working_sets.h) as the proposed queues of the
 * balloon device carry it. Pure: no I/O, no state.
 */
#ifndef EBB_DEVICES_BALLOON_WS_H
#define EBB_DEVICES_BALLOON_WS_H

#include "devices/virtio_balloon_wire.h"
#include "vmm/memory/working_sets.h"

/* What a guest shall report, and when by itself. */
struct working_set_config {
	uint16_t node; /* NUMA node */
	uint32_t report_threshold_ms, refresh_interval_ms;
	unsigned int nr_ages;
	uint32_t age_ms[BALLOON_WS_BINS]; /* the borders of the bins, rising */
};

/* NULL, and *OUT is what REPORT says; or what is wrong with REPORT, and *OUT is undefined. */
const char *balloon_ws_parse(struct working_set *out, const struct balloon_ws_report *report);
/* One border or more, fewer than BALLOON_WS_BINS, that rise from above 0 to below UINT32_MAX. */
bool balloon_ws_config_valid(const struct working_set_config *c);
/* The notification that asks for a report of NODE now. */
struct balloon_ws_notify balloon_ws_request(uint16_t node);
/* The notification that says how to report. C is valid. */
struct balloon_ws_notify balloon_ws_configure(const struct working_set_config *c);

#endif
