/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - one virtual machine: builds its parts in order, and takes them down in reverse.
 * Devices, memory and consoles live as long as the machine; the VM and its vCPUs are built anew at
 * each boot. Thread: the loop (or the time before it runs).
 */
#ifndef EBB_MACHINE_MACHINE_H
#define EBB_MACHINE_MACHINE_H

#include "vmm/machine/events.h"
#include "vmm/machine/parts.h"

struct config;
struct loop;
struct machine;

/*
 * Builds everything but a VM; CFG, LOOP and SINKS outlive it. It hears its own events before those
 * whom the caller adds to SINKS afterwards. Nothing is left behind on error (-errno, logged). Without
 * the device lock, as machine_free().
 */
int must_check machine_new(struct machine **out, const struct config *cfg, struct loop *loop,
			   struct vm_sinks *sinks);
/* Boots, and runs unless CFG says otherwise. -errno, logged: machine_free() is left. */
int must_check machine_start(struct machine *m);
/* They live as long as the machine. */
const struct machine_parts *machine_parts(const struct machine *m);
/* NULL is fine. */
void machine_free(struct machine *m);

#endif
