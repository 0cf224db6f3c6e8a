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

int query_status(void *ctx, struct json_object *args, struct json_object **ret,
			struct qmp_error *err)
{
	const struct monitor *mon = ctx;
	struct json_object *o = json_object_new_object();

	(void)args, (void)err;
	add_bool(o, "running", mon->vm->run->state == MACHINE_RUNNING);
	add_bool(o, "singlestep", false);
	add_str(o, "status", machine_state_name(mon->vm->run->state));
	*ret = o;
	return 0;
}

int stop(void *ctx, struct json_object *args, struct json_object **ret,
		struct qmp_error *err)
{
	const struct monitor *mon = ctx;

	(void)args, (void)ret, (void)err;
	run_state_pause(mon->vm->run);
	return 0;
}

int cont(void *ctx, struct json_object *args, struct json_object **ret,
		struct qmp_error *err)
{
	const struct monitor *mon = ctx;

	(void)args, (void)ret;
	if (run_state_resume(mon->vm->run))
		return qmp_fail(err, QMP_GENERIC_ERROR, "the VM can't go on: %s",
				run_state_forbids(mon->vm->run));
	return 0;
}

int system_powerdown(void *ctx, struct json_object *args, struct json_object **ret,
			    struct qmp_error *err)
{
	const struct monitor *mon = ctx;

	(void)args, (void)ret, (void)err;
	run_state_power_button(mon->vm->run);
	return 0;
}

int system_reset(void *ctx, struct json_object *args, struct json_object **ret,
			struct qmp_error *err)
{
	const struct monitor *mon = ctx;

	(void)args, (void)ret, (void)err;
	run_state_reset(mon->vm->run, false);
	return 0;
}

int quit(void *ctx, struct json_object *args, struct json_object **ret,
		struct qmp_error *err)
{
	const struct monitor *mon = ctx;

	(void)args, (void)ret, (void)err;
	run_state_end(mon->vm->run, EXIT_POWER_OFF, false, "host-qmp-quit");
	return 0;
}

int query_name(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err)
{
	const struct monitor *mon = ctx;

	(void)args, (void)err;
	*ret = json_object_new_object();
	add_str(*ret, "name", mon->vm->cfg->name);
	return 0;
}

int query_uuid(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err)
{
	const struct monitor *mon = ctx;

	(void)args, (void)err;
	*ret = json_object_new_object();
	add_str(*ret, "UUID", mon->vm->cfg->uuid);
	return 0;
}

int query_kvm(void *ctx, struct json_object *args, struct json_object **ret,
		     struct qmp_error *err)
{
	(void)ctx, (void)args, (void)err;
	*ret = json_object_new_object();
	add_bool(*ret, "enabled", true);
	add_bool(*ret, "present", true);
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

int query_cpus_fast(void *ctx, struct json_object *args, struct json_object **ret,
			   struct qmp_error *err)
{
	(void)args, (void)err;
	*ret = cpu_list(ctx, false);
	return 0;
}

int query_cpus(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err)
{
	(void)args, (void)err;
	*ret = cpu_list(ctx, true);
	return 0;
}

/* --- actions ----------------------------------------------------------------------------------- */

int inject_nmi(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err)
{
	struct monitor *mon = ctx;

	(void)args, (void)ret, (void)err;
	return vm_nmi(&mon->vm->boot->vm);
}

int set_action(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err)
{
	struct monitor *mon = ctx;
	struct run_actions *a = &mon->vm->run->actions;
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
