/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page_set.h - a set of the 4 KiB pages of a region, by number: one bit each, so 32 KiB for a GiB,
 * which the host has only once pages near it were added. Owner and thread: its user's.
 */
#ifndef EBB_MEMORY_PAGE_SET_H
#define EBB_MEMORY_PAGE_SET_H

#include "vmm/base/types.h"

#define PAGE_BYTES (4 * KiB)

struct page_set {
	uint64_t *words;
	uint64_t nr_pages; /* that can be in it */
	uint64_t nr;	   /* that are */
};

/* An empty set. -ENOMEM. */
int must_check page_set_init(struct page_set *s, uint64_t nr_pages);
/* Accepts a zeroed struct. */
void page_set_destroy(struct page_set *s);
void page_set_clear(struct page_set *s);

/* [FIRST, FIRST + NR) must lie inside nr_pages. How many were not in it (were in it) before. */
uint64_t page_set_add(struct page_set *s, uint64_t first, uint64_t nr);
uint64_t page_set_remove(struct page_set *s, uint64_t first, uint64_t nr);
bool page_set_has(const struct page_set *s, uint64_t page);
uint64_t page_set_count(const struct page_set *s, uint64_t first, uint64_t nr);
/* The next run of pages in the set at or after FROM: where in *FIRST; its length, 0: none. */
uint64_t page_set_next_run(const struct page_set *s, uint64_t from, uint64_t *first);
/* Adds those whose bit is set in BITMAP, of a region as large (KVM_GET_DIRTY_LOG). */
void page_set_merge(struct page_set *s, uint64_t first, const uint64_t *bitmap, uint64_t nr);

#endif
