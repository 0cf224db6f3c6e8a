/* SPDX-License-Identifier: Apache-2.0 */
/* elastic.c - one region of memory that comes and goes. */
#include "vmm/memory/elastic.h"

#include <errno.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

/* One call into the host at a time stays short: 10 to 60 ms, 4 KiB pages at worst. */
#define DISCARD_PIECE_BYTES (128 * MiB)

int elastic_init(struct elastic *e, const struct elastic_cfg *cfg)
{
	int r;

	*e = (struct elastic){ .base = cfg->base, .guard = cfg->guard };
	r = ram_create(&e->ram, cfg->name, cfg->bytes);
	if (r)
		return r;
	if (blocks_init(&e->blocks, cfg->block_bytes, (uint32_t)(cfg->bytes / cfg->block_bytes)))
		return fail(-ENOMEM, "block map of %s", cfg->name);
	r = huge_init(&e->huge, cfg->huge, &e->ram, &e->blocks);
	if (r)
		return r;
	r = slots_init(&e->slots, &cfg->slot_ops, cfg->first_slot, cfg->base, &e->ram,
		       cfg->segment_bytes);
	if (!r && cfg->guard)
		r = guard_add(cfg->guard, &e->guarded, &e->ram);
	return r;
}

void elastic_destroy(struct elastic *e)
{
	slots_destroy(&e->slots);
	huge_destroy(&e->huge);
	ram_destroy(&e->ram);
	blocks_destroy(&e->blocks);
}

uint32_t elastic_nr_slots(const struct elastic *e) { return e->slots.nr; }

int elastic_connect(struct elastic *e)
{
	return e->guarded ? 0 : slots_need(&e->slots, 0, e->ram.bytes, NULL);
}

void elastic_disconnect(struct elastic *e)
{
	slots_forget(&e->slots);
	if (e->guarded)
		guard_set_reads_lawful(e->guarded, false);
}

static uint64_t offset_of(const struct elastic *e, uint32_t block)
{
	return block * e->blocks.block_bytes;
}

static int discard(struct elastic *e, uint32_t first, uint32_t nr)
{
	uint64_t at = offset_of(e, first), end = at + offset_of(e, nr), start_ns = clock_ns();
	int r = 0;

	while (at < end && !r) {
		uint64_t piece = min_u64(end - at, DISCARD_PIECE_BYTES);

		r = ram_discard(&e->ram, at, piece);
		huge_discarded(&e->huge, at, piece);
		e->counters.discards++;
		e->counters.discarded_bytes += r ? 0 : piece;
		at += piece;
	}
	e->counters.discard_ns += clock_ns() - start_ns;
	return r;
}

/* Does DO for each run of blocks of [FIRST, FIRST + NR) in STATE, until one fails. */
static int for_runs(struct elastic *e, uint32_t first, uint32_t nr, enum block_state state,
		    int (*doit)(struct elastic *, uint32_t, uint32_t))
{
	uint32_t at = first, run;
	int r = 0;

	while (!r && at < first + nr && (run = blocks_next_run(&e->blocks, at, state, &at)) &&
	       at < first + nr) {
		run = (uint32_t)min_u64(run, first + nr - at);
		r = doit(e, at, run);
		at += run;
	}
	return r;
}

static int book_closing(struct elastic *e, uint32_t first, uint32_t nr)
{
	blocks_set(&e->blocks, first, nr, BLOCK_CLOSING);
	return 0;
}

static int book_plugged(struct elastic *e, uint32_t first, uint32_t nr)
{
	blocks_set(&e->blocks, first, nr, BLOCK_PLUGGED);
	return 0;
}

static int book_unplugged(struct elastic *e, uint32_t first, uint32_t nr)
{
	if (e->returned)
		page_ledger_forget(e->returned, GPA(e->base.v + offset_of(e, first)),
				offset_of(e, nr));
	blocks_set(&e->blocks, first, nr, BLOCK_UNPLUGGED);
	return 0;
}

static void note_idle_slots(struct elastic *e, uint32_t first, uint32_t nr)
{
	uint64_t step = e->slots.segment_bytes / e->blocks.block_bytes;
	uint64_t at = align_down(first, step), now = clock_ns();

	for (; at < first + nr; at += step) {
		uint32_t in_use, end = (uint32_t)min_u64(at + step, e->blocks.nr);

		if (!blocks_next_run(&e->blocks, (uint32_t)at, BLOCK_PLUGGED, &in_use) ||
		    in_use >= end)
			slots_idle(&e->slots, at * e->blocks.block_bytes, now);
	}
}

