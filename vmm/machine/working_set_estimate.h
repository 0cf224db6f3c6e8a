/* SPDX-License-Identifier: Apache-2.0 */
/*
 * working_set_estimate.h - the host's own estimate of the guest's working set
 * (vmm/memory/touched.h): for each of
 * a few times, how much memory is used within it. Result: a working set (source `host`, node 0, all
 * of it under anon: what a page holds is not known) with these times as the borders of its bins, and
 * in the last bin what the host holds beside.
 * The page tables are emptied once, piecewise, and read after each time; no huge page is made
 * meanwhile. Thread: the loop.
 */
#ifndef EBB_MACHINE_WORKING_SET_ESTIMATE_H
#define EBB_MACHINE_WORKING_SET_ESTIMATE_H

#include "vmm/base/loop.h"
#include "vmm/memory/touched.h"
#include "vmm/memory/working_sets.h"

#define TOUCHING_MAX_TIMES (WORKING_SET_BINS - 1)

struct machine;

struct touching {
	struct touched touched;
	enum touching_state { TOUCHING_IDLE, TOUCHING_FORGET, TOUCHING_COUNT } state;
	uint64_t begin_ns; /* of the sweep that emptied */
	struct loop_timer timer;
	unsigned int nr_times, at; /* the one that is counted next */
	uint64_t time_ms;	   /* as it is */
	uint32_t times_ms[TOUCHING_MAX_TIMES];
	struct working_set ws; /* the bins so far, each with those before it */
};

/*
 * NR TIMES, rising. The result comes as commands_working_set() takes them, or an error with its
 * cause. -EBUSY: one is under way, or a reclaim, or the VM stands; -errno, logged.
 */
int must_check touching_start(struct machine *m, const uint32_t *times_ms, unsigned int nr);
/* The one under way, if any, ends without a result. WHY: a constant. */
void touching_end(struct machine *m, const char *why);
bool touching_runs(const struct machine *m);

#endif
