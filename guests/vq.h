/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vq.h - the driver's side of a split virtqueue, polled unless virtio_use_interrupts() was called.
 * Errors of the device fail the guest; a guest that wants to see them uses the rings itself.
 */
#ifndef EBB_GUESTS_VQ_H
#define EBB_GUESTS_VQ_H

#include <linux/virtio_ring.h>

#include "guests/virtio.h"

struct vq {
	const struct virtio *dev;
	uint16_t index, size;
	uint64_t notify_at; /* where the transport wants notifications; set when enabled */
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
/* Tells the device sizes and addresses and has it use the queue. */
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
/* Waits a moment, or for an interrupt of the device. */
void vq_pause(const struct virtio *dev);
/* One request of several buffers from start to end; bytes written by the device. No other may be
 * under way. */
uint32_t vq_run(struct vq *vq, const struct vq_buffer *buffers, unsigned int nr_out,
		unsigned int nr_in);
/* Waits for the next answer, whichever chain it is of. */
uint32_t vq_wait(struct vq *vq, uint16_t *head);
/* Waits for the answer to the chain at HEAD, of which the device was notified. */
uint32_t vq_finish(struct vq *vq, uint16_t head);
/* The same with one buffer each. */
uint32_t vq_request(struct vq *vq, const void *out, uint32_t out_bytes, void *in,
		    uint32_t in_bytes);

#endif
