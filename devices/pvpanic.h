/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvpanic.h - a guest's kernel says that it has panicked (QEMU, PVPANIC DEVICE): a byte of
 * registers (vmm/base/platform.h) that reads the events there are, those of <misc/pvpanic.h>, and
 * is told of one by a write of its bit. Linux: pvpanic-mmio.
 * Thread: any, under the device lock; the callbacks run there too.
 */
#ifndef EBB_DEVICES_PVPANIC_H
#define EBB_DEVICES_PVPANIC_H

#include "vmm/base/bus.h"

struct pvpanic {
	void (*panicked)(void *ctx);
	/* It has a crash kernel of its own and starts that. */
	void (*crash_loaded)(void *ctx);
	void *ctx;
};

/* A bus_fn; ctx is the struct pvpanic. */
void pvpanic_access(void *ctx, struct bus_access *access);

#endif
