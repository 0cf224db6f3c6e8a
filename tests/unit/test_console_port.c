/* SPDX-License-Identifier: Apache-2.0 */
/* test_console_port.c - the tail, slow and absent readers, and input that waits. */
#include <criterion/criterion.h>
#include <linux/serial_reg.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/clock.h"
#include "vmm/console_port.h"

#define TURNS 40 /* more than anything here takes */

static struct loop *loop;
static struct serial serial;
static struct console_port *port;
static int ours, theirs, input; /* a peer's socket, its other end, and the first once more */
static unsigned int nr_gone, nr_quit;

static void no_interrupt(void *ctx) { (void)ctx; }
static void gone(void *ctx) { (void)ctx, nr_gone++; }
static void quit(void *ctx) { (void)ctx, nr_quit++; }

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	serial = (struct serial){ .irq = { no_interrupt, NULL } };
	serial_reset(&serial);
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(console_port_new(&port, loop, &serial), 0);
	nr_gone = nr_quit = 0;
}

static void teardown(void)
{
	console_port_free(port);
	loop_free(loop);
}

TestSuite(console_port, .init = setup, .fini = teardown, .timeout = 30);

static void stop_loop(void *ctx) { loop_stop(ctx); }

/* Lets the loop do all there is to do. */
static void settle(void)
{
	struct loop_timer timer = { .fn = stop_loop, .ctx = loop };

	for (unsigned int i = 0; i < TURNS; i++) {
		loop_timer_set(loop, &timer, 1);
		cr_assert_eq(loop_run(loop), 0);
	}
}

static void attach(bool interactive)
{
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ours = pair[0];
	theirs = pair[1];
	input = dup(ours);
	console_port_attach(port, &(struct console_peer){ .in_fd = input,
							  .out = output_open(ours),
							  .interactive = interactive,
							  .gone = gone,
							  .quit = quit });
	settle();
}

static void close_ours(void)
{
	close(ours);
	close(input);
}

/* The N-th byte that the guest ever puts. */
static uint8_t nth(uint64_t n) { return (uint8_t)(n * 7 + n / 256); }

static uint64_t nr_put;
static bool put(void)
{
	if (!serial.can_transmit(serial.ctx))
		return false;
	serial.transmit(serial.ctx, nth(nr_put++));
	return true;
}

/* Reads all there is; it must be the guest's bytes from number FROM on. How many. */
static uint64_t expect_from(uint64_t from)
{
	uint64_t nr = 0;
	uint8_t byte;

	for (;;) {
		if (read(theirs, &byte, 1) == 1) {
			cr_assert_eq(byte, nth(from + nr), "byte %lu", (unsigned long)(from + nr));
			nr++;
			continue;
		}
		settle();
		if (recv(theirs, &byte, 1, MSG_PEEK) != 1)
			return nr;
	}
}

Test(console_port, guest_goes_on_without_a_reader_and_the_tail_is_kept)
{
	nr_put = 0;
	for (unsigned int i = 0; i < 3 * CONSOLE_TAIL_BYTES + 5; i++)
		cr_assert(put());
	attach(false);
	cr_assert(console_port_is_read(port));
	cr_expect_eq(expect_from(nr_put - CONSOLE_TAIL_BYTES), CONSOLE_TAIL_BYTES);
	put();
	settle();
	cr_expect_eq(expect_from(nr_put - 1), 1);
	close(theirs);
	settle();
	cr_expect_eq(nr_gone, 1);
	cr_expect_not(console_port_is_attached(port));
	close_ours();
	/* The next one gets the tail again, as it now is. */
	put();
	attach(false);
	cr_expect_eq(expect_from(nr_put - CONSOLE_TAIL_BYTES), CONSOLE_TAIL_BYTES);
	close(theirs);
	settle();
	close_ours();
}

Test(console_port, slow_reader_makes_the_port_busy_and_misses_nothing)
{
	attach(false);
	nr_put = 0;
	do
		settle();
	while (put());
	cr_expect_gt(nr_put, CONSOLE_TAIL_BYTES - SERIAL_TRANSMIT_FIFO);
	/* A driver may write a FIFO's worth once it has seen room. */
	cr_expect_eq(expect_from(0), nr_put);
	cr_expect(put());
	settle();
	cr_expect_eq(expect_from(nr_put - 1), 1);
	close(theirs);
	settle();
	close_ours();
}

Test(console_port, reader_that_goes_away_lets_a_waiting_guest_go_on)
{
	attach(false);
	nr_put = 0;
	do
		settle();
	while (put());
	serial.ier = UART_IER_THRI;
	serial.transmitted = false;
	close(theirs);
	settle();
	cr_expect_eq(nr_gone, 1);
	cr_expect(serial.transmitted, "an interrupt-driven guest waits for this");
	cr_expect(put());
	close_ours();
}

