/* SPDX-License-Identifier: Apache-2.0 */
/* commands.c - the table of control commands. */
#include "vmm/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/given.h"
#include "vmm/commands_guard.h"
#include "vmm/control/qmp_args.h"
#include "vmm/control/qmp_server.h"
#include "vmm/json.h"
#include "vmm/machine.h"

#if defined(__x86_64__)
#define ARCH_NAME "x86_64"
#else
#define ARCH_NAME "aarch64"
#endif

#define PERIPHERAL "/machine/peripheral/"

/* --- machine ---------------------------------------------------------------------------------- */

static int query_status(void *ctx, struct json_object *args, struct json_object **ret,
			struct qmp_error *err)
{
	const struct machine *m = ctx;
	struct json_object *o = json_object_new_object();

	(void)args, (void)err;
	add_bool(o, "running", m->state == MACHINE_RUNNING);
	add_bool(o, "singlestep", false);
	add_str(o, "status", machine_state_name(m->state));
	*ret = o;
	return 0;
}

static int stop(void *ctx, struct json_object *args, struct json_object **ret,
		struct qmp_error *err)
{
	(void)args, (void)ret, (void)err;
	machine_pause(ctx);
	return 0;
}

static int cont(void *ctx, struct json_object *args, struct json_object **ret,
		struct qmp_error *err)
{
	(void)args, (void)ret;
	if (machine_resume(ctx))
		return qmp_fail(err, QMP_GENERIC_ERROR, "the VM can't go on: %s; quit is left",
				guarding_forbids(ctx));
	return 0;
}

static int system_powerdown(void *ctx, struct json_object *args, struct json_object **ret,
			    struct qmp_error *err)
{
	(void)args, (void)ret, (void)err;
	machine_power_button(ctx);
	return 0;
}

static int system_reset(void *ctx, struct json_object *args, struct json_object **ret,
			struct qmp_error *err)
{
	(void)args, (void)ret, (void)err;
	machine_reset(ctx, false);
	return 0;
}

static int quit(void *ctx, struct json_object *args, struct json_object **ret,
		struct qmp_error *err)
{
	(void)args, (void)ret, (void)err;
	machine_end(ctx, EXIT_POWER_OFF, false, "host-qmp-quit");
	return 0;
}

static int query_name(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err)
{
	const struct machine *m = ctx;

	(void)args, (void)err;
	*ret = json_object_new_object();
	add_str(*ret, "name", m->cfg->name);
	return 0;
}

static int query_kvm(void *ctx, struct json_object *args, struct json_object **ret,
		     struct qmp_error *err)
{
	(void)ctx, (void)args, (void)err;
	*ret = json_object_new_object();
	add_bool(*ret, "enabled", true);
	add_bool(*ret, "present", true);
	return 0;
}

static int query_cpus_fast(void *ctx, struct json_object *args, struct json_object **ret,
			   struct qmp_error *err)
{
	const struct machine *m = ctx;

	(void)args, (void)err;
	*ret = json_object_new_array();
	for (unsigned int i = 0; i < vcpus_nr(m->vcpus); i++) {
		struct json_object *cpu = json_object_new_object();
		struct json_object *props = json_object_new_object();
		char path[64];

		snprintf(path, sizeof(path), "/machine/unattached/device[%u]", i);
		add_u64(props, "socket-id", 0);
		add_u64(props, "core-id", i);
		add_u64(props, "thread-id", 0);
		add_u64(cpu, "cpu-index", i);
		json_object_object_add(cpu, "thread-id",
				       json_object_new_int(vcpus_tid(m->vcpus, i)));
		add_str(cpu, "target", ARCH_NAME);
		add_str(cpu, "qom-path", path);
		json_object_object_add(cpu, "props", props);
		json_object_array_add(*ret, cpu);
	}
	return 0;
}

/* --- memory ------------------------------------------------------------------------------------ */

