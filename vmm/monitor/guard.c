/* SPDX-License-Identifier: Apache-2.0 */
/* guard.c - what control clients see of the guard: counters, map, events. */
#include "vmm/monitor/guard.h"

#include <stdio.h>
#include <string.h>

#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/violations.h"
#include "vmm/monitor/context.h"

/* So many runs and blocks in one reply, which must stay below 64 KiB. */
#define ROWS_MAX 256

/* Page tables of this process; the host's word. 0: it does not say. */
static uint64_t page_table_bytes(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmPTE: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * KiB;
}

struct json_object *monitor_guard_object(struct monitor *mon)
{
	const struct violations *g = mon->vm->violations;
	struct guard *guard = mon->vm->memory->guard;
	struct json_object *o = json_object_new_object();
	struct guard_status status;

	add_bool(o, "on", guard);
	add_u64(o, "page-tables", page_table_bytes());
	if (!guard)
		return o;
	status = guard_peek(guard);
	add_str(o, "violation", config_violation_name(g->policy));
	add_u64(o, "chunks", status.nr_chunks);
	add_u64(o, "violated-page-tables", status.nr_tables * (4 * KiB));
	add_u64(o, "borders", status.nr_splits);
	add_u64(o, "answers", status.nr_answers);
	add_u64(o, "busy-us", status.busy_ns / 1000);
	add_u64(o, "reclaims", g->nr_reclaims);
	add_u64(o, "ledger-errors", g->nr_ledger_errors);
	if (g->trouble)
		add_str(o, "trouble", g->trouble);
	return o;
}

void monitor_add_violations(struct json_object *o, const struct guard_info *info)
{
	add_u64(o, "violations", guard_violations(&info->counts));
	add_u64(o, "reads", info->counts.reads);
	add_u64(o, "writes", info->counts.writes);
	add_u64(o, "refused-reads", info->counts.refused_reads);
	add_u64(o, "refused-writes", info->counts.refused_writes);
	add_u64(o, "lawful-reads", info->counts.lawful_reads);
}

void monitor_add_guard_counts(struct json_object *o, const struct vm_elastic *e)
{
	uint64_t bytes;

	if (!elastic_overhang(&e->elastic, &bytes))
		add_u64(o, "resident-unplugged", bytes);
	if (e->elastic.guarded) {
		struct guard_info info = guard_info(e->elastic.guarded);

		monitor_add_violations(o, &info);
	}
}

static struct json_object *map_rows(const struct elastic *e, uint32_t from, uint32_t *next)
{
	static const char *const name[] = { [BLOCK_UNPLUGGED] = "unplugged",
					    [BLOCK_CLOSING] = "closing",
					    [BLOCK_PLUGGED] = "plugged" };
	struct json_object *rows = json_object_new_array();
	uint32_t at = from, first;

	while (at < e->blocks.nr && json_object_array_length(rows) < ROWS_MAX) {
		enum block_state state = blocks_state(&e->blocks, at);
		uint32_t nr = blocks_next_run(&e->blocks, at, state, &first);
		struct json_object *row = json_object_new_object();

		add_u64(row, "block", at);
		add_u64(row, "blocks", nr);
		add_str(row, "state", name[state]);
		json_object_array_add(rows, row);
		at += nr;
	}
	*next = at;
	return rows;
}

static struct json_object *violated_rows(const struct elastic *e, uint32_t from, uint32_t *next)
{
	struct json_object *rows = json_object_new_array();
	uint64_t block_bytes = e->blocks.block_bytes;
	uint32_t i = from;

	for (; i < e->blocks.nr && json_object_array_length(rows) < ROWS_MAX; i++) {
		uint64_t reads, writes;
		struct json_object *row;

		guard_range_counts(e->guarded, i * block_bytes, block_bytes, &reads, &writes);
		if (!reads && !writes)
			continue;
		row = json_object_new_object();
		add_u64(row, "block", i);
		add_u64(row, "reads", reads);
		add_u64(row, "writes", writes);
		json_object_array_add(rows, row);
	}
	*next = i;
	return rows;
}

static struct json_object *region_object(struct monitor *mon, unsigned int i, bool rows,
					 uint32_t from)
{
	const struct elastic *e = &mon->vm->memory->elastic[i].elastic;
	struct json_object *o = json_object_new_object();

	add_str(o, "device", mon->vm->memory->elastic[i].id);
	add_u64(o, "memaddr", e->base.v);
	add_u64(o, "block-size", e->blocks.block_bytes);
	monitor_add_guard_counts(o, &mon->vm->memory->elastic[i]);
	if (e->guarded) {
		struct guard_info info = guard_info(e->guarded);

		add_bool(o, "reads-lawful", info.reads_lawful);
		if (guard_violations(&info.counts))
			add_u64(o, "last-address", e->base.v + info.last_offset);
	}
	if (rows) {
		uint32_t map_next, violated_next;

		from = (uint32_t)min_u64(from, e->blocks.nr);
		json_object_object_add(o, "map", map_rows(e, from, &map_next));
		if (e->guarded) {
			json_object_object_add(o, "violated",
					       violated_rows(e, from, &violated_next));
			map_next = (uint32_t)min_u64(map_next, violated_next);
		}
		if (map_next < e->blocks.nr)
			add_u64(o, "next", map_next);
	}
	return o;
}

int monitor_query_guard(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	const char *device = qmp_arg_str(call->args, "device", NULL);
	uint64_t from = qmp_arg_u64(call->args, "from", 0);
	struct json_object *o = monitor_guard_object(mon), *regions = json_object_new_array();

	for (unsigned int i = 0; i < mon->vm->memory->nr_elastic; i++)
		if (!device || !strcmp(mon->vm->memory->elastic[i].id, device))
			json_object_array_add(regions, region_object(mon, i, device,
								     (uint32_t)from));
	json_object_object_add(o, "regions", regions);
	if (device && !json_object_array_length(regions)) {
		json_object_put(o);
		return qmp_fail(call->err, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", device);
	}
	call->ret = o;
	return 0;
}

int monitor_set_violation(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	const char *name = qmp_arg_str(call->args, "action", "");
	enum config_violation violation;

	if (config_violation_parse(name, &violation))
		return qmp_fail(call->err, QMP_GENERIC_ERROR,
				"'%s' is none of contain, pause, kill", name);
	if (!mon->vm->memory->guard)
		return qmp_fail(call->err, QMP_GENERIC_ERROR,
				"the VM is unguarded: it has no elastic memory or runs with "
				"--guard=off");
	violations_set_policy(mon->vm->violations, violation);
	return 0;
}

