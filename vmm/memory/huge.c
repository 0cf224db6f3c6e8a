/* SPDX-License-Identifier: Apache-2.0 */
/* huge.c - which units of a region are backed by one huge page, and which should be. */
#include "vmm/memory/huge.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/base/names.h"

#define UNIT_BYTES RAM_HUGE_BYTES
/*
 * So many of the 512 small pages must be there for auto: the host then gives at most an eighth of
 * the unit that the guest did not ask for. Linux fills what it has begun, so little is lost.
 */
#define PRESENT_MIN 448
/* And at most so many where the guest is about to write them all: few are copied. */
#define EMPTY_MAX (RAM_HUGE_PAGES - PRESENT_MIN)
/* A call waits for every CPU, 0 to 5 ms, and then takes 0.2 to 3 ms for each unit. */
#define RUN_UNITS 4
/* Of units that need nothing, in one step. */
#define LOOK_UNITS 1024

enum unit_flag { MADE = 1, FORBIDDEN = 2, KEPT_SMALL = 4 };

static const char *const mode_names[] = { "auto", "always", "never" };

int huge_mode_parse(const char *name, enum huge_mode *mode)
{
	int i = name_index(mode_names, ARRAY_SIZE(mode_names), name);

	if (i < 0)
		return i;
	*mode = (enum huge_mode)i;
	return 0;
}

const char *huge_mode_name(enum huge_mode mode) { return mode_names[mode]; }

int huge_init(struct huge *h, enum huge_mode mode, struct ram *ram, const struct blocks *blocks)
{
	int r = mode == HUGE_NEVER ? ram_forbid_huge(ram) : 0;

	if (r)
		return fail(r, "small pages only");
	*h = (struct huge){ .mode = mode,
			    .ram = ram,
			    .blocks = blocks,
			    .nr_units = (uint32_t)(ram->bytes / UNIT_BYTES),
			    .changed = true };
	if (ram_collapse(ram, 0, 0))
		h->mode = HUGE_NEVER;
	h->flags = calloc(h->nr_units, sizeof(*h->flags));
	return h->flags ? 0 : fail(-ENOMEM, "map of huge pages");
}

void huge_destroy(struct huge *h)
{
	free(h->flags);
	*h = (struct huge){ 0 };
}

static void set_made(struct huge *h, uint32_t unit, bool made)
{
	if (!(h->flags[unit] & MADE) == !made)
		return;
	h->flags[unit] ^= MADE;
	h->nr_made += made ? 1 : UINT32_MAX;
}

/* The units that the range touches are [*FIRST, *END). */
static void units_of(const struct huge *h, uint64_t offset, uint64_t bytes, uint32_t *first,
		     uint32_t *end)
{
	assert(range_inside(offset, bytes, 0, h->ram->bytes));
	*first = (uint32_t)(offset / UNIT_BYTES);
	*end = (uint32_t)((offset + bytes + UNIT_BYTES - 1) / UNIT_BYTES);
}

static bool is_the_guests(const struct huge *h, uint32_t unit)
{
	return !h->blocks || blocks_bytes_plugged(h->blocks, unit * UNIT_BYTES, UNIT_BYTES);
}

static bool may_be_made(const struct huge *h, uint32_t unit)
{
	return !h->flags[unit] && is_the_guests(h, unit);
}

/* On error some of the run may be huge: nobody tells which. */
static int make(struct huge *h, uint32_t first, uint32_t nr)
{
	int r = ram_collapse(h->ram, first * UNIT_BYTES, nr * UNIT_BYTES);

	for (uint32_t i = first; !r && i < first + nr; i++)
		set_made(h, i, true);
	if (r && !h->told)
		log_info("small pages stay at %#llx of a region and perhaps elsewhere: %s",
			 (unsigned long long)(first * UNIT_BYTES), strerror(-r));
	h->told |= r != 0;
	h->refused |= r != 0;
	return r;
}

/* Those of the range that FIT. */
static void make_all(struct huge *h, uint64_t offset, uint64_t bytes,
		     bool (*fit)(const struct huge *, uint32_t))
{
	uint32_t at, end, run;

	units_of(h, offset, bytes, &at, &end);
	for (; at < end; at += run ? run : 1) {
		for (run = 0; at + run < end && fit(h, at + run); run++)
			;
		if (run && make(h, at, run) == -ENOMEM)
			return; /* each further try would take the kernel long */
	}
}

static void keep_small(struct huge *h, uint32_t unit)
{
	if (h->flags[unit] & KEPT_SMALL || h->ram->no_huge ||
	    h->nr_kept_small == HUGE_KEPT_SMALL_MAX ||
	    ram_allow_huge(h->ram, unit * UNIT_BYTES, UNIT_BYTES, false))
		return;
	h->flags[unit] |= KEPT_SMALL;
	h->nr_kept_small++;
}

