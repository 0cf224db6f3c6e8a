/* SPDX-License-Identifier: Apache-2.0 */
/* events.c - events to all who listen. */
#include "vmm/machine/events.h"

#include <assert.h>

void vm_sinks_add(struct vm_sinks *sinks, struct vm_sink sink)
{
	assert(sinks->nr < VM_MAX_SINKS);
	sinks->sink[sinks->nr++] = sink;
}

void vm_tell(const struct vm_sinks *sinks, const struct vm_event *event)
{
	for (unsigned int i = 0; i < sinks->nr; i++)
		sinks->sink[i].tell(sinks->sink[i].ctx, event);
}

void vm_tell_kind(const struct vm_sinks *sinks, enum vm_event_kind kind)
{
	struct vm_event event = { .kind = kind };

	vm_tell(sinks, &event);
}
