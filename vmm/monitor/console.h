/* SPDX-License-Identifier: Apache-2.0 */
/* console.h - what control clients see of consoles and ports. */
#ifndef EBB_MONITOR_CONSOLE_H
#define EBB_MONITOR_CONSOLE_H

#include "vmm/control/qmp_server.h"

struct monitor;

/* Types of what is returned (json/schema.h). */
#define CONSOLE_MEMBERS "kind:s path:s attached:b pid?:u"
#define CONSOLES_MEMBERS                                                                           \
	"console:{" CONSOLE_MEMBERS "} hvc?:{" CONSOLE_MEMBERS "} "                                \
	"ports:[{name:s open:b " CONSOLE_MEMBERS "}]"

/* Adds the members of CONSOLES_MEMBERS. */
void monitor_add_consoles(struct json_object *o, const struct monitor *mon);

/* A command function (qmp_server.h); CTX is the monitor. */
int monitor_query_chardev(struct qmp_call *call);

#endif
