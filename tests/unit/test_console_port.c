/* SPDX-License-Identifier: Apache-2.0 */
/* test_console_port.c - the tail, slow and absent readers, and input that waits; channels. */
#include <criterion/criterion.h>
#include <linux/serial_reg.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "devices/serial.h"
#include "vmm/base/clock.h"
#include "vmm/chardev/chardev.h"

#define TURNS 40 /* more than anything here takes */

static struct loop *loop;
static struct serial serial;
static struct chardev *port;
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
	cr_assert_eq(chardev_new(&port, loop, serial_guest_end(&serial), CONSOLE_PORT), 0);
	serial.host = chardev_host_end(port);
	nr_gone = nr_quit = 0;
}

static void teardown(void)
{
	chardev_free(port);
	loop_free(loop);
}

TestSuite(console_port, .init = setup, .fini = teardown, .timeout = 240);

/* The guest's end of a channel: takes as much input as it is allowed to. */
static char taken[2 * CONSOLE_INPUT_BYTES];
static size_t nr_taken, nr_allowed;
static unsigned int nr_opened, nr_closed, nr_ready;
static struct host_end host;

static size_t channel_receive(void *ctx, const uint8_t *bytes, size_t nr)
{
	(void)ctx;
	nr = min_u64(nr, nr_allowed);
	nr_allowed -= nr;
	memcpy(taken + nr_taken, bytes, nr);
	nr_taken += nr;
	return nr;
}

static void channel_ready(void *ctx) { (void)ctx, nr_ready++; }

static void channel_host_opened(void *ctx, bool open)
{
	(void)ctx;
	nr_opened += open;
	nr_closed += !open;
}

static void setup_channel(void)
{
	struct guest_end guest = { channel_receive, channel_ready, channel_host_opened, NULL };

	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(chardev_new(&port, loop, guest, CHANNEL_PORT), 0);
	host = chardev_host_end(port);
	nr_gone = nr_opened = nr_closed = nr_ready = 0;
	nr_taken = nr_allowed = 0;
}

