/* SPDX-License-Identifier: Apache-2.0 */
/* disks.h - the block devices of a machine. Thread: the loop. */
#ifndef EBB_MACHINE_DISKS_H
#define EBB_MACHINE_DISKS_H

#include "devices/virtio_blk.h"
#include "vmm/config/config.h"
#include "vmm/machine/virtio_slots.h"

struct disks {
	unsigned int nr;
	struct disks_one {
		char id[16]; /* disk0, ... */
		struct blk *blk;
	} disk[CONFIG_MAX_DISKS];
};

/* Opens all disks of CFG, in order, for guests whose memory is GM, and puts them into SLOTS. 0 or
 * -errno, logged; disks_close() also after a failure. */
int must_check disks_open(struct disks *disks, const struct config *cfg, struct loop *loop,
			  const struct guest_mem *gm, struct virtio_slots *slots);
/* With the device lock; no vCPU runs any more. */
void disks_close(struct disks *disks);
/* Waits for requests under way, without end for new ones. */
void disks_drain(struct disks *disks);
/* NULL: there is none of that id. */
struct blk *disks_find(const struct disks *disks, const char *id);

#endif
