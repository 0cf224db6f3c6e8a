/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qom.h - devices as objects with properties, in QEMU's tree (QOM): /machine/peripheral/ID,
 * or ID alone. Command functions (qmp_server.h); CTX is the monitor.
 */
#ifndef EBB_MONITOR_QOM_H
#define EBB_MONITOR_QOM_H

#include "vmm/control/qmp_server.h"

#define QOM_PERIPHERAL "/machine/peripheral"

int monitor_qom_get(struct qmp_call *call);
int monitor_qom_set(struct qmp_call *call);
int monitor_qom_list(struct qmp_call *call);

#endif
