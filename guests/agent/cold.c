/* SPDX-License-Identifier: Apache-2.0 */
/* cold.c - how much of a list of pages has been in it for so long. */
#include "guests/agent/cold.h"

void cold_step(struct cold *c, uint64_t pages)
{
	c->entered[c->steps++ % ARRAY_SIZE(c->entered)] = c->left + pages;
}

void cold_left(struct cold *c, uint64_t pages) { c->left += pages; }

uint64_t cold_old(const struct cold *c, uint64_t pages)
{
	uint64_t least = c->left + pages;

	if (c->steps < ARRAY_SIZE(c->entered))
		return 0;
	/* Pages also go from the middle, with their files; those may have been old ones. So the
	 * least that there ever was since counts. */
	for (unsigned int i = 0; i < ARRAY_SIZE(c->entered); i++)
		least = min_u64(least, c->entered[i]);
	return over(least, c->left);
}