TestSuite(channel_port, .init = setup_channel, .fini = teardown, .timeout = 240);

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
	chardev_attach(port, &(struct console_peer){ .in_fd = input,
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
	uint8_t byte = nth(nr_put);

	if (serial.host.room(serial.host.ctx) < SERIAL_TRANSMIT_FIFO)
		return false;
	serial.host.put(serial.host.ctx, &byte, 1);
	nr_put++;
	return true;
}

/* Puts bytes until a reader that takes none makes the port busy. */
static void put_until_busy(void)
{
	bool any;

	nr_put = 0;
	do {
		settle();
		for (any = false; put(); any = true)
			;
	} while (any);
}

/* Reads all there is; it must be the guest's bytes from number FROM on. How many. */
static uint64_t expect_from(uint64_t from)
{
	uint8_t got[4096];
	uint64_t nr = 0;
	ssize_t n;

	for (;;) {
		while ((n = read(theirs, got, sizeof(got))) > 0)
			for (ssize_t i = 0; i < n; i++, nr++)
				cr_assert_eq(got[i], nth(from + nr), "byte %lu", (unsigned long)(from + nr));
		settle();
		if (recv(theirs, got, 1, MSG_PEEK) != 1)
			return nr;
	}
}

Test(console_port, guest_goes_on_without_a_reader_and_the_tail_is_kept)
{
	nr_put = 0;
	for (unsigned int i = 0; i < 3 * CONSOLE_TAIL_BYTES + 5; i++)
		cr_assert(put());
	attach(false);
	cr_assert(chardev_is_read(port));
	cr_expect_eq(expect_from(nr_put - CONSOLE_TAIL_BYTES), CONSOLE_TAIL_BYTES);
	put();
	settle();
	cr_expect_eq(expect_from(nr_put - 1), 1);
	close(theirs);
	settle();
	cr_expect_eq(nr_gone, 1);
	cr_expect_not(chardev_is_attached(port));
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
	put_until_busy();
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
	put_until_busy();
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
	put_until_busy();
	serial.transmitted = false;
	chardev_detach(port);
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
	cr_expect_not(chardev_is_read(port), "nobody is there");
	cr_expect(chardev_is_attached(port), "but there is input left");
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
	cr_assert_eq(serial.nr_fifo, SERIAL_FIFO);
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
	cr_expect(chardev_is_read(port));
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
	serial.host.put(serial.host.ctx, (const uint8_t *)text, strlen(text));
}

static void excerpt_is(size_t bytes, unsigned int lines, const char *expected)
{
	char text[256];

	memset(text, 'x', sizeof(text));
	chardev_excerpt(port, text, bytes, lines);
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

/* --- a channel ---------------------------------------------------------------------------------- */

static void channel_put(const char *text)
{
	host.put(host.ctx, (const uint8_t *)text, strlen(text));
}

static void expect_output(const char *text)
{
	char got[64] = { 0 };

	settle();
	(void)!read(theirs, got, sizeof(got) - 1);
	cr_assert_str_eq(got, text);
}

static void hang_up(void)
{
	close(theirs);
	settle();
	close_ours();
}

Test(channel_port, shows_a_peer_nothing_from_before_it_came)
{
	channel_put("before");
	attach(false);
	cr_expect_eq(nr_opened, 1);
	expect_output("");
	channel_put("now");
	expect_output("now");
	hang_up();
	cr_expect_eq(nr_gone, 1);
	cr_expect_eq(nr_closed, 1);
	channel_put("between");
	attach(false);
	cr_expect_eq(nr_opened, 2);
	expect_output("");
	hang_up();
}

Test(channel_port, what_a_stalled_peer_did_not_get_is_not_the_next_ones)
{
	static uint8_t much[CONSOLE_TAIL_BYTES];

	attach(false);
	while (host.room(host.ctx)) {
		host.put(host.ctx, much, min_u64(sizeof(much), host.room(host.ctx)));
		settle();
	}
	cr_expect_eq(nr_closed, 0);
	nr_ready = 0;
	hang_up();
	cr_expect_eq(nr_ready, 1, "the guest goes on");
	cr_expect_eq(host.room(host.ctx), CONSOLE_TAIL_BYTES);
	attach(false);
	expect_output("");
	hang_up();
}

Test(channel_port, input_of_a_peer_that_has_hung_up_reaches_a_guest_that_has_its_end_open)
{
	host.guest_opened(host.ctx, true);
	attach(false);
	cr_assert_eq(write(theirs, "0123456789", 10), 10);
	nr_allowed = 4;
	host.can_receive(host.ctx);
	settle();
	cr_expect_eq(nr_taken, 4);
	close(theirs);
	settle();
	cr_expect_eq(nr_closed, 0, "there is more to come");
	nr_allowed = 10;
	host.can_receive(host.ctx);
	settle();
	cr_expect_eq(nr_taken, 10);
	cr_expect_eq(memcmp(taken, "0123456789", 10), 0);
	cr_expect_eq(nr_closed, 1);
	cr_expect_eq(nr_gone, 1);
	close_ours();
}

Test(channel_port, input_of_a_peer_that_has_hung_up_is_lost_when_the_guest_closes_its_end)
{
	host.guest_opened(host.ctx, true);
	attach(false);
	cr_assert_eq(write(theirs, "old", 3), 3);
	close(theirs);
	settle();
	cr_expect_eq(nr_gone, 0);
	host.guest_opened(host.ctx, false);
	settle();
	cr_expect_eq(nr_gone, 1);
	close_ours();
	attach(false);
	cr_assert_eq(write(theirs, "new", 3), 3);
	nr_allowed = 10;
	host.guest_opened(host.ctx, true);
	settle();
	cr_expect_eq(nr_taken, 3);
	cr_expect_eq(memcmp(taken, "new", 3), 0);
	hang_up();
}

Test(channel_port, input_waits_for_the_guest_to_open_its_end)
{
	attach(false);
	cr_assert_eq(write(theirs, "early", 5), 5);
	settle();
	cr_expect_eq(nr_taken, 0);
	nr_allowed = 10;
	host.guest_opened(host.ctx, true);
	settle();
	cr_expect_eq(nr_taken, 5);
	hang_up();
}

Test(channel_port, no_more_is_read_than_the_guest_takes)
{
	uint8_t much[4 * CONSOLE_INPUT_BYTES] = { 0 };
	int size = 0;

	host.guest_opened(host.ctx, true);
	attach(false);
	cr_assert_eq(write(theirs, much, sizeof(much)), (ssize_t)sizeof(much));
	settle();
	cr_assert_eq(ioctl(ours, FIONREAD, &size), 0);
	cr_expect_eq(size, 3 * CONSOLE_INPUT_BYTES, "the rest waits in the socket");
	hang_up();
}
