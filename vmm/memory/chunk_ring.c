/* SPDX-License-Identifier: Apache-2.0 */
/* chunk_ring.c - the few chunks of memory that violations hold at any moment. */
#include "vmm/memory/chunk_ring.h"

#include <assert.h>
#include <string.h>

const struct chunk *chunk_ring_oldest(const struct chunk_ring *ring)
{
	return ring->nr ? &ring->chunks[0] : NULL;
}

bool chunk_ring_has(const struct chunk_ring *ring, const void *region, uint64_t offset)
{
	for (unsigned int i = 0; i < ring->nr; i++)
		if (ring->chunks[i].region == region && ring->chunks[i].offset == offset)
			return true;
	return false;
}

void chunk_ring_add(struct chunk_ring *ring, const void *region, uint64_t offset,
		    uint64_t expires_ns)
{
	assert(!chunk_ring_full(ring) && is_aligned(offset, CHUNK_BYTES));
	assert(!ring->nr || ring->chunks[ring->nr - 1].expires_ns <= expires_ns);
	ring->chunks[ring->nr++] = (struct chunk){ region, offset, expires_ns };
}

static void remove_at(struct chunk_ring *ring, unsigned int i)
{
	ring->nr--;
	memmove(&ring->chunks[i], &ring->chunks[i + 1], (ring->nr - i) * sizeof(ring->chunks[0]));
}

void chunk_ring_drop_oldest(struct chunk_ring *ring)
{
	assert(ring->nr);
	remove_at(ring, 0);
}

bool chunk_ring_take(struct chunk_ring *ring, const void *region, uint64_t offset, uint64_t bytes,
		     struct chunk *chunk)
{
	for (unsigned int i = 0; i < ring->nr; i++) {
		const struct chunk *c = &ring->chunks[i];

		if (c->region != region || !range_inside(c->offset, CHUNK_BYTES, offset, bytes))
			continue;
		*chunk = *c;
		remove_at(ring, i);
		return true;
	}
	return false;
}
