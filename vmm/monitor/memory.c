/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - devices, resize jobs and the ledger as control clients see them. */
#include "vmm/monitor/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/monitor/autosize.h"
#include "vmm/monitor/balloon.h"
#include "vmm/monitor/console.h"
#include "vmm/monitor/guard.h"
#include "vmm/monitor/working_set.h"

/* --- devices ----------------------------------------------------------------------------------- */

struct machine_elastic *find_elastic(struct machine *m, const char *id)
{
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		if (!strcmp(m->cfg->elastic[i].id, id))
			return &m->elastic[i];
	return NULL;
}

const char *elastic_id(const struct machine_elastic *e)
{
	return e->machine->cfg->elastic[e - e->machine->elastic].id;
}

uint64_t machine_plugged_bytes(const struct machine *m)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < m->nr_elastic; i++)
		sum += blocks_plugged_bytes(&m->elastic[i].elastic.blocks);
	return sum;
}

int query_memory_devices(void *ctx, struct json_object *args, struct json_object **ret,
				struct qmp_error *err)
{
	struct machine *m = ctx;

	(void)args, (void)err;
	*ret = json_object_new_array();
	for (unsigned int i = 0; i < m->nr_elastic; i++) {
		struct json_object *data = json_object_new_object();
		struct json_object *device = json_object_new_object();
		struct vmem_info info;
		char memdev[64];

		vmem_info(m->elastic[i].vmem, &info);
		snprintf(memdev, sizeof(memdev), "/objects/%s", elastic_id(&m->elastic[i]));
		add_str(data, "id", elastic_id(&m->elastic[i]));
		add_u64(data, "memaddr", info.addr);
		add_u64(data, "requested-size", info.requested_bytes);
		add_u64(data, "size", info.plugged_bytes);
		add_u64(data, "max-size", info.region_bytes);
		add_u64(data, "block-size", info.block_bytes);
		add_u64(data, "node", 0);
		add_str(data, "memdev", memdev);
		add_str(device, "type", "virtio-mem");
		json_object_object_add(device, "data", data);
		json_object_array_add(*ret, device);
	}
	return 0;
}

int query_memory_size_summary(void *ctx, struct json_object *args,
				     struct json_object **ret, struct qmp_error *err)
{
	const struct machine *m = ctx;

	(void)args, (void)err;
	*ret = json_object_new_object();
	add_u64(*ret, "base-memory", m->cfg->boot_bytes);
	add_u64(*ret, "plugged-memory", machine_plugged_bytes(m));
	return 0;
}

int explain_target(const struct machine_elastic *e, uint64_t bytes, int error,
		   struct qmp_error *err)
{
	struct vmem_info info;

	vmem_info(e->vmem, &info);
	if (error == -EINVAL)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"'requested-size' of %s has to be a multiple of 'block-size' "
				"(%#llx)", elastic_id(e),
				(unsigned long long)info.block_bytes);
	if (error == -ERANGE)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"'requested-size' of %s (%#llx) exceeds its 'max-size' (%#llx)",
				elastic_id(e), (unsigned long long)bytes,
				(unsigned long long)info.region_bytes);
	return error;
}

/* --- resize ------------------------------------------------------------------------------------ */

struct json_object *resize_object(const char *device, const struct resize_status *s,
				  uint64_t size_bytes)
{
	struct json_object *o = json_object_new_object();
	char text[256];

	add_str(o, "device", device);
	add_u64(o, "id", s->id);
	add_str(o, "state", resize_state_name(s->state));
	add_u64(o, "start", s->start_bytes);
	add_u64(o, "target", s->target_bytes);
	add_u64(o, "size", size_bytes);
	add_u64(o, "elapsed-ms", s->elapsed_ns / NS_PER_MS);
	if (s->left_ns != UINT64_MAX)
		add_u64(o, "left-ms", s->left_ns / NS_PER_MS);
	add_u64(o, "interrupts", s->nr_raises);
	add_u64(o, "requests", s->nr_requests);
	if (s->reason != RESIZE_UNHINDERED) {
		add_str(o, "reason", resize_reason_name(s->reason));
		add_str(o, "explanation", resize_explain(s, text, sizeof(text)));
	}
	return o;
}

