/* SPDX-License-Identifier: Apache-2.0 */
/* page_ledger.c - what the guest gave back page by page. */
#include "vmm/memory/page_ledger.h"

#include <assert.h>
#include <errno.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

#define UNIT_PAGES RAM_HUGE_PAGES

int page_ledger_init(struct page_ledger *r, const struct guest_mem *gm,
		  struct huge *(*huge_of)(void *ctx, const struct gm_region *mem), void *ctx)
{
	int e = 0;

	assert(gm->frozen);
	*r = (struct page_ledger){ .gm = gm, .nr_regions = gm->nr_regions };
	for (unsigned int i = 0; i < gm->nr_regions && !e; i++) {
		const struct gm_region *mem = &gm->regions[i];
		struct ledger_region *region = &r->regions[i];

		assert(is_aligned(mem->base.v | mem->ram_offset | mem->bytes, RAM_HUGE_BYTES));
		region->mem = mem;
		region->huge = huge_of(ctx, mem);
		e = page_set_init(&region->waiting, mem->bytes / PAGE_BYTES);
		for (unsigned int how = 0; how < NR_RETURNED && !e; how++)
			e = page_set_init(&region->sets[how], mem->bytes / PAGE_BYTES);
	}
	return e ? fail(e, "map of memory that was given back") : 0;
}

void page_ledger_destroy(struct page_ledger *r)
{
	for (unsigned int i = 0; i < r->nr_regions; i++) {
		page_set_destroy(&r->regions[i].waiting);
		for (unsigned int how = 0; how < NR_RETURNED; how++)
			page_set_destroy(&r->regions[i].sets[how]);
	}
	*r = (struct page_ledger){ 0 };
}

/* The region of a range that exists for the guest, and where in it; NULL: it does not. */
static struct ledger_region *region_at(struct page_ledger *r, gpa_t at, uint64_t bytes,
					 uint64_t *page)
{
	if (!gm_valid(r->gm, at, bytes))
		return NULL;
	for (unsigned int i = 0; i < r->nr_regions; i++) {
		const struct gm_region *mem = r->regions[i].mem;

		if (!range_inside(at.v, bytes, mem->base.v, mem->bytes))
			continue;
		*page = (at.v - mem->base.v) / PAGE_BYTES;
		return &r->regions[i];
	}
	return NULL;
}

static bool any_in(const struct ledger_region *g, uint64_t first, uint64_t nr)
{
	for (unsigned int how = 0; how < NR_RETURNED; how++)
		if (page_set_count(&g->sets[how], first, nr))
			return true;
	return false;
}

/* After pages of [FIRST, FIRST + NR) came or went: which units may be huge. */
static void settle(struct ledger_region *g, uint64_t first, uint64_t nr)
{
	uint64_t end = align_up(first + nr, UNIT_PAGES);

	for (uint64_t at = align_down(first, UNIT_PAGES); at < end; at += UNIT_PAGES)
		huge_forbid(g->huge, g->mem->ram_offset + at * PAGE_BYTES, RAM_HUGE_BYTES,
			    any_in(g, at, UNIT_PAGES));
}

static int discard(struct page_ledger *r, struct ledger_region *g, uint64_t first, uint64_t nr)
{
	uint64_t offset = g->mem->ram_offset + first * PAGE_BYTES;
	int e;

	huge_keep_small(g->huge, offset, nr * PAGE_BYTES);
	e = ram_discard(g->mem->ram, offset, nr * PAGE_BYTES);
	r->counters.discards++;
	if (!e)
		huge_discarded(g->huge, offset, nr * PAGE_BYTES);
	return e;
}

/* Pages that the guest uses otherwise now. */
static void take_out(struct page_ledger *r, struct ledger_region *g, enum returned_how how,
		     uint64_t first, uint64_t nr)
{
	r->counters.back_bytes[how] += page_set_remove(&g->sets[how], first, nr) * PAGE_BYTES;
	if (how == RETURNED_BALLOONED)
		page_set_remove(&g->waiting, first, nr);
}

