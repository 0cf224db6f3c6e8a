/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qom.h - devices as objects with properties, in QEMU's tree (QOM): /machine/peripheral/ID,
 * or ID alone. Command functions (qmp_server.h); CTX is the monitor.
 */
#ifndef EBB_MONITOR_QOM_H
#define EBB_MONITOR_QOM_H

#include "vmm/control/qmp_server.h"

#define QOM_PERIPHERAL "/machine/peripheral"

int qom_get(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int qom_set(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int qom_list(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);

#endif
