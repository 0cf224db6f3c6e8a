/* SPDX-License-Identifier: Apache-2.0 */
/* events.h - the machine's events as control clients hear them: the one place where they are JSON. */
#ifndef EBB_MONITOR_EVENTS_H
#define EBB_MONITOR_EVENTS_H

#include "vmm/machine/events.h"

/* A vm_sink; CTX is the struct monitor, which is attached. */
void monitor_tell(void *ctx, const struct vm_event *event);

#endif
