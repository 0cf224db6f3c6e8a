/* SPDX-License-Identifier: Apache-2.0 */
/* dirty_pages.c - which pages were written since a moment. */
#include "vmm/memory/dirty_pages.h"

#include <assert.h>

int dirty_pages_start(struct dirty_pages *w, struct guest_mem *gm)
{
	assert(!gm->written);
	*w = (struct dirty_pages){ .gm = gm };
	for (unsigned int i = 0; i < gm->nr_regions; i++) {
		int r = page_set_init(&w->sets[i], gm->regions[i].bytes / PAGE_BYTES);

		if (r) {
			dirty_pages_stop(w, gm);
			return r;
		}
	}
	gm->written = w;
	return 0;
}

void dirty_pages_stop(struct dirty_pages *w, struct guest_mem *gm)
{
	for (unsigned int i = 0; i < GM_MAX_REGIONS; i++)
		page_set_destroy(&w->sets[i]);
	w->gm = NULL;
	gm->written = NULL;
}

/* The set of the region that holds the range, and its pages in it; NULL: there is none. */
static const struct page_set *set_of(const struct dirty_pages *w, gpa_t at, uint64_t bytes,
				     uint64_t *first, uint64_t *nr)
{
	for (unsigned int i = 0; w->gm && i < w->gm->nr_regions; i++) {
		const struct gm_region *mem = &w->gm->regions[i];
		uint64_t offset = at.v - mem->base.v;

		if (!range_inside(at.v, bytes, mem->base.v, mem->bytes))
			continue;
		*first = offset / PAGE_BYTES;
		*nr = (offset + bytes + PAGE_BYTES - 1) / PAGE_BYTES - *first;
		return &w->sets[i];
	}
	return NULL;
}

void dirty_pages_note(struct dirty_pages *w, gpa_t at, uint64_t bytes)
{
	uint64_t first, nr;
	const struct page_set *s = set_of(w, at, bytes, &first, &nr);

	assert(s);
	page_set_add(&w->sets[s - w->sets], first, nr);
}

void dirty_pages_merge(struct dirty_pages *w, gpa_t base, const uint64_t *bitmap, uint64_t nr_pages)
{
	uint64_t first, nr;
	const struct page_set *s = set_of(w, base, nr_pages * PAGE_BYTES, &first, &nr);

	assert(s);
	page_set_merge(&w->sets[s - w->sets], first, bitmap, nr_pages);
}

bool dirty_pages_any(const struct dirty_pages *w, gpa_t at, uint64_t bytes)
{
	uint64_t first, nr;
	const struct page_set *s = set_of(w, at, bytes, &first, &nr);

	return !s || page_set_count(s, first, nr);
}