/* Memory that is not the guest's stays as the guard wants it, until it is given again. */
static void let_be_huge(struct huge *h, uint32_t unit)
{
	if (!(h->flags[unit] & KEPT_SMALL) || !is_the_guests(h, unit) ||
	    ram_allow_huge(h->ram, unit * UNIT_BYTES, UNIT_BYTES, true))
		return;
	h->flags[unit] &= (uint8_t)~KEPT_SMALL;
	h->nr_kept_small--;
}

void huge_keep_small(struct huge *h, uint64_t offset, uint64_t bytes)
{
	uint64_t end = offset + bytes;
	uint32_t first, after;

	units_of(h, offset, bytes, &first, &after);
	if (!is_aligned(offset, UNIT_BYTES))
		keep_small(h, first);
	if (!is_aligned(end, UNIT_BYTES))
		keep_small(h, after - 1);
}

void huge_given(struct huge *h, uint64_t offset, uint64_t bytes)
{
	h->changed = true;
	if (h->mode == HUGE_ALWAYS)
		make_all(h, offset, bytes, may_be_made);
}

static bool nearly_empty(const struct huge *h, uint32_t unit)
{
	int nr = may_be_made(h, unit) ? ram_nr_present(h->ram, unit * UNIT_BYTES) : -1;

	return nr >= 0 && nr <= EMPTY_MAX;
}

void huge_expected(struct huge *h, uint64_t offset, uint64_t bytes)
{
	if (h->mode == HUGE_AUTO)
		make_all(h, offset, bytes, nearly_empty);
}

void huge_discarded(struct huge *h, uint64_t offset, uint64_t bytes)
{
	uint32_t at, end;

	h->changed = true;
	for (units_of(h, offset, bytes, &at, &end); at < end; at++) {
		set_made(h, at, false);
		if (range_inside(at * UNIT_BYTES, UNIT_BYTES, offset, bytes))
			let_be_huge(h, at); /* nothing to fill up */
	}
}

void huge_forbid(struct huge *h, uint64_t offset, uint64_t bytes, bool forbidden)
{
	uint32_t at, end;

	h->changed = true;
	for (units_of(h, offset, bytes, &at, &end); at < end; at++) {
		h->flags[at] = (uint8_t)((h->flags[at] & ~FORBIDDEN) |
					 (forbidden ? FORBIDDEN : 0));
		if (!forbidden)
			let_be_huge(h, at);
	}
}

/* --- the scan ---------------------------------------------------------------------------------- */

static bool begin_pass(struct huge *h)
{
	uint64_t resident;

	if (h->mode == HUGE_NEVER || ram_resident(h->ram, &resident))
		return false;
	/* What the guest took shows here, what it gave back was told. */
	if (!h->changed && !h->refused && resident == h->resident)
		return false;
	h->resident = resident;
	h->changed = h->refused = false;
	return true;
}

static bool wanted(const struct huge *h, uint32_t unit)
{
	return may_be_made(h, unit) &&
	       (h->mode == HUGE_ALWAYS ||
		ram_nr_present(h->ram, unit * UNIT_BYTES) >= PRESENT_MIN);
}

/* Past units that need nothing, and past what holds no memory at all. */
static void skip(struct huge *h)
{
	for (int i = 0; i < LOOK_UNITS && h->at < h->nr_units; i++) {
		if (h->flags[h->at] == KEPT_SMALL)
			let_be_huge(h, h->at); /* it was unplugged and plugged meanwhile */
		if (may_be_made(h, h->at))
			break;
		h->at++;
	}
	if (h->mode == HUGE_AUTO && h->at < h->nr_units) {
		uint64_t data = ram_next_data(h->ram, h->at * UNIT_BYTES);

		h->at = (uint32_t)max_u64(h->at, data / UNIT_BYTES);
	}
}

static void make_run(struct huge *h, uint32_t nr)
{
	uint32_t before = h->nr_made;
	int r = make(h, h->at, nr);

	/* One by one, to learn which. */
	for (uint32_t i = 0; r && r != -ENOMEM && nr > 1 && i < nr; i++)
		if (make(h, h->at + i, 1) == -ENOMEM)
			r = -ENOMEM;
	h->nr_scan_made += h->nr_made - before;
	/* No huge page is free: the rest of the pass would only make the kernel search again. */
	h->at = r == -ENOMEM ? h->nr_units : h->at + nr;
}

bool huge_scan(struct huge *h)
{
	uint32_t nr = 0;

	if (!h->at && !begin_pass(h))
		return false;
	skip(h);
	while (nr < RUN_UNITS && h->at + nr < h->nr_units && wanted(h, h->at + nr))
		nr++;
	if (nr)
		make_run(h, nr);
	else
		h->at++;
	if (h->at < h->nr_units)
		return true;
	h->at = 0;
	return false;
}
