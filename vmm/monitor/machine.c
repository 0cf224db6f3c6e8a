/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c - commands about the machine as a whole. */
#include "vmm/monitor/machine.h"

#include <stdio.h>
#include <string.h>

#include "vmm/base/exit_code.h"
#include "vmm/config/config.h"
#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/run_state.h"
#include "vmm/monitor/context.h"

#if defined(__x86_64__)
#define ARCH_NAME "x86_64"
#else
#define ARCH_NAME "aarch64"
#endif

int monitor_query_status(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;
	struct json_object *o = json_object_new_object();

	add_bool(o, "running", mon->vm->run->state == MACHINE_RUNNING);
	add_bool(o, "singlestep", false);
	add_str(o, "status", machine_state_name(mon->vm->run->state));
	call->ret = o;
	return 0;
}

int monitor_stop(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	run_state_pause(mon->vm->run);
	return 0;
}

int monitor_cont(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	if (run_state_resume(mon->vm->run))
		return qmp_fail(call->err, QMP_GENERIC_ERROR, "the VM can't go on: %s",
				run_state_forbids(mon->vm->run));
	return 0;
}

int monitor_system_powerdown(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	run_state_power_button(mon->vm->run);
	return 0;
}

int monitor_system_reset(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	run_state_reset(mon->vm->run, false);
	return 0;
}

int monitor_quit(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	run_state_end(mon->vm->run, EXIT_POWER_OFF, false, "host-qmp-quit");
	return 0;
}

int monitor_query_name(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	call->ret = json_object_new_object();
	add_str(call->ret, "name", mon->vm->cfg->name);
	return 0;
}

int monitor_query_uuid(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	call->ret = json_object_new_object();
	add_str(call->ret, "UUID", mon->vm->cfg->uuid);
	return 0;
}

int monitor_query_kvm(struct qmp_call *call)
{
	call->ret = json_object_new_object();
	add_bool(call->ret, "enabled", true);
	add_bool(call->ret, "present", true);
	return 0;
}

static struct json_object *cpu_object(const struct monitor *mon, unsigned int i, bool old_names)
{
	struct json_object *cpu = json_object_new_object(), *props = json_object_new_object();
	int tid = vcpus_tid(mon->vm->boot->vcpus, i);
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

static struct json_object *cpu_list(const struct monitor *mon, bool old_names)
{
	struct json_object *list = json_object_new_array();

	for (unsigned int i = 0; i < vcpus_nr(mon->vm->boot->vcpus); i++)
		json_object_array_add(list, cpu_object(mon, i, old_names));
	return list;
}

int monitor_query_cpus_fast(struct qmp_call *call)
{
	call->ret = cpu_list(call->ctx, false);
	return 0;
}

int monitor_query_cpus(struct qmp_call *call)
{
	call->ret = cpu_list(call->ctx, true);
	return 0;
}

/* --- actions ----------------------------------------------------------------------------------- */

int monitor_inject_nmi(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;

	return vm_nmi(&mon->vm->boot->vm);
}

int monitor_set_action(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	struct run_actions *a = &mon->vm->run->actions;
	const char *reboot = qmp_arg_str(call->args, "reboot", NULL);
	const char *power_off = qmp_arg_str(call->args, "shutdown", NULL);
	const char *panic = qmp_arg_str(call->args, "panic", NULL);

	if (qmp_arg(call->args, "watchdog"))
		return qmp_fail(call->err, QMP_DEVICE_NOT_ACTIVE, "the VM has no watchdog device");
	if (reboot)
		a->reboot_ends = !strcmp(reboot, "shutdown");
	if (power_off)
		a->power_off_pauses = !strcmp(power_off, "pause");
	if (panic)
		a->crash_pauses = !strcmp(panic, "pause");
	return 0;
}
