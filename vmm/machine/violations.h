/* SPDX-License-Identifier: Apache-2.0 */
/*
 * violations.h - what the machine does about accesses to memory that a guest gave back: reports,
 * consequences, upkeep of the guard. Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_VIOLATIONS_H
#define EBB_MACHINE_VIOLATIONS_H

#include "vmm/base/bus.h"
#include "vmm/base/loop.h"
#include "vmm/config/config.h"
#include "vmm/memory/guard.h"

struct machine;

struct guarding {
	struct guard *guard; /* NULL: --guard=off, or no elastic memory */
	int news_fd;
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

/* Before any memory is there: opens the guard if there is something to guard. */
int must_check guarding_open(struct machine *m);
/* Once all of it is: from here on accesses are answered. */
int must_check guarding_start(struct machine *m);
/* Whatever waits goes on; nothing is guarded any more. No effect on an unopened one. */
void guarding_stop(struct machine *m);
void guarding_close(struct machine *m);
/* No vCPU exists: page tables of violations and what is left of them go. */
int must_check guarding_reset(struct machine *m);

/* Takes effect with the next violation. */
void guarding_set_policy(struct machine *m, enum config_violation policy);
/* Why the VM must not run; NULL: it may. */
const char *guarding_forbids(const struct machine *m);
/* The VM goes on after a pause. */
void guarding_resumed(struct machine *m);

/* Bus access to a part of an elastic region (CTX: struct elastic) that has no slot. */
void guarding_access(void *ctx, struct bus_access *access);

#endif
