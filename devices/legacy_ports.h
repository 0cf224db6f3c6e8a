/* SPDX-License-Identifier: Apache-2.0 */
/*
 * legacy_ports.h - PC ports that stock kernels touch although the tables say there is nothing.
 * Thread: any, under the device lock.
 */
#ifndef EBB_DEVICES_LEGACY_PORTS_H
#define EBB_DEVICES_LEGACY_PORTS_H

#include "vmm/base/bus.h"

#define CMOS_PORT 0x70
#define CMOS_PORTS 2

/*
 * CMOS index and data. All data reads 0: all ones would read as "update in progress" for ever,
 * which costs a boot 20,000 exits.
 */
void cmos_access(void *ctx, struct bus_access *access);

#define DEBUG_EXIT_PORT 0xf4
#define DEBUG_EXIT_PORTS 4

/* Ends the VM with a code of the guest's choice, for test guests; the port QEMU gives isa-debug-exit. */
struct debug_exit {
	void (*exit)(void *ctx, uint8_t code);
	void *ctx;
};
void debug_exit_access(void *ctx, struct bus_access *access);

#endif
