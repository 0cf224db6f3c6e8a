/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first process of L1 once its modules are loaded: runs one command, chrooted in the host's
 * files, and carries its input, output and exit status over a virtio-serial port.
 *
 * Frames in both directions: one byte of type, a little-endian 32-bit length, the bytes.
 * To L1: 'x' command (see struct command), 'i' input, 'z' end of input, 's' signal number, 'p' are
 * you there, 'd' what do L1's tasks wait for.
 * From L1: 'R' ready, 'b' the command begins, 'o' output, 'e' error output, 'q' exit status in a
 * shell's terms, 'f' failure of the agent itself, as text. In answer: 'P'; 'D' after some 'e'; 'I'
 * when all of an 'i' is passed on, and no 'i' comes before, so that the agent always listens.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOST		"/host"		/* the host's files as they are */
#define ROOT		"/root"		/* the same, with tmpfs and pseudo file systems on top */
#define FRAME_BYTES	65536u
#define MAX_COMMAND	(4u << 20)
#define SEED_BYTES	64u
#define TOLD_BYTES	16384u
#define KTHREADD	2	/* the parent of all kernel threads */

/* Payload of 'x': NUL-terminated strings, the first letter says what each is. */
struct command {
	char **argv;		/* A */
	char **envp;		/* E */
	const char *cwd;	/* C */
	const char *results;	/* R: where the writable share goes */
	bool has_input;		/* I */
};

static int port;

static void put_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			_exit(1);	/* L1 panics and its QEMU ends: the rig says so */
		if (n <= 0)
			continue;
		p += n;
		len -= (size_t)n;
	}
}

static void get_all(int fd, void *data, size_t len)
{
	char *p = data;
	ssize_t n;

	while (len) {
		n = read(fd, p, len);
		if (n < 0 && errno != EINTR)
			_exit(1);
		if (n <= 0)
			continue;
		p += n;
		len -= (size_t)n;
	}
}

static void send_frame(char type, const void *data, size_t len)
{
	uint8_t head[5] = { (uint8_t)type, (uint8_t)len, (uint8_t)(len >> 8),
			    (uint8_t)(len >> 16), (uint8_t)(len >> 24) };

	put_all(port, head, sizeof(head));
	put_all(port, data, len);
}

static size_t get_head(char *type)
{
	uint8_t head[5];

	get_all(port, head, sizeof(head));
	*type = (char)head[0];
	return head[1] | (size_t)head[2] << 8 | (size_t)head[3] << 16 | (size_t)head[4] << 24;
}

static _Noreturn void die(const char *format, ...)
{
	char text[1024];
	int error = errno;
	size_t len;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	len = strlen(text);
	snprintf(text + len, sizeof(text) - len, ": %s", strerror(error));
	send_frame('f', text, strlen(text));
	for (;;)
		pause();	/* the rig ends L1 */
}

static void open_port(void)
{
	char path[280] = "";
	struct dirent *entry;
	DIR *dev = opendir("/dev");

	while (dev && (entry = readdir(dev)))
		if (!strncmp(entry->d_name, "vport", 5))
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
	if (dev)
		closedir(dev);
	port = open(path, O_RDWR | O_CLOEXEC);
	if (port < 0) {
		fprintf(stderr, "agent: no virtio-serial port '%s'\n", path);
		_exit(1);
	}
}

/* mkdir -p; what is there already is fine, mount() tells when it is of no use. */
static void make_dirs(const char *path)
{
	char *copy = strdup(path), *p;

	if (!copy)
		die("memory");
	for (p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		mkdir(copy, 0755);
		*p = '/';
	}
	mkdir(copy, 0755);
	free(copy);
}

static void mount_at(const char *source, const char *dir, const char *type, const char *options)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s%s", ROOT, dir);
	make_dirs(path);
	if (mount(source, path, type, 0, options) < 0)
		die("L1 cannot mount %s on %s", type, dir);
}

