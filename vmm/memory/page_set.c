/* SPDX-License-Identifier: Apache-2.0 */
/* page_set.c - a set of pages as a bitmap. */
#include "vmm/memory/page_set.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define WORD_PAGES 64

static uint64_t nr_words(const struct page_set *s)
{
	return (s->nr_pages + WORD_PAGES - 1) / WORD_PAGES;
}

int page_set_init(struct page_set *s, uint64_t nr_pages)
{
	*s = (struct page_set){ .nr_pages = nr_pages };
	s->words = calloc(nr_words(s), sizeof(*s->words));
	return s->words ? 0 : -ENOMEM;
}

void page_set_destroy(struct page_set *s)
{
	free(s->words);
	*s = (struct page_set){ 0 };
}

void page_set_clear(struct page_set *s)
{
	if (s->nr)
		memset(s->words, 0, nr_words(s) * sizeof(*s->words));
	s->nr = 0;
}

/* The bits of the word of page AT that lie in [AT, END). */
static uint64_t mask_of(uint64_t at, uint64_t end)
{
	uint64_t from = at % WORD_PAGES, nr = min_u64(end - at, WORD_PAGES - from);

	return (nr == WORD_PAGES ? UINT64_MAX : (UINT64_C(1) << nr) - 1) << from;
}

static uint64_t next_word(uint64_t at) { return align_down(at, WORD_PAGES) + WORD_PAGES; }

static uint64_t popcount(uint64_t word) { return (uint64_t)__builtin_popcountll(word); }

uint64_t page_set_add(struct page_set *s, uint64_t first, uint64_t nr)
{
	uint64_t added = 0;

	assert(range_inside(first, nr, 0, s->nr_pages));
	for (uint64_t at = first; at < first + nr; at = next_word(at)) {
		uint64_t *word = &s->words[at / WORD_PAGES], mask = mask_of(at, first + nr);

		added += popcount(mask & ~*word);
		*word |= mask;
	}
	s->nr += added;
	return added;
}

uint64_t page_set_remove(struct page_set *s, uint64_t first, uint64_t nr)
{
	uint64_t removed = 0;

	assert(range_inside(first, nr, 0, s->nr_pages));
	for (uint64_t at = first; s->nr && at < first + nr; at = next_word(at)) {
		uint64_t *word = &s->words[at / WORD_PAGES], mask = mask_of(at, first + nr);

		removed += popcount(mask & *word);
		/* A page of the bitmap that was never written stays so. */
		if (mask & *word)
			*word &= ~mask;
	}
	s->nr -= removed;
	return removed;
}

bool page_set_has(const struct page_set *s, uint64_t page)
{
	assert(page < s->nr_pages);
	return s->words[page / WORD_PAGES] >> (page % WORD_PAGES) & 1;
}

uint64_t page_set_count(const struct page_set *s, uint64_t first, uint64_t nr)
{
	uint64_t count = 0;

	assert(range_inside(first, nr, 0, s->nr_pages));
	for (uint64_t at = first; s->nr && at < first + nr; at = next_word(at))
		count += popcount(s->words[at / WORD_PAGES] & mask_of(at, first + nr));
	return count;
}

/* The first page at or after FROM that is in the set (WANTED) or is not; nr_pages: none. */
static uint64_t find(const struct page_set *s, uint64_t from, bool wanted)
{
	while (from < s->nr_pages) {
		uint64_t word = s->words[from / WORD_PAGES];

		word = (wanted ? word : ~word) >> (from % WORD_PAGES);
		if (word)
			return min_u64(from + (uint64_t)__builtin_ctzll(word), s->nr_pages);
		from = next_word(from);
	}
	return s->nr_pages;
}

uint64_t page_set_next_run(const struct page_set *s, uint64_t from, uint64_t *first)
{
	if (!s->nr)
		return 0;
	*first = find(s, from, true);
	return *first < s->nr_pages ? find(s, *first, false) - *first : 0;
}

void page_set_merge(struct page_set *s, uint64_t first, const uint64_t *bitmap, uint64_t nr)
{
	assert(range_inside(first, nr, 0, s->nr_pages) && is_aligned(first, WORD_PAGES));
	for (uint64_t i = 0; i < nr; i += WORD_PAGES) {
		uint64_t *word = &s->words[(first + i) / WORD_PAGES];
		uint64_t bits = bitmap[i / WORD_PAGES] & mask_of(i, nr);

		s->nr += popcount(bits & ~*word);
		*word |= bits;
	}
}
