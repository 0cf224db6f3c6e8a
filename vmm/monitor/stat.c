/* SPDX-License-Identifier: Apache-2.0 */
/* stat.c - the ledger of the whole VM as control clients see it. */
#include "vmm/monitor/stat.h"

#include "vmm/json/members.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/run_state.h"
#include "vmm/monitor/autosize.h"
#include "vmm/monitor/balloon.h"
#include "vmm/monitor/console.h"
#include "vmm/monitor/context.h"
#include "vmm/monitor/guard.h"
#include "vmm/monitor/resize_job.h"
#include "vmm/monitor/working_set.h"

/* What the host counts; left out when it does not say. */
static void add_resident(struct json_object *o, const struct ram *ram)
{
	uint64_t bytes;

	if (!ram_resident(ram, &bytes))
		add_u64(o, "resident", bytes);
}

static struct json_object *elastic_object(const struct vm_elastic *e)
{
	struct json_object *o = json_object_new_object();
	struct vmem_info info;

	vmem_info(e->vmem, &info);
	add_str(o, "id", e->id);
	add_u64(o, "memaddr", info.addr);
	add_u64(o, "max", info.region_bytes);
	add_u64(o, "block", info.block_bytes);
	add_u64(o, "usable", info.usable_bytes);
	add_u64(o, "requested", info.requested_bytes);
	add_u64(o, "plugged", info.plugged_bytes);
	add_resident(o, &e->elastic.ram);
	add_u64(o, "huge", huge_bytes(&e->elastic.huge));
	monitor_add_guard_counts(o, e);
	add_bool(o, "driver", info.driver_ready);
	json_object_object_add(o, "resize", monitor_job_object(e));
	return o;
}

int monitor_stat(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	struct json_object *o = json_object_new_object(), *boot = json_object_new_object();
	struct json_object *elastic = json_object_new_array(),
			   *balloon_now = monitor_balloon_object(mon);

	add_u64(boot, "size", mon->vm->cfg->boot_bytes);
	add_resident(boot, &mon->vm->memory->boot);
	add_u64(boot, "huge", huge_bytes(&mon->vm->memory->boot_huge));
	for (unsigned int i = 0; i < mon->vm->memory->nr_elastic; i++)
		json_object_array_add(elastic, elastic_object(&mon->vm->memory->elastic[i]));
	add_str(o, "name", mon->vm->cfg->name);
	add_u64(o, "pid", (uint64_t)getpid());
	add_str(o, "status", machine_state_name(mon->vm->run->state));
	add_u64(o, "cpus", vcpus_nr(mon->vm->boot->vcpus));
	add_u64(o, "boots", mon->vm->boot->nr_boots);
	add_u64(o, "exits", boot_nr_exits(mon->vm->boot));
	json_object_object_add(o, "boot", boot);
	json_object_object_add(o, "elastic", elastic);
	if (balloon_now)
		json_object_object_add(o, "balloon", balloon_now);
	monitor_add_autosize(o, mon);
	json_object_object_add(o, "working-set", monitor_working_set_list(mon));
	json_object_object_add(o, "guard", monitor_guard_object(mon));
	monitor_add_consoles(o, mon);
	call->ret = o;
	return 0;
}
