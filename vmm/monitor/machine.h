/* SPDX-License-Identifier: Apache-2.0 */
/* machine.h - the machine as a whole for control clients. Command functions (qmp_server.h). */
#ifndef EBB_MONITOR_MACHINE_H
#define EBB_MONITOR_MACHINE_H

#include "vmm/control/qmp_server.h"

/* A member list of what is returned (json/schema.h). */
#define CPU_MEMBERS                                                                                \
	"cpu-index:u thread-id:i target:s qom-path:s props:{socket-id:u core-id:u thread-id:u}"

int query_status(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int stop(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int cont(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int system_powerdown(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int system_reset(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int quit(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int query_name(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int query_uuid(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int query_kvm(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int query_cpus_fast(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int query_cpus(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int inject_nmi(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int set_action(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);

#endif
