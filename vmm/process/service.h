/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - what a service manager, or any program that starts a VM, has from the process: open
 * descriptors taken over, a pid file, readiness and signs of life. Thread: the loop.
 */
#ifndef EBB_PROCESS_SERVICE_H
#define EBB_PROCESS_SERVICE_H

#include "vmm/base/inherited_fds.h"
#include "vmm/base/loop.h"
#include "vmm/config/config.h"
#include "vmm/machine/events.h"
#include "vmm/rundir/pid_file.h"

/* Zeroed memory: not open. */
struct service {
	struct loop *loop;
	struct pid_file pid_file;
	struct loop_timer watchdog;
};

/*
 * Descriptors that systemd has passed on go where no option names something else: that named `kvm`
 * is KVM's device, `userfaultfd` the guard's, any other the control socket. TAKEN must outlive CFG.
 * 0 or -EINVAL, logged.
 */
int must_check service_inherit(struct config *cfg, struct inherited_fds *taken);

/* In the process that stays; PID_FILE: NULL: none. 0 or -errno, logged; service_close() also after a
 * failure. */
int must_check service_open(struct service *s, struct loop *loop, const char *pid_file);
/* The VM runs, or waits for `cont` because that was asked for: it is in STATE. */
void service_ready(struct service *s, enum machine_state state);
/* A vm_sink: the manager hears of each state. CTX is not used. */
void service_tell(void *ctx, const struct vm_event *event);
void service_close(struct service *s);

#endif
