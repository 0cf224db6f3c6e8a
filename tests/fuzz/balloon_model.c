/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_model.c - what becomes of each page of a guest with a balloon. */
#include "tests/fuzz/balloon_model.h"

#include <string.h>

void bm_init(struct balloon_model *m)
{
	memset(m, 0, sizeof(*m));
	m->nr[MODEL_KEPT] = MODEL_PAGES;
	for (uint32_t i = 0; i < MODEL_PAGES; i++)
		m->pages[i].how = MODEL_KEPT;
}

gpa_t bm_at(uint32_t page)
{
	return page < MODEL_BOOT_PAGES
		       ? GPA(page * PAGE_BYTES)
		       : GPA(FAKE_ELASTIC_BASE + (page - MODEL_BOOT_PAGES) * PAGE_BYTES);
}

/* Of a place that exists. */
static uint32_t page_at(uint64_t at)
{
	return (uint32_t)(at < FAKE_ELASTIC_BASE
				  ? at / PAGE_BYTES
				  : MODEL_BOOT_PAGES + (at - FAKE_ELASTIC_BASE) / PAGE_BYTES);
}

bool bm_exists(const struct balloon_model *m, gpa_t at, uint64_t bytes)
{
	unsigned __int128 end = (unsigned __int128)at.v + bytes;

	if (at.v < BALLOON_BOOT)
		return end <= BALLOON_BOOT;
	if (at.v < FAKE_ELASTIC_BASE || end > FAKE_ELASTIC_BASE + BALLOON_ELASTIC)
		return false;
	for (uint64_t i = (at.v - FAKE_ELASTIC_BASE) / (2 * MiB);
	     FAKE_ELASTIC_BASE + i * (2 * MiB) < end; i++)
		if (!m->plugged[i])
			return false;
	return at.v < FAKE_ELASTIC_BASE + BALLOON_ELASTIC;
}

void bm_set(struct balloon_model *m, uint32_t page, enum bm_how how, bool waits)
{
	struct bm_page *p = &m->pages[page];

	m->nr[p->how]--;
	m->nr[how]++;
	m->nr_waiting += (uint32_t)waits - (uint32_t)p->waits;
	p->how = (uint8_t)how;
	p->waits = waits;
}

void bm_write(struct balloon_model *m, uint32_t page, uint64_t word)
{
	m->pages[page].word = word;
	m->pages[page].held = m->pages[page].dirty = true;
}

static void discard(struct balloon_model *m, uint32_t page)
{
	m->pages[page].word = 0;
	m->pages[page].held = false;
	bm_set(m, page, m->pages[page].how, false);
}

void bm_inflate(struct balloon_model *m, uint32_t page)
{
	uint32_t unit = page / MODEL_UNIT * MODEL_UNIT;
	bool whole = true;

	if (m->pages[page].how == MODEL_BALLOONED)
		return;
	bm_set(m, page, MODEL_BALLOONED, true);
	for (uint32_t i = unit; i < unit + MODEL_UNIT && whole; i++)
		whole = m->pages[i].how == MODEL_BALLOONED;
	for (uint32_t i = unit; i < unit + MODEL_UNIT && whole; i++)
		discard(m, i);
}

void bm_deflate(struct balloon_model *m, uint32_t page)
{
	if (m->pages[page].how == MODEL_BALLOONED)
		bm_set(m, page, MODEL_KEPT, false);
}

void bm_flush(struct balloon_model *m)
{
	for (uint32_t i = 0; i < MODEL_PAGES && m->nr_waiting; i++)
		if (m->pages[i].waits)
			discard(m, i);
}

void bm_give(struct balloon_model *m, enum bm_how how, gpa_t at, uint64_t bytes)
{
	uint64_t start = (at.v + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;

	for (; start + PAGE_BYTES <= at.v + bytes; start += PAGE_BYTES) {
		bm_set(m, page_at(start), how, false);
		discard(m, page_at(start));
	}
}

/* Of [AT, END), which lies in one unit. */
static enum bm_found look(const struct balloon_model *m, uint64_t at, uint64_t end, bool logged,
			  bool zeros_go)
{
	bool dirty = !logged, empty = true;

	for (uint32_t i = page_at(at); i <= page_at(end - 1); i++) {
		uint64_t word_at = bm_at(i).v + PAGE_BYTES / 2;

		dirty |= m->pages[i].dirty;
		empty &= !m->pages[i].word || word_at + 8 <= at || word_at >= end;
	}
	return !dirty ? MODEL_UNWRITTEN : zeros_go && empty ? MODEL_CLEARED : MODEL_IN_USE;
}

void bm_hint(struct balloon_model *m, gpa_t at, uint64_t bytes, bool logged, bool zeros_go,
	     uint64_t found[NR_MODEL_FOUND])
{
	uint64_t end = at.v + bytes, next;

	for (uint64_t i = at.v; i < end; i = next) {
		enum bm_found what;

		next = min_u64(i / RAM_HUGE_BYTES * RAM_HUGE_BYTES + RAM_HUGE_BYTES, end);
		what = look(m, i, next, logged, zeros_go);
		found[what] += next - i;
		/* Units end where pages do: the same pages go in one piece or in several. */
		if (what != MODEL_IN_USE)
			bm_give(m, MODEL_HINTED, GPA(i), next - i);
	}
}

void bm_driver_gone(struct balloon_model *m)
{
	for (uint32_t i = 0; i < MODEL_PAGES && m->nr[MODEL_BALLOONED]; i++)
		if (m->pages[i].how == MODEL_BALLOONED)
			bm_set(m, i, MODEL_KEPT, false);
}

void bm_forget_writes(struct balloon_model *m)
{
	for (uint32_t i = 0; i < MODEL_PAGES; i++)
		m->pages[i].dirty = false;
}

void bm_fresh(struct balloon_model *m, uint32_t first, uint32_t nr)
{
	for (uint32_t i = first; i < first + nr; i++) {
		bm_set(m, i, MODEL_KEPT, false);
		discard(m, i);
	}
}
