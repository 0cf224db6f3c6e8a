/* SPDX-License-Identifier: Apache-2.0 */
/* guard.h - what control clients see of the guard. */
#ifndef EBB_MONITOR_GUARD_H
#define EBB_MONITOR_GUARD_H

#include "vmm/control/qmp_server.h"
#include "vmm/machine/memory.h"

struct monitor;

/* Members of what is returned (json/schema.h). */
#define VIOLATION_COUNTS_MEMBERS                                                                   \
	"violations:u reads:u writes:u refused-reads:u refused-writes:u lawful-reads:u"
#define GUARD_COUNTS_MEMBERS                                                                       \
	"resident-unplugged?:u violations?:u reads?:u writes?:u refused-reads?:u "                  \
	"refused-writes?:u lawful-reads?:u"
#define GUARD_MEMBERS                                                                              \
	"on:b page-tables:u violation?:" CONFIG_VIOLATIONS " chunks?:u violated-page-tables?:u "       \
	"borders?:u answers?:u busy-us?:u reclaims?:u ledger-errors?:u trouble?:s"
#define GUARD_TYPE                                                                                 \
	"{" GUARD_MEMBERS " regions:[{device:s memaddr:u block-size:u " GUARD_COUNTS_MEMBERS " "    \
	"reads-lawful?:b last-address?:u "                                                          \
	"map?:[{block:u blocks:u state:unplugged|closing|plugged}] "                                \
	"violated?:[{block:u reads:u writes:u}] next?:u}]}"

/* The guard of the whole VM, for the ledger. */
struct json_object *monitor_guard_object(struct monitor *mon);
/* Adds to an elastic region's object what is behind its unplugged blocks, and its violations. */
void monitor_add_guard_counts(struct json_object *o, const struct vm_elastic *e);

/* Adds the members of VIOLATION_COUNTS_MEMBERS. */
void monitor_add_violations(struct json_object *o, const struct guard_info *info);

/* Command functions (qmp_server.h); CTX is the monitor. */
int monitor_query_guard(struct qmp_call *call);
int monitor_set_violation(struct qmp_call *call);

#endif
