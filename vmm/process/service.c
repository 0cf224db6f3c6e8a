/* SPDX-License-Identifier: Apache-2.0 */
/* service.c - what a service manager, or any program that starts a VM, has from the process. */
#include "vmm/process/service.h"

#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/given.h"
#include "vmm/base/log.h"
#include "vmm/base/notify.h"
#include "vmm/machine/machine.h"

int service_inherit(struct config *cfg, struct given *taken)
{
	const char *qmp_path = NULL;
	int r = given_take(taken);

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

int service_open(struct machine *m)
{
	return m->cfg->pid_file ? pid_file_write(&m->service.pid_file, m->cfg->pid_file) : 0;
}

/* From the loop: what stops it is what the manager wants to notice. */
static void on_watchdog(void *ctx)
{
	struct machine *m = ctx;

	notify("WATCHDOG=1");
	loop_timer_set(m->loop, &m->service.watchdog, loop_now(m->loop) + notify_watchdog_ns() / 2);
}

void service_ready(struct machine *m)
{
	notify("READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), machine_state_name(m->state));
	m->service.watchdog = (struct loop_timer){ .fn = on_watchdog, .ctx = m };
	if (notify_watchdog_ns())
		on_watchdog(m);
}

void service_status(const struct machine *m)
{
	if (m->ending)
		notify("STOPPING=1\nSTATUS=%s", machine_state_name(m->state));
	else
		notify("STATUS=%s", machine_state_name(m->state));
}

void service_close(struct machine *m)
{
	if (m->loop)
		loop_timer_cancel(m->loop, &m->service.watchdog);
	pid_file_remove(&m->service.pid_file);
}
