/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - what control clients see of memory: devices, resize jobs, the ledger. */
#ifndef EBB_MONITOR_MEMORY_H
#define EBB_MONITOR_MEMORY_H

#include "vmm/control/qmp_server.h"
#include "vmm/machine/machine.h"

/* Types of what is returned (json/schema.h). */
#define MEMORY_DEVICES_TYPE                                                                        \
	"[{type:s data:{id:s memaddr:u requested-size:u size:u max-size:u block-size:u node:u "     \
	"memdev:s}}]"
#define RESIZE_MEMBERS                                                                             \
	"device:s id:u state:none|running|done|short|cancelled start:u target:u size:u "            \
	"elapsed-ms:u left-ms?:u interrupts:u requests:u reason?:s explanation?:s"
#define STAT_TYPE                                                                                  \
	"{name:s pid:u status:" MACHINE_STATES " cpus:u boots:u exits:u "                           \
	"boot:{size:u resident?:u huge:u} "                                                         \
	"elastic:[{id:s memaddr:u max:u block:u usable:u requested:u plugged:u resident?:u huge:u " \
	GUARD_COUNTS_MEMBERS " driver:b resize:{" RESIZE_MEMBERS "}}] "                             \
	"balloon?:{" BALLOON_MEMBERS "} "                                                           \
	"agent?:{" AGENT_MEMBERS "} autosize?:{" AUTOSIZE_MEMBERS "} "                              \
	"working-set:[{" WORKING_SET_MEMBERS "}] "                                                  \
	"guard:{" GUARD_MEMBERS "} " CONSOLES_MEMBERS "}"

/* NULL: no device has that id. */
struct machine_elastic *find_elastic(struct machine *m, const char *id);
const char *elastic_id(const struct machine_elastic *e);
uint64_t machine_plugged_bytes(const struct machine *m);
/* A resize job of a device that is SIZE_BYTES large now; and the latest one of E. */
struct json_object *resize_object(const char *device, const struct resize_status *s,
				  uint64_t size_bytes);
struct json_object *job_object(const struct machine_elastic *e);
/* The argument `timeout`, seconds, as a monotonic time; 0: none. */
uint64_t deadline_arg(struct json_object *args);
/* What a refused target tells the client: the property and the limit. */
int explain_target(const struct machine_elastic *e, uint64_t bytes, int error,
		   struct qmp_error *err);

/* Command functions (qmp_server.h); CTX is the machine. */
int query_memory_devices(void *ctx, struct json_object *args, struct json_object **ret,
			 struct qmp_error *err);
int query_memory_size_summary(void *ctx, struct json_object *args, struct json_object **ret,
			      struct qmp_error *err);
int start_resize(void *ctx, struct json_object *args, struct json_object **ret,
		 struct qmp_error *err);
int query_resize(void *ctx, struct json_object *args, struct json_object **ret,
		 struct qmp_error *err);
int cancel_resize(void *ctx, struct json_object *args, struct json_object **ret,
		  struct qmp_error *err);
int ebb_stat(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);

#endif
