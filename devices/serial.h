/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.h - a 16550A serial port, eight registers (National Semiconductor PC16550D).
 * Thread: any, under the device lock. The line is taken as an edge: each new cause raises it.
 */
#ifndef EBB_DEVICES_SERIAL_H
#define EBB_DEVICES_SERIAL_H

#include "vmm/base/bus.h"
#include "vmm/base/irq.h"

#define SERIAL_PORTS 8
/* What a driver writes at once when it has found the transmitter empty. */
#define SERIAL_TRANSMIT_FIFO 16
#define SERIAL_FIFO 64 /* of input; larger than the 16 of the chip: fewer wake-ups, the driver can't tell */

struct serial {
	struct irq_line irq;
	/* Takes one byte of output. */
	void (*transmit)(void *ctx, uint8_t byte);
	/*
	 * Whether transmit() would keep another SERIAL_TRANSMIT_FIFO bytes; while not, the guest
	 * sees a busy port.
	 */
	bool (*can_transmit)(void *ctx);
	/* Room for input has become free. */
	void (*can_receive)(void *ctx);
	void *ctx;

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
/* Bytes that serial_receive() would take now. */
unsigned int serial_room(const struct serial *s);
/* Gives input to the guest; NR at most serial_room(). */
void serial_receive(struct serial *s, const uint8_t *bytes, unsigned int nr);
/* can_transmit() has become true again. */
void serial_transmit_ready(struct serial *s);

#endif
