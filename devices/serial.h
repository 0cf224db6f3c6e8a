/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.h - a 16550A serial port, eight registers (National Semiconductor PC16550D).
 * Thread: any, under the device lock. The line is taken as an edge: each new cause raises it.
 */
#ifndef EBB_DEVICES_SERIAL_H
#define EBB_DEVICES_SERIAL_H

#include "devices/chardev_ends.h"
#include "vmm/base/bus.h"
#include "vmm/base/irq.h"

#define SERIAL_PORTS 8
/* What a driver writes at once when it has found the transmitter empty. */
#define SERIAL_TRANSMIT_FIFO 16
#define SERIAL_FIFO 64 /* of input; larger than the 16 of the chip: fewer wake-ups, the driver can't tell */

struct serial {
	struct irq_line irq;
	struct host_end host; /* with less room than SERIAL_TRANSMIT_FIFO the guest sees a busy port */

	uint8_t ier, lcr, mcr, scr, dll, dlm;
	bool fifo_enabled;
	bool transmitted; /* the "transmitter empty" cause is pending */
	uint8_t fifo[SERIAL_FIFO];
	unsigned int nr_fifo;
};

/* Back to the state after power-on, without the input; what stays are the callbacks. */
void serial_reset(struct serial *s);
/* A bus_fn; ctx is the struct serial. */
void serial_access(void *ctx, struct bus_access *access);
/* To be connected with `host`. */
struct guest_end serial_guest_end(struct serial *s);

#endif
