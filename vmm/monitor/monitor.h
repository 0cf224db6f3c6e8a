/* SPDX-License-Identifier: Apache-2.0 */
/* monitor.h - what the control socket can ask of the machine, and the events it hears. */
#ifndef EBB_MONITOR_MONITOR_H
#define EBB_MONITOR_MONITOR_H

#include "vmm/base/types.h"

struct guard_info;
struct machine;
struct machine_elastic;
struct vmem;

/*
 * Opens the control socket. -EADDRINUSE: a live VM has that name or path. 0 or -errno, logged.
 */
int must_check commands_listen(struct machine *m);

/* SHUTDOWN or RESET: who asked, and why (QMP's ShutdownCause). */
void commands_event_cause(struct machine *m, const char *name, bool guest, const char *reason);
/* The guest has crashed or panicked; ACTION as in QMP's GuestPanicAction. */
void commands_panicked(struct machine *m, const char *action);
/* The guest has panicked and goes on with a crash kernel of its own: at most one event a second. */
void commands_crash_kernel(struct machine *m);
/* Callbacks of the virtio-mem devices; CTX is the machine. */
void commands_size_changed(void *ctx, struct vmem *vmem);
void commands_job_changed(void *ctx, struct vmem *vmem);
/* The guest used memory of E that it gave back: at most one event per second and device. */
void commands_violation(struct machine *m, const struct machine_elastic *e,
			const struct guard_info *info);
/* The VM was paused on account of the guard. */
void commands_guard_error(struct machine *m, const char *reason);

#endif
