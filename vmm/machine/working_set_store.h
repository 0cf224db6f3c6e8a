/* SPDX-License-Identifier: Apache-2.0 */
/*
 * working_set_store.h - where working sets are kept, whoever they come from: the guest's agent, the
 * balloon's queues, the host's estimate. Thread: the loop.
 */
#ifndef EBB_MACHINE_WORKING_SET_STORE_H
#define EBB_MACHINE_WORKING_SET_STORE_H

#include "vmm/machine/events.h"

struct working_set_store {
	const struct vm_sinks *sinks;
	struct working_sets sets;
};

/* Keeps RECORD with the time of day, and tells of it (VM_WORKING_SET). One of a node that is not
 * kept is logged. */
void working_set_store_put(struct working_set_store *store,
			   const struct working_set_record *record);
/* The machine is reset: none are known. */
void working_set_store_reset(struct working_set_store *store);

#endif
