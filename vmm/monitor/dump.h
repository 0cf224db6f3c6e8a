/* SPDX-License-Identifier: Apache-2.0 */
/* dump.h - core dumps for control clients. Command functions; CTX is the monitor. */
#ifndef EBB_MONITOR_DUMP_H
#define EBB_MONITOR_DUMP_H

#include "vmm/control/qmp_server.h"
#include "vmm/dump/dump.h"

struct monitor;

#define DUMP_MEMBERS "status:" DUMP_STATES " completed:u total:u"

int dump_guest_memory(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err);
int query_dump(void *ctx, struct json_object *args, struct json_object **ret,
	       struct qmp_error *err);

struct json_object *dump_object(const struct dump *d);
/* The dump has ended, with ERROR or NULL: answers the client that waits for that, if one does. */
void dump_answer(struct monitor *mon, const char *error);

#endif
