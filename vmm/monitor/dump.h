/* SPDX-License-Identifier: Apache-2.0 */
/* dump.h - core dumps for control clients. Command functions; CTX is the machine. */
#ifndef EBB_MONITOR_DUMP_H
#define EBB_MONITOR_DUMP_H

#include "vmm/control/qmp_server.h"
#include "vmm/dump/dump.h"

#define DUMP_MEMBERS "status:" DUMP_STATES " completed:u total:u"

int dump_guest_memory(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err);
int query_dump(void *ctx, struct json_object *args, struct json_object **ret,
	       struct qmp_error *err);

#endif
