/* SPDX-License-Identifier: Apache-2.0 */
/* machine.h - the machine as a whole for control clients. Command functions (qmp_server.h). */
#ifndef EBB_MONITOR_MACHINE_H
#define EBB_MONITOR_MACHINE_H

#include "vmm/control/qmp_server.h"

/* A member list of what is returned (json/schema.h). */
#define CPU_MEMBERS                                                                                \
	"cpu-index:u thread-id:i target:s qom-path:s props:{socket-id:u core-id:u thread-id:u}"

int monitor_query_status(struct qmp_call *call);
int monitor_stop(struct qmp_call *call);
int monitor_cont(struct qmp_call *call);
int monitor_system_powerdown(struct qmp_call *call);
int monitor_system_reset(struct qmp_call *call);
int monitor_quit(struct qmp_call *call);
int monitor_query_name(struct qmp_call *call);
int monitor_query_uuid(struct qmp_call *call);
int monitor_query_kvm(struct qmp_call *call);
int monitor_query_cpus_fast(struct qmp_call *call);
int monitor_query_cpus(struct qmp_call *call);
int monitor_inject_nmi(struct qmp_call *call);
int monitor_set_action(struct qmp_call *call);

#endif
