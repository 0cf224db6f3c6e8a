/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - ebb console: standard input and output become the console of a running VM. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/clock.h"
#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/base/signals.h"
#include "vmm/chardev/escape.h"
#include "vmm/chardev/output.h"
#include "vmm/chardev/terminal.h"
#include "vmm/cli/verbs.h"
#include "vmm/rundir/vm_socket.h"

#define CONNECT_TIMEOUT_NS (10 * NS_PER_S)
#define TALKING (-1)
#define DETACHED (-2)

/* One direction: what was read waits here until it is written. */
struct flow {
	struct output to;
	uint8_t bytes[4096];
	size_t start, nr;
};

struct talk {
	struct flow in, out; /* to the guest, from it */
	int fd;		     /* the VM's console */
	int signal_fd;
	bool interactive;
	bool in_open;
	struct escape escape;
};

static int drain(struct flow *f)
{
	ssize_t n = output_write(&f->to, f->bytes + f->start, f->nr);

	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return (int)n;
	f->start += (size_t)n;
	f->nr -= (size_t)n;
	return 0;
}

/* A pseudo terminal can't be closed in one direction; there is no need either. */
static void end_input(struct talk *t)
{
	t->in_open = false;
	if (!t->in.nr)
		shutdown(t->fd, SHUT_WR);
}

static int from_user(struct talk *t)
{
	uint8_t bytes[sizeof(t->in.bytes)];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
	size_t nr = n > 0 ? (size_t)n : 0;
	bool detach = false;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return TALKING;
	if (!nr) {
		if (t->interactive)
			return DETACHED; /* the terminal is gone */
		end_input(t);
		return TALKING;
	}
	if (t->interactive)
		nr = escape_filter(&t->escape, bytes, nr, bytes, &detach);
	/*
	 * At a terminal we always read on, so that the escape key works when the guest does not
	 * read; what it does not take is then lost, as on any serial line.
	 */
	if (!t->in.nr) {
		memcpy(t->in.bytes, bytes, nr);
		t->in.start = 0;
		t->in.nr = nr;
		if (nr && drain(&t->in))
			return TALKING; /* the VM's end: seen where its output ends */
	}
	return detach ? DETACHED : TALKING;
}

