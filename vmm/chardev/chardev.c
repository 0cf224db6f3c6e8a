/* SPDX-License-Identifier: Apache-2.0 */
/* chardev.c - the two directions of a port and who is attached. */
#include "vmm/chardev/chardev.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "devices/serial.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/base/utf8.h"
#include "vmm/chardev/escape.h"

#define LAST_FLUSH_MS 500

struct chardev {
	struct loop *loop;
	struct guest_end guest;
	bool is_channel;
	bool guest_open; /* of a channel */
	int wake_fd; /* a vCPU thread has put output, or made room for input */

	bool attached;
	struct console_peer peer;
	struct escape escape;
	bool input_open, input_watched; /* watched: it is in the loop */
	bool output_open;
	bool output_pollable; /* false for a regular file: always writable */
	bool output_watched;  /* waiting for room */

	uint8_t input[CONSOLE_INPUT_BYTES];
	size_t nr_input;
	uint64_t nr_put, nr_sent; /* bytes of output ever: from the guest, to the peer */
	uint8_t tail[CONSOLE_TAIL_BYTES];
};

bool chardev_is_attached(const struct chardev *p) { return p->attached; }

bool chardev_is_read(const struct chardev *p) { return p->attached && p->output_open; }

static size_t room(void *ctx)
{
	const struct chardev *p = ctx;

	return CONSOLE_TAIL_BYTES - (chardev_is_read(p) ? p->nr_put - p->nr_sent : 0);
}

/* With less a serial port looks busy, and a channel has none at all: its guest uses all it finds. */
static bool has_room(struct chardev *p) { return room(p) >= SERIAL_TRANSMIT_FIFO; }

/* Input of a peer that has hung up, which the guest is still to get. */
static bool input_waits(const struct chardev *p)
{
	if (p->is_channel)
		return p->guest_open && (p->input_open || p->nr_input);
	return p->input_open;
}

/* Both directions over: nobody is there any more. */
static void check_gone(struct chardev *p)
{
	if (!p->attached || p->output_open || input_waits(p))
		return;
	chardev_detach(p);
	if (p->peer.gone)
		p->peer.gone(p->peer.ctx);
}

/* --- output ---------------------------------------------------------------------------------- */

/* One write; false when nothing more goes now. */
static bool write_some(struct chardev *p)
{
	size_t start = p->nr_sent % CONSOLE_TAIL_BYTES;
	size_t run = min_u64(p->nr_put - p->nr_sent, CONSOLE_TAIL_BYTES - start);
	ssize_t n;

	if (!run || !chardev_is_read(p))
		return false;
	n = output_write(&p->peer.out, p->tail + start, run);
	if (n < 0 && n != -EAGAIN)
		p->output_open = false; /* the guest goes on without a reader */
	if (n <= 0)
		return false;
	p->nr_sent += (uint64_t)n;
	return true;
}

static void watch_output(struct chardev *p)
{
	bool waits = p->nr_put != p->nr_sent;

	if (!p->output_pollable)
		return;
	if (!p->output_open) {
		/* Left in the loop it would report its error for ever. */
		loop_remove(p->loop, p->peer.out.fd);
		p->output_pollable = false;
	} else if (waits != p->output_watched) {
		p->output_watched = waits;
		loop_modify(p->loop, p->peer.out.fd, waits ? EPOLLOUT : 0);
	}
}

/* CLOSED: the peer has hung up. */
static void flush(struct chardev *p, bool closed)
{
	bool was_full = !has_room(p);

	if (!p->attached)
		return;
	if (closed)
		p->output_open = false;
	while (write_some(p))
		;
	watch_output(p);
	if (was_full && has_room(p))
		p->guest.transmit_ready(p->guest.ctx);
	check_gone(p);
}

static void on_output_room(void *ctx, uint32_t events)
{
	flush(ctx, events & (EPOLLERR | EPOLLHUP));
}

