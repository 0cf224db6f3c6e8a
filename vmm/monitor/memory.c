/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - memory devices and their resize jobs as control clients see them. */
#include "vmm/monitor/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/config/config_autosize.h"
#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/machine/autosizer.h"
#include "vmm/monitor/balloon.h"
#include "vmm/monitor/context.h"
#include "vmm/monitor/resize_job.h"

/* --- devices ----------------------------------------------------------------------------------- */

int monitor_query_memory_devices(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;

	call->ret = json_object_new_array();
	for (unsigned int i = 0; i < mon->vm->memory->nr_elastic; i++) {
		struct json_object *data = json_object_new_object();
		struct json_object *device = json_object_new_object();
		struct vmem_info info;
		char memdev[64];

		vmem_info(mon->vm->memory->elastic[i].vmem, &info);
		snprintf(memdev, sizeof(memdev), "/objects/%s", mon->vm->memory->elastic[i].id);
		add_str(data, "id", mon->vm->memory->elastic[i].id);
		add_u64(data, "memaddr", info.addr);
		add_u64(data, "requested-size", info.requested_bytes);
		add_u64(data, "size", info.plugged_bytes);
		add_u64(data, "max-size", info.region_bytes);
		add_u64(data, "block-size", info.block_bytes);
		add_u64(data, "node", 0);
		add_str(data, "memdev", memdev);
		add_str(device, "type", "virtio-mem");
		json_object_object_add(device, "data", data);
		json_object_array_add(call->ret, device);
	}
	return 0;
}

int monitor_query_memory_size_summary(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	call->ret = json_object_new_object();
	add_u64(call->ret, "base-memory", mon->vm->cfg->boot_bytes);
	add_u64(call->ret, "plugged-memory", vm_memory_plugged(mon->vm->memory));
	return 0;
}

int monitor_explain_target(const struct vm_elastic *e, uint64_t bytes, int error,
		   struct qmp_error *err)
{
	struct vmem_info info;

	vmem_info(e->vmem, &info);
	if (error == -EINVAL)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"'requested-size' of %s has to be a multiple of 'block-size' "
				"(%#llx)", e->id,
				(unsigned long long)info.block_bytes);
	if (error == -ERANGE)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"'requested-size' of %s (%#llx) exceeds its 'max-size' (%#llx)",
				e->id, (unsigned long long)bytes,
				(unsigned long long)info.region_bytes);
	return error;
}

/* --- resize ------------------------------------------------------------------------------------ */

/* The machine's balloon, if it has one and DEVICE names it. */
static struct balloon *find_balloon(const struct monitor *mon, const char *device)
{
	return device && !strcmp(device, BALLOON_ID) ? mon->vm->balloon->balloon : NULL;
}

