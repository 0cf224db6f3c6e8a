/* SPDX-License-Identifier: Apache-2.0 */
/* monitor.c - the table of control commands and events, and the socket that serves it. */
#include "vmm/monitor/monitor.h"

#include "vmm/base/inherited_fds.h"
#include "vmm/monitor/autosize.h"
#include "vmm/monitor/balloon.h"
#include "vmm/monitor/block.h"
#include "vmm/monitor/console.h"
#include "vmm/monitor/dump.h"
#include "vmm/monitor/events.h"
#include "vmm/monitor/guard.h"
#include "vmm/monitor/hmp.h"
#include "vmm/monitor/machine.h"
#include "vmm/monitor/memory.h"
#include "vmm/monitor/qom.h"
#include "vmm/monitor/resize_job.h"
#include "vmm/monitor/stat.h"
#include "vmm/monitor/working_set.h"

static const struct qmp_command command_rows[] = {
	{ "query-status", NULL, "{running:b singlestep:b status:" MACHINE_STATES "}",
	  "State of the machine.", monitor_query_status },
	{ "stop", NULL, NULL, "Pause all vCPUs.", monitor_stop },
	{ "cont", NULL, NULL, "Start or resume all vCPUs.", monitor_cont },
	{ "system_powerdown", NULL, NULL, "Press the power button.", monitor_system_powerdown },
	{ "system_reset", NULL, NULL, "Reset the machine; elastic memory regrows to its target.",
	  monitor_system_reset },
	{ "quit", NULL, NULL, "End the VM at once.", monitor_quit },
	{ "inject-nmi", NULL, NULL, "Raise a non-maskable interrupt on every vCPU.", monitor_inject_nmi },
	{ "set-action",
	  "reboot?:reset|shutdown shutdown?:poweroff|pause panic?:pause|shutdown|exit-failure "
	  "watchdog?:reset|shutdown|poweroff|pause|debug|none|inject-nmi", NULL,
	  "What follows when the guest reboots (shutdown: exit code 32), powers off, or crashes "
	  "or panics (shutdown, exit-failure: exit code 33 or 34). There is no watchdog device.",
	  monitor_set_action },
	{ "query-name", NULL, "{name:s}", "Name of the VM.", monitor_query_name },
	{ "query-uuid", NULL, "{UUID:s}", "UUID of the VM, see --uuid; zeros when it has none.",
	  monitor_query_uuid },
	{ "query-kvm", NULL, "{enabled:b present:b}", "Whether KVM is there: always.", monitor_query_kvm },
	{ "query-chardev", NULL, "[{label:s filename:s frontend-open:b}]",
	  "Consoles and ports: where they are, and whether the guest's end is open.",
	  monitor_query_chardev },
	{ "query-cpus-fast", NULL, "[{" CPU_MEMBERS "}]", "The vCPUs with their thread ids.",
	  monitor_query_cpus_fast },
	{ "query-cpus", NULL, "[{" CPU_MEMBERS " CPU:u current:b qom_path:s thread_id:i}]",
	  "The same, for clients that know its older names.", monitor_query_cpus },
	{ "balloon", "value:i", NULL,
	  "Inflate or deflate the balloon until the guest has `value` bytes of its boot memory "
	  "left.", monitor_balloon },
	{ "query-balloon", NULL, "{actual:u}", "The boot memory that is not ballooned, in bytes.",
	  monitor_query_balloon },
	{ "query-memory-devices", NULL, MEMORY_DEVICES_TYPE,
	  "The virtio-mem devices and their sizes in bytes.", monitor_query_memory_devices },
	{ "query-memory-size-summary", NULL, "{base-memory:u plugged-memory:u}",
	  "Boot memory and plugged memory in bytes.", monitor_query_memory_size_summary },
	{ "block_resize", "device?:s node-name?:s size:u(0..9223372036854775807)", NULL,
	  "The disk has size bytes from now on, and the guest hears of it; a file that is smaller "
	  "grows. Disks don't shrink.", monitor_block_resize },
	{ "query-block", NULL, BLOCK_TYPE, "The disks.", monitor_query_block },
	{ "query-blockstats", NULL, BLOCKSTATS_TYPE, "What the disks have done so far.",
	  monitor_query_blockstats },
	{ "qom-get", "path:s property:s", "any",
	  "A property of a virtio-mem device or of the balloon.", monitor_qom_get },
	{ "qom-set", "path:s property:s value:any", NULL,
	  "Set requested-size (bytes) of a virtio-mem device or guest-stats-polling-interval "
	  "(seconds) of the balloon.", monitor_qom_set },
	{ "qom-list", "path:s", "[{name:s type:s}]",
	  "Children or properties of /machine/peripheral and what is there.", monitor_qom_list },
	{ "dump-guest-memory",
	  "paging:b protocol:s detach?:b format?:elf|kdump-zlib|kdump-lzo|kdump-snappy", NULL,
	  "Pause the VM and write its memory and registers as an ELF core file to file:PATH or "
	  "fd:NAME (see getfd); answered at the end, or at once with detach.", monitor_dump_guest_memory },
	{ "query-dump", NULL, "{" DUMP_MEMBERS "}", "The latest dump, and how far it is in bytes.",
	  monitor_query_dump },
	{ "human-monitor-command", "command-line:s cpu-index?:u", "s",
	  "QEMU's text for info status, info memory-devices or info numa.",
	  monitor_hmp },
	{ "__org.ebb_stat", NULL, STAT_TYPE,
	  "The ledger: boot, requested, plugged and resident bytes.", monitor_stat },
	{ "__org.ebb_query-guard", "device?:s from?:u(0..4294967295)", GUARD_TYPE,
	  "Violations, and of one device the block map and the violated blocks, from block number "
	  "`from` on.", monitor_query_guard },
	{ "__org.ebb_set-violation", "action:s", NULL,
	  "What follows when the guest uses memory that it gave back: contain, pause or kill.",
	  monitor_set_violation },
	{ "__org.ebb_query-guest-stats", NULL, GUEST_STATS_TYPE,
	  "Statistics that the guest takes now; an error when it has not within a second.",
	  monitor_query_guest_stats },
	{ "__org.ebb_reclaim", "timeout?:n", "{" RECLAIM_MEMBERS "}",
	  "Take the guest's free memory, a job; timeout in seconds (default 60).",
	  monitor_start_reclaim },
	{ "__org.ebb_query-reclaim", NULL, "{" RECLAIM_MEMBERS "}", "The latest reclaim.",
	  monitor_query_reclaim },
	{ "__org.ebb_cancel-reclaim", NULL, "{" RECLAIM_MEMBERS "}", "End the running reclaim.",
	  monitor_cancel_reclaim },
	{ "__org.ebb_query-agent", NULL, "{" AGENT_MEMBERS "}",
	  "The guest's agent, and what it said last.", monitor_query_agent },
	{ "__org.ebb_query-autosize", NULL, "{" AUTOSIZE_MEMBERS " agent:{" AGENT_MEMBERS "}}",
	  "The limits of the guest's size, what was decided last, and why.", monitor_query_autosize },
	{ "__org.ebb_set-autosize",
	  "enabled?:b min?:u(0..9223372036854775807) max?:u(0..9223372036854775807) "
	  "ceiling?:u(0..9223372036854775807) rate?:u(1048576..1099511627776) "
	  "cache-age?:u(0..31622400)", "{" AUTOSIZE_MEMBERS "}",
	  "Change limits, in bytes: of the size (boot and elastic memory together; the ceiling is "
	  "the host's for now), of what is granted in a second; the age of page cache that shall "
	  "go in seconds (0: none). Not enabled: the size stays as it is.", monitor_set_autosize },
	{ "__org.ebb_query-working-set", NULL, "[{" WORKING_SET_MEMBERS "}]",
	  "The last working set of each of the guest's nodes, and who says so.",
	  monitor_query_working_set },
	{ "__org.ebb_ask-working-set",
	  "source?:guest|host node?:u(0..65535) ages-ms?:[u(1..4294967294)] "
	  "report-threshold-ms?:u(0..4294967295) refresh-interval-ms?:u(0..4294967295)", NULL,
	  "Ask the guest's agent, else the balloon's driver, for the working set of a node "
	  "(default: of all; the driver's: 0). With ages-ms, which the driver alone knows: set the "
	  "borders of its bins and when it reports by itself. Or have the host estimate it, from "
	  "what of all memory is used within ages-ms (default 1000, 10000, 60000; up to an hour): it "
	  "comes when the last one is over.", monitor_ask_working_set },
	{ "__org.ebb_resize", "size:u(0..9223372036854775807) device?:s timeout?:n",
	  "[{" RESIZE_MEMBERS "}]",
	  "Start a resize job: size in bytes of the whole guest or, with device, of that device; of "
	  "the balloon it is the boot memory that shall be left; "
	  "timeout in seconds.", monitor_start_resize },
	{ "__org.ebb_query-resize", "device?:s", "[{" RESIZE_MEMBERS "}]",
	  "The latest resize job of each device.", monitor_query_resize },
	{ "__org.ebb_cancel-resize", "device?:s", "[{" RESIZE_MEMBERS "}]",
	  "Cancel resize jobs; the size reached becomes the target.", monitor_cancel_resize },
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
	{ "__org.ebb_VIOLATION", "device:s action:" CONFIG_VIOLATIONS " " VIOLATION_COUNTS_MEMBERS
	  " last-address:u last-thread?:u" },
	{ "__org.ebb_GUARD_STOP", "reason:s" },
};