struct json_object *job_object(const struct machine_elastic *e)
{
	struct resize_status s = vmem_job(e->vmem);

	return resize_object(elastic_id(e), &s, blocks_plugged_bytes(&e->elastic.blocks));
}

/* The machine's balloon, if it has one and DEVICE names it. */
static struct balloon *find_balloon(const struct machine *m, const char *device)
{
	return device && !strcmp(device, BALLOON_ID) ? m->ballooning.balloon : NULL;
}

/* 0 or -EINVAL and ERR. NULL stands for all elastic memory. */
static int check_device(struct machine *m, const char *device, struct qmp_error *err)
{
	if (!device || find_elastic(m, device) || find_balloon(m, device))
		return 0;
	return qmp_fail(err, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", device);
}

static struct json_object *job_list(struct machine *m, const char *device)
{
	struct json_object *list = json_object_new_array();

	if (find_balloon(m, device))
		json_object_array_add(list, balloon_job_object(m));
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		if (!device || !strcmp(elastic_id(&m->elastic[i]), device))
			json_object_array_add(list, job_object(&m->elastic[i]));
	return list;
}

/* The share of each device when the guest as a whole shall have BYTES: the first ones fill up. */
static int check_total(const struct machine *m, uint64_t bytes, struct qmp_error *err)
{
	uint64_t max = m->cfg->boot_bytes;

	if (!m->nr_elastic)
		return qmp_fail(err, QMP_DEVICE_NOT_FOUND,
				"no elastic memory; start the VM with --elastic SIZE");
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		max += m->cfg->elastic[i].bytes;
	if (bytes < m->cfg->boot_bytes)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"size %#llx is below the boot memory (%#llx), which stays",
				(unsigned long long)bytes, (unsigned long long)m->cfg->boot_bytes);
	if (bytes > max)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"size %#llx is above the maximum, boot and elastic memory (%#llx)",
				(unsigned long long)bytes, (unsigned long long)max);
	bytes -= m->cfg->boot_bytes;
	for (unsigned int i = 0; i < m->nr_elastic; i++) {
		uint64_t share = min_u64(bytes, m->cfg->elastic[i].bytes);

		if (!is_aligned(share, m->cfg->elastic[i].block_bytes))
			return explain_target(&m->elastic[i], share, -EINVAL, err);
		bytes -= share;
	}
	return 0;
}

uint64_t deadline_arg(struct json_object *args)
{
	struct json_object *timeout = qmp_arg(args, "timeout");
	double s = timeout ? json_object_get_double(timeout) : 0;

	if (!(s > 0))
		return 0;
	return clock_ns() + (uint64_t)((s < 1e9 ? s : 1e9) * (double)NS_PER_S);
}

static int resize_all(struct machine *m, uint64_t bytes, uint64_t deadline_ns,
		      struct qmp_error *err)
{
	int r = check_total(m, bytes, err);

	if (r)
		return r;
	bytes -= m->cfg->boot_bytes;
	for (unsigned int i = 0; i < m->nr_elastic && !r; i++) {
		uint64_t share = min_u64(bytes, m->cfg->elastic[i].bytes);

		r = vmem_resize(m->elastic[i].vmem, share, deadline_ns);
		bytes -= share;
	}
	return r;
}

int start_resize(void *ctx, struct json_object *args, struct json_object **ret,
		  struct qmp_error *err)
{
	struct machine *m = ctx;
	const char *device = qmp_arg_str(args, "device", NULL);
	uint64_t bytes = qmp_arg_u64(args, "size", 0);
	int r = check_device(m, device, err);

