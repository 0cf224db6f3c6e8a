/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_bucket.h - so much a second on the average, and what has gathered at once. Pure:
 * the time, monotonic, is passed in and never goes back.
 */
#ifndef EBB_BASE_TOKEN_BUCKET_H
#define EBB_BASE_TOKEN_BUCKET_H

#include <assert.h>

#include "vmm/base/clock.h"
#include "vmm/base/types.h"

struct token_bucket {
	uint32_t rate;	   /* a second; at least 1 */
	uint32_t capacity; /* the most that gathers */
	/* It was empty then and has filled since: no take costs more than a nanosecond. May lie
	 * before 0. */
	uint64_t empty_ns;
};

/* What so many take to come in, rounded up. */
static inline uint64_t token_bucket_time(const struct token_bucket *b, uint32_t nr)
{
	return (nr * NS_PER_S + b->rate - 1) / b->rate;
}

/* It begins full. */
static inline struct token_bucket token_bucket_full(uint32_t rate, uint32_t capacity, uint64_t now_ns)
{
	struct token_bucket b = { .rate = rate, .capacity = capacity };

	b.empty_ns = now_ns - token_bucket_time(&b, capacity);
	return b;
}

static inline uint32_t token_bucket_level(const struct token_bucket *b, uint64_t now_ns)
{
	uint64_t filled_ns = now_ns - b->empty_ns;

	if (filled_ns >= token_bucket_time(b, b->capacity))
		return b->capacity;
	return (uint32_t)(filled_ns * b->rate / NS_PER_S);
}

/* NR is at most the level. */
static inline void token_bucket_take(struct token_bucket *b, uint32_t nr, uint64_t now_ns)
{
	assert(nr <= token_bucket_level(b, now_ns));
	if (now_ns - b->empty_ns > token_bucket_time(b, b->capacity))
		b->empty_ns = now_ns - token_bucket_time(b, b->capacity);
	b->empty_ns += token_bucket_time(b, nr);
}

/* When NR, at most the capacity and more than the level, are there. */
static inline uint64_t token_bucket_when(const struct token_bucket *b, uint32_t nr)
{
	assert(nr <= b->capacity);
	return b->empty_ns + token_bucket_time(b, nr);
}

#endif
