/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks.h - the state of each block of an elastic region.
 * A block is plugged (the guest's), closing (being given back: nobody may reach it any more, the
 * host may still hold its memory) or unplugged (the host's). Changed by the loop's thread only;
 * blocks_all() may be asked from any thread.
 */
#ifndef EBB_MEMORY_BLOCKS_H
#define EBB_MEMORY_BLOCKS_H

#include "vmm/base/types.h"

enum block_state { BLOCK_UNPLUGGED, BLOCK_CLOSING, BLOCK_PLUGGED };

struct blocks {
	uint64_t block_bytes; /* a power of two */
	uint32_t nr;
	uint32_t nr_plugged;
	uint8_t *state;
	uint32_t *pins; /* how many requests under way use the block */
};

/* All blocks start unplugged. -ENOMEM. */
int must_check blocks_init(struct blocks *b, uint64_t block_bytes, uint32_t nr);
void blocks_destroy(struct blocks *b);

/* [FIRST, FIRST + NR) must lie inside the map. */
void blocks_set(struct blocks *b, uint32_t first, uint32_t nr, enum block_state state);
enum block_state blocks_state(const struct blocks *b, uint32_t block);
bool blocks_all(const struct blocks *b, uint32_t first, uint32_t nr, enum block_state state);
/* True when the bytes [OFFSET, OFFSET + BYTES) of the region all lie in plugged blocks. */
bool blocks_bytes_plugged(const struct blocks *b, uint64_t offset, uint64_t bytes);
/*
 * The next run of blocks in STATE at or after FROM: its first block in *FIRST, its length as the
 * result; 0 when there is none.
 */
uint32_t blocks_next_run(const struct blocks *b, uint32_t from, enum block_state state,
			 uint32_t *first);

/*
 * A pinned block is one that a request under way reads or writes: it may not be discarded before
 * it is unpinned. Pins of blocks in any state are counted.
 */
void blocks_pin(struct blocks *b, uint64_t offset, uint64_t bytes);
void blocks_unpin(struct blocks *b, uint64_t offset, uint64_t bytes);
bool blocks_any_pinned(const struct blocks *b, uint32_t first, uint32_t nr);

static inline uint64_t blocks_plugged_bytes(const struct blocks *b)
{
	return b->nr_plugged * b->block_bytes;
}

#endif
