/* SPDX-License-Identifier: Apache-2.0 */
/* qom.c - the properties of memory devices, and the path that leads to them. */
#include "vmm/monitor/qom.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/machine/autosizer.h"
#include "vmm/machine/balloon_host.h"
#include "vmm/monitor/balloon.h"
#include "vmm/monitor/context.h"
#include "vmm/monitor/memory.h"

static uint64_t requested_size(const struct vmem_info *info) { return info->requested_bytes; }
static uint64_t size(const struct vmem_info *info) { return info->plugged_bytes; }
static uint64_t max_size(const struct vmem_info *info) { return info->region_bytes; }
static uint64_t block_size(const struct vmem_info *info) { return info->block_bytes; }
static uint64_t memaddr(const struct vmem_info *info) { return info->addr; }
static uint64_t node(const struct vmem_info *info) { return info->node_id; }

static const struct {
	const char *name, *type;
	uint64_t (*get)(const struct vmem_info *info);
} properties[] = {
	{ "requested-size", "size", requested_size }, /* the one that can be set */
	{ "size", "size", size },
	{ "max-size", "size", max_size },
	{ "block-size", "size", block_size },
	{ "memaddr", "uint64", memaddr },
	{ "node", "uint32", node },
};

static int no_object(const char *path, struct qmp_error *err)
{
	return qmp_fail(err, QMP_DEVICE_NOT_FOUND, "Device '%.128s' not found", path);
}

/* A path may be whole, or only its last part. */
static const char *last_part(const char *path)
{
	bool whole = !strncmp(path, QOM_PERIPHERAL "/", strlen(QOM_PERIPHERAL "/"));

	return whole ? path + strlen(QOM_PERIPHERAL "/") : path;
}

/* The virtio-mem device at a path; NULL: none. */
static struct vm_elastic *at_path(struct monitor *mon, const char *path)
{
	return vm_memory_find(mon->vm->memory, last_part(path));
}

static bool is_balloon(const struct monitor *mon, const char *path)
{
	return mon->vm->balloon->balloon && !strcmp(last_part(path), BALLOON_ID);
}

/* --- the balloon ------------------------------------------------------------------------------- */

#define STATS "guest-stats"
#define POLLING "guest-stats-polling-interval" /* seconds; the one that can be set */
#define POLLING_MAX_S UINT32_MAX

static int no_balloon_property(const char *property, struct qmp_error *err)
{
	return qmp_fail(err, QMP_GENERIC_ERROR,
			"Property 'virtio-balloon.%.64s' of '" BALLOON_ID "' not found; there are "
			STATS ", " POLLING, property);
}

static int get_of_balloon(const struct monitor *mon, const char *property, struct json_object **ret,
			  struct qmp_error *err)
{
	struct balloon_info info;

	balloon_info(mon->vm->balloon->balloon, &info);
	if (!strcmp(property, STATS))
		*ret = monitor_guest_stats_object(mon);
	else if (!strcmp(property, POLLING))
		*ret = json_object_new_uint64(info.poll_s);
	else
		return no_balloon_property(property, err);
	return 0;
}

static int set_of_balloon(struct monitor *mon, const char *property, struct json_object *value,
			  struct qmp_error *err)
{
	uint64_t seconds;
	int r;

	if (strcmp(property, POLLING) != 0)
		return no_balloon_property(property, err);
	r = qmp_to_u64(value, "value", 0, POLLING_MAX_S, &seconds, err);
	if (!r)
		balloon_poll_stats(mon->vm->balloon->balloon, seconds);
	return r;
}

/* --- virtio-mem -------------------------------------------------------------------------------- */

static int no_property(const struct vm_elastic *e, const char *property,
		       struct qmp_error *err)
{
	return qmp_fail(err, QMP_GENERIC_ERROR,
			"Property 'virtio-mem.%.64s' of '%s' not found; there are requested-size, "
			"size, max-size, block-size, memaddr, node", property, e->id);
}

int monitor_qom_get(struct qmp_call *call)
{
	const char *path = qmp_arg_str(call->args, "path", "");
	const char *property = qmp_arg_str(call->args, "property", "");
	struct vm_elastic *e = at_path(call->ctx, path);
	struct vmem_info info;

	if (is_balloon(call->ctx, path))
		return get_of_balloon(call->ctx, property, &call->ret, call->err);
	if (!e)
		return no_object(path, call->err);
	vmem_info(e->vmem, &info);
	for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
		if (strcmp(properties[i].name, property))
			continue;
		call->ret = json_object_new_uint64(properties[i].get(&info));
		return 0;
	}
	return no_property(e, property, call->err);
}

int monitor_qom_set(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	const char *path = qmp_arg_str(call->args, "path", "");
	const char *property = qmp_arg_str(call->args, "property", "");
	struct vm_elastic *e = at_path(call->ctx, path);
	uint64_t bytes;
	int r;

	if (is_balloon(call->ctx, path))
		return set_of_balloon(call->ctx, property, qmp_arg(call->args, "value"), call->err);
	if (!e)
		return no_object(path, call->err);
	if (strcmp(property, "requested-size") != 0)
		return no_property(e, property, call->err);
	r = qmp_to_u64(qmp_arg(call->args, "value"), "value", 0, INT64_MAX, &bytes, call->err);
	if (r)
		return r;
	r = vmem_request(e->vmem, bytes);
	if (r)
		return monitor_explain_target(e, bytes, r, call->err);
	autosizer_overridden(mon->vm->autosizer, "requested-size was set (qom-set)");
	return 0;
}

static void add_row(struct json_object *list, const char *name, const char *type)
{
	struct json_object *row = json_object_new_object();

	add_str(row, "name", name);
	add_str(row, "type", type);
	json_object_array_add(list, row);
}

int monitor_qom_list(struct qmp_call *call)
{
	const char *path = qmp_arg_str(call->args, "path", "");
	struct monitor *mon = call->ctx;

	call->ret = json_object_new_array();
	if (!strcmp(path, "/")) {
		add_row(call->ret, "machine", "child<container>");
	} else if (!strcmp(path, "/machine")) {
		add_row(call->ret, "peripheral", "child<container>");
	} else if (!strcmp(path, QOM_PERIPHERAL)) {
		for (unsigned int i = 0; i < mon->vm->memory->nr_elastic; i++)
			add_row(call->ret, mon->vm->memory->elastic[i].id, "child<virtio-mem>");
		if (mon->vm->balloon->balloon)
			add_row(call->ret, BALLOON_ID, "child<virtio-balloon>");
	} else if (is_balloon(mon, path)) {
		add_row(call->ret, STATS, "guest statistics");
		add_row(call->ret, POLLING, "int");
	} else if (at_path(mon, path)) {
		for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
			add_row(call->ret, properties[i].name, properties[i].type);
	} else {
		return no_object(path, call->err);
	}
	return 0;
}
