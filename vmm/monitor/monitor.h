/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.h - the control socket of one VM: commands for its machine, and the machine's events, told
 * to control clients. Thread: the loop (or the time before it runs).
 */
#ifndef EBB_MONITOR_MONITOR_H
#define EBB_MONITOR_MONITOR_H

#include "vmm/config/config.h"
#include "vmm/machine/events.h"
#include "vmm/monitor/context.h"

/*
 * Opens the control socket that CFG names. No command is served before the loop runs; by then there
 * must be a machine. -EADDRINUSE: a live VM has that name or path. 0 or -errno, logged;
 * monitor_close() also after a failure.
 */
int must_check monitor_open(struct monitor *mon, struct loop *loop, const struct config *cfg);
/* Commands are for VM from now on, and clients hear what is told to SINKS. */
void monitor_attach(struct monitor *mon, const struct machine_parts *vm, struct vm_sinks *sinks);
/* After the machine is gone: whom it hangs up on finds nothing of the VM left. With the device lock.
 * Accepts a zeroed struct. */
void monitor_close(struct monitor *mon);

#endif