static const struct qmp_table commands = { command_rows, ARRAY_SIZE(command_rows), event_rows,
					   ARRAY_SIZE(event_rows) };

static int listen_inherited(struct monitor *mon, const char *where)
{
	auto_close int fd = inherited_fds_fd("--qmp", where);
	int r = fd < 0 ? fd : qmp_server_new_fd(&mon->qmp, mon->loop, fd, &commands, mon);

	if (!r)
		take_fd(&fd); /* the server's now */
	return r;
}

int monitor_open(struct monitor *mon, struct loop *loop, const struct config *cfg)
{
	char path[VM_PATH_SIZE];
	int r;

	*mon = (struct monitor){ .loop = loop };
	if (cfg->qmp_path && inherited_fds_is_fd(cfg->qmp_path))
		return listen_inherited(mon, cfg->qmp_path);
	r = config_control_path(cfg, path);
	return r ? r : qmp_server_new(&mon->qmp, loop, path, &commands, mon);
}

void monitor_attach(struct monitor *mon, const struct machine_parts *vm, struct vm_sinks *sinks)
{
	mon->vm = vm;
	vm_sinks_add(sinks, (struct vm_sink){ monitor_tell, mon });
}

void monitor_close(struct monitor *mon)
{
	if (!mon->loop)
		return;
	loop_timer_cancel(mon->loop, &mon->patience);
	qmp_server_free(mon->qmp);
}
