/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_control.h - what a part of the machine may do with the running of the VM. run_state.c fills it
 * in, a test has one of its own. Thread: the loop, with the device lock, which park() and pause() let
 * go of while they wait for vCPUs.
 */
#ifndef EBB_MACHINE_RUN_CONTROL_H
#define EBB_MACHINE_RUN_CONTROL_H

#include "vmm/base/types.h"

struct run_control {
	bool (*is_running)(void *ctx);
	/* All vCPUs leave the guest for a moment; the VM still counts as running. False: one waits
	 * in the kernel for memory; it will not run guest code either until unpark(). */
	bool (*park)(void *ctx);
	/* They go on, if the VM is running. */
	void (*unpark)(void *ctx);
	/* The VM stands until somebody resumes it. No effect when it stands already. */
	void (*pause)(void *ctx);
	/* The process ends with exit code CODE. REASON as in QMP's ShutdownCause. */
	void (*end)(void *ctx, int code, bool guest, const char *reason);
	void *ctx;
};

#endif