Test(console_port, detach_lets_a_waiting_guest_go_on)
{
	attach(false);
	nr_put = 0;
	do
		settle();
	while (put());
	serial.transmitted = false;
	console_port_detach(port);
	cr_expect(serial.transmitted);
	cr_expect(put());
	cr_expect_eq(nr_gone, 0);
	close(theirs);
	close_ours();
}

static uint8_t guest_reads(void)
{
	struct bus_access access = { .offset = UART_RX, .bytes = 1 };

	serial_access(&serial, &access);
	settle();
	return (uint8_t)access.value;
}

Test(console_port, input_waits_for_the_guest_even_when_its_sender_has_gone)
{
	uint8_t sent[CONSOLE_INPUT_BYTES + 1000];

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = nth(i);
	attach(false);
	cr_assert_eq(write(theirs, sent, sizeof(sent)), (ssize_t)sizeof(sent));
	close(theirs);
	settle();
	cr_expect_not(console_port_is_read(port), "nobody is there");
	cr_expect(console_port_is_attached(port), "but there is input left");
	for (size_t i = 0; i < sizeof(sent); i++)
		cr_assert_eq(guest_reads(), sent[i], "byte %zu", i);
	cr_expect_eq(nr_gone, 1);
	close_ours();
}

Test(console_port, reset_of_the_port_does_not_stop_the_input)
{
	uint8_t sent[SERIAL_FIFO + 1] = { 0 };

	sent[SERIAL_FIFO] = 'z';
	attach(false);
	cr_assert_eq(write(theirs, sent, sizeof(sent)), (ssize_t)sizeof(sent));
	settle();
	cr_assert_eq(serial_room(&serial), 0);
	serial_reset(&serial);
	settle();
	cr_expect_eq(guest_reads(), 'z');
	close(theirs);
	settle();
	close_ours();
}

Test(console_port, escape_key_works_when_the_guest_does_not_read)
{
	uint8_t sent[2 * CONSOLE_INPUT_BYTES] = { 0 };

	attach(true);
	cr_assert_eq(write(theirs, sent, sizeof(sent)), (ssize_t)sizeof(sent));
	cr_assert_eq(write(theirs, "\1x", 2), 2);
	settle();
	cr_expect_eq(nr_quit, 1);
	close(theirs);
	settle();
	close_ours();
}

Test(console_port, half_closed_peer_still_reads)
{
	attach(false);
	shutdown(theirs, SHUT_WR);
	settle();
	cr_expect(console_port_is_read(port));
	nr_put = 0;
	put();
	settle();
	cr_expect_eq(expect_from(0), 1);
	cr_expect_eq(nr_gone, 0);
	close(theirs);
	settle();
	cr_expect_eq(nr_gone, 1);
	close_ours();
}

/* --- excerpts ---------------------------------------------------------------------------------- */

static void say(const char *text)
{
	for (; *text; text++)
		serial.transmit(serial.ctx, (uint8_t)*text);
}

static void excerpt_is(size_t bytes, unsigned int lines, const char *expected)
{
	char text[256];

	memset(text, 'x', sizeof(text));
	console_port_excerpt(port, text, bytes, lines);
	cr_assert_str_eq(text, expected);
	for (size_t i = bytes; i < sizeof(text); i++)
		cr_assert_eq(text[i], 'x', "byte %zu of %zu", i, bytes);
}

Test(console_port, an_excerpt_is_the_last_lines_for_a_log)
{
	excerpt_is(64, 5, "  (nothing)");
	say("one\r\ntwo\r\n");
	excerpt_is(64, 5, "  one\n  two");
	excerpt_is(64, 1, "  two");
	say("\r\n\r\n");
	excerpt_is(64, 5, "  one\n  two");
	say("\r\nfour, without an end");
	excerpt_is(64, 1, "  four, without an end");
	excerpt_is(64, 2, "  \n  four, without an end");
}

Test(console_port, an_excerpt_shows_nothing_that_a_terminal_would_obey)
{
	say("\033[31mred\033[0m \a\x7f\ttab gr\xc3\xbcn \xff\xc3\r\n");
	excerpt_is(64, 5, "  ?[31mred?[0m ??\ttab gr\xc3\xbcn ??");
}

Test(console_port, an_excerpt_is_as_long_as_there_is_room)
{
	say("0123456789\n0123456789\n0123456789\n");
	excerpt_is(39, 9, "  0123456789\n  0123456789\n  0123456789");
	excerpt_is(38, 9, "  123456789\n  0123456789\n  0123456789");
	excerpt_is(30, 9, "  9\n  0123456789\n  0123456789");
	excerpt_is(8, 9, "  56789");
	excerpt_is(4, 9, "  9");
}

Test(console_port, an_excerpt_of_a_tail_that_went_round)
{
	for (unsigned int i = 0; i < CONSOLE_TAIL_BYTES / 8 + 5; i++)
		say("1234567\n");
	excerpt_is(40, 3, "  1234567\n  1234567\n  1234567");
	for (unsigned int i = 0; i < CONSOLE_TAIL_BYTES; i++)
		say("\r");
	excerpt_is(40, 3, "  (nothing)");
}
