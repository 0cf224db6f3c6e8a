/* SPDX-License-Identifier: Apache-2.0 */
/*
 * violations.h - what the machine does about accesses to memory that a guest gave back: reports,
 * consequences, upkeep of the guard. Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_VIOLATIONS_H
#define EBB_MACHINE_VIOLATIONS_H

#include "vmm/base/loop.h"
#include "vmm/config/config.h"
#include "vmm/machine/events.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/run_control.h"

struct violations_env {
	struct loop *loop;
	struct vm_memory *memory; /* with its guard */
	struct run_control run;
	const struct vm_sinks *sinks;
};

struct violations {
	struct violations_env env;
	enum config_violation policy;
	struct loop_timer tick, later;
	uint64_t looked_ns;
	uint64_t lenient_until_ns; /* after `cont`: the access that stopped the VM is made now */
	uint64_t seen[CONFIG_MAX_ELASTIC]; /* violations of each region at the last look */
	bool check_ledger;
	uint64_t nr_reclaims, nr_ledger_errors;
	bool broken; /* the VM must not run any more */
	const char *trouble; /* why the VM was paused; NULL: it was not, by us */
};

/* All memory is there: from here on accesses are answered. 0 or -errno, logged. */
int must_check violations_open(struct violations *v, const struct violations_env *env,
			       enum config_violation policy);
/* Whatever waits goes on; nothing is guarded any more. No effect on an unopened one. Any thread that
 * keeps the vCPUs out of the guest, without the device lock. */
void violations_stop(struct violations *v);
void violations_close(struct violations *v);
/* No vCPU exists: page tables of violations and what is left of them go. -EIO: the guard is broken. */
int must_check violations_reset(struct violations *v);

/* Takes effect with the next violation. */
void violations_set_policy(struct violations *v, enum config_violation policy);
/* Why the VM must not run; NULL: it may. */
const char *violations_forbid(const struct violations *v);
/* The VM goes on after a pause. */
void violations_resumed(struct violations *v);

#endif
