/* SPDX-License-Identifier: Apache-2.0 */
/* blocks.c - the state of each block of an elastic region. */
#include "vmm/memory/blocks.h"

#include <assert.h>
#include <errno.h>

int blocks_init(struct blocks *b, uint64_t block_bytes, uint32_t nr)
{
	assert(is_power_of_two(block_bytes) && nr);
	*b = (struct blocks){ .block_bytes = block_bytes, .nr = nr };
	b->state = calloc(nr, sizeof(*b->state));
	b->pins = calloc(nr, sizeof(*b->pins));
	if (b->state && b->pins)
		return 0;
	blocks_destroy(b);
	return -ENOMEM;
}

void blocks_destroy(struct blocks *b)
{
	free(b->state);
	free(b->pins);
	*b = (struct blocks){ 0 };
}

static enum block_state get(const struct blocks *b, uint32_t i)
{
	/* Pairs with the release in blocks_set(): who sees a state sees what was done before it. */
	return (enum block_state)__atomic_load_n(&b->state[i], __ATOMIC_ACQUIRE);
}

enum block_state blocks_state(const struct blocks *b, uint32_t block)
{
	assert(block < b->nr);
	return get(b, block);
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

/* The blocks that the bytes [OFFSET, OFFSET + BYTES), not none, lie in: *FIRST and how many. */
static uint32_t blocks_of_bytes(const struct blocks *b, uint64_t offset, uint64_t bytes,
				uint32_t *first)
{
	uint64_t last = (offset + (bytes - 1)) / b->block_bytes;

	assert(last < b->nr);
	*first = (uint32_t)(offset / b->block_bytes);
	return (uint32_t)last - *first + 1;
}

bool blocks_bytes_plugged(const struct blocks *b, uint64_t offset, uint64_t bytes)
{
	uint32_t first, nr;

	if (!bytes)
		return true;
	nr = blocks_of_bytes(b, offset, bytes, &first);
	return blocks_all(b, first, nr, BLOCK_PLUGGED);
}

static void add_pins(struct blocks *b, uint64_t offset, uint64_t bytes, bool pin)
{
	uint32_t first, nr = bytes ? blocks_of_bytes(b, offset, bytes, &first) : 0;

	for (uint32_t i = 0; i < nr; i++) {
		assert(pin || b->pins[first + i]);
		b->pins[first + i] += pin ? 1 : UINT32_MAX;
	}
}

void blocks_pin(struct blocks *b, uint64_t offset, uint64_t bytes)
{
	add_pins(b, offset, bytes, true);
}

void blocks_unpin(struct blocks *b, uint64_t offset, uint64_t bytes)
{
	add_pins(b, offset, bytes, false);
}

bool blocks_any_pinned(const struct blocks *b, uint32_t first, uint32_t nr)
{
	assert(range_inside(first, nr, 0, b->nr));
	for (uint32_t i = first; i < first + nr; i++)
		if (b->pins[i])
			return true;
	return false;
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
