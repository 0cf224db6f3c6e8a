/* SPDX-License-Identifier: Apache-2.0 */
/* port.c - the way to the host. */
#include "guests/agent/port.h"

#include "guests/agent/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* What getdents64(2) gives; libc's readdir() allocates. */
struct entry {
	uint64_t inode, offset;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

void port_init(struct port *p, const char *path, const char *root)
{
	uint64_t fd;

	*p = (struct port){ .path = path, .root = root, .fd = -1 };
	if (!path || strncmp(path, "fd:", 3) != 0)
		return;
	p->given = true;
	if (parse_number(path + 3, &fd) && fd <= INT32_MAX)
		p->fd = (int)fd;
}

static bool is_ours(const char *root, const char *port)
{
	char path[PATH_BYTES], name[sizeof PORT_NAME + 1];
	int fd, n;

	if (!path_join(path, "/sys/class/virtio-ports/", port) || !path_join(path, path, "/name"))
		return false;
	fd = file_open(root, path, O_RDONLY);
	if (fd < 0)
		return false;
	n = file_read(fd, name, sizeof name);
	close(fd);
	return n == sizeof PORT_NAME && !memcmp(name, PORT_NAME "\n", sizeof PORT_NAME);
}

/* Without udev there is no /dev/virtio-ports, but devtmpfs has the ports by their numbers. */
static int open_by_name(const char *root, int flags)
{
	static char entries[2048] __attribute__((aligned(8)));
	char path[PATH_BYTES];
	int folder = file_open(root, "/sys/class/virtio-ports", O_RDONLY | O_DIRECTORY);
	int fd = -ENOENT;
	long n;

	if (folder < 0)
		return folder;
	while ((n = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0) {
		for (long at = 0; at < n; at += ((struct entry *)(entries + at))->bytes) {
			struct entry *e = (struct entry *)(entries + at);

			if (fd == -ENOENT && e->name[0] != '.' && is_ours(root, e->name) &&
			    path_join(path, "/dev/", e->name))
				fd = file_open(root, path, flags);
		}
	}
	close(folder);
	return fd;
}

static int connect_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static int open_path(struct port *p)
{
	const int flags = O_RDWR | O_NONBLOCK | O_NOCTTY;
	struct stat st;
	int fd;

	if (p->path && !stat(p->path, &st) && S_ISSOCK(st.st_mode))
		return connect_socket(p->path);
	if (p->path)
		return file_open("", p->path, flags);
	fd = file_open(p->root, PORT_PATH, flags);
	return fd == -ENOENT ? open_by_name(p->root, flags) : fd;
}

static bool has_hung_up(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, 0) > 0 && (poller.revents & (POLLHUP | POLLERR));
}

int port_open(struct port *p)
{
	int fd;
	char byte;

	if (p->given)
		return p->fd < 0 || fcntl(p->fd, F_SETFL, O_NONBLOCK) ? -EBADF : 0;
	if (p->hung_up) {
		/* A port whose driver has gone only says so when it is read. */
		if (has_hung_up(p->fd) && read(p->fd, &byte, 1) >= 0)
			return -ENOTCONN;
		/* For the host it is a new beginning, so it must see one. */
		port_close(p);
	}
	fd = open_path(p);
	if (fd < 0)
		return fd;
	p->fd = fd;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	p->hung_up = has_hung_up(fd);
	return p->hung_up ? -ENOTCONN : 0;
}

void port_close(struct port *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->hung_up = p->too_long = false;
	p->have = p->at = p->used = 0;
}

/* Nobody is there any more. */
static void lost(struct port *p)
{
	struct stat st;
	bool is_port = !p->given && !fstat(p->fd, &st) && S_ISCHR(st.st_mode);
	int fd = p->fd;

	if (!is_port) {
		port_close(p);
		return;
	}
	p->fd = -1;
	port_close(p);
	p->fd = fd;
	p->hung_up = true;
}

/* More of what the host says; false: there is none now. */
static bool receive(struct port *p)
{
	ssize_t n;

	memmove(p->in, p->in + p->at, p->have - p->at);
	p->have -= p->at;
	p->at = 0;
	if (p->have == sizeof p->in) {
		p->too_long = true;
		p->have = 0;
	}
	n = read(p->fd, p->in + p->have, sizeof p->in - p->have);
	if (n > 0) {
		p->have += (size_t)n;
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		lost(p);
	return false;
}

const char *port_line(struct port *p)
{
	while (p->fd >= 0 && !p->hung_up) {
		char *line = p->in + p->at;
		char *end = memchr(line, '\n', p->have - p->at);
		bool whole = !p->too_long;

		if (!end) {
			if (!receive(p))
				return NULL;
			continue;
		}
		p->at = (size_t)(end - p->in) + 1;
		p->too_long = false;
		*end = '\0';
		if (whole)
			return line;
	}
	return NULL;
}

void port_flush(struct port *p)
{
	while (p->used && p->fd >= 0 && !p->hung_up) {
		ssize_t n = write(p->fd, p->out, p->used);

		if (n <= 0) {
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				lost(p);
			return;
		}
		p->used -= (size_t)n;
		memmove(p->out, p->out + n, p->used);
	}
}

bool port_say(struct port *p, struct text *line)
{
	if (p->fd < 0 || p->hung_up || line->full || line->used > sizeof p->out - p->used)
		return false;
	memcpy(p->out + p->used, line->buf, line->used);
	p->used += line->used;
	port_flush(p);
	return true;
}
