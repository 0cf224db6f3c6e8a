/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunk_ring.h - the few chunks of memory that violations hold at any moment, oldest first.
 * Pure: no I/O, no clock, no lock; the guard owns one and acts on what it says.
 */
#ifndef EBB_MEMORY_CHUNK_RING_H
#define EBB_MEMORY_CHUNK_RING_H

#include "vmm/base/types.h"

#define CHUNK_BYTES (64 * KiB)
#define CHUNK_RING_SIZE 16
/* All that violations may hold of the host's memory, in the memfd of one VM. */
#define CHUNK_RING_BYTES (CHUNK_RING_SIZE * CHUNK_BYTES)

struct chunk {
	const void *region; /* an identity, nothing more */
	uint64_t offset;    /* in the region, a multiple of CHUNK_BYTES */
	uint64_t expires_ns;
};

/* Zeroed memory is an empty ring. */
struct chunk_ring {
	struct chunk chunks[CHUNK_RING_SIZE];
	unsigned int nr;
};

static inline bool chunk_ring_full(const struct chunk_ring *ring)
{
	return ring->nr == CHUNK_RING_SIZE;
}
/* NULL when the ring is empty. */
const struct chunk *chunk_ring_oldest(const struct chunk_ring *ring);
bool chunk_ring_has(const struct chunk_ring *ring, const void *region, uint64_t offset);
/* The ring must have room, and not this chunk; EXPIRES_NS never decreases. */
void chunk_ring_add(struct chunk_ring *ring, const void *region, uint64_t offset,
		    uint64_t expires_ns);
void chunk_ring_drop_oldest(struct chunk_ring *ring);
/* Takes one chunk of [OFFSET, OFFSET + BYTES) out, into *CHUNK; false: there is none. */
bool chunk_ring_take(struct chunk_ring *ring, const void *region, uint64_t offset, uint64_t bytes,
		     struct chunk *chunk);

#endif
