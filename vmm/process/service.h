/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - what a service manager, or any program that starts a VM, has from the process: open
 * descriptors taken over, a pid file, readiness and signs of life. Thread: the loop.
 */
#ifndef EBB_PROCESS_SERVICE_H
#define EBB_PROCESS_SERVICE_H

#include "vmm/base/loop.h"
#include "vmm/config/config.h"
#include "vmm/rundir/pid_file.h"

struct machine;

struct service {
	struct pid_file pid_file;
	struct loop_timer watchdog;
};

/*
 * Descriptors that systemd has passed on go where no option names something else: that named `kvm`
 * is KVM's device, `userfaultfd` the guard's, any other the control socket. TAKEN must outlive CFG.
 * 0 or -EINVAL, logged.
 */
struct given;
int must_check service_inherit(struct config *cfg, struct given *taken);

/* In the process that stays. 0 or -errno, logged; service_close() also after a failure. */
int must_check service_open(struct machine *m);
/* The VM runs, or waits for `cont` because that was asked for. */
void service_ready(struct machine *m);
void service_status(const struct machine *m);
void service_close(struct machine *m);

#endif