/* A host directory that one of the tmpfs hides. */
static void uncover(const char *dir)
{
	char from[4200], to[4200];
	struct stat a, b;

	snprintf(from, sizeof(from), "%s%s", HOST, dir);
	snprintf(to, sizeof(to), "%s%s", ROOT, dir);
	if (stat(from, &a) < 0)
		die("L1 does not see the host's %s", dir);
	if (!stat(to, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return;
	make_dirs(to);
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		die("L1 cannot show the host's %s", dir);
}

static void mount_root(void)
{
	mkdir(HOST, 0755);
	mkdir(ROOT, 0755);
	if (mount("host", HOST, "9p", MS_RDONLY,
		  "trans=virtio,version=9p2000.L,msize=512000,cache=loose") < 0)
		die("L1 cannot mount the host's files");
	if (mount(HOST, ROOT, NULL, MS_BIND, NULL) < 0)
		die("L1 cannot bind the host's files");
	mount_at("proc", "/proc", "proc", NULL);
	mount_at("sysfs", "/sys", "sysfs", NULL);
	mount_at("debugfs", "/sys/kernel/debug", "debugfs", NULL);
	mount_at("tracefs", "/sys/kernel/tracing", "tracefs", NULL);
	mount_at("cgroup2", "/sys/fs/cgroup", "cgroup2", NULL);
	mount_at("devtmpfs", "/dev", "devtmpfs", NULL);
	/* What udev would add. */
	if ((symlink("/proc/self/fd", ROOT "/dev/fd") < 0 && errno != EEXIST) ||
	    (symlink("/proc/self/fd/0", ROOT "/dev/stdin") < 0 && errno != EEXIST) ||
	    (symlink("/proc/self/fd/1", ROOT "/dev/stdout") < 0 && errno != EEXIST) ||
	    (symlink("/proc/self/fd/2", ROOT "/dev/stderr") < 0 && errno != EEXIST))
		die("L1 cannot fill /dev");
	mount_at("devpts", "/dev/pts", "devpts", "ptmxmode=0666");
	mount_at("shm", "/dev/shm", "tmpfs", "mode=1777");
	mount_at("tmp", "/tmp", "tmpfs", "mode=1777");
	mount_at("run", "/run", "tmpfs", "mode=755");
	mount_at("mnt", "/mnt", "tmpfs", "mode=755");
}

static void set_clock(const char *seconds)
{
	struct timespec ts = { .tv_sec = strtoll(seconds, NULL, 10) };

	if (clock_settime(CLOCK_REALTIME, &ts) < 0)
		die("L1 cannot set its clock");
}

/* Runs that start from one snapshot must not share their random numbers. */
static void seed_random(const char *seed)
{
	/* struct rand_pool_info: entropy bits, bytes, the bytes */
	int pool[2 + SEED_BYTES / sizeof(int)] = { 8 * SEED_BYTES, SEED_BYTES };
	int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);

	if (strlen(seed) != SEED_BYTES)
		die("bad seed");
	memcpy(pool + 2, seed, SEED_BYTES);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		die("L1 cannot seed its random numbers");
	close(fd);
}

static void get_command(struct command *c)
{
	size_t len, nr = 0, nr_args = 0, nr_env = 0;
	char type, *data, *s;

	len = get_head(&type);
	if (type != 'x' || !len || len > MAX_COMMAND) {
		errno = EPROTO;
		die("bad command frame");
	}
	data = malloc(len);
	if (!data)
		die("memory");
	get_all(port, data, len);
	data[len - 1] = '\0';
	for (s = data; s < data + len; s += strlen(s) + 1)
		nr++;
	c->argv = calloc(nr + 1, sizeof(char *));
	c->envp = calloc(nr + 1, sizeof(char *));
	if (!c->argv || !c->envp)
		die("memory");
	mount_root();
	for (s = data; s < data + len; s += strlen(s) + 1) {
		switch (s[0]) {
		case 'A': c->argv[nr_args++] = s + 1; break;
		case 'E': c->envp[nr_env++] = s + 1; break;
		case 'C': c->cwd = s + 1; break;
		case 'R': c->results = s + 1; break;
		case 'V': uncover(s + 1); break;
		case 'T': set_clock(s + 1); break;
		case 'S': seed_random(s + 1); break;
		case 'I': c->has_input = true; break;
		default: errno = EPROTO; die("bad command field");
		}
	}
	if (c->results)
		mount_at("results", c->results, "9p",
			 "trans=virtio,version=9p2000.L,msize=512000,cache=mmap");
}

static _Noreturn void exec_command(const struct command *c, const int fds[3])
{
	sigset_t none;
	int i;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	for (i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(126);
	if (chroot(ROOT) < 0 || chdir(c->cwd) < 0) {
		dprintf(2, "rig: cannot enter %s in L1: %s\n", c->cwd, strerror(errno));
		_exit(126);
	}
	environ = c->envp;
	execvp(c->argv[0], c->argv);
	dprintf(2, "rig: %s: %s\n", c->argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Passes on what a pipe holds; false at its end. */
static bool pass_output(char type, int fd)
{
	static char data[FRAME_BYTES];
	ssize_t n = read(fd, data, sizeof(data));

	if (n > 0)
		send_frame(type, data, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* What the pipe held when the command ended, and not what its descendants go on writing. */
static void drain_output(char type, int fd)
{
	char data[4096];
	int left = 0;
	ssize_t n;

	if (fd < 0 || ioctl(fd, FIONREAD, &left) < 0)
		return;
	while (left > 0) {
		n = read(fd, data, (size_t)left < sizeof(data) ? (size_t)left : sizeof(data));
		if (n <= 0)
			return;
		send_frame(type, data, (size_t)n);
		left -= (int)n;
	}
}

struct input {
	int fd;			/* -1: closed */
	char data[FRAME_BYTES];
	size_t start, end;
	bool at_end;
};

static void pass_input(struct input *in)
{
	ssize_t n;

	while (in->fd >= 0 && in->start < in->end) {
		n = write(in->fd, in->data + in->start, in->end - in->start);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			in->start = in->end;	/* the command reads no more */
		else
			in->start += (size_t)n;
	}
	if (in->end) {
		in->start = in->end = 0;
		send_frame('I', NULL, 0);
	}
	if (in->fd >= 0 && in->at_end) {
		close(in->fd);
		in->fd = -1;
	}
}

/* The start of a task's file in /proc, as a string. */
static void read_proc(int pid, int tid, const char *file, char *text, size_t size)
{
	char path[80];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), ROOT "/proc/%d/task/%d/%s", pid, tid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, size - 1);
	text[n < 0 ? 0 : n] = '\0';
	if (fd >= 0)
		close(fd);
}

/* "process/task (name) state place" and the kernel's stack; nothing for kernel threads. */
static size_t tell_task(int pid, int tid, size_t room)
{
	char stat[256], wchan[64], stack[2048], text[3072];
	size_t len;
	char *p;

	read_proc(pid, tid, "stat", stat, sizeof(stat));
	p = strrchr(stat, ')');
	if (!p || strlen(p) < 5 || atoi(p + 4) == KTHREADD)
		return 0;
	p[3] = '\0';	/* after the state; its parent follows */
	read_proc(pid, tid, "wchan", wchan, sizeof(wchan));
	read_proc(pid, tid, "stack", stack, sizeof(stack));
	snprintf(text, sizeof(text), "%d/%d %s %s\n%s", pid, tid, strchr(stat, '('), wchan, stack);
	len = strlen(text) < room ? strlen(text) : room;
	send_frame('e', text, len);
	return len;
}

/* From /proc alone: whatever hangs, this needs no file of the host and no new process. */
static void tell_tasks(void)
{
	DIR *processes = opendir(ROOT "/proc"), *tasks;
	struct dirent *process, *task;
	size_t room = TOLD_BYTES;
	char path[40];
	int pid;

	while (processes && (process = readdir(processes))) {
		pid = atoi(process->d_name);
		if (pid <= KTHREADD)	/* that, ourselves, or no process */
			continue;
		snprintf(path, sizeof(path), ROOT "/proc/%d/task", pid);
		tasks = opendir(path);
		while (tasks && (task = readdir(tasks)))
			if (atoi(task->d_name))
				room -= tell_task(pid, atoi(task->d_name), room);
		if (tasks)
			closedir(tasks);
	}
	if (processes)
		closedir(processes);
	send_frame('D', NULL, 0);
}

static void get_frame(struct input *in, pid_t child)
{
	char type, number;
	size_t len = get_head(&type);

	if (type == 'i' && len <= sizeof(in->data) && !in->end) {
		get_all(port, in->data, len);
		in->end = len;
	} else if (type == 'z' && !len) {
		in->at_end = true;
	} else if (type == 's' && len == 1) {
		get_all(port, &number, 1);
		kill(-child, number);
	} else if (type == 'p' && !len) {
		send_frame('P', NULL, 0);
	} else if (type == 'd' && !len) {
		tell_tasks();
	} else {
		errno = EPROTO;
		die("bad frame");
	}
}

/* Children of the command that outlive it come to us and are no concern of the caller. */
static bool reap(pid_t child, int *status)
{
	bool found = false;
	int s;
	pid_t pid;

	while ((pid = waitpid(-1, &s, WNOHANG)) > 0) {
		if (pid != child)
			continue;
		*status = s;
		found = true;
	}
	return found;
}

static void make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		die("pipe");
}

static int run(const struct command *c)
{
	static struct input in;
	int in_pipe[2], out_pipe[2], err_pipe[2], status;
	struct pollfd p[5];
	sigset_t chld;
	pid_t child;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	signal(SIGPIPE, SIG_IGN);
	make_pipe(in_pipe);
	make_pipe(out_pipe);
	make_pipe(err_pipe);
	child = fork();
	if (child < 0)
		die("fork");
	if (!child)
		exec_command(c, (int[3]){ in_pipe[0], out_pipe[1], err_pipe[1] });
	close(in_pipe[0]);
	close(out_pipe[1]);
	close(err_pipe[1]);
	in.fd = in_pipe[1];
	fcntl(in.fd, F_SETFL, O_NONBLOCK);
	in.at_end = !c->has_input;
	pass_input(&in);

	p[0] = (struct pollfd){ .fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK),
				.events = POLLIN };
	p[1] = (struct pollfd){ .fd = out_pipe[0], .events = POLLIN };
	p[2] = (struct pollfd){ .fd = err_pipe[0], .events = POLLIN };
	p[4] = (struct pollfd){ .fd = port, .events = POLLIN };
	for (;;) {
		struct signalfd_siginfo info;

		p[3] = (struct pollfd){ .fd = in.end ? in.fd : -1, .events = POLLOUT };
		if (poll(p, 5, -1) < 0 && errno != EINTR)
			die("poll");
		if (p[1].revents && !pass_output('o', p[1].fd))
			p[1].fd = -1;
		if (p[2].revents && !pass_output('e', p[2].fd))
			p[2].fd = -1;
		if (p[4].revents & POLLIN)
			get_frame(&in, child);
		if (p[3].revents || p[4].revents)
			pass_input(&in);
		if (p[0].revents) {
			if (read(p[0].fd, &info, sizeof(info)) < 0 && errno != EAGAIN)
				die("signalfd");
			if (reap(child, &status))
				break;
		}
	}
	drain_output('o', p[1].fd);
	drain_output('e', p[2].fd);
	sync();
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(void)
{
	struct command c = { .cwd = "/" };
	uint8_t status;

	open_port();
	send_frame('R', NULL, 0);
	get_command(&c);
	send_frame('b', NULL, 0);
	status = (uint8_t)run(&c);
	send_frame('q', &status, 1);
	for (;;)
		pause();	/* the rig ends L1 */
}
