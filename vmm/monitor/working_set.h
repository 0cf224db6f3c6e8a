/* SPDX-License-Identifier: Apache-2.0 */
/*
 * working_set.h - working sets as control clients see them, whoever they come from: the
 * guest's agent, or the balloon's queues. Command functions (qmp_server.h); CTX is the monitor.
 */
#ifndef EBB_MONITOR_WORKING_SET_H
#define EBB_MONITOR_WORKING_SET_H

#include "vmm/control/qmp_server.h"
#include "vmm/memory/working_sets.h"

struct monitor;

/* A type of what is returned (json/schema.h). */
#define WORKING_SET_MEMBERS                                                                        \
	"node:u source:" WORKING_SET_SOURCES " seconds:u error?:s "                                \
	"bins:[{idle-ms?:u anon:u file:u}]"

int monitor_query_working_set(struct qmp_call *call);
int monitor_ask_working_set(struct qmp_call *call);

/* All that are known, a list; one of them. */
struct json_object *monitor_working_set_list(const struct monitor *mon);
struct json_object *monitor_working_set_object(const struct working_set_record *w);

#endif
