/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page_ledger.h - what the guest gave back page by page, of all its memory: ballooned (until it
 * deflates), reported or hinted (until it uses it again). Nothing keeps a guest from touching such
 * a page, which comes back as zeros then; but it is counted: the host is asked what is there.
 * A unit of 2 MiB with a page in here is never made huge, that would bring all of it back (huge.h).
 *
 * Ballooned pages come one by one, in any order, and giving back 4 KiB costs almost what 2 MiB
 * cost, so they wait: a unit goes when its last page comes, the rest by page_ledger_flush(). Whoever
 * lets pages wait must know that the guest does not use one before page_ledger_deflate().
 *
 * Pages that the guest may not name (outside of memory, or in unplugged blocks) are -EFAULT, and
 * nothing has changed. Thread: the loop.
 */
#ifndef EBB_MEMORY_PAGE_LEDGER_H
#define EBB_MEMORY_PAGE_LEDGER_H

#include "vmm/memory/guest_mem.h"
#include "vmm/memory/huge.h"
#include "vmm/memory/page_set.h"

enum returned_how { RETURNED_BALLOONED, RETURNED_REPORTED, RETURNED_HINTED, NR_RETURNED };

struct page_ledger {
	const struct guest_mem *gm;
	unsigned int nr_regions;
	struct ledger_region {
		const struct gm_region *mem;
		struct huge *huge;
		struct page_set sets[NR_RETURNED]; /* a page is in one of them at most */
		struct page_set waiting;	   /* ballooned, and the host has it still */
	} regions[GM_MAX_REGIONS];
	/* The look at what came back. */
	unsigned int look_region;
	uint64_t look_page, look_touched;
	/* Of ballooned pages that do not wait: what the host holds, the guest has touched them. As of
	 * the last complete round. */
	uint64_t touched_bytes;
	struct ledger_counters {
		uint64_t bytes[NR_RETURNED]; /* ever given back */
		uint64_t back_bytes[NR_RETURNED]; /* deflated; or used again, as far as looked at */
		uint64_t discards; /* calls into the host */
	} counters;
};

/*
 * For all of GM, which is frozen. HUGE_OF tells what makes huge pages of a region of it; regions
 * start and end on RAM_HUGE_BYTES, in guest memory and in their RAM. -ENOMEM (logged).
 */
int must_check page_ledger_init(struct page_ledger *r, const struct guest_mem *gm,
			     struct huge *(*huge_of)(void *ctx, const struct gm_region *mem),
			     void *ctx);
/* Accepts a zeroed struct. */
void page_ledger_destroy(struct page_ledger *r);

/* The page at AT is ballooned; no effect when it is already. */
int must_check page_ledger_inflate(struct page_ledger *r, gpa_t at);
/* The page is the guest's again, also when the host has not discarded it; no effect when it was. */
int must_check page_ledger_deflate(struct page_ledger *r, gpa_t at);
/*
 * The guest's promises are void, as when its driver goes without a word: it may use every page that
 * was ballooned, so none is discarded from now on, neither what waits nor a unit that its last page
 * completes. Any thread, under the device lock.
 */
void page_ledger_deflate_all(struct page_ledger *r);
/*
 * Discards waiting pages, in at most MAX calls into the host. True: more wait. What the host
 * refuses waits on (it has logged that).
 */
bool page_ledger_flush(struct page_ledger *r, unsigned int max);
uint64_t page_ledger_waiting_bytes(const struct page_ledger *r);
/*
 * Discards the whole pages inside [AT, AT + BYTES) at once and books them. The range must exist.
 * Also -errno of the host; some of it may be gone then.
 */
int must_check page_ledger_give(struct page_ledger *r, enum returned_how how, gpa_t at,
				uint64_t bytes);

/* Elastic memory [AT, AT + BYTES) was unplugged: it is the host's by another right now. */
void page_ledger_forget(struct page_ledger *r, gpa_t at, uint64_t bytes);
/* The machine is reset: all memory is the next guest's. Counters stay. */
void page_ledger_reset(struct page_ledger *r);

/*
 * Looks for pages that are there again, and books reported and hinted ones as used, for at most
 * BUDGET_NS or so; the next call goes on from there. True: a round is complete.
 */
bool page_ledger_look(struct page_ledger *r, uint64_t budget_ns);
/* Of now. */
uint64_t page_ledger_bytes(const struct page_ledger *r, enum returned_how how);

#endif
