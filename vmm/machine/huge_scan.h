/* SPDX-License-Identifier: Apache-2.0 */
/*
 * huge_scan.h - huge pages for all of the machine's memory: those of boot memory, and the scan in the
 * background. The scan takes at most a tenth of the loop's time; a VM at rest is looked at every
 * 10 s, with one system call for each region. Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_HUGE_SCAN_H
#define EBB_MACHINE_HUGE_SCAN_H

#include "vmm/base/loop.h"
#include "vmm/memory/huge.h"

struct machine;

struct huging {
	struct huge boot; /* boot memory's; those of elastic memory are in struct elastic */
	struct loop_timer timer;
	unsigned int region;  /* where the pass is: boot memory, then the elastic regions */
	uint64_t period_ns;   /* between two passes */
	uint64_t nr_made_before; /* units that scans had made when the pass began */
};

/* All memory is there: backs boot memory (--huge=always), starts the scan. 0 or -errno, logged. */
int must_check huging_start(struct machine *m);
/* The machine is freed; the loop does not run any more. */
void huging_close(struct machine *m);
/* Boot memory was discarded for the next boot. */
void huging_reset(struct machine *m);
/* Memory was given to the guest: the next pass comes soon. */
void huging_wake(struct machine *m);

#endif
