/* SPDX-License-Identifier: Apache-2.0 */
/*
 * huge_scan.h - huge pages for all of the machine's memory: those of boot memory, and the scan in the
 * background. The scan takes at most a tenth of the loop's time; a VM at rest is looked at every
 * 10 s, with one system call for each region. Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_HUGE_SCAN_H
#define EBB_MACHINE_HUGE_SCAN_H

#include "vmm/base/loop.h"
#include "vmm/machine/memory.h"

struct huge_scan_env {
	struct loop *loop;
	struct vm_memory *memory;
	struct page_ledger *returned; /* looked at before each pass */
	/* Whether nothing may be touched now: to make a unit huge is to touch it. */
	bool (*must_wait)(void *ctx);
	void *ctx;
};

struct huge_scan {
	struct huge_scan_env env;
	struct loop_timer timer;
	unsigned int region; /* where the pass is: boot memory, then the elastic regions */
	uint64_t period_ns;  /* between two passes */
	uint64_t nr_made_before; /* units that scans had made when the pass began */
};

/* Backs boot memory (--huge=always), starts the scan. A host that can't make huge pages is logged. */
void huge_scan_open(struct huge_scan *s, const struct huge_scan_env *env);
void huge_scan_close(struct huge_scan *s);
/* Boot memory was discarded for the next boot. */
void huge_scan_reset(struct huge_scan *s);
/* Memory was given to the guest: the next pass comes soon. */
void huge_scan_wake(struct huge_scan *s);

#endif