static void put(void *ctx, const uint8_t *bytes, size_t nr)
{
	struct chardev *p = ctx;
	bool was_idle = p->nr_put == p->nr_sent;

	/* Of a busy port what does not fit: the guest wrote all the same. */
	nr = min_u64(nr, room(p));
	while (nr) {
		size_t start = p->nr_put % CONSOLE_TAIL_BYTES;
		size_t run = min_u64(nr, CONSOLE_TAIL_BYTES - start);

		memcpy(p->tail + start, bytes, run);
		p->nr_put += run;
		bytes += run;
		nr -= run;
	}
	if (was_idle && chardev_is_read(p))
		event_raise(&p->wake_fd);
}

static uint8_t byte_at(const struct chardev *p, uint64_t i)
{
	return p->tail[i % CONSOLE_TAIL_BYTES];
}

/* How far back to go for LINES lines of at most BYTES, blanks included, that end at END. */
static uint64_t excerpt_start(const struct chardev *p, uint64_t end, size_t bytes,
			      unsigned int lines)
{
	uint64_t oldest = p->nr_put - min_u64(p->nr_put, CONSOLE_TAIL_BYTES), at = end;

	for (bytes -= 3; at > oldest && bytes; at--, bytes--) {
		if (byte_at(p, at - 1) != '\n')
			continue;
		if (!--lines || bytes < 3)
			break;
		bytes -= 2;
	}
	return at;
}

void chardev_excerpt(const struct chardev *p, char *text, size_t bytes,
			  unsigned int lines)
{
	uint64_t end = p->nr_put;
	size_t used = 0;

	while (end && end + CONSOLE_TAIL_BYTES > p->nr_put && strchr("\r\n", byte_at(p, end - 1)))
		end--;
	for (uint64_t at = excerpt_start(p, end, bytes, lines); at < end; at++) {
		uint8_t c = byte_at(p, at);

		if (c == '\r')
			continue;
		if (!used || text[used - 1] == '\n')
			text[used++] = ' ', text[used++] = ' ';
		text[used++] = c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f) ? (char)c : '?';
	}
	text[used] = 0;
	utf8_clean(text);
	if (!used)
		snprintf(text, bytes, "  (nothing)");
}

/* --- input ----------------------------------------------------------------------------------- */

/* Gives the guest what it has room for. */
static void feed(struct chardev *p)
{
	size_t nr = p->nr_input ? p->guest.receive(p->guest.ctx, p->input, p->nr_input) : 0;

	if (!nr)
		return;
	p->nr_input -= nr;
	memmove(p->input, p->input + nr, p->nr_input);
}

static void unwatch_input(struct chardev *p)
{
	if (p->input_watched)
		loop_remove(p->loop, p->peer.in_fd);
	p->input_watched = false;
}

static void take(struct chardev *p, uint8_t *bytes, size_t nr)
{
	bool quit = false;

	if (p->peer.interactive)
		nr = escape_filter(&p->escape, bytes, nr, bytes, &quit);
	nr = min_u64(nr, CONSOLE_INPUT_BYTES - p->nr_input);
	memcpy(p->input + p->nr_input, bytes, nr);
	p->nr_input += nr;
	feed(p);
	if (quit)
		p->peer.quit(p->peer.ctx);
}

static void on_input(void *ctx, uint32_t events)
{
	struct chardev *p = ctx;
	uint8_t bytes[CONSOLE_INPUT_BYTES];
	size_t space = sizeof(bytes);
	ssize_t n;

	(void)events;
	if (!p->peer.interactive)
		space = min_u64(space, CONSOLE_INPUT_BYTES - p->nr_input);
	if (!space) { /* can_receive() brings it back */
		unwatch_input(p);
		return;
	}
	n = read(p->peer.in_fd, bytes, space);
	if (n > 0) {
		take(p, bytes, (size_t)n);
	} else if (!n || (errno != EINTR && errno != EAGAIN)) {
		unwatch_input(p);
		p->input_open = false;
		check_gone(p);
	}
}