static struct machine_elastic *find_elastic(struct machine *m, const char *id)
{
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		if (!strcmp(m->cfg->elastic[i].id, id))
			return &m->elastic[i];
	return NULL;
}

static const char *elastic_id(const struct machine_elastic *e)
{
	return e->machine->cfg->elastic[e - e->machine->elastic].id;
}

static uint64_t plugged_bytes(const struct machine *m)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < m->nr_elastic; i++)
		sum += blocks_plugged_bytes(&m->elastic[i].elastic.blocks);
	return sum;
}

static int query_memory_devices(void *ctx, struct json_object *args, struct json_object **ret,
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

static int query_memory_size_summary(void *ctx, struct json_object *args,
				     struct json_object **ret, struct qmp_error *err)
{
	const struct machine *m = ctx;

	(void)args, (void)err;
	*ret = json_object_new_object();
	add_u64(*ret, "base-memory", m->cfg->boot_bytes);
	add_u64(*ret, "plugged-memory", plugged_bytes(m));
	return 0;
}

/* The device at a QOM path, whole or only its last part. */
static struct machine_elastic *at_path(struct machine *m, struct json_object *args,
				       struct qmp_error *err)
{
	const char *path = qmp_arg_str(args, "path", "");
	const char *id = path;
	struct machine_elastic *e;

	if (!strncmp(path, PERIPHERAL, strlen(PERIPHERAL)))
		id += strlen(PERIPHERAL);
	e = find_elastic(m, id);
	if (!e)
		qmp_fail(err, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", path);
	return e;
}

static int no_property(const struct machine_elastic *e, const char *property,
		       struct qmp_error *err)
{
	return qmp_fail(err, QMP_GENERIC_ERROR, "Property 'virtio-mem.%s' of '%s' not found; there "
			"are requested-size, size, max-size, block-size, memaddr, node",
			property, elastic_id(e));
}

static int qom_get(void *ctx, struct json_object *args, struct json_object **ret,
		   struct qmp_error *err)
{
	struct machine_elastic *e = at_path(ctx, args, err);
	const char *property = qmp_arg_str(args, "property", "");
	struct vmem_info info;
	uint64_t value;

	if (!e)
		return -ENODEV;
	vmem_info(e->vmem, &info);
	if (!strcmp(property, "requested-size"))
		value = info.requested_bytes;
	else if (!strcmp(property, "size"))
		value = info.plugged_bytes;
	else if (!strcmp(property, "max-size"))
		value = info.region_bytes;
	else if (!strcmp(property, "block-size"))
		value = info.block_bytes;
	else if (!strcmp(property, "memaddr"))
		value = info.addr;
	else if (!strcmp(property, "node"))
		value = 0;
	else
		return no_property(e, property, err);
	*ret = json_object_new_uint64(value);
	return 0;
}

/* What a refused target tells the client: the property and the limit. */
static int explain_target(const struct machine_elastic *e, uint64_t bytes, int error,
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

static int qom_set(void *ctx, struct json_object *args, struct json_object **ret,
		   struct qmp_error *err)
{
	struct machine_elastic *e = at_path(ctx, args, err);
	const char *property = qmp_arg_str(args, "property", "");
	uint64_t bytes;
	int r;

	(void)ret;
	if (!e)
		return -ENODEV;
	if (strcmp(property, "requested-size") != 0)
		return no_property(e, property, err);
	r = qmp_to_u64(qmp_arg(args, "value"), "value", 0, INT64_MAX, &bytes, err);
	if (r)
		return r;
	r = vmem_request(e->vmem, bytes);
	return r ? explain_target(e, bytes, r, err) : 0;
}

/* --- resize ------------------------------------------------------------------------------------ */

static struct json_object *job_object(const struct machine_elastic *e)
{
	struct resize_status s = vmem_job(e->vmem);
	struct json_object *o = json_object_new_object();
	char text[256];

	add_str(o, "device", elastic_id(e));
	add_u64(o, "id", s.id);
	add_str(o, "state", resize_state_name(s.state));
	add_u64(o, "start", s.start_bytes);
	add_u64(o, "target", s.target_bytes);
	add_u64(o, "size", blocks_plugged_bytes(&e->elastic.blocks));
	add_u64(o, "elapsed-ms", s.elapsed_ns / NS_PER_MS);
	if (s.left_ns != UINT64_MAX)
		add_u64(o, "left-ms", s.left_ns / NS_PER_MS);
	add_u64(o, "interrupts", s.nr_raises);
	add_u64(o, "requests", s.nr_requests);
	if (s.reason != RESIZE_UNHINDERED) {
		add_str(o, "reason", resize_reason_name(s.reason));
		add_str(o, "explanation", resize_explain(&s, text, sizeof(text)));
	}
	return o;
}

static struct json_object *job_list(struct machine *m, const char *device)
{
	struct json_object *list = json_object_new_array();

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

static uint64_t deadline(struct json_object *args)
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

static int start_resize(void *ctx, struct json_object *args, struct json_object **ret,
		  struct qmp_error *err)
{
	struct machine *m = ctx;
	const char *device = qmp_arg_str(args, "device", NULL);
	uint64_t bytes = qmp_arg_u64(args, "size", 0);
	struct machine_elastic *e;
	int r;

	if (device) {
		e = find_elastic(m, device);
		if (!e)
			return qmp_fail(err, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", device);
		r = vmem_resize(e->vmem, bytes, deadline(args));
		if (r)
			return explain_target(e, bytes, r, err);
	} else {
		r = resize_all(m, bytes, deadline(args), err);
		if (r)
			return r;
	}
	*ret = job_list(m, device);
	return 0;
}

static int query_resize(void *ctx, struct json_object *args, struct json_object **ret,
			struct qmp_error *err)
{
	struct machine *m = ctx;
	const char *device = qmp_arg_str(args, "device", NULL);

	if (device && !find_elastic(m, device))
		return qmp_fail(err, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", device);
	*ret = job_list(m, device);
	return 0;
}

static int cancel_resize(void *ctx, struct json_object *args, struct json_object **ret,
			 struct qmp_error *err)
{
	struct machine *m = ctx;
	const char *device = qmp_arg_str(args, "device", NULL);
	unsigned int cancelled = 0;

	if (device && !find_elastic(m, device))
		return qmp_fail(err, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", device);
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		if (!device || !strcmp(elastic_id(&m->elastic[i]), device))
			cancelled += !vmem_cancel(m->elastic[i].vmem);
	if (!cancelled)
		return qmp_fail(err, QMP_GENERIC_ERROR, "no resize is running");
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

static struct json_object *console_object(const struct machine *m)
{
	struct console_info info = console_info(m->console);
	struct json_object *o = json_object_new_object();

	add_str(o, "kind", info.kind);
	add_str(o, "path", info.path);
	add_bool(o, "attached", info.attached);
	if (info.pid)
		add_u64(o, "pid", (uint64_t)info.pid);
	return o;
}

static int ebb_stat(void *ctx, struct json_object *args, struct json_object **ret,
		    struct qmp_error *err)
{
	struct machine *m = ctx;
	struct json_object *o = json_object_new_object(), *boot = json_object_new_object();
	struct json_object *elastic = json_object_new_array();

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
	json_object_object_add(o, "guard", guard_object(m));
	json_object_object_add(o, "console", console_object(m));
	*ret = o;
	return 0;
}

/* --- the table --------------------------------------------------------------------------------- */

static const struct qmp_command commands[] = {
	{ "query-status", NULL, "State of the machine.", query_status },
	{ "stop", NULL, "Pause all vCPUs.", stop },
	{ "cont", NULL, "Start or resume all vCPUs.", cont },
	{ "system_powerdown", NULL, "Press the power button.", system_powerdown },
	{ "system_reset", NULL, "Reset the machine; elastic memory regrows to its target.",
	  system_reset },
	{ "quit", NULL, "End the VM at once.", quit },
	{ "query-name", NULL, "Name of the VM.", query_name },
	{ "query-kvm", NULL, "Whether KVM is there: always.", query_kvm },
	{ "query-cpus-fast", NULL, "The vCPUs with their thread ids.", query_cpus_fast },
	{ "query-memory-devices", NULL, "The virtio-mem devices and their sizes in bytes.",
	  query_memory_devices },
	{ "query-memory-size-summary", NULL, "Boot memory and plugged memory in bytes.",
	  query_memory_size_summary },
	{ "qom-get", "path:s property:s", "A property of a virtio-mem device.", qom_get },
	{ "qom-set", "path:s property:s value:any",
	  "Set requested-size (bytes) of a virtio-mem device.", qom_set },
	{ "__org.ebb_stat", NULL, "The ledger: boot, requested, plugged and resident bytes.",
	  ebb_stat },
	{ "__org.ebb_query-guard", "device?:s from?:u(0..4294967295)",
	  "Violations, and of one device the block map and the violated blocks, from block number "
	  "`from` on.", query_guard },
	{ "__org.ebb_set-violation", "action:s",
	  "What follows when the guest uses memory that it gave back: contain, pause or kill.",
	  set_violation },
	{ "__org.ebb_resize", "size:u(0..9223372036854775807) device?:s timeout?:n",
	  "Start a resize job: size in bytes of the whole guest or, with device, of that device; "
	  "timeout in seconds.", start_resize },
	{ "__org.ebb_query-resize", "device?:s", "The latest resize job of each device.",
	  query_resize },
	{ "__org.ebb_cancel-resize", "device?:s",
	  "Cancel resize jobs; the size reached becomes the target.", cancel_resize },
};

static int listen_inherited(struct machine *m, const char *where)
{
	auto_close int fd = given_fd("--qmp", where);
	int r = fd < 0 ? fd : qmp_server_new_fd(&m->qmp, m->loop, fd, commands,
						ARRAY_SIZE(commands), m);

	if (!r)
		take_fd(&fd); /* the server's now */
	return r;
}

int commands_listen(struct machine *m)
{
	char path[VM_PATH_SIZE];
	int r;

	if (m->cfg->qmp_path && given_is_fd(m->cfg->qmp_path))
		return listen_inherited(m, m->cfg->qmp_path);
	r = config_control_path(m->cfg, path);
	if (r)
		return r;
	return qmp_server_new(&m->qmp, m->loop, path, commands, ARRAY_SIZE(commands), m);
}

/* --- events ------------------------------------------------------------------------------------ */

void commands_event_cause(struct machine *m, const char *name, bool guest, const char *reason)
{
	struct json_object *data = json_object_new_object();

	add_bool(data, "guest", guest);
	add_str(data, "reason", reason);
	qmp_event(m->qmp, name, data);
}

static const struct machine_elastic *elastic_of(const struct machine *m, const struct vmem *vmem)
{
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		if (m->elastic[i].vmem == vmem)
			return &m->elastic[i];
	return NULL; /* not yet known to the machine */
}

void commands_size_changed(void *ctx, struct vmem *vmem)
{
	struct machine *m = ctx;
	const struct machine_elastic *e = elastic_of(m, vmem);
	struct json_object *data;
	char path[64];

	if (!e)
		return;
	snprintf(path, sizeof(path), PERIPHERAL "%s", elastic_id(e));
	data = json_object_new_object();
	add_str(data, "id", elastic_id(e));
	add_u64(data, "size", blocks_plugged_bytes(&e->elastic.blocks));
	add_str(data, "qom-path", path);
	qmp_event_limited(m->qmp, "MEMORY_DEVICE_SIZE_CHANGE", elastic_id(e), data);
}

void commands_job_changed(void *ctx, struct vmem *vmem)
{
	struct machine *m = ctx;
	const struct machine_elastic *e = elastic_of(m, vmem);

	if (e)
		qmp_event(m->qmp, "__org.ebb_RESIZE", job_object(e));
}
