/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - what control clients see of memory: devices and their resize jobs. */
#ifndef EBB_MONITOR_MEMORY_H
#define EBB_MONITOR_MEMORY_H

#include "vmm/control/qmp_server.h"
#include "vmm/machine/memory.h"

/* Types of what is returned (json/schema.h). */
#define MEMORY_DEVICES_TYPE                                                                        \
	"[{type:s data:{id:s memaddr:u requested-size:u size:u max-size:u block-size:u node:u "     \
	"memdev:s}}]"

/* What a refused target tells the client: the property and the limit. */
int monitor_explain_target(const struct vm_elastic *e, uint64_t bytes, int error,
		   struct qmp_error *err);

/* Command functions (qmp_server.h); CTX is the monitor. */
int monitor_query_memory_devices(struct qmp_call *call);
int monitor_query_memory_size_summary(struct qmp_call *call);
int monitor_start_resize(struct qmp_call *call);
int monitor_query_resize(struct qmp_call *call);
int monitor_cancel_resize(struct qmp_call *call);

#endif
