/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_state.h - what machine.c connects to the devices, vCPUs and signals that can end or reset the
 * machine. Callbacks; CTX is the machine.
 */
#ifndef EBB_MACHINE_RUN_STATE_H
#define EBB_MACHINE_RUN_STATE_H

#include "vmm/machine/machine.h"

/* Requests, signals and the control socket go into the loop. Before any thread exists. */
int must_check lifecycle_open(struct machine *m);

/* On vCPU threads, under the device lock. */
void lifecycle_guest_power_off(void *ctx);
void lifecycle_guest_reset(void *ctx);
void lifecycle_debug_exit(void *ctx, uint8_t code);
void lifecycle_guest_panicked(void *ctx);
void lifecycle_crash_kernel(void *ctx);
/* On a vCPU thread, without the device lock. */
void lifecycle_vcpu_ended(void *ctx, enum vcpu_end end, const char *text);
/* In the loop. */
void lifecycle_console_quit(void *ctx);

#endif
