/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h - the device side of a split virtqueue (virtio, Split Virtqueues).
 * The three rings lie in guest memory and are read and written through vmm/memory/guest_mem.h,
 * word by word: a ring that moves into unplugged memory is a refused access, not a fault.
 * Thread: the loop, under the device lock. -EPROTO: the guest broke a rule; q->why says which.
 *
 *   descriptor table   size x 16 bytes   driver -> device   addr len flags next
 *   available ring     6 + size x 2      driver -> device   flags idx ring[] used_event
 *   used ring          6 + size x 8      device -> driver   flags idx ring[] avail_event
 */
#ifndef EBB_VIRTIO_QUEUE_H
#define EBB_VIRTIO_QUEUE_H

#include "vmm/base/types.h"
#include "vmm/memory/guest_mem.h"
#include "virtio/chain.h"

/* So that any chain without an indirect table fits. */
#define VIRTQ_MAX_SIZE CHAIN_MAX_SEGMENTS

struct virtq {
	uint16_t size;		   /* set by the driver; 0 before */
	gpa_t desc, avail, used;   /* set by the driver */
	bool ready;
	bool stopped; /* was in use, and is not again before a reset */
	/* Ring features the driver accepted. */
	bool indirect, event_idx;
	/* Our place in the rings. */
	uint16_t next_avail, next_used;
	uint16_t signalled_used; /* next_used at the last decision to interrupt */
	/* Heads that were popped and not pushed yet. */
	uint64_t in_flight[VIRTQ_MAX_SIZE / 64];
	const char *why;
};

/* Back to the state after creation. */
void virtq_reset(struct virtq *q);
/*
 * Checks size, alignment and that all three rings lie in guest memory that exists.
 * 0 or -EPROTO. Called when the driver sets QueueReady.
 */
int must_check virtq_check(struct virtq *q, const struct guest_mem *gm);

/*
 * Takes the next available chain into *CHAIN, ready to read and write, all descriptors checked
 * and copied. 1: taken; 0: none available. -EPROTO: bad index jump, head or next out of range,
 * head still in flight, loop, bad indirect table, bad buffer, unreadable ring; a malformed chain
 * has then gone back to the driver with a used length of 0.
 */
int must_check virtq_pop(struct virtq *q, const struct guest_mem *gm, struct chain *chain);
/* Puts CHAIN into the used ring with chain->written bytes. 0 or -EPROTO (ring no longer there). */
int must_check virtq_push(struct virtq *q, const struct guest_mem *gm, const struct chain *chain);
/*
 * 1: the driver wants an interrupt for what was pushed since the last call; 0: it does not, or
 * nothing was (virtio, Used Buffer Notification Suppression). -EPROTO: ring no longer there.
 */
int must_check virtq_wants_interrupt(struct virtq *q, const struct guest_mem *gm);
/*
 * With EVENT_IDX: asks for a kick on the next buffer, and says 1 if one came in meanwhile (pop
 * again), else 0; without EVENT_IDX 0. -EPROTO as above.
 */
int must_check virtq_enable_kick(struct virtq *q, const struct guest_mem *gm);

#endif
