/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_stats.h - what a guest says of its memory (virtio, Traditional Memory Balloon Device /
 * Memory Statistics). Nothing of it is believed; it is passed on. Pure.
 */
#ifndef EBB_DEVICES_BALLOON_STATS_H
#define EBB_DEVICES_BALLOON_STATS_H

#include "devices/virtio_balloon_wire.h"

/* Linux 6.12 has these; tags up to 9 are in the specification. */
#define BALLOON_NR_STATS 16
/* More than any driver has; a guest must not keep the loop busy. */
#define BALLOON_MAX_STATS 256

struct balloon_stats {
	uint64_t value[BALLOON_NR_STATS]; /* UINT64_MAX: not told */
};

/* As QEMU names them in `guest-stats`: "stat-swap-in" and so on. TAG below BALLOON_NR_STATS. */
const char *balloon_stat_name(unsigned int tag);
/* Before anything was told. */
void balloon_stats_init(struct balloon_stats *s);
/*
 * A sample of BYTES at ENTRIES, at most BALLOON_MAX_STATS of 10 bytes. Unknown tags are passed
 * over, of the same tag the last one counts. NULL, or what is wrong; then S is as it was.
 */
const char *balloon_stats_parse(struct balloon_stats *s, const void *entries, size_t bytes);

#endif