static int from_vm(struct talk *t)
{
	ssize_t n = read(t->fd, t->out.bytes, sizeof(t->out.bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return TALKING;
	if (n <= 0) /* EIO: the other end of a pseudo terminal is closed */
		return 0;
	t->out.start = 0;
	t->out.nr = (size_t)n;
	return TALKING;
}

static int to_user(struct talk *t)
{
	int r = drain(&t->out);

	if (!r)
		return TALKING;
	if (r != -EPIPE)
		fail(r, "standard output");
	return 1;
}

/* One turn: DETACHED, TALKING, or the exit code. */
static int turn(struct talk *t)
{
	bool read_user = t->in_open && (t->interactive || !t->in.nr);
	struct pollfd p[] = {
		{ .fd = t->signal_fd, .events = POLLIN },
		{ .fd = t->out.nr ? t->out.to.fd : -1, .events = POLLOUT },
		/* While output waits only for room for input: a hang-up would be told for ever. */
		{ .fd = t->out.nr && !t->in.nr ? -1 : t->fd,
		  .events = (short)((t->out.nr ? 0 : POLLIN) | (t->in.nr ? POLLOUT : 0)) },
		{ .fd = read_user ? STDIN_FILENO : -1, .events = POLLIN },
	};
	int r = TALKING, signo;

	if (poll(p, ARRAY_SIZE(p), -1) < 0)
		return errno == EINTR ? TALKING : -errno;
	signo = signals_taken(t->signal_fd);
	if (signo)
		return 128 + signo;
	if (p[1].revents)
		r = to_user(t);
	if (r == TALKING && p[2].revents & POLLOUT && t->in.nr) {
		if (drain(&t->in))
			t->in.nr = 0;
		if (!t->in.nr && !t->in_open)
			end_input(t);
	}
	if (r == TALKING && p[2].revents & (POLLIN | POLLHUP | POLLERR) && !t->out.nr)
		r = from_vm(t);
	if (r == TALKING && p[3].revents)
		r = from_user(t);
	return r;
}

/* Until one side ends it; the exit code. */
static int talk(int fd, const char *vm)
{
	struct talk t = { .fd = fd, .in_open = true, .escape = { .command = 'd' } };
	int r;

	t.in.to = (struct output){ .fd = fd };
	t.out.to = output_open(STDOUT_FILENO);
	if (signals_open(&t.signal_fd))
		return 1;
	t.interactive = terminal_raw();
	if (t.interactive)
		fprintf(stderr, "%s: Ctrl-a d leaves the console\r\n", vm);
	do
		r = turn(&t);
	while (r == TALKING);
	terminal_restore();
	if (t.interactive && (r == DETACHED || !r))
		fprintf(stderr, "\n%s: %s\n", vm, r ? "detached" : "the console is closed");
	output_close(&t.out.to);
	close(t.signal_fd);
	return r == DETACHED ? 0 : r;
}

/* Opens what the VM says its console is. *FD is non-blocking. 0 or -errno, logged. */
static int open_console(const char *vm, struct json_object *console, bool hvc, int pid, int *fd)
{
	const char *option = hvc ? "hvc" : "console";
	const char *kind = qmp_get_str(console, "kind", "");
	const char *path = qmp_get_str(console, "path", "");
	int r;

	if (!strcmp(kind, "stdio"))
		return fail_usage("the console of %s is the standard input and output of its "
				  "process, pid %d, on %s; start it with --%s=unix or "
				  "--background to attach from elsewhere", vm, pid,
				  *path ? path : "an unknown file", option);
	if (!strcmp(kind, "pty")) {
		*fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		return *fd < 0 ? fail(-errno, "console %s", path) : 0;
	}
	if (strcmp(kind, "unix") != 0)
		return fail_usage("%s has no %s; start it with --%s=unix", vm,
				  hvc ? "console on virtio" : "console", option);
	if (qmp_get_bool(console, "attached", false))
		return fail_usage("the console of %s is attached by pid %llu; detach there "
				  "(Ctrl-a d) or end that process", vm,
				  (unsigned long long)qmp_get_u64(console, "pid", 0));
	r = vm_socket_connect(path, clock_ns() + CONNECT_TIMEOUT_NS, fd);
	return r ? fail(r, "console %s", path) : 0;
}

static int set_hvc(void *target, const char *value)
{
	(void)value;
	*(bool *)target = true;
	return 0;
}

static const struct option_row options[] = {
	{ "hvc", 0, NULL, "the console on virtio, hvc0 in Linux, not the serial port",
	  .set = set_hvc },
	{ 0 }
};

static int run(const struct verb *verb, int argc, char **argv)
{
	bool hvc = false;
	struct json_object *stat = NULL, *console = NULL;
	struct qmp_client *client;
	auto_close int fd = -1;
	const char *vm;
	int r = verb_connect(verb, argc, argv, &hvc, &vm, 1, &client);

	if (r != VERB_CONNECTED)
		return r;
	r = qmp_client_run(client, "__org.ebb_stat", NULL, &stat, NULL);
	qmp_client_close(client);
	if (r)
		return 1;
	json_object_object_get_ex(stat, hvc ? "hvc" : "console", &console);
	r = open_console(vm, console, hvc, (int)qmp_get_u64(stat, "pid", 0), &fd);
	json_object_put(stat);
	if (r)
		return EXIT_BAD_ARGUMENTS;
	terminal_guard();
	return talk(fd, vm);
}

const struct verb verb_console = {
	"console", "VM [OPTION...]",
	"attach to the console of a VM that was started with --console or --hvc=unix or pty\n"
	"\n"
	"Shows the last 64 KiB of output first. On a terminal Ctrl-a d detaches and Ctrl-a\n"
	"Ctrl-a sends one Ctrl-a; the VM goes on without a reader. Elsewhere every byte is the\n"
	"guest's, and output goes on after the end of the input, until the VM ends. One at a\n"
	"time: while somebody is attached, nobody else can (with --console=pty everybody\n"
	"can, and bytes go to one of them).\n"
	"\n"
	"Exit code: 0 detached or the VM ended, 35 no such VM or console, 128+n ended by signal n.",
	options, run
};