	if (r)
		return r;
	if (find_balloon(m, device)) {
		balloon_resize(m->ballooning.balloon, bytes, deadline_arg(args));
	} else if (device) {
		struct machine_elastic *e = find_elastic(m, device);

		r = vmem_resize(e->vmem, bytes, deadline_arg(args));
		if (r)
			return explain_target(e, bytes, r, err);
	} else {
		r = resize_all(m, bytes, deadline_arg(args), err);
		if (r)
			return r;
	}
	autosizing_overridden(m, "a resize (ebb resize, ebb balloon, a client's)");
	*ret = job_list(m, device);
	return 0;
}

int query_resize(void *ctx, struct json_object *args, struct json_object **ret,
			struct qmp_error *err)
{
	struct machine *m = ctx;
	const char *device = qmp_arg_str(args, "device", NULL);
	int r = check_device(m, device, err);

	if (!r)
		*ret = job_list(m, device);
	return r;
}

int cancel_resize(void *ctx, struct json_object *args, struct json_object **ret,
			 struct qmp_error *err)
{
	struct machine *m = ctx;
	const char *device = qmp_arg_str(args, "device", NULL);
	unsigned int cancelled = 0;
	int r = check_device(m, device, err);

	if (r)
		return r;
	if (find_balloon(m, device))
		cancelled = !balloon_cancel(m->ballooning.balloon);
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		if (!device || !strcmp(elastic_id(&m->elastic[i]), device))
			cancelled += !vmem_cancel(m->elastic[i].vmem);
	if (!cancelled)
		return qmp_fail(err, QMP_GENERIC_ERROR, "no resize is running");
	autosizing_overridden(m, "a cancelled resize");
	*ret = job_list(m, device);
	return 0;
}

/* --- ledger ------------------------------------------------------------------------------------ */

/* What the host counts; left out when it does not say. */
static void add_resident(struct json_object *o, const struct ram *ram)
{
	uint64_t bytes;

	if (!ram_resident(ram, &bytes))
		add_u64(o, "resident", bytes);
}

static struct json_object *elastic_object(const struct machine_elastic *e)
{
	struct json_object *o = json_object_new_object();
	struct vmem_info info;

	vmem_info(e->vmem, &info);
	add_str(o, "id", elastic_id(e));
	add_u64(o, "memaddr", info.addr);
	add_u64(o, "max", info.region_bytes);
	add_u64(o, "block", info.block_bytes);
	add_u64(o, "usable", info.usable_bytes);
	add_u64(o, "requested", info.requested_bytes);
	add_u64(o, "plugged", info.plugged_bytes);
	add_resident(o, &e->elastic.ram);
	add_u64(o, "huge", huge_bytes(&e->elastic.huge));
	add_guard_counts(o, e);
	add_bool(o, "driver", info.driver_ready);
	json_object_object_add(o, "resize", job_object(e));
	return o;
}

int ebb_stat(void *ctx, struct json_object *args, struct json_object **ret,
		    struct qmp_error *err)
{
	struct machine *m = ctx;
	struct json_object *o = json_object_new_object(), *boot = json_object_new_object();
	struct json_object *elastic = json_object_new_array(), *balloon_now = balloon_object(m);

	(void)args, (void)err;
	add_u64(boot, "size", m->cfg->boot_bytes);
	add_resident(boot, &m->boot_ram);
	add_u64(boot, "huge", huge_bytes(&m->huging.boot));
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		json_object_array_add(elastic, elastic_object(&m->elastic[i]));
	add_str(o, "name", m->cfg->name);
	add_u64(o, "pid", (uint64_t)getpid());
	add_str(o, "status", machine_state_name(m->state));
	add_u64(o, "cpus", vcpus_nr(m->vcpus));
	add_u64(o, "boots", m->nr_boots);
	add_u64(o, "exits", m->nr_exits_before + vcpus_nr_exits(m->vcpus));
	json_object_object_add(o, "boot", boot);
	json_object_object_add(o, "elastic", elastic);
	if (balloon_now)
		json_object_object_add(o, "balloon", balloon_now);
	add_autosize(o, m);
	json_object_object_add(o, "working-set", working_set_list(m));
	json_object_object_add(o, "guard", guard_object(m));
	add_consoles(o, m);
	*ret = o;
	return 0;
}
