/* SPDX-License-Identifier: Apache-2.0 */
/* test_serial.c - a 16550A as its driver sees it: data, causes of interrupts, loopback. */
#include <criterion/criterion.h>
#include <linux/serial_reg.h>
#include <string.h>

#include "devices/serial.h"

#define IIR_CAUSE 0x0f
#define IIR_FIFO 0xc0

static char output[256];
static unsigned int nr_output, nr_interrupts, nr_room;
static bool taken; /* whether somebody takes the output */

static void interrupt(void *ctx)
{
	(void)ctx;
	nr_interrupts++;
}

static size_t room(void *ctx)
{
	(void)ctx;
	return taken ? SERIAL_TRANSMIT_FIFO : SERIAL_TRANSMIT_FIFO - 1;
}

static void transmit(void *ctx, const uint8_t *bytes, size_t nr)
{
	(void)ctx;
	cr_assert_leq(nr_output + nr, sizeof(output));
	memcpy(output + nr_output, bytes, nr);
	nr_output += (unsigned int)nr;
}

static void can_receive(void *ctx)
{
	(void)ctx;
	nr_room++;
}

static struct serial serial;
static struct guest_end guest;

static void setup(void)
{
	taken = true;
	/* As left by an earlier boot. */
	memset(&serial, 0xff, sizeof(serial));
	serial.irq = (struct irq_line){ interrupt, NULL };
	serial.host = (struct host_end){ .room = room, .put = transmit, .can_receive = can_receive };
	guest = serial_guest_end(&serial);
	serial.fifo_enabled = serial.transmitted = true;
	serial.nr_fifo = SERIAL_FIFO;
	serial_reset(&serial);
	nr_output = nr_interrupts = nr_room = 0;
}

TestSuite(serial, .init = setup);

static uint8_t get(unsigned int reg)
{
	struct bus_access access = { .offset = reg, .bytes = 1 };

	serial_access(&serial, &access);
	return (uint8_t)access.value;
}

static void put(unsigned int reg, unsigned int value)
{
	struct bus_access access = { .offset = reg, .bytes = 1, .is_write = true, .value = value };

	serial_access(&serial, &access);
}

static void receive(const char *text)
{
	cr_assert_eq(guest.receive(guest.ctx, (const uint8_t *)text, strlen(text)), strlen(text));
}

static unsigned int cause(void) { return get(UART_IIR) & IIR_CAUSE; }

