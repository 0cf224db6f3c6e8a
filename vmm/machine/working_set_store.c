/* SPDX-License-Identifier: Apache-2.0 */
/* working_set_store.c - where working sets are kept. */
#include "vmm/machine/working_set_store.h"

#include <time.h>

#include "vmm/base/log.h"

void working_set_store_put(struct working_set_store *store,
			   const struct working_set_record *record)
{
	struct vm_event event = { .kind = VM_WORKING_SET };

	event.working_set = working_sets_put(&store->sets, record, (uint64_t)time(NULL));
	if (event.working_set)
		vm_tell(store->sinks, &event);
	else
		log_guest("a working set of node %u; %d nodes are kept", record->ws.node,
			  WORKING_SETS_MAX_NODES);
}

void working_set_store_reset(struct working_set_store *store)
{
	store->sets = (struct working_sets){ 0 };
}
