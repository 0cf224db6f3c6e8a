/* SPDX-License-Identifier: Apache-2.0 */
/* dump.h - core dumps for control clients. Command functions; CTX is the monitor. */
#ifndef EBB_MONITOR_DUMP_H
#define EBB_MONITOR_DUMP_H

#include "vmm/control/qmp_server.h"
#include "vmm/dump/dump.h"

struct monitor;

#define DUMP_MEMBERS "status:" DUMP_STATES " completed:u total:u"

int monitor_dump_guest_memory(struct qmp_call *call);
int monitor_query_dump(struct qmp_call *call);

struct json_object *monitor_dump_object(const struct dump *d);
/* The dump has ended, with ERROR or NULL: answers the client that waits for that, if one does. */
void monitor_dump_answer(struct monitor *mon, const char *error);

#endif
