/* SPDX-License-Identifier: Apache-2.0 */
/* vmem.h - a virtio-mem driver (virtio, Memory Device): requests, answers, configuration. */
#ifndef EBB_GUESTS_VMEM_H
#define EBB_GUESTS_VMEM_H

#include <linux/virtio_mem.h>

#include "guests/lib.h"
#include "guests/vq.h"

struct vmem {
	struct virtio dev;
	struct vq vq;
	uint64_t addr, block_bytes, region_bytes; /* never change */
};

/* Ring features that the command line's ring=plain leaves out. */
#define VMEM_RING_FEATURES \
	(UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

/* Takes the INDEXth virtio-mem device up to DRIVER_OK and maps its region. False: no such one. */
bool vmem_open(struct vmem *vmem, unsigned int index);
/* The same for a device already found, after a reset. */
void vmem_start(struct vmem *vmem);

struct virtio_mem_config vmem_config(const struct vmem *vmem);
/* Raw request: the answer's type; STATE, when wanted, through *state. */
uint16_t vmem_request(struct vmem *vmem, uint16_t type, uint64_t addr, uint16_t nr_blocks,
		      uint16_t *state);

/* Ranges of whole blocks, in as many requests as needed, BUSY tried again. Anything but ACK
 * fails the guest. */
void vmem_plug(struct vmem *vmem, uint64_t addr, uint64_t bytes);
void vmem_unplug(struct vmem *vmem, uint64_t addr, uint64_t bytes);
void vmem_unplug_all(struct vmem *vmem);
/* VIRTIO_MEM_STATE_* of a range of at most 65535 blocks. */
uint16_t vmem_state(struct vmem *vmem, uint64_t addr, uint64_t bytes);

/* Waits until requested_size is not 0, and returns it. */
uint64_t vmem_wait_requested(struct vmem *vmem);

#endif