static void watch_input(struct chardev *p)
{
	int r;

	if (!p->input_open || p->input_watched)
		return;
	r = loop_add(p->loop, p->peer.in_fd, EPOLLIN, on_input, p);
	p->input_watched = !r;
	if (r == -EPERM) /* a regular file: always readable */
		on_input(p, EPOLLIN);
	else if (r)
		p->input_open = false;
}

/* On a vCPU thread, which must not touch the loop's tables: wake the loop to do it. */
static void can_receive(void *ctx)
{
	struct chardev *p = ctx;

	if (p->nr_input || (p->input_open && !p->input_watched))
		event_raise(&p->wake_fd);
}

/* The same. Closed, it gets no more of a peer that has hung up. */
static void guest_opened(void *ctx, bool open)
{
	struct chardev *p = ctx;

	p->guest_open = open;
	event_raise(&p->wake_fd);
}

/* --- the whole ------------------------------------------------------------------------------- */

static void on_wake(void *ctx, uint32_t events)
{
	struct chardev *p = ctx;

	(void)events;
	if (!event_taken(p->wake_fd))
		return;
	feed(p);
	if (p->attached && p->nr_input < CONSOLE_INPUT_BYTES)
		watch_input(p);
	flush(p, false);
}

int chardev_new(struct chardev **out, struct loop *loop, struct guest_end guest,
		     enum chardev_kind kind)
{
	struct chardev *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return fail(-ENOMEM, "console");
	p->loop = loop;
	p->guest = guest;
	p->is_channel = kind == CHANNEL_PORT;
	p->escape.command = 'x';
	r = event_new(&p->wake_fd);
	if (r) {
		free(p);
		return r;
	}
	r = loop_add(loop, p->wake_fd, EPOLLIN, on_wake, p);
	if (r) {
		close(p->wake_fd);
		free(p);
		return r;
	}
	*out = p;
	return 0;
}

struct host_end chardev_host_end(struct chardev *p)
{
	return (struct host_end){ .room = room,
				  .put = put,
				  .can_receive = can_receive,
				  .guest_opened = guest_opened,
				  .ctx = p };
}

static void tell_guest(struct chardev *p, bool attached)
{
	if (p->guest.host_opened)
		p->guest.host_opened(p->guest.ctx, attached);
}

void chardev_attach(struct chardev *p, const struct console_peer *peer)
{
	assert(!p->attached);
	p->peer = *peer;
	p->escape.typed = false;
	p->attached = p->input_open = p->output_open = true;
	p->output_watched = false;
	p->output_pollable = !loop_add(p->loop, peer->out.fd, 0, on_output_room, p);
	p->nr_sent = p->nr_put - (p->is_channel ? 0 : min_u64(p->nr_put, CONSOLE_TAIL_BYTES));
	/* From the loop, not from here: either can end the peer, which the caller still sets up. */
	event_raise(&p->wake_fd);
	tell_guest(p, true);
}

void chardev_detach(struct chardev *p)
{
	bool was_full = !has_room(p);

	if (!p->attached)
		return;
	unwatch_input(p);
	if (p->output_pollable)
		loop_remove(p->loop, p->peer.out.fd);
	p->attached = p->input_open = p->output_open = p->output_pollable = false;
	if (p->is_channel)
		p->nr_input = 0;
	tell_guest(p, false);
	if (was_full)
		p->guest.transmit_ready(p->guest.ctx);
}

static bool has_unsent(const struct chardev *p)
{
	return chardev_is_read(p) && p->nr_put != p->nr_sent;
}

void chardev_free(struct chardev *p)
{
	if (!p)
		return;
	while (write_some(p))
		;
	for (int waited = 0; has_unsent(p) && waited < LAST_FLUSH_MS; waited += 50) {
		poll(&(struct pollfd){ .fd = p->peer.out.fd, .events = POLLOUT }, 1, 50);
		while (write_some(p))
			;
	}
	chardev_detach(p);
	loop_remove(p->loop, p->wake_fd);
	close(p->wake_fd);
	free(p);
}
