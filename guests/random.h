/* SPDX-License-Identifier: Apache-2.0 */
/* random.h - numbers and orders that a seed repeats (xorshift). */
#ifndef EBB_GUESTS_RANDOM_H
#define EBB_GUESTS_RANDOM_H

#include <stdint.h>

/* STATE: not 0. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline void shuffle(uint32_t *values, uint32_t nr, uint64_t seed)
{
	uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;

	for (uint32_t i = nr; i > 1; i--) {
		uint32_t j = (uint32_t)(random_next(&state) % i), value = values[i - 1];

		values[i - 1] = values[j];
		values[j] = value;
	}
}

#endif
