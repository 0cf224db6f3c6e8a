/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vq.h - the driver's side of virtio-mmio version 2 and of a split virtqueue, polled.
 * Errors of the device fail the guest; a guest that wants to see them uses the registers itself.
 */
#ifndef EBB_GUESTS_VQ_H
#define EBB_GUESTS_VQ_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "guests/cpu.h"

struct virtio {
	uint64_t regs;
	uint32_t device_id;
	uint64_t features; /* negotiated */
};

static inline uint32_t virtio_read(const struct virtio *dev, unsigned int reg)
{
	return read32(dev->regs + reg);
}
static inline void virtio_write(const struct virtio *dev, unsigned int reg, uint32_t value)
{
	write32(dev->regs + reg, value);
}

/* The INDEXth device of the device tree with this id (0: any). False: there is none. */
bool virtio_find(struct virtio *dev, uint32_t device_id, unsigned int index);
/* Reset; waits until Status reads 0. */
void virtio_reset(struct virtio *dev);
uint64_t virtio_offered(const struct virtio *dev);
/* Reset, then up to FEATURES_OK with what is both wanted and offered, and VERSION_1. */
void virtio_negotiate(struct virtio *dev, uint64_t wanted);
void virtio_driver_ok(struct virtio *dev);
/* Reads InterruptStatus and acknowledges it. */
uint32_t virtio_take_interrupt(const struct virtio *dev);
/* Copies BYTES (a multiple of 4) from the configuration space, untorn. */
void virtio_config(const struct virtio *dev, unsigned int offset, void *dst, uint32_t bytes);

struct vq {
	const struct virtio *dev;
	uint16_t index, size;
	bool indirect, event_idx; /* as negotiated */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *used_event, *avail_event; /* behind the rings, with `event_idx` */
	struct vring_desc *tables; /* one table of VQ_TABLE entries per head, with `indirect` */
	uint16_t *next_free;	   /* links free and in-flight descriptors */
	uint16_t free_head, nr_free;
	uint16_t next_avail, kicked_avail, next_used;
};
#define VQ_TABLE 8

/* The rings, allocated and zeroed, not yet told to the device. SIZE: at most 256. */
void vq_alloc(struct vq *vq, const struct virtio *dev, uint16_t index, uint16_t size);
/* Writes sizes and addresses into the registers and sets QueueReady. */
void vq_enable(struct vq *vq);
/* The same; false: the device does not take it. */
bool vq_try_enable(struct vq *vq);
/* Both; size is the largest the device takes, up to 64. After virtio_negotiate(). */
void vq_setup(struct vq *vq, const struct virtio *dev, uint16_t index);

struct vq_buffer {
	const void *at; /* identity-mapped: address = guest-physical address */
	uint32_t bytes;
};
/* Makes a chain available: NR_OUT buffers for the device to read, then NR_IN to fill; head. */
uint16_t vq_add(struct vq *vq, const struct vq_buffer *buffers, unsigned int nr_out,
		unsigned int nr_in);
/* Notifies the device if it wants to be. */
void vq_kick(struct vq *vq);
/* Takes one used element; false: none yet. */
bool vq_poll(struct vq *vq, uint16_t *head, uint32_t *written);
/* One request from start to end; bytes written by the device. */
uint32_t vq_request(struct vq *vq, const void *out, uint32_t out_bytes, void *in,
		    uint32_t in_bytes);

#endif
