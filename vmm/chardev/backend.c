/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - where a console or a channel is reached. */
#include "vmm/chardev/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include "vmm/base/log.h"
#include "vmm/chardev/terminal.h"
#include "vmm/rundir/vm_socket.h"

struct console {
	struct loop *loop;
	struct chardev *port;
	struct console_cfg cfg;
	char path[PATH_MAX];
	struct output out; /* of the peer */
	int in_fd;	   /* of the peer; -1: none, or not ours */
	pid_t pid;
	struct vm_socket listener;
	bool next_waits; /* a client in the backlog of a channel, for the one before it to go */
	int pty_fd;  /* the master */
	int open_fd; /* inotify: somebody opens the pseudo terminal */
};

static const char *const kinds[] = {
	[CONSOLE_STDIO] = "stdio", [CONSOLE_UNIX] = "unix",
	[CONSOLE_PTY] = "pty", [CONSOLE_NONE] = "none",
};

int console_kind_parse(const char *name, enum console_kind *kind)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(name, kinds[i]) != 0)
			continue;
		*kind = (enum console_kind)i;
		return 0;
	}
	return -EINVAL;
}

struct console_info console_info(const struct console *c)
{
	return (struct console_info){ .kind = kinds[c->cfg.kind],
				      .path = c->path,
				      .attached = chardev_is_read(c->port),
				      .pid = chardev_is_read(c->port) ? c->pid : 0 };
}

/* --- standard input and output --------------------------------------------------------------- */

static int open_stdio(struct console *c)
{
	struct console_peer peer = { .in_fd = STDIN_FILENO,
				     .quit = c->cfg.quit,
				     .ctx = c->cfg.ctx };
	ssize_t n = readlink("/proc/self/fd/1", c->path, sizeof(c->path) - 1);

	c->path[n > 0 ? n : 0] = 0;
	c->out = peer.out = output_open(STDOUT_FILENO);
	/* As a background job: reading from the terminal then fails, and does not stop the VM. */
	signal(SIGTTIN, SIG_IGN);
	peer.interactive = terminal_raw();
	chardev_attach(c->port, &peer);
	return 0;
}

/* --- a peer of our own making ---------------------------------------------------------------- */

static void drop_peer(void *ctx)
{
	struct console *c = ctx;

	output_close(&c->out);
	auto_close_fn(&c->in_fd);
	c->in_fd = -1;
	c->pid = 0;
	if (c->next_waits)
		loop_modify(c->loop, c->listener.fd, EPOLLIN);
	c->next_waits = false;
}

/* FD for both directions; takes it. */
static void attach(struct console *c, int fd, bool is_socket)
{
	struct console_peer peer = { .gone = drop_peer, .ctx = c };

	/* One that has hung up, with input that the guest has not read. */
	chardev_detach(c->port);
	drop_peer(c);
	c->out = (struct output){ .fd = fd, .own = true, .is_socket = is_socket };
	c->in_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (c->in_fd < 0) {
		fail(-errno, "console");
		drop_peer(c);
		return;
	}
	peer.in_fd = c->in_fd;
	peer.out = c->out;
	chardev_attach(c->port, &peer);
}

/* --- unix socket ----------------------------------------------------------------------------- */

static void refuse(const struct console *c, int fd)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "ebb: pid %d is attached already\r\n", (int)c->pid);

	if (send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return; /* it did not wait for an answer */
}

