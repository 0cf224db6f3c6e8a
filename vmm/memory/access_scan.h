/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access_scan.h - how much of the guest's memory is used within a time, seen from outside and
 * without a word of the guest's. The page tables of our mapping are emptied; the pages stay where they are.
 * KVM's own tables are emptied with them (MMU notifier), and whoever accesses a page, the guest or a
 * device, brings its entry back. So what has an entry a while later was used meanwhile.
 *
 * It errs upwards: a huge page counts as a whole, and a page that is read brings entries of up to 15
 * neighbours (fault-around). It costs the guest one fault for each page, or huge page, that it uses.
 *
 * Elastic memory counts where it is plugged; what the guard watches is left alone. Thread: the loop.
 */
#ifndef EBB_MEMORY_ACCESS_SCAN_H
#define EBB_MEMORY_ACCESS_SCAN_H

#include "vmm/memory/guest_mem.h"

struct access_scan {
	const struct guest_mem *gm;
	int pagemap; /* of this process */
	/* The sweep: where it goes on, and what it has counted. */
	bool sweeping;
	gpa_t at;
	uint64_t bytes;
};

/* GM is frozen and outlives it. -errno, logged. */
int must_check access_scan_open(struct access_scan *t, const struct guest_mem *gm);
/* Accepts a zeroed struct. */
void access_scan_close(struct access_scan *t);

/*
 * A sweep over all memory, in steps of about BUDGET_NS: 1: there is more, 0: it is over, -errno
 * (logged): it is over, too. access_scan_forget() empties the page tables; access_scan_count() adds
 * up in ->bytes what has entries. The next call after the end begins anew.
 */
int must_check access_scan_forget(struct access_scan *t, uint64_t budget_ns);
int must_check access_scan_count(struct access_scan *t, uint64_t budget_ns);

#endif
