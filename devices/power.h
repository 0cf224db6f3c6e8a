/* SPDX-License-Identifier: Apache-2.0 */
/*
 * power.h - power button, sleep and reset: one page of registers (vmm/base/platform.h) that the
 * ACPI tables describe (ACPI, Hardware-Reduced ACPI; Generic Event Device).
 * Thread: any, under the device lock; the requests are made there too.
 */
#ifndef EBB_DEVICES_POWER_H
#define EBB_DEVICES_POWER_H

#include "vmm/base/bus.h"
#include "vmm/base/irq.h"

struct power {
	struct irq_line irq;
	void (*power_off)(void *ctx);
	void (*reset)(void *ctx);
	void *ctx;
	uint32_t events; /* not yet seen by the guest */
};

/* A bus_fn; ctx is the struct power. */
void power_access(void *ctx, struct bus_access *access);
/* Presses the power button. The guest decides what follows. */
void power_button(struct power *p);
/* Forgets events that were not yet seen. */
void power_init(struct power *p);

#endif