int elastic_plug(struct elastic *e, uint32_t first, uint32_t nr)
{
	uint64_t offset = offset_of(e, first), bytes = offset_of(e, nr);
	int r = slots_need(&e->slots, offset, bytes, NULL);

	/* Whatever was left in the blocks, by whomever, must not come back to life. */
	if (!r)
		r = e->guarded ? guard_disarm(e->guarded, offset, bytes, true) :
				 discard(e, first, nr);
	if (r) {
		/* A slot may have come in vain. */
		if (e->guarded)
			note_idle_slots(e, first, nr);
		return r;
	}
	(void)book_plugged(e, first, nr);
	huge_given(&e->huge, offset, min_u64(bytes, HUGE_AT_ONCE_BYTES));
	return 0;
}

void elastic_close(struct elastic *e, uint32_t first, uint32_t nr)
{
	(void)for_runs(e, first, nr, BLOCK_PLUGGED, book_closing);
}

void elastic_reopen(struct elastic *e, uint32_t first, uint32_t nr)
{
	(void)for_runs(e, first, nr, BLOCK_CLOSING, book_plugged);
}

static int arm(struct elastic *e, uint32_t first, uint32_t nr)
{
	return e->guarded ? guard_arm(e->guarded, offset_of(e, first), offset_of(e, nr)) : 0;
}

/* Of blocks that may or may not be armed. What fails here breaks the guard, which stops the VM. */
static int undo_arm(struct elastic *e, uint32_t first, uint32_t nr)
{
	if (e->guarded && guard_disarm(e->guarded, offset_of(e, first), offset_of(e, nr), false))
		guard_give_up(e->guard);
	return 0;
}

void elastic_expect_unplug(struct elastic *e, uint32_t end, uint32_t nr)
{
	uint32_t first;

	if (!e->filled)
		return;
	while (end && blocks_state(&e->blocks, end - 1) != BLOCK_PLUGGED)
		end--;
	first = end;
	while (first && end - first < nr && blocks_state(&e->blocks, first - 1) == BLOCK_PLUGGED)
		first--;
	/* The lowest one stays as it is: it will tell whether the guest still writes them. */
	if (end - first > 1)
		huge_expected(&e->huge, offset_of(e, first + 1), offset_of(e, end - first - 1));
}

/* Whether the guest had filled the range, as far as a look at its start tells. */
static bool is_filled(const struct elastic *e, uint32_t first, uint32_t nr)
{
	uint64_t at = offset_of(e, first), end = at + min_u64(offset_of(e, nr), HUGE_AT_ONCE_BYTES);

	if (e->huge.mode != HUGE_AUTO)
		return false;
	while (at < end && ram_nr_present(&e->ram, at) == RAM_HUGE_PAGES)
		at += RAM_HUGE_BYTES;
	return at >= end;
}

int elastic_give_back(struct elastic *e, uint32_t first, uint32_t nr)
{
	bool filled = is_filled(e, first, nr);
	/* Armed before discarded, so that no access in between is left unseen. */
	int r = for_runs(e, first, nr, BLOCK_CLOSING, arm);

	if (!r)
		r = for_runs(e, first, nr, BLOCK_CLOSING, discard);
	if (r) {
		(void)for_runs(e, first, nr, BLOCK_CLOSING, undo_arm);
		elastic_reopen(e, first, nr);
		return r;
	}
	(void)for_runs(e, first, nr, BLOCK_CLOSING, book_unplugged);
	e->filled = filled;
	if (e->guarded)
		note_idle_slots(e, first, nr);
	return 0;
}

int elastic_reset(struct elastic *e)
{
	int r;

	elastic_close(e, 0, e->blocks.nr);
	r = elastic_give_back(e, 0, e->blocks.nr);
	e->filled = false; /* another kernel may come */
	/* Blocks never plugged may hold what a guest wrote there unlawfully. */
	return r ? r : discard(e, 0, e->blocks.nr);
}

int elastic_set_readable(struct elastic *e, bool readable)
{
	if (!e->guarded)
		return 0; /* all of it is readable anyway */
	guard_set_reads_lawful(e->guarded, readable);
	return slots_set_readable(&e->slots, readable);
}

void elastic_refused(struct elastic *e, uint64_t offset, bool is_write)
{
	if (e->guarded)
		guard_refused(e->guarded, offset, is_write);
}

bool elastic_cover(struct elastic *e)
{
	bool added = false;
	int r = slots_need(&e->slots, 0, e->ram.bytes, &added);

	/* Not for long. */
	note_idle_slots(e, 0, e->blocks.nr);
	return !r && added;
}

void elastic_tick(struct elastic *e, uint64_t now_ns)
{
	if (e->guarded)
		slots_tick(&e->slots, now_ns);
}

int elastic_overhang(const struct elastic *e, uint64_t *bytes)
{
	uint32_t at = 0, run;

	*bytes = 0;
	while ((run = blocks_next_run(&e->blocks, at, BLOCK_UNPLUGGED, &at))) {
		uint64_t resident;
		int r = ram_range_resident(&e->ram, offset_of(e, at), offset_of(e, run),
					   &resident);

		if (r)
			return r;
		*bytes += resident;
		at += run;
	}
	return 0;
}