static void put_in(struct page_ledger *r, struct ledger_region *g, enum returned_how how,
		   uint64_t first, uint64_t nr)
{
	for (enum returned_how other = 0; other < NR_RETURNED; other++)
		if (other != how)
			take_out(r, g, other, first, nr);
	r->counters.bytes[how] += page_set_add(&g->sets[how], first, nr) * PAGE_BYTES;
}

int page_ledger_inflate(struct page_ledger *r, gpa_t at)
{
	uint64_t page, unit;
	struct ledger_region *g = region_at(r, at, PAGE_BYTES, &page);

	if (!g)
		return -EFAULT;
	if (page_set_has(&g->sets[RETURNED_BALLOONED], page))
		return 0;
	unit = align_down(page, UNIT_PAGES);
	if (!any_in(g, unit, UNIT_PAGES))
		huge_forbid(g->huge, g->mem->ram_offset + unit * PAGE_BYTES, RAM_HUGE_BYTES, true);
	put_in(r, g, RETURNED_BALLOONED, page, 1);
	page_set_add(&g->waiting, page, 1);
	/* The whole unit again, also what went before: only that frees what was one huge page. */
	if (page_set_count(&g->sets[RETURNED_BALLOONED], unit, UNIT_PAGES) == UNIT_PAGES &&
	    !discard(r, g, unit, UNIT_PAGES))
		page_set_remove(&g->waiting, unit, UNIT_PAGES);
	return 0;
}

int page_ledger_deflate(struct page_ledger *r, gpa_t at)
{
	uint64_t page;
	struct ledger_region *g = region_at(r, at, PAGE_BYTES, &page);

	if (!g)
		return -EFAULT;
	if (!page_set_has(&g->sets[RETURNED_BALLOONED], page))
		return 0;
	take_out(r, g, RETURNED_BALLOONED, page, 1);
	if (!any_in(g, align_down(page, UNIT_PAGES), UNIT_PAGES))
		settle(g, page, 1);
	return 0;
}

void page_ledger_deflate_all(struct page_ledger *r)
{
	for (unsigned int i = 0; i < r->nr_regions; i++) {
		struct ledger_region *g = &r->regions[i];
		uint64_t first = 0, nr;

		while ((nr = page_set_next_run(&g->sets[RETURNED_BALLOONED], first, &first))) {
			take_out(r, g, RETURNED_BALLOONED, first, nr);
			settle(g, first, nr);
			first += nr;
		}
	}
}

bool page_ledger_flush(struct page_ledger *r, unsigned int max)
{
	for (unsigned int i = 0; i < r->nr_regions; i++) {
		struct ledger_region *g = &r->regions[i];
		uint64_t first = 0, nr;

		while ((nr = page_set_next_run(&g->waiting, first, &first))) {
			if (!max--)
				return true;
			if (!discard(r, g, first, nr))
				page_set_remove(&g->waiting, first, nr);
			first += nr;
		}
	}
	return page_ledger_waiting_bytes(r);
}

uint64_t page_ledger_waiting_bytes(const struct page_ledger *r)
{
	uint64_t nr = 0;

	for (unsigned int i = 0; i < r->nr_regions; i++)
		nr += r->regions[i].waiting.nr;
	return nr * PAGE_BYTES;
}

int page_ledger_give(struct page_ledger *r, enum returned_how how, gpa_t at, uint64_t bytes)
{
	uint64_t start = align_up(at.v, PAGE_BYTES), end = align_down(at.v + bytes, PAGE_BYTES);
	uint64_t page, nr;
	struct ledger_region *g = region_at(r, at, bytes, &page);
	int e;

	if (!g)
		return -EFAULT;
	if (start >= end)
		return 0;
	page = (start - g->mem->base.v) / PAGE_BYTES;
	nr = (end - start) / PAGE_BYTES;
	e = discard(r, g, page, nr);
	if (e)
		return e;
	put_in(r, g, how, page, nr);
	settle(g, page, nr);
	return 0;
}

