/* SPDX-License-Identifier: Apache-2.0 */
/*
 * working_set_estimate.h - the host's own estimate of the guest's working set
 * (memory/access_scan.h): for each of a few times, how much memory is used within it. Result: a working set (source `host`, node
 * 0, all of it under anon: what a page holds is not known) with these times as the borders of its
 * bins, and in the last bin what the host holds beside.
 * The page tables are emptied once, piecewise, and read after each time; no huge page is made
 * meanwhile. Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_WORKING_SET_ESTIMATE_H
#define EBB_MACHINE_WORKING_SET_ESTIMATE_H

#include "vmm/base/loop.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/working_set_store.h"
#include "vmm/memory/access_scan.h"

#define ESTIMATE_MAX_TIMES (WORKING_SET_BINS - 1)

struct estimate_env {
	struct loop *loop;
	struct vm_memory *memory;
	struct working_set_store *store; /* gets the result, or the cause why there is none */
	/* Whether the VM stands, or something else goes on that touches or discards memory. */
	bool (*must_wait)(void *ctx);
	void *ctx;
};

/* Zeroed memory: none is under way. */
struct estimate {
	struct estimate_env env;
	struct access_scan touched;
	enum estimate_state { ESTIMATE_IDLE, ESTIMATE_FORGET, ESTIMATE_COUNT } state;
	uint64_t begin_ns; /* of the sweep that emptied */
	struct loop_timer timer;
	unsigned int nr_times, at; /* the one that is counted next */
	uint64_t time_ms;	   /* as it is */
	uint32_t times_ms[ESTIMATE_MAX_TIMES];
	struct working_set ws; /* the bins so far, each with those before it */
};

void estimate_open(struct estimate *t, const struct estimate_env *env);
/*
 * NR TIMES (1 to ESTIMATE_MAX_TIMES), in ms, rising. -EBUSY: one is under way, or it must wait; other
 * -errno, logged; nothing has begun then.
 */
int must_check estimate_start(struct estimate *t, const uint32_t *times_ms, unsigned int nr);
/* The one under way, if any, ends without a result. WHY: a constant. */
void estimate_end(struct estimate *t, const char *why);
bool estimate_runs(const struct estimate *t);

#endif
