/* SPDX-License-Identifier: Apache-2.0 */
/* vblk.h - a virtio-blk driver (virtio, Block Device), several requests under way. */
#ifndef EBB_GUESTS_VBLK_H
#define EBB_GUESTS_VBLK_H

#include <linux/virtio_blk.h>

#include "guests/lib.h"
#include "guests/vq.h"

#define SECTOR_BYTES 512
#define VBLK_DEPTH 64 /* requests under way at once, of up to VBLK_BUFFERS buffers */
#define VBLK_BUFFERS (VQ_TABLE - 2)
#define VBLK_BIT(feature) (UINT64_C(1) << (feature))

struct vblk {
	struct virtio dev;
	struct vq vq;
	uint64_t sectors;
	struct virtio_blk_outhdr headers[VBLK_DEPTH];
	uint8_t status[VBLK_DEPTH];
	/* Of each head: which of the above, and what its user wants to know then. */
	uint8_t slot_of[256];
	uint32_t tags[256];
	uint8_t free[VBLK_DEPTH], nr_free;
};

/* The INDEXth disk up to DRIVER_OK, with what it offers of FEATURES. False: there is none. */
bool vblk_open(struct vblk *b, unsigned int index, uint64_t features);
/*
 * Makes a request available, not yet kicked: NR buffers that TYPE reads or writes. TAG comes back
 * from vblk_wait(). At most VBLK_DEPTH are under way.
 */
void vblk_add(struct vblk *b, uint32_t type, uint64_t sector, const struct vq_buffer *data,
	      unsigned int nr, uint32_t tag);
/* Waits for the next answer: the status, and whose. */
uint8_t vblk_wait(struct vblk *b, uint32_t *tag);
static inline unsigned int vblk_in_flight(const struct vblk *b) { return VBLK_DEPTH - b->nr_free; }
/* One request of one buffer from start to end; the status. None may be under way. */
uint8_t vblk_run(struct vblk *b, uint32_t type, uint64_t sector, const void *data, uint32_t bytes);

#endif
