/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elastic.h - one region of memory that comes and goes: its memfd, its block map, and what keeps
 * guests out of the blocks they gave back: memory slots (slots.h, coarse) and the guard (guard.h,
 * fine). The one place where blocks change their state.
 *
 *   unplug   CLOSING: devices are refused; armed; discarded; UNPLUGGED
 *   plug     slot there; leftovers discarded; disarmed, can be huge again; PLUGGED; huge (huge.h)
 *
 * Act, then book: a block is called unplugged only when the host has its memory, plugged only when
 * all of it is there. Thread: the loop, with the device lock. 0 or -errno.
 */
#ifndef EBB_MEMORY_ELASTIC_H
#define EBB_MEMORY_ELASTIC_H

#include "vmm/memory/blocks.h"
#include "vmm/memory/guard.h"
#include "vmm/memory/huge.h"
#include "vmm/memory/page_ledger.h"
#include "vmm/memory/ram.h"
#include "vmm/memory/slots.h"

struct elastic_cfg {
	const char *name; /* of the memfd */
	gpa_t base;
	uint64_t bytes, block_bytes; /* whole blocks, of a power of two of at least 2 MiB */
	struct guard *guard;	     /* NULL: unguarded, the guest can reach all of it at any time */
	enum huge_mode huge;
	/* The memory slots are first_slot and those after it, elastic_nr_slots() of them. */
	struct slot_ops slot_ops;
	uint32_t first_slot;
	uint64_t segment_bytes; /* slots_segment_bytes() */
};

struct elastic {
	gpa_t base;
	struct ram ram;
	struct blocks blocks;
	struct huge huge;
	struct guard *guard;
	struct guard_region *guarded; /* NULL: unguarded */
	bool filled;		      /* the blocks given back last were, to the last page */
	struct slots slots;
	struct page_ledger *returned; /* hears of what is unplugged; NULL: nobody does */
	struct elastic_counters {
		uint64_t discards, discarded_bytes, discard_ns; /* calls, bytes, time in them */
	} counters;
};

/* Everything is unplugged. Logged. Before the guard starts. */
int must_check elastic_init(struct elastic *e, const struct elastic_cfg *cfg);
/* Accepts a zeroed struct. The guard must have stopped. */
void elastic_destroy(struct elastic *e);
uint32_t elastic_nr_slots(const struct elastic *e);

/* A VM was made, its vCPUs have not run: gives it the slots that it needs from the start. */
int must_check elastic_connect(struct elastic *e);
/* The VM is gone. */
void elastic_disconnect(struct elastic *e);

/* Gives unplugged blocks to the guest. On error they are as before. */
int must_check elastic_plug(struct elastic *e, uint32_t first, uint32_t nr);
/*
 * Unplugs in two steps, so that the caller can look in between what is left to the devices:
 * plugged blocks of the range become CLOSING ...
 */
void elastic_close(struct elastic *e, uint32_t first, uint32_t nr);
/* ... and go to the host, or, on error, are plugged again; what was discarded by then is lost. */
int must_check elastic_give_back(struct elastic *e, uint32_t first, uint32_t nr);
/*
 * The guest is likely to give back the next plugged blocks below END, up to NR of them. One that
 * clears memory when it allocates it, as stock kernels do (init_on_alloc), writes them for that: as
 * long as those given back last were full, all but the lowest are made huge (huge_expected()).
 */
void elastic_expect_unplug(struct elastic *e, uint32_t end, uint32_t nr);
/* Instead: closing blocks become plugged again. */
void elastic_reopen(struct elastic *e, uint32_t first, uint32_t nr);
/*
 * All of the region to the host, also what was never plugged. No VM is connected. On error
 * (logged) blocks stay plugged.
 */
int must_check elastic_reset(struct elastic *e);

/* Whether reads of unplugged memory are lawful and see zeros; else they are violations. */
int must_check elastic_set_readable(struct elastic *e, bool readable);
/* A guest access that reached no memory, because no slot is there. */
void elastic_refused(struct elastic *e, uint64_t offset, bool is_write);
/*
 * Memory slots for all of the region, for an instruction that KVM can't carry out where there is
 * none; the guard takes over. True: there is a slot where none was.
 */
bool elastic_cover(struct elastic *e);
/* Once a second or so: slots nobody needs go. */
void elastic_tick(struct elastic *e, uint64_t now_ns);

/* Host memory behind blocks that are not plugged: the guard's chunks, and nothing else. */
int must_check elastic_overhang(const struct elastic *e, uint64_t *bytes);

#endif
