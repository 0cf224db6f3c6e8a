/* SPDX-License-Identifier: Apache-2.0 */
/* serial.c - a 16550A serial port. */
#include "devices/serial.h"

#include <linux/serial_reg.h>
#include <string.h>

#define IIR_FIFO_ENABLED 0xc0
#define MSR_CARRIER (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)

static void clear_input(struct serial *s)
{
	bool had_input = s->nr_fifo;

	s->nr_fifo = 0;
	if (had_input && s->host.can_receive)
		s->host.can_receive(s->host.ctx);
}

/* A driver that finds the transmitter empty writes as much as its FIFO holds. */
static bool can_transmit(const struct serial *s)
{
	return s->host.room(s->host.ctx) >= SERIAL_TRANSMIT_FIFO;
}

void serial_reset(struct serial *s)
{
	s->ier = s->lcr = s->mcr = s->scr = s->dlm = 0;
	s->dll = 1; /* 115200 baud, as firmware would leave it */
	s->fifo_enabled = s->transmitted = false;
	clear_input(s);
}

static bool receive_pending(const struct serial *s) { return s->ier & UART_IER_RDI && s->nr_fifo; }
static bool transmit_pending(const struct serial *s)
{
	return s->ier & UART_IER_THRI && s->transmitted;
}

/* The identification register: the most urgent cause. Reading it clears "transmitter empty". */
static uint8_t read_iir(struct serial *s)
{
	uint8_t fifo = s->fifo_enabled ? IIR_FIFO_ENABLED : 0;

	if (receive_pending(s))
		return UART_IIR_RDI | fifo;
	if (transmit_pending(s)) {
		s->transmitted = false;
		return UART_IIR_THRI | fifo;
	}
	return UART_IIR_NO_INT | fifo;
}

static uint8_t read_lsr(const struct serial *s)
{
	uint8_t lsr = can_transmit(s) ? UART_LSR_THRE | UART_LSR_TEMT : 0;

	return s->nr_fifo ? lsr | UART_LSR_DR : lsr;
}

/* In loopback mode the modem outputs come back as inputs: that is how drivers find the chip. */
static uint8_t read_msr(const struct serial *s)
{
	uint8_t msr = 0;

	if (!(s->mcr & UART_MCR_LOOP))
		return MSR_CARRIER;
	if (s->mcr & UART_MCR_DTR)
		msr |= UART_MSR_DSR;
	if (s->mcr & UART_MCR_RTS)
		msr |= UART_MSR_CTS;
	if (s->mcr & UART_MCR_OUT1)
		msr |= UART_MSR_RI;
	if (s->mcr & UART_MCR_OUT2)
		msr |= UART_MSR_DCD;
	return msr;
}

static uint8_t read_rx(struct serial *s)
{
	uint8_t byte = s->fifo[0];

	if (!s->nr_fifo)
		return 0;
	memmove(s->fifo, s->fifo + 1, --s->nr_fifo);
	if (s->host.can_receive)
		s->host.can_receive(s->host.ctx);
	return byte;
}

static size_t receive(void *ctx, const uint8_t *bytes, size_t nr)
{
	struct serial *s = ctx;

	nr = min_u64(nr, SERIAL_FIFO - s->nr_fifo);
	memcpy(s->fifo + s->nr_fifo, bytes, nr);
	s->nr_fifo += (unsigned int)nr;
	if (nr && receive_pending(s))
		irq_raise(&s->irq);
	return nr;
}

static void transmit_ready(void *ctx)
{
	struct serial *s = ctx;

	s->transmitted = true;
	if (transmit_pending(s))
		irq_raise(&s->irq);
}

static void write_tx(struct serial *s, uint8_t byte)
{
	if (s->mcr & UART_MCR_LOOP) {
		(void)!receive(s, &byte, 1);
		return;
	}
	s->host.put(s->host.ctx, &byte, 1);
	/* The byte is gone at once, unless nobody takes it: then transmit_ready() says so. */
	if (can_transmit(s))
		transmit_ready(s);
}

static void write_ier(struct serial *s, uint8_t ier)
{
	bool thri_on = ier & UART_IER_THRI && !(s->ier & UART_IER_THRI);

	s->ier = ier & 0xf;
	/* Enabling the interrupt while the transmitter is empty is a cause of its own. */
	if (thri_on && can_transmit(s))
		s->transmitted = true;
	if (transmit_pending(s) || receive_pending(s))
		irq_raise(&s->irq);
}

static void write_fcr(struct serial *s, uint8_t fcr)
{
	s->fifo_enabled = fcr & UART_FCR_ENABLE_FIFO;
	if (fcr & UART_FCR_CLEAR_RCVR)
		clear_input(s);
}

static uint8_t read_register(struct serial *s, uint64_t offset)
{
	bool divisor = s->lcr & UART_LCR_DLAB;

	switch (offset) {
	case UART_RX: return divisor ? s->dll : read_rx(s);
	case UART_IER: return divisor ? s->dlm : s->ier;
	case UART_IIR: return read_iir(s);
	case UART_LCR: return s->lcr;
	case UART_MCR: return s->mcr;
	case UART_LSR: return read_lsr(s);
	case UART_MSR: return read_msr(s);
	default: return s->scr;
	}
}

static void write_register(struct serial *s, uint64_t offset, uint8_t value)
{
	bool divisor = s->lcr & UART_LCR_DLAB;

	switch (offset) {
	case UART_TX:
		if (divisor)
			s->dll = value;
		else
			write_tx(s, value);
		break;
	case UART_IER:
		if (divisor)
			s->dlm = value;
		else
			write_ier(s, value);
		break;
	case UART_FCR: write_fcr(s, value); break;
	case UART_LCR: s->lcr = value; break;
	case UART_MCR: s->mcr = value & 0x1f; break;
	case UART_SCR: s->scr = value; break;
	}
}

void serial_access(void *ctx, struct bus_access *access)
{
	struct serial *s = ctx;

	if (access->bytes != 1) /* the chip has an 8-bit bus */
		return;
	if (access->is_write)
		write_register(s, access->offset, (uint8_t)access->value);
	else
		access->value = read_register(s, access->offset);
}

struct guest_end serial_guest_end(struct serial *s)
{
	return (struct guest_end){ .receive = receive, .transmit_ready = transmit_ready, .ctx = s };
}