/* No guest uses it again, so counters stay. */
static void drop(struct ledger_region *g, uint64_t first, uint64_t nr)
{
	for (unsigned int how = 0; how < NR_RETURNED; how++)
		page_set_remove(&g->sets[how], first, nr);
	page_set_remove(&g->waiting, first, nr);
	huge_forbid(g->huge, g->mem->ram_offset + first * PAGE_BYTES, nr * PAGE_BYTES, false);
}

void page_ledger_forget(struct page_ledger *r, gpa_t at, uint64_t bytes)
{
	for (unsigned int i = 0; i < r->nr_regions; i++) {
		struct ledger_region *g = &r->regions[i];

		if (range_inside(at.v, bytes, g->mem->base.v, g->mem->bytes))
			drop(g, (at.v - g->mem->base.v) / PAGE_BYTES, bytes / PAGE_BYTES);
	}
}

void page_ledger_reset(struct page_ledger *r)
{
	for (unsigned int i = 0; i < r->nr_regions; i++)
		drop(&r->regions[i], 0, r->regions[i].mem->bytes / PAGE_BYTES);
}

/* --- what came back ---------------------------------------------------------------------------- */

/* The next run of pages at or after FROM that were given back in one way; its length, 0: none. */
static uint64_t next_run(const struct ledger_region *g, uint64_t from, enum returned_how *how,
			 uint64_t *first)
{
	uint64_t length = 0;

	for (enum returned_how i = 0; i < NR_RETURNED; i++) {
		uint64_t at, nr = page_set_next_run(&g->sets[i], from, &at);

		if (!nr || (length && at >= *first))
			continue;
		*how = i;
		*first = at;
		length = nr;
	}
	return length;
}

/* Pages of one run that the host holds. A ballooned one is not the guest's for all that. */
static void book_touched(struct page_ledger *r, struct ledger_region *g, enum returned_how how,
			 uint64_t first, uint64_t nr)
{
	if (how == RETURNED_BALLOONED) {
		r->look_touched += nr - page_set_count(&g->waiting, first, nr);
		return;
	}
	take_out(r, g, how, first, nr);
	settle(g, first, nr);
}

/* One step on from r->look_page; false: nothing is left in the region. */
static bool look_on(struct page_ledger *r, struct ledger_region *g)
{
	const struct gm_region *mem = g->mem;
	enum returned_how how = RETURNED_BALLOONED;
	uint64_t first, nr = next_run(g, r->look_page, &how, &first), data, end;

	if (!nr)
		return false;
	data = (ram_next_data(mem->ram, mem->ram_offset + first * PAGE_BYTES) - mem->ram_offset) /
	       PAGE_BYTES;
	r->look_page = data;
	if (data >= first + nr)
		return data < mem->bytes / PAGE_BYTES; /* nothing lies up to there */
	end = (ram_next_hole(mem->ram, mem->ram_offset + data * PAGE_BYTES) - mem->ram_offset) /
	      PAGE_BYTES;
	r->look_page = min_u64(end, first + nr);
	book_touched(r, g, how, data, r->look_page - data);
	return true;
}

bool page_ledger_look(struct page_ledger *r, uint64_t budget_ns)
{
	uint64_t end_ns = clock_ns() + budget_ns;

	while (r->look_region < r->nr_regions) {
		if (look_on(r, &r->regions[r->look_region])) {
			if (clock_ns() >= end_ns)
				return false;
			continue;
		}
		r->look_region++;
		r->look_page = 0;
	}
	r->touched_bytes = r->look_touched * PAGE_BYTES;
	r->look_touched = 0;
	r->look_region = 0;
	return true;
}

uint64_t page_ledger_bytes(const struct page_ledger *r, enum returned_how how)
{
	uint64_t nr = 0;

	for (unsigned int i = 0; i < r->nr_regions; i++)
		nr += r->regions[i].sets[how].nr;
	return nr * PAGE_BYTES;
}
