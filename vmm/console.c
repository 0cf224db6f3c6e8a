/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - the serial port on standard input and output. */
#include "vmm/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/terminal.h"

#define BUFFER_BYTES 65536
#define ESCAPE_KEY 1 /* Ctrl-a */
#define LAST_FLUSH_MS 500

struct console {
	struct loop *loop;
	struct serial *serial;
	void (*quit)(void *ctx);
	void *quit_ctx;
	bool interactive;   /* the escape key works */
	bool escaped;	    /* Ctrl-a was typed */
	bool input_watched; /* standard input is in the loop */
	bool input_open;
	int out_fd;	    /* our own description where possible, non-blocking */
	bool own_out_fd;
	bool out_socket;    /* which can't be opened again */
	bool out_watched;   /* waiting for room */
	bool out_pollable;  /* false for a regular file: always writable */
	bool out_closed;
	int wake_fd;	    /* a vCPU thread has put output, or made room for input */
	size_t start, used; /* ring */
	uint8_t buffer[BUFFER_BYTES];
};

static bool has_room(const struct console *c)
{
	return c->out_closed || BUFFER_BYTES - c->used >= SERIAL_TRANSMIT_FIFO;
}

/* One write; false when nothing more goes now. */
static bool write_some(struct console *c)
{
	size_t run = min_u64(c->used, BUFFER_BYTES - c->start);
	ssize_t n;

	if (!run || c->out_closed)
		return false;
	do
		n = c->out_socket ?
			    send(c->out_fd, c->buffer + c->start, run, MSG_DONTWAIT) :
			    write(c->out_fd, c->buffer + c->start, run);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		c->out_closed = true; /* the guest goes on without a console */
	if (n <= 0)
		return false;
	c->start = (c->start + (size_t)n) % BUFFER_BYTES;
	c->used -= (size_t)n;
	return true;
}

static void flush(struct console *c)
{
	bool was_full = !has_room(c);

	while (write_some(c))
		;
	if (c->out_pollable && c->out_closed) {
		/* Left in the loop it would report its error for ever. */
		loop_remove(c->loop, c->out_fd);
		c->out_pollable = false;
	} else if (c->out_pollable && (c->used > 0) != c->out_watched) {
		c->out_watched = c->used > 0;
		loop_modify(c->loop, c->out_fd, c->out_watched ? EPOLLOUT : 0);
	}
	if (was_full && has_room(c))
		serial_transmit_ready(c->serial);
}

static void on_output_room(void *ctx, uint32_t events)
{
	struct console *c = ctx;

	if (events & (EPOLLERR | EPOLLHUP))
		c->out_closed = true; /* nobody reads any more */
	flush(c);
}

static void put(void *ctx, uint8_t byte)
{
	struct console *c = ctx;

	if (c->out_closed || c->used == BUFFER_BYTES)
		return; /* the port looked busy and the guest wrote all the same */
	c->buffer[(c->start + c->used++) % BUFFER_BYTES] = byte;
	if (c->used == 1)
		event_raise(&c->wake_fd);
}

static bool can_put(void *ctx) { return has_room(ctx); }

static void stop_input(struct console *c)
{
	loop_remove(c->loop, STDIN_FILENO);
	c->input_open = false;
	c->input_watched = false;
}

static void pass_on(struct console *c, const uint8_t *bytes, unsigned int nr)
{
	uint8_t out[SERIAL_FIFO];
	unsigned int nr_out = 0;

	for (unsigned int i = 0; i < nr; i++) {
		if (c->interactive && !c->escaped && bytes[i] == ESCAPE_KEY) {
			c->escaped = true;
			continue;
		}
		if (c->escaped) {
			c->escaped = false;
			if (bytes[i] == 'x') {
				c->quit(c->quit_ctx);
				return;
			}
			/* Ctrl-a twice is one Ctrl-a for the guest; any other key stays itself. */
		}
		out[nr_out++] = bytes[i];
	}
	serial_receive(c->serial, out, nr_out);
}