/* 0 or -EINVAL and ERR. NULL stands for all elastic memory. */
static int check_device(struct monitor *mon, const char *device, struct qmp_error *err)
{
	if (!device || vm_memory_find(mon->vm->memory, device) || find_balloon(mon, device))
		return 0;
	return qmp_fail(err, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", device);
}

static struct json_object *job_list(struct monitor *mon, const char *device)
{
	struct json_object *list = json_object_new_array();

	if (find_balloon(mon, device))
		json_object_array_add(list, monitor_balloon_job_object(mon));
	for (unsigned int i = 0; i < mon->vm->memory->nr_elastic; i++)
		if (!device || !strcmp(mon->vm->memory->elastic[i].id, device))
			json_object_array_add(list,
					      monitor_job_object(&mon->vm->memory->elastic[i]));
	return list;
}

/*
 * What each device has when the guest as a whole has BYTES: the first ones fill up, to the byte that
 * was asked for, so that a size that is no whole number of blocks is refused and not rounded.
 */
static int whole_shares(const struct monitor *mon, uint64_t bytes, uint64_t *shares,
			struct qmp_error *err)
{
	const struct vm_memory *mem = mon->vm->memory;

	for (unsigned int i = 0; i < mem->nr_elastic; i++) {
		const struct config_elastic *e = &mon->vm->cfg->elastic[i];

		shares[i] = min_u64(bytes, e->bytes);
		if (!is_aligned(shares[i], e->block_bytes))
			return monitor_explain_target(&mem->elastic[i], shares[i], -EINVAL, err);
		bytes -= shares[i];
	}
	return 0;
}

/* BYTES of boot and elastic memory together: 0, or -EINVAL and ERR with the limit. */
static int check_total(const struct monitor *mon, uint64_t bytes, struct qmp_error *err)
{
	uint64_t least = mon->vm->cfg->boot_bytes, most = config_total_bytes(mon->vm->cfg);

	if (!mon->vm->memory->nr_elastic)
		return qmp_fail(err, QMP_DEVICE_NOT_FOUND,
				"no elastic memory; start the VM with --elastic SIZE");
	if (bytes < least)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"size %#llx is below the boot memory (%#llx), which stays",
				(unsigned long long)bytes, (unsigned long long)least);
	if (bytes > most)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"size %#llx is above the maximum, boot and elastic memory (%#llx)",
				(unsigned long long)bytes, (unsigned long long)most);
	return 0;
}

static int resize_all(struct monitor *mon, uint64_t bytes, uint64_t deadline_ns,
		      struct qmp_error *err)
{
	struct vm_memory *mem = mon->vm->memory;
	uint64_t shares[CONFIG_MAX_ELASTIC];
	int r = check_total(mon, bytes, err);

	if (!r)
		r = whole_shares(mon, bytes - mon->vm->cfg->boot_bytes, shares, err);
	for (unsigned int i = 0; i < mem->nr_elastic && !r; i++)
		r = vmem_resize(mem->elastic[i].vmem, shares[i], deadline_ns);
	return r;
}

int monitor_start_resize(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	const char *device = qmp_arg_str(call->args, "device", NULL);
	uint64_t bytes = qmp_arg_u64(call->args, "size", 0);
	uint64_t deadline_ns = monitor_deadline_arg(call->args, loop_now(mon->loop));
	int r = check_device(mon, device, call->err);

	if (r)
		return r;
	if (find_balloon(mon, device)) {
		balloon_resize(mon->vm->balloon->balloon, bytes, deadline_ns);
	} else if (device) {
		struct vm_elastic *e = vm_memory_find(mon->vm->memory, device);

		r = vmem_resize(e->vmem, bytes, deadline_ns);
		if (r)
			return monitor_explain_target(e, bytes, r, call->err);
	} else {
		r = resize_all(mon, bytes, deadline_ns, call->err);
		if (r)
			return r;
	}
	autosizer_overridden(mon->vm->autosizer, "a resize (ebb resize, ebb balloon, a client's)");
	call->ret = job_list(mon, device);
	return 0;
}

int monitor_query_resize(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	const char *device = qmp_arg_str(call->args, "device", NULL);
	int r = check_device(mon, device, call->err);

	if (!r)
		call->ret = job_list(mon, device);
	return r;
}

int monitor_cancel_resize(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	const char *device = qmp_arg_str(call->args, "device", NULL);
	unsigned int cancelled = 0;
	int r = check_device(mon, device, call->err);

	if (r)
		return r;
	if (find_balloon(mon, device))
		cancelled = !balloon_cancel(mon->vm->balloon->balloon);
	for (unsigned int i = 0; i < mon->vm->memory->nr_elastic; i++)
		if (!device || !strcmp(mon->vm->memory->elastic[i].id, device))
			cancelled += !vmem_cancel(mon->vm->memory->elastic[i].vmem);
	if (!cancelled)
		return qmp_fail(call->err, QMP_GENERIC_ERROR, "no resize is running");
	autosizer_overridden(mon->vm->autosizer, "a cancelled resize");
	call->ret = job_list(mon, device);
	return 0;
}
