/* SPDX-License-Identifier: Apache-2.0 */
/* blocks.c - the state of each block of an elastic region. */
#include "vmm/memory/blocks.h"

#include <assert.h>
#include <errno.h>

int blocks_init(struct blocks *b, uint64_t block_bytes, uint32_t nr)
{
	uint8_t *state;

	assert(is_power_of_two(block_bytes) && nr);
	state = calloc(nr, sizeof(*state));
	if (!state)
		return -ENOMEM;
	*b = (struct blocks){ .block_bytes = block_bytes, .nr = nr, .state = state };
	return 0;
}

void blocks_destroy(struct blocks *b)
{
	free(b->state);
	*b = (struct blocks){ 0 };
}

static enum block_state get(const struct blocks *b, uint32_t i)
{
	/* Pairs with the release in blocks_set(): who sees a state sees what was done before it. */
	return (enum block_state)__atomic_load_n(&b->state[i], __ATOMIC_ACQUIRE);
}

void blocks_set(struct blocks *b, uint32_t first, uint32_t nr, enum block_state state)
{
	assert(range_inside(first, nr, 0, b->nr));
	for (uint32_t i = first; i < first + nr; i++) {
		if (get(b, i) == BLOCK_PLUGGED)
			b->nr_plugged--;
		if (state == BLOCK_PLUGGED)
			b->nr_plugged++;
		/* Pairs with the acquire in get(). */
		__atomic_store_n(&b->state[i], (uint8_t)state, __ATOMIC_RELEASE);
	}
}

bool blocks_all(const struct blocks *b, uint32_t first, uint32_t nr, enum block_state state)
{
	assert(range_inside(first, nr, 0, b->nr));
	for (uint32_t i = first; i < first + nr; i++)
		if (get(b, i) != state)
			return false;
	return true;
}

bool blocks_bytes_plugged(const struct blocks *b, uint64_t offset, uint64_t bytes)
{
	uint64_t first = offset / b->block_bytes, last;

	if (!bytes)
		return true;
	last = (offset + (bytes - 1)) / b->block_bytes;
	assert(last < b->nr);
	return blocks_all(b, (uint32_t)first, (uint32_t)(last - first + 1), BLOCK_PLUGGED);
}

uint32_t blocks_next_run(const struct blocks *b, uint32_t from, enum block_state state,
			 uint32_t *first)
{
	uint32_t start = from, end;

	while (start < b->nr && get(b, start) != state)
		start++;
	for (end = start; end < b->nr && get(b, end) == state; end++)
		;
	*first = start;
	return end - start;
}
