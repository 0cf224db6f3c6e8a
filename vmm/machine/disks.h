/* SPDX-License-Identifier: Apache-2.0 */
/* disks.h - the block devices in their machine. Thread: the loop. */
#ifndef EBB_MACHINE_DISKS_H
#define EBB_MACHINE_DISKS_H

#include "devices/virtio_blk.h"
#include "vmm/config/config.h"

struct machine;

struct disks {
	unsigned int nr;
	struct disks_one {
		char id[16]; /* disk0, ... */
		struct blk *blk;
	} disk[CONFIG_MAX_DISKS];
};

/* Opens all of them, in order. The caller puts them behind transports. 0 or -errno, logged. */
int must_check disks_open(struct machine *m);
/* With the device lock; no vCPU runs any more. */
void disks_close(struct machine *m);
/* Waits for requests under way, without end for new ones. */
void disks_drain(struct machine *m);
/* NULL: there is none of that id. */
struct blk *disks_find(struct machine *m, const char *id);

#endif
