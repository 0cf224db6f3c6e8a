/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - writing without waiting. */
#include "vmm/chardev/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct output output_open(int fd)
{
	struct output o = { .fd = fd };
	struct stat st;
	char path[32];
	int own;

	o.is_socket = !fstat(fd, &st) && S_ISSOCK(st.st_mode);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = isatty(fd) || lseek(fd, 0, SEEK_CUR) < 0 ?
		      open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) :
		      -1;
	if (own >= 0) {
		o.fd = own;
		o.own = true;
	}
	return o;
}

ssize_t output_write(const struct output *o, const void *bytes, size_t nr)
{
	ssize_t n;

	do
		n = o->is_socket ? send(o->fd, bytes, nr, MSG_DONTWAIT | MSG_NOSIGNAL) :
				   write(o->fd, bytes, nr);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void output_close(struct output *o)
{
	if (o->own)
		close(o->fd);
	*o = (struct output){ .fd = -1 };
}