Test(serial, reset_leaves_an_idle_port)
{
	cr_assert_eq(get(UART_IER), 0);
	cr_assert_eq(get(UART_IIR), UART_IIR_NO_INT);
	cr_assert_eq(get(UART_LCR), 0);
	cr_assert_eq(get(UART_MCR), 0);
	cr_assert_eq(get(UART_SCR), 0);
	cr_assert_eq(get(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	cr_assert_eq(get(UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
	cr_assert_eq(serial.nr_fifo, 0);
	cr_assert_eq(get(UART_RX), 0);
	cr_assert_eq(nr_interrupts, 0);
}

Test(serial, written_bytes_go_out_in_order)
{
	for (const char *c = "hello"; *c; c++)
		put(UART_TX, (uint8_t)*c);
	cr_assert_eq(nr_output, 5);
	cr_assert_eq(memcmp(output, "hello", 5), 0);
	cr_assert_eq(nr_interrupts, 0);
}

Test(serial, received_bytes_are_read_in_order_and_make_room)
{
	receive("abc");
	cr_assert_eq(serial.nr_fifo, 3);
	for (const char *c = "abc"; *c; c++) {
		cr_assert(get(UART_LSR) & UART_LSR_DR);
		cr_assert_eq(get(UART_RX), *c);
	}
	cr_assert_not(get(UART_LSR) & UART_LSR_DR);
	cr_assert_eq(serial.nr_fifo, 0);
	cr_assert_eq(nr_room, 3);
	cr_assert_eq(get(UART_RX), 0, "nothing is left");
	cr_assert_eq(nr_room, 3);
}

Test(serial, reset_makes_room_and_says_so)
{
	serial_reset(&serial);
	cr_assert_eq(nr_room, 0, "there was room");
	receive("abc");
	serial_reset(&serial);
	cr_assert_eq(serial.nr_fifo, 0);
	cr_assert_eq(nr_room, 1, "else who waits for room would wait for ever");
}

Test(serial, full_buffer_takes_no_more_and_keeps_what_it_took)
{
	uint8_t bytes[SERIAL_FIFO + 1];

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	cr_assert_eq(guest.receive(guest.ctx, bytes, sizeof(bytes)), SERIAL_FIFO);
	cr_assert_eq(guest.receive(guest.ctx, bytes, 1), 0);
	for (unsigned int i = 0; i < SERIAL_FIFO; i++)
		cr_assert_eq(get(UART_RX), i);
}

Test(serial, input_interrupts_only_when_enabled)
{
	receive("a");
	cr_assert_eq(nr_interrupts, 0);
	cr_assert_eq(cause(), UART_IIR_NO_INT);
	put(UART_IER, UART_IER_RDI);
	cr_assert_eq(nr_interrupts, 1, "what waits already is a cause");
	cr_assert_eq(cause(), UART_IIR_RDI);
	receive("b");
	cr_assert_eq(nr_interrupts, 2);
	get(UART_RX);
	cr_assert_eq(cause(), UART_IIR_RDI, "one byte is left");
	get(UART_RX);
	cr_assert_eq(cause(), UART_IIR_NO_INT);
}

Test(serial, empty_transmitter_interrupts_when_enabled_and_after_each_byte)
{
	put(UART_IER, UART_IER_THRI);
	cr_assert_eq(nr_interrupts, 1);
	cr_assert_eq(cause(), UART_IIR_THRI);
	cr_assert_eq(cause(), UART_IIR_NO_INT, "reading the cause clears it");
	put(UART_TX, 'x');
	cr_assert_eq(nr_interrupts, 2);
	cr_assert_eq(cause(), UART_IIR_THRI);
}

Test(serial, enabling_twice_is_no_new_cause)
{
	put(UART_IER, UART_IER_THRI);
	cause();
	put(UART_IER, UART_IER_THRI);
	cr_assert_eq(cause(), UART_IIR_NO_INT);
	/* Linux tests a port this way: off and on again gives the interrupt again. */
	put(UART_IER, 0);
	put(UART_IER, UART_IER_THRI);
	cr_assert_eq(cause(), UART_IIR_THRI);
}

Test(serial, input_is_more_urgent_than_output_and_hides_it)
{
	put(UART_IER, UART_IER_THRI | UART_IER_RDI);
	receive("a");
	cr_assert_eq(cause(), UART_IIR_RDI);
	cr_assert_eq(cause(), UART_IIR_RDI);
	get(UART_RX);
	cr_assert_eq(cause(), UART_IIR_THRI, "not lost meanwhile");
}

Test(serial, busy_transmitter_shows_and_interrupts_when_it_is_empty_again)
{
	put(UART_IER, UART_IER_THRI);
	cause();
	nr_interrupts = 0;
	taken = false;
	cr_assert_not(get(UART_LSR) & (UART_LSR_THRE | UART_LSR_TEMT));
	put(UART_TX, 'x');
	cr_assert_eq(nr_interrupts, 0);
	cr_assert_eq(cause(), UART_IIR_NO_INT);
	put(UART_IER, 0);
	put(UART_IER, UART_IER_THRI);
	cr_assert_eq(cause(), UART_IIR_NO_INT, "enabling while it is busy is no cause");
	taken = true;
	guest.transmit_ready(guest.ctx);
	cr_assert_eq(nr_interrupts, 1);
	cr_assert_eq(cause(), UART_IIR_THRI);
	cr_assert(get(UART_LSR) & UART_LSR_THRE);
}

Test(serial, transmitter_that_becomes_empty_is_silent_when_not_enabled)
{
	guest.transmit_ready(guest.ctx);
	cr_assert_eq(nr_interrupts, 0);
	cr_assert_eq(cause(), UART_IIR_NO_INT);
}

Test(serial, divisor_latch_hides_data_and_interrupt_registers)
{
	put(UART_IER, UART_IER_RDI);
	put(UART_LCR, UART_LCR_DLAB);
	put(UART_DLL, 0x34);
	put(UART_DLM, 0x12);
	cr_assert_eq(get(UART_DLL), 0x34);
	cr_assert_eq(get(UART_DLM), 0x12);
	cr_assert_eq(nr_output, 0);
	receive("a");
	cr_assert_eq(get(UART_RX), 0x34, "the byte stays");
	put(UART_LCR, UART_LCR_WLEN8);
	cr_assert_eq(get(UART_IER), UART_IER_RDI);
	cr_assert_eq(get(UART_RX), 'a');
}

Test(serial, fifo_can_be_enabled_found_and_cleared)
{
	cr_assert_eq(get(UART_IIR) & IIR_FIFO, 0);
	put(UART_FCR, UART_FCR_ENABLE_FIFO);
	cr_assert_eq(get(UART_IIR) & IIR_FIFO, IIR_FIFO, "a 16550A");
	receive("abc");
	put(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	cr_assert_not(get(UART_LSR) & UART_LSR_DR);
	cr_assert_eq(serial.nr_fifo, 0);
	cr_assert_eq(nr_room, 1, "who waited for room hears of it");
	put(UART_FCR, 0);
	cr_assert_eq(get(UART_IIR) & IIR_FIFO, 0);
}

Test(serial, loopback_returns_bytes_and_modem_lines_as_drivers_test_them)
{
	put(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	cr_assert_eq(get(UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	put(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1 | UART_MCR_DTR);
	cr_assert_eq(get(UART_MSR) & 0xf0, UART_MSR_RI | UART_MSR_DSR);
	put(UART_TX, 'x');
	cr_assert_eq(nr_output, 0, "nothing leaves the chip");
	cr_assert_eq(get(UART_RX), 'x');
}

Test(serial, loopback_into_a_full_buffer_drops_the_byte)
{
	put(UART_MCR, UART_MCR_LOOP);
	for (unsigned int i = 0; i < SERIAL_FIFO + 10; i++)
		put(UART_TX, i);
	cr_assert_eq(serial.nr_fifo, SERIAL_FIFO);
	for (unsigned int i = 0; i < SERIAL_FIFO; i++)
		cr_assert_eq(get(UART_RX), i);
	cr_assert_not(get(UART_LSR) & UART_LSR_DR);
}

Test(serial, scratch_register_keeps_a_byte_and_upper_bits_that_are_none_read_zero)
{
	put(UART_SCR, 0xa5);
	cr_assert_eq(get(UART_SCR), 0xa5);
	put(UART_IER, 0xff);
	cr_assert_eq(get(UART_IER), 0x0f);
	put(UART_MCR, 0xff);
	cr_assert_eq(get(UART_MCR), 0x1f);
}

Test(serial, status_registers_ignore_writes)
{
	put(UART_LSR, 0);
	put(UART_MSR, 0);
	cr_assert_eq(get(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	cr_assert_eq(get(UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
}

Test(serial, access_wider_than_a_byte_changes_nothing)
{
	receive("a");
	for (unsigned int bytes = 2; bytes <= 8; bytes *= 2) {
		struct bus_access access = { .offset = UART_RX, .bytes = bytes, .value = 7 };

		serial_access(&serial, &access);
		cr_assert_eq(access.value, 7);
		access.is_write = true;
		serial_access(&serial, &access);
	}
	cr_assert_eq(nr_output, 0);
	cr_assert_eq(get(UART_RX), 'a');
}
