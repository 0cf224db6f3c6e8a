/* SPDX-License-Identifier: Apache-2.0 */
/*
 * huge.h - which units of 2 MiB of a region are backed by one huge page, and which should be.
 * A huge page is taken and given back 10 to 70 times cheaper than 512 small ones. It is made
 * (ram_collapse()) when memory is given to the guest (always), or later by a scan, from units that
 * are nearly full, and from empty ones that the guest is about to fill (auto). Never made: where
 * memory is not the guest's, where someone forbids it, and where the guard watches (the kernel
 * refuses).
 * Owner: elastic for its region, the machine for boot memory. Thread: the loop.
 */
#ifndef EBB_MEMORY_HUGE_H
#define EBB_MEMORY_HUGE_H

#include "vmm/memory/blocks.h"
#include "vmm/memory/ram.h"

enum huge_mode {
	HUGE_AUTO,   /* where at most an eighth more memory comes with it, or will anyway */
	HUGE_ALWAYS, /* all memory of the guest, there from the start */
	HUGE_NEVER,  /* nowhere, not even by the kernel itself */
};
/* 0 or -EINVAL for an unknown name (not logged). */
int must_check huge_mode_parse(const char *name, enum huge_mode *mode);
const char *huge_mode_name(enum huge_mode mode);

/*
 * So much may be backed at once while the VM runs: Linux plugs no more in one request, and the loop
 * is held up for 10 to 20 ms. The rest is left to the scan.
 */
#define HUGE_AT_ONCE_BYTES (128 * MiB)

struct huge {
	enum huge_mode mode;
	struct ram *ram;
	const struct blocks *blocks;
	uint32_t nr_units, nr_made;
	uint8_t *flags; /* of each unit */
	uint32_t nr_kept_small;
	/* The scan. */
	uint32_t at;
	uint64_t resident; /* when the pass began */
	bool changed, refused; /* since then */
	uint64_t nr_scan_made; /* units, ever */
	bool told; /* that the kernel refuses */
};

/*
 * BLOCKS: what of RAM is the guest's, plugged blocks alone; NULL: all. Where the kernel can't make
 * huge pages (before Linux 6.1), `mode` becomes HUGE_NEVER. 0 or -errno, logged.
 */
int must_check huge_init(struct huge *h, enum huge_mode mode, struct ram *ram,
			 const struct blocks *blocks);
/* Accepts a zeroed struct. */
void huge_destroy(struct huge *h);

/* The range was given to the guest: in mode always it is backed now. Small pages come where the
 * host has no huge ones. Whole units; none of it may be in use by another thread of ours. */
void huge_given(struct huge *h, uint64_t offset, uint64_t bytes);
/* The guest will write all of the range soon: mode auto backs what of it is nearly empty, so that
 * the guest takes it in units and not page by page. Whole units. */
void huge_expected(struct huge *h, uint64_t offset, uint64_t bytes);
/*
 * The range is about to be discarded: where the host lets shared memory have huge pages, khugepaged
 * would fill a unit of which part is there. So that part stays small, until huge_forbid() lets go of
 * it or the rest goes too. For at most HUGE_KEPT_SMALL_MAX units at a time, since
 * each may split the mapping; and not where the kernel refuses.
 */
void huge_keep_small(struct huge *h, uint64_t offset, uint64_t bytes);
#define HUGE_KEPT_SMALL_MAX 1024
/* The range, or part of it, was discarded: units that it touches are not known to be huge. */
void huge_discarded(struct huge *h, uint64_t offset, uint64_t bytes);
/*
 * Whether units that the range touches must stay as they are: to make one huge brings back all of
 * its pages, also those that the guest gave to the host one by one. One that is huge stays so.
 */
void huge_forbid(struct huge *h, uint64_t offset, uint64_t bytes, bool forbidden);

/*
 * The next few units of a pass over the region, with at most one call into the host that works.
 * False: the pass is over, or there was no need of one: nothing has changed since the last.
 */
bool huge_scan(struct huge *h);

/* Bytes known to be backed by huge pages. The host may have split some since, to swap them out. */
static inline uint64_t huge_bytes(const struct huge *h) { return h->nr_made * RAM_HUGE_BYTES; }

#endif
