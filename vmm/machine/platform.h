/* SPDX-License-Identifier: Apache-2.0 */
/*
 * platform.h - the devices that every guest has beside virtio: serial port with its console, power
 * registers, pvpanic, CMOS, debug exit (vmm/base/platform.h has their addresses). Thread: the loop,
 * with the device lock. 0 or -errno, logged.
 */
#ifndef EBB_MACHINE_PLATFORM_H
#define EBB_MACHINE_PLATFORM_H

#include "devices/legacy_ports.h"
#include "devices/power.h"
#include "devices/pvpanic.h"
#include "devices/serial.h"
#include "vmm/base/loop.h"
#include "vmm/chardev/backend.h"
#include "vmm/config/config.h"
#include "vmm/kvm/kvm.h"
#include "vmm/machine/requests.h"

struct platform_env {
	const struct config *cfg;
	struct loop *loop;
	struct bus *mmio, *pio;
	struct requests *requests; /* gets what the guest asks for */
	void (*quit)(void *ctx);   /* the user left by the console (Ctrl-a x) */
	void *ctx;
};

struct platform {
	struct platform_env env;
	struct serial serial;
	struct loop_event serial_irq;
	struct console *console; /* NULL: not opened yet */
	struct power power;
	struct loop_event power_irq;
	struct pvpanic pvpanic;
	struct debug_exit debug_exit;
};

/* The devices, without the console. platform_close() also after a failure. */
int must_check platform_open(struct platform *p, const struct platform_env *env);
int must_check platform_open_console(struct platform *p);
void platform_close_console(struct platform *p);
void platform_close(struct platform *p);
/* A VM was made: interrupts go there. */
int must_check platform_connect(struct platform *p, struct vm *vm);
/* As after power-on. */
void platform_reset(struct platform *p);
/* Presses the power button. */
void platform_power_button(struct platform *p);
/* Logs an error, with what the console showed last. */
void platform_log_with_console(const struct platform *p, const char *what);

#endif
