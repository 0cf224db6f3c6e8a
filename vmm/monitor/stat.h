/* SPDX-License-Identifier: Apache-2.0 */
/* stat.h - the ledger of the whole VM for control clients. A command function (qmp_server.h). */
#ifndef EBB_MONITOR_STAT_H
#define EBB_MONITOR_STAT_H

#include "vmm/machine/state.h"
#include "vmm/monitor/autosize.h"
#include "vmm/monitor/balloon.h"
#include "vmm/monitor/console.h"
#include "vmm/monitor/guard.h"
#include "vmm/monitor/resize_job.h"
#include "vmm/monitor/working_set.h"

/* The type of what is returned (json/schema.h). */
#define STAT_TYPE                                                                                  \
	"{name:s pid:u status:" MACHINE_STATES " cpus:u boots:u exits:u "                           \
	"boot:{size:u resident?:u huge:u} "                                                         \
	"elastic:[{id:s memaddr:u max:u block:u usable:u requested:u plugged:u resident?:u huge:u " \
	GUARD_COUNTS_MEMBERS " driver:b resize:{" RESIZE_MEMBERS "}}] "                             \
	"balloon?:{" BALLOON_MEMBERS "} "                                                           \
	"agent?:{" AGENT_MEMBERS "} autosize?:{" AUTOSIZE_MEMBERS "} "                              \
	"working-set:[{" WORKING_SET_MEMBERS "}] "                                                  \
	"guard:{" GUARD_MEMBERS "} " CONSOLES_MEMBERS "}"

int monitor_stat(struct qmp_call *call);

#endif
