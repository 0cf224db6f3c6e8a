/* SPDX-License-Identifier: Apache-2.0 */
/* service.c - what a service manager, or any program that starts a VM, has from the process. */
#include "vmm/process/service.h"

#include <string.h>

#include "vmm/base/log.h"
#include "vmm/base/notify.h"

int service_inherit(struct config *cfg, struct inherited_fds *taken)
{
	const char *qmp_path = NULL;
	int r = inherited_fds_take(taken);

	for (unsigned int i = 0; i < taken->nr && !r; i++) {
		const char *where = taken->where[i];

		if (!strcmp(taken->name[i], "kvm"))
			cfg->kvm_path = cfg->kvm_path ? cfg->kvm_path : where;
		else if (!strcmp(taken->name[i], "userfaultfd"))
			cfg->uffd_path = cfg->uffd_path ? cfg->uffd_path : where;
		else if (qmp_path)
			r = fail_usage("LISTEN_FDS: %s is a second control socket; a VM has one",
				       taken->name[i]);
		else
			qmp_path = where;
	}
	if (!cfg->qmp_path)
		cfg->qmp_path = qmp_path;
	return r;
}

int service_open(struct service *s, struct loop *loop, const char *pid_file)
{
	*s = (struct service){ .loop = loop };
	return pid_file ? pid_file_write(&s->pid_file, pid_file) : 0;
}

/* From the loop: what stops it is what the manager wants to notice. */
static void on_watchdog(void *ctx)
{
	struct service *s = ctx;

	notify("WATCHDOG=1");
	loop_timer_set(s->loop, &s->watchdog, loop_now(s->loop) + notify_watchdog_ns() / 2);
}

void service_ready(struct service *s, enum machine_state state)
{
	notify("READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), machine_state_name(state));
	s->watchdog = (struct loop_timer){ .fn = on_watchdog, .ctx = s };
	if (notify_watchdog_ns())
		on_watchdog(s);
}

void service_tell(void *ctx, const struct vm_event *event)
{
	(void)ctx;
	if (event->kind == VM_STATE)
		notify("%sSTATUS=%s", event->run.ending ? "STOPPING=1\n" : "",
		       machine_state_name(event->run.state));
}

void service_close(struct service *s)
{
	if (s->loop)
		loop_timer_cancel(s->loop, &s->watchdog);
	pid_file_remove(&s->pid_file);
}