static void on_input(void *ctx, uint32_t events)
{
	struct console *c = ctx;
	uint8_t bytes[SERIAL_FIFO];
	unsigned int room = serial_room(c->serial);
	ssize_t n;

	(void)events;
	if (!room) { /* serial's can_receive() brings it back */
		loop_remove(c->loop, STDIN_FILENO);
		c->input_watched = false;
		return;
	}
	n = read(STDIN_FILENO, bytes, room);
	if (n > 0)
		pass_on(c, bytes, (unsigned int)n);
	else if (!n || (errno != EINTR && errno != EAGAIN))
		stop_input(c);
}

static void watch_input(struct console *c)
{
	int r;

	if (!c->input_open || c->input_watched)
		return;
	r = loop_add(c->loop, STDIN_FILENO, EPOLLIN, on_input, c);
	c->input_watched = !r;
	if (r == -EPERM) /* a regular file: always readable */
		on_input(c, EPOLLIN);
	else if (r)
		c->input_open = false;
}

/* On a vCPU thread, which must not touch the loop's tables: wake the loop to do it. */
static void can_receive(void *ctx)
{
	struct console *c = ctx;

	if (c->input_open && !c->input_watched)
		event_raise(&c->wake_fd);
}

static void on_wake(void *ctx, uint32_t events)
{
	struct console *c = ctx;

	(void)events;
	if (!event_taken(c->wake_fd))
		return;
	flush(c);
	if (serial_room(c->serial))
		watch_input(c);
}

/* A description of our own, so that O_NONBLOCK does not reach the shell that shares ours. */
static void open_output(struct console *c)
{
	struct stat st;
	char path[32];
	int fd;

	c->out_socket = !fstat(STDOUT_FILENO, &st) && S_ISSOCK(st.st_mode);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", STDOUT_FILENO);
	fd = isatty(STDOUT_FILENO) || lseek(STDOUT_FILENO, 0, SEEK_CUR) < 0 ?
		     open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) :
		     -1;
	c->own_out_fd = fd >= 0;
	c->out_fd = fd >= 0 ? fd : STDOUT_FILENO;
}

int console_new(struct console **out, struct loop *loop, struct serial *serial,
		void (*quit)(void *ctx), void *ctx)
{
	struct console *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return fail(-ENOMEM, "console");
	c->loop = loop;
	c->serial = serial;
	c->quit = quit;
	c->quit_ctx = ctx;
	r = event_new(&c->wake_fd);
	if (r) {
		free(c);
		return r;
	}
	open_output(c);
	r = loop_add(loop, c->wake_fd, EPOLLIN, on_wake, c);
	if (r) {
		console_free(c);
		return r;
	}
	c->out_pollable = !loop_add(loop, c->out_fd, 0, on_output_room, c);
	serial->transmit = put;
	serial->can_transmit = can_put;
	serial->can_receive = can_receive;
	serial->ctx = c;
	/* As a background job: reading from the terminal then fails, and does not stop the VM. */
	signal(SIGTTIN, SIG_IGN);
	c->interactive = terminal_raw();
	c->input_open = true;
	watch_input(c);
	*out = c;
	return 0;
}

void console_free(struct console *c)
{
	if (!c)
		return;
	flush(c);
	for (int waited = 0; c->used && !c->out_closed && waited < LAST_FLUSH_MS; waited += 50) {
		poll(&(struct pollfd){ .fd = c->out_fd, .events = POLLOUT }, 1, 50);
		while (write_some(c))
			;
	}
	if (c->input_watched)
		loop_remove(c->loop, STDIN_FILENO);
	if (c->out_pollable)
		loop_remove(c->loop, c->out_fd);
	loop_remove(c->loop, c->wake_fd);
	close(c->wake_fd);
	if (c->own_out_fd)
		close(c->out_fd);
	terminal_restore();
	free(c);
}
