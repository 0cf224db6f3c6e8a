/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_ws.h - a guest's working set (memory/working_sets.h) as the proposed queues of the balloon
 * device tell it. Pure.
 */
#ifndef EBB_DEVICES_BALLOON_WS_H
#define EBB_DEVICES_BALLOON_WS_H

#include "devices/virtio_balloon_wire.h"
#include "vmm/memory/working_sets.h"

/* What a guest shall report, and when by itself. */
struct working_set_config {
	uint16_t node;
	uint32_t report_threshold_ms, refresh_interval_ms;
	unsigned int nr_ages;
	uint32_t age_ms[BALLOON_WS_BINS]; /* the borders of the bins, rising */
};

/* NULL, or what is wrong with the report; *OUT is undefined then. */
const char *working_set_parse(struct working_set *out, const struct balloon_ws_report *report);
/* Borders that rise, one or more of them, fewer than BALLOON_WS_BINS. */
bool working_set_config_valid(const struct working_set_config *c);
struct balloon_ws_notify working_set_request(uint16_t node);
struct balloon_ws_notify working_set_configure(const struct working_set_config *c);

#endif
