/* SPDX-License-Identifier: Apache-2.0 */
/* block.c - disks for control clients. */
#include "vmm/monitor/block.h"

#include <errno.h>
#include <string.h>

#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/machine/disks.h"
#include "vmm/monitor/context.h"

static int explain(const struct blk_info *info, int error, struct qmp_error *err)
{
	switch (error) {
	case -EINVAL:
		return qmp_fail(err, QMP_GENERIC_ERROR, "size must be a multiple of 512");
	case -ERANGE:
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"%s has %llu bytes; a disk that is in use can't shrink", info->id,
				(unsigned long long)info->bytes);
	case -ENOSPC:
		return qmp_fail(err, QMP_GENERIC_ERROR, "%.256s is smaller than that; grow it first",
				info->path);
	default:
		return qmp_fail(err, QMP_GENERIC_ERROR, "%.256s: %s", info->path,
				strerror(-error));
	}
}

int monitor_block_resize(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	const char *id = qmp_arg_str(call->args, "device", qmp_arg_str(call->args, "node-name", ""));
	struct blk *blk = disks_find(mon->vm->disks, id);
	struct blk_info info;
	int r;

	if (!blk)
		return qmp_fail(call->err, QMP_DEVICE_NOT_FOUND, "there is no disk '%s'; query-block lists "
				"them", id);
	r = blk_set_size(blk, qmp_arg_u64(call->args, "size", 0));
	blk_info(blk, &info);
	return r ? explain(&info, r, call->err) : 0;
}

static struct json_object *disk_object(const struct blk_info *info)
{
	struct json_object *o = json_object_new_object(), *inserted = json_object_new_object();
	struct json_object *image = json_object_new_object();

	add_str(image, "filename", info->path);
	add_str(image, "format", "raw");
	add_u64(image, "virtual-size", info->bytes);
	add_str(inserted, "file", info->path);
	add_bool(inserted, "ro", info->is_read_only);
	add_str(inserted, "drv", "raw");
	json_object_object_add(inserted, "image", image);
	add_str(o, "device", info->id);
	add_str(o, "type", "unknown"); /* as QEMU says of every disk */
	add_bool(o, "removable", false);
	add_bool(o, "locked", false);
	json_object_object_add(o, "inserted", inserted);
	return o;
}

static struct json_object *stats_object(const struct blk_info *info)
{
	struct json_object *o = json_object_new_object(), *stats = json_object_new_object();
	const struct blk_counters *c = &info->counters;

	add_u64(stats, "rd_operations", c->reads);
	add_u64(stats, "rd_bytes", c->read_bytes);
	add_u64(stats, "wr_operations", c->writes);
	add_u64(stats, "wr_bytes", c->written_bytes);
	add_u64(stats, "flush_operations", c->flushes);
	add_u64(stats, "other_operations", c->others);
	add_u64(stats, "cached_rd_operations", c->at_once);
	add_u64(stats, "failed_operations", c->failed);
	add_u64(stats, "in_flight", info->nr_in_flight);
	add_str(o, "device", info->id);
	json_object_object_add(o, "stats", stats);
	return o;
}

static struct json_object *list(const struct monitor *mon,
				struct json_object *(*object)(const struct blk_info *info))
{
	struct json_object *all = json_object_new_array();

	for (unsigned int i = 0; i < mon->vm->disks->nr; i++) {
		struct blk_info info;

		blk_info(mon->vm->disks->disk[i].blk, &info);
		json_object_array_add(all, object(&info));
	}
	return all;
}

int monitor_query_block(struct qmp_call *call)
{
	call->ret = list(call->ctx, disk_object);
	return 0;
}

int monitor_query_blockstats(struct qmp_call *call)
{
	call->ret = list(call->ctx, stats_object);
	return 0;
}