static void accept_client(struct console *c)
{
	auto_close int fd = accept4(c->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = { 0 };
	socklen_t bytes = sizeof(peer);

	if (fd < 0)
		return;
	if (chardev_is_read(c->port)) {
		refuse(c, fd);
		return;
	}
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
	attach(c, take_fd(&fd), true);
	c->pid = peer.pid;
}

static void on_client(void *ctx, uint32_t events)
{
	struct console *c = ctx;

	(void)events;
	if (c->cfg.port != CHANNEL_PORT || !chardev_is_attached(c->port)) {
		accept_client(c);
		return;
	}
	c->next_waits = true; /* until drop_peer() */
	loop_modify(c->loop, c->listener.fd, 0);
}

static int open_unix(struct console *c)
{
	int r = vm_socket_listen(&c->listener, c->cfg.path);

	if (r)
		return r;
	if (!realpath(c->cfg.path, c->path))
		return fail(-errno, "console socket %s", c->cfg.path);
	return loop_add(c->loop, c->listener.fd, EPOLLIN, on_client, c);
}

/* --- pseudo terminal ------------------------------------------------------------------------- */

/* The master tells when the last one has closed it; only inotify tells when somebody opens it. */
static void on_open(void *ctx, uint32_t events)
{
	struct console *c = ctx;
	char names[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	int fd;

	(void)events;
	while (read(c->open_fd, names, sizeof(names)) > 0)
		;
	if (chardev_is_read(c->port))
		return;
	fd = fcntl(c->pty_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		fail(-errno, "console");
	else
		attach(c, fd, false);
}

/* Passes every byte as it is; echo would send the guest its own output. Ours alone. */
static int set_up_pty(const char *path)
{
	auto_close int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios settings;

	if (fd < 0 || fchmod(fd, 0600) || tcgetattr(fd, &settings))
		return fail(-errno, "console %s", path);
	cfmakeraw(&settings);
	return tcsetattr(fd, TCSANOW, &settings) ? fail(-errno, "console %s", path) : 0;
}

static int open_pty(struct console *c)
{
	int r;

	c->pty_fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (c->pty_fd < 0 || grantpt(c->pty_fd) || unlockpt(c->pty_fd) ||
	    ptsname_r(c->pty_fd, c->path, sizeof(c->path)))
		return fail(-errno, "console: a pseudo terminal");
	r = set_up_pty(c->path);
	if (r)
		return r;
	c->open_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (c->open_fd < 0 || inotify_add_watch(c->open_fd, c->path, IN_OPEN) < 0)
		return fail(-errno, "console: watch %s", c->path);
	return loop_add(c->loop, c->open_fd, EPOLLIN, on_open, c);
}

/* --- the whole ------------------------------------------------------------------------------- */

static int open_nothing(struct console *c)
{
	(void)c;
	return 0;
}

static int (*const open_kind[])(struct console *c) = {
	[CONSOLE_STDIO] = open_stdio, [CONSOLE_UNIX] = open_unix,
	[CONSOLE_PTY] = open_pty, [CONSOLE_NONE] = open_nothing,
};

int console_new(struct console **out, struct loop *loop, struct guest_end guest,
		const struct console_cfg *cfg)
{
	struct console *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return fail(-ENOMEM, "console");
	c->loop = loop;
	c->cfg = *cfg;
	c->listener.fd = c->in_fd = c->out.fd = c->pty_fd = c->open_fd = -1;
	r = chardev_new(&c->port, loop, guest, cfg->port);
	if (!r)
		r = open_kind[cfg->kind](c);
	if (r) {
		console_free(c);
		return r;
	}
	*out = c;
	return 0;
}

const char *console_excerpt(const struct console *c, char text[CONSOLE_EXCERPT_BYTES])
{
	chardev_excerpt(c->port, text, CONSOLE_EXCERPT_BYTES, CONSOLE_EXCERPT_LINES);
	return text;
}

struct host_end console_host_end(struct console *c) { return chardev_host_end(c->port); }

void console_free(struct console *c)
{
	if (!c)
		return;
	chardev_free(c->port);
	drop_peer(c);
	if (c->listener.fd >= 0)
		loop_remove(c->loop, c->listener.fd);
	vm_socket_close(&c->listener);
	if (c->open_fd >= 0)
		loop_remove(c->loop, c->open_fd);
	auto_close_fn(&c->open_fd);
	auto_close_fn(&c->pty_fd);
	terminal_restore();
	free(c);
}
