/* SPDX-License-Identifier: Apache-2.0 */
/* monitor.c - the table of control commands and events; commands about the machine as a whole. */
#include "vmm/monitor/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/given.h"
#include "vmm/base/log.h"
#include "vmm/control/qmp_server.h"
#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/autosize.h"
#include "vmm/monitor/balloon.h"
#include "vmm/monitor/block.h"
#include "vmm/monitor/console.h"
#include "vmm/monitor/dump.h"
#include "vmm/monitor/guard.h"
#include "vmm/monitor/hmp.h"
#include "vmm/monitor/memory.h"
#include "vmm/monitor/qom.h"
#include "vmm/monitor/working_set.h"

#if defined(__x86_64__)
#define ARCH_NAME "x86_64"
#else
#define ARCH_NAME "aarch64"
#endif

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
		return qmp_fail(err, QMP_GENERIC_ERROR, "the VM can't go on: %s",
				machine_forbids(ctx));
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

static int query_uuid(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err)
{
	const struct machine *m = ctx;

	(void)args, (void)err;
	*ret = json_object_new_object();
	add_str(*ret, "UUID", m->cfg->uuid);
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

#define CPU_MEMBERS                                                                                \
	"cpu-index:u thread-id:i target:s qom-path:s props:{socket-id:u core-id:u thread-id:u}"

static struct json_object *cpu_object(const struct machine *m, unsigned int i, bool old_names)
{
	struct json_object *cpu = json_object_new_object(), *props = json_object_new_object();
	int tid = vcpus_tid(m->vcpus, i);
	char path[64];

	snprintf(path, sizeof(path), "/machine/unattached/device[%u]", i);
	add_u64(props, "socket-id", 0);
	add_u64(props, "core-id", i);
	add_u64(props, "thread-id", 0);
	add_u64(cpu, "cpu-index", i);
	json_object_object_add(cpu, "thread-id", json_object_new_int(tid));
	add_str(cpu, "target", ARCH_NAME);
	add_str(cpu, "qom-path", path);
	json_object_object_add(cpu, "props", props);
	if (old_names) {
		add_u64(cpu, "CPU", i);
		add_bool(cpu, "current", !i);
		add_str(cpu, "qom_path", path);
		json_object_object_add(cpu, "thread_id", json_object_new_int(tid));
	}
	return cpu;
}

static struct json_object *cpu_list(const struct machine *m, bool old_names)
{
	struct json_object *list = json_object_new_array();

	for (unsigned int i = 0; i < vcpus_nr(m->vcpus); i++)
		json_object_array_add(list, cpu_object(m, i, old_names));
	return list;
}

static int query_cpus_fast(void *ctx, struct json_object *args, struct json_object **ret,
			   struct qmp_error *err)
{
	(void)args, (void)err;
	*ret = cpu_list(ctx, false);
	return 0;
}

static int query_cpus(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err)
{
	(void)args, (void)err;
	*ret = cpu_list(ctx, true);
	return 0;
}

/* --- actions ----------------------------------------------------------------------------------- */

static int inject_nmi(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err)
{
	struct machine *m = ctx;

	(void)args, (void)ret, (void)err;
	return vm_nmi(&m->vm);
}

static int set_action(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err)
{
	struct machine *m = ctx;
	struct machine_actions *a = &m->actions;
	const char *reboot = qmp_arg_str(args, "reboot", NULL);
	const char *power_off = qmp_arg_str(args, "shutdown", NULL);
	const char *panic = qmp_arg_str(args, "panic", NULL);

	(void)ret;
	if (qmp_arg(args, "watchdog"))
		return qmp_fail(err, QMP_DEVICE_NOT_ACTIVE, "the VM has no watchdog device");
	if (reboot)
		a->reboot_ends = !strcmp(reboot, "shutdown");
	if (power_off)
		a->power_off_pauses = !strcmp(power_off, "pause");
	if (panic)
		a->crash_pauses = !strcmp(panic, "pause");
	return 0;
}

/* --- the table --------------------------------------------------------------------------------- */

static const struct qmp_command command_rows[] = {
	{ "query-status", NULL, "{running:b singlestep:b status:" MACHINE_STATES "}",
	  "State of the machine.", query_status },
	{ "stop", NULL, NULL, "Pause all vCPUs.", stop },
	{ "cont", NULL, NULL, "Start or resume all vCPUs.", cont },
	{ "system_powerdown", NULL, NULL, "Press the power button.", system_powerdown },
	{ "system_reset", NULL, NULL, "Reset the machine; elastic memory regrows to its target.",
	  system_reset },
	{ "quit", NULL, NULL, "End the VM at once.", quit },
	{ "inject-nmi", NULL, NULL, "Raise a non-maskable interrupt on every vCPU.", inject_nmi },
	{ "set-action",
	  "reboot?:reset|shutdown shutdown?:poweroff|pause panic?:pause|shutdown|exit-failure "
	  "watchdog?:reset|shutdown|poweroff|pause|debug|none|inject-nmi", NULL,
	  "What follows when the guest reboots (shutdown: exit code 32), powers off, or crashes "
	  "or panics (shutdown, exit-failure: exit code 33 or 34). There is no watchdog device.",
	  set_action },
	{ "query-name", NULL, "{name:s}", "Name of the VM.", query_name },
	{ "query-uuid", NULL, "{UUID:s}", "UUID of the VM, see --uuid; zeros when it has none.",
	  query_uuid },
	{ "query-kvm", NULL, "{enabled:b present:b}", "Whether KVM is there: always.", query_kvm },
	{ "query-chardev", NULL, "[{label:s filename:s frontend-open:b}]",
	  "Consoles and ports: where they are, and whether the guest's end is open.",
	  query_chardev },
	{ "query-cpus-fast", NULL, "[{" CPU_MEMBERS "}]", "The vCPUs with their thread ids.",
	  query_cpus_fast },
	{ "query-cpus", NULL, "[{" CPU_MEMBERS " CPU:u current:b qom_path:s thread_id:i}]",
	  "The same, for clients that know its older names.", query_cpus },
	{ "balloon", "value:i", NULL,
	  "Inflate or deflate the balloon until the guest has `value` bytes of its boot memory "
	  "left.", balloon },
	{ "query-balloon", NULL, "{actual:u}", "The boot memory that is not ballooned, in bytes.",
	  query_balloon },
	{ "query-memory-devices", NULL, MEMORY_DEVICES_TYPE,
	  "The virtio-mem devices and their sizes in bytes.", query_memory_devices },
	{ "query-memory-size-summary", NULL, "{base-memory:u plugged-memory:u}",
	  "Boot memory and plugged memory in bytes.", query_memory_size_summary },
	{ "block_resize", "device?:s node-name?:s size:u(0..9223372036854775807)", NULL,
	  "The disk has size bytes from now on, and the guest hears of it; a file that is smaller "
	  "grows. Disks don't shrink.", block_resize },
	{ "query-block", NULL, BLOCK_TYPE, "The disks.", query_block },
	{ "query-blockstats", NULL, BLOCKSTATS_TYPE, "What the disks have done so far.",
	  query_blockstats },
	{ "qom-get", "path:s property:s", "any",
	  "A property of a virtio-mem device or of the balloon.", qom_get },
	{ "qom-set", "path:s property:s value:any", NULL,
	  "Set requested-size (bytes) of a virtio-mem device or guest-stats-polling-interval "
	  "(seconds) of the balloon.", qom_set },
	{ "qom-list", "path:s", "[{name:s type:s}]",
	  "Children or properties of /machine/peripheral and what is there.", qom_list },
	{ "dump-guest-memory",
	  "paging:b protocol:s detach?:b format?:elf|kdump-zlib|kdump-lzo|kdump-snappy", NULL,
	  "Pause the VM and write its memory and registers as an ELF core file to file:PATH or "
	  "fd:NAME (see getfd); answered at the end, or at once with detach.", dump_guest_memory },
	{ "query-dump", NULL, "{" DUMP_MEMBERS "}", "The latest dump, and how far it is in bytes.",
	  query_dump },
	{ "human-monitor-command", "command-line:s cpu-index?:u", "s",
	  "QEMU's text for info status, info memory-devices or info numa.",
	  human_monitor_command },
	{ "__org.ebb_stat", NULL, STAT_TYPE,
	  "The ledger: boot, requested, plugged and resident bytes.", ebb_stat },
	{ "__org.ebb_query-guard", "device?:s from?:u(0..4294967295)", GUARD_TYPE,
	  "Violations, and of one device the block map and the violated blocks, from block number "
	  "`from` on.", query_guard },
	{ "__org.ebb_set-violation", "action:s", NULL,
	  "What follows when the guest uses memory that it gave back: contain, pause or kill.",
	  set_violation },
	{ "__org.ebb_query-guest-stats", NULL, GUEST_STATS_TYPE,
	  "Statistics that the guest takes now; an error when it has not within a second.",
	  query_guest_stats },
	{ "__org.ebb_reclaim", "timeout?:n", "{" RECLAIM_MEMBERS "}",
	  "Take the guest's free memory, a job; timeout in seconds (default 60).",
	  start_reclaim },
	{ "__org.ebb_query-reclaim", NULL, "{" RECLAIM_MEMBERS "}", "The latest reclaim.",
	  query_reclaim },
	{ "__org.ebb_cancel-reclaim", NULL, "{" RECLAIM_MEMBERS "}", "End the running reclaim.",
	  cancel_reclaim },
	{ "__org.ebb_query-agent", NULL, "{" AGENT_MEMBERS "}",
	  "The guest's agent, and what it said last.", query_agent },
	{ "__org.ebb_query-autosize", NULL, "{" AUTOSIZE_MEMBERS " agent:{" AGENT_MEMBERS "}}",
	  "The limits of the guest's size, what was decided last, and why.", query_autosize },
	{ "__org.ebb_set-autosize",
	  "enabled?:b min?:u(0..9223372036854775807) max?:u(0..9223372036854775807) "
	  "ceiling?:u(0..9223372036854775807) rate?:u(1048576..1099511627776) "
	  "cache-age?:u(0..31622400)", "{" AUTOSIZE_MEMBERS "}",
	  "Change limits, in bytes: of the size (boot and elastic memory together; the ceiling is "
	  "the host's for now), of what is granted in a second; the age of page cache that shall "
	  "go in seconds (0: none). Not enabled: the size stays as it is.", set_autosize },
	{ "__org.ebb_query-working-set", NULL, "[{" WORKING_SET_MEMBERS "}]",
	  "The last working set of each of the guest's nodes, and who says so.",
	  query_working_set },
	{ "__org.ebb_ask-working-set",
	  "source?:guest|host node?:u(0..65535) ages-ms?:[u(1..4294967294)] "
	  "report-threshold-ms?:u(0..4294967295) refresh-interval-ms?:u(0..4294967295)", NULL,
	  "Ask the guest's agent, else the balloon's driver, for the working set of a node "
	  "(default: of all; the driver's: 0). With ages-ms, which the driver alone knows: set the "
	  "borders of its bins and when it reports by itself. Or have the host estimate it, from "
	  "what of all memory is used within ages-ms (default 1000, 10000, 60000; up to an hour): it "
	  "comes when the last one is over.", ask_working_set },
	{ "__org.ebb_resize", "size:u(0..9223372036854775807) device?:s timeout?:n",
	  "[{" RESIZE_MEMBERS "}]",
	  "Start a resize job: size in bytes of the whole guest or, with device, of that device; of "
	  "the balloon it is the boot memory that shall be left; "
	  "timeout in seconds.", start_resize },
	{ "__org.ebb_query-resize", "device?:s", "[{" RESIZE_MEMBERS "}]",
	  "The latest resize job of each device.", query_resize },
	{ "__org.ebb_cancel-resize", "device?:s", "[{" RESIZE_MEMBERS "}]",
	  "Cancel resize jobs; the size reached becomes the target.", cancel_resize },
};

static const struct qmp_event_type event_rows[] = {
	{ "SHUTDOWN", "guest:b reason:s" },
	{ "RESET", "guest:b reason:s" },
	{ "POWERDOWN", NULL },
	{ "STOP", NULL },
	{ "RESUME", NULL },
	{ "GUEST_PANICKED", "action:pause|poweroff|run" },
	{ "GUEST_CRASHLOADED", "action:pause|poweroff|run" },
	{ "MEMORY_DEVICE_SIZE_CHANGE", "id:s size:u qom-path:s" },
	{ "BALLOON_CHANGE", "actual:u" },
	{ "DUMP_COMPLETED", "result:{" DUMP_MEMBERS "} error?:s" },
	{ "__org.ebb_RESIZE", RESIZE_MEMBERS },
	{ "__org.ebb_RECLAIM", RECLAIM_MEMBERS },
	{ "__org.ebb_WORKING_SET", WORKING_SET_MEMBERS },
	{ "__org.ebb_AGENT",
	  "state:" AGENT_STATES " version?:u agent?:s kernel?:s can?:[s]" },
	{ "__org.ebb_AUTOSIZE", AUTOSIZE_MEMBERS },
	{ "__org.ebb_GUEST_LOW", GUEST_LOW_MEMBERS },
	{ "__org.ebb_VIOLATION", "device:s action:contain|pause|kill " VIOLATION_COUNTS_MEMBERS
	  " last-address:u last-thread?:u" },
	{ "__org.ebb_GUARD_STOP", "reason:s" },
};

static const struct qmp_table commands = { command_rows, ARRAY_SIZE(command_rows), event_rows,
					   ARRAY_SIZE(event_rows) };

static int listen_inherited(struct machine *m, const char *where)
{
	auto_close int fd = given_fd("--qmp", where);
	int r = fd < 0 ? fd : qmp_server_new_fd(&m->qmp, m->loop, fd, &commands, m);

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
	return qmp_server_new(&m->qmp, m->loop, path, &commands, m);
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
	snprintf(path, sizeof(path), QOM_PERIPHERAL "/%s", elastic_id(e));
	data = json_object_new_object();
	add_str(data, "id", elastic_id(e));
	add_u64(data, "size", blocks_plugged_bytes(&e->elastic.blocks));
	add_str(data, "qom-path", path);
	qmp_event_limited(m->qmp, "MEMORY_DEVICE_SIZE_CHANGE", elastic_id(e), data);
}

void commands_panicked(struct machine *m, const char *action)
{
	struct json_object *data = json_object_new_object();

	add_str(data, "action", action);
	qmp_event(m->qmp, "GUEST_PANICKED", data);
}

void commands_crash_kernel(struct machine *m)
{
	struct json_object *data = json_object_new_object();

	log_guest("the guest has panicked and starts its crash kernel");
	add_str(data, "action", "run");
	qmp_event_limited(m->qmp, "GUEST_CRASHLOADED", "", data);
}

void commands_job_changed(void *ctx, struct vmem *vmem)
{
	struct machine *m = ctx;
	const struct machine_elastic *e = elastic_of(m, vmem);

	if (e)
		qmp_event(m->qmp, "__org.ebb_RESIZE", job_object(e));
}
