/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_fds.c - descriptors come in by recvmsg(), get a name, and leave. */
#include "vmm/control/qmp_fds.h"

#include <ctype.h>
#include <string.h>
#include <sys/socket.h>

void qmp_fds_init(struct qmp_fds *f) { *f = (struct qmp_fds){ .received = -1 }; }

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void qmp_fds_clear(struct qmp_fds *f)
{
	drop(&f->received);
	while (f->nr_named) {
		f->nr_named--;
		drop(&f->named[f->nr_named].fd);
		free(f->named[f->nr_named].name);
	}
}

ssize_t qmp_fds_receive(struct qmp_fds *f, int socket, void *buf, size_t bytes)
{
	/* Room for exactly one: the kernel closes the rest. */
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { buf, bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int))) {
		drop(&f->received);
		memcpy(&f->received, CMSG_DATA(c), sizeof(int));
	}
	return n;
}

/* Its place; nr_named when no descriptor has that name. */
static unsigned int find(const struct qmp_fds *f, const char *name)
{
	unsigned int i = 0;

	while (i < f->nr_named && strcmp(f->named[i].name, name))
		i++;
	return i;
}

int qmp_fds_name(struct qmp_fds *f, const char *name, struct qmp_error *err)
{
	unsigned int i = find(f, name);

	if (f->received < 0)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"No file descriptor supplied via SCM_RIGHTS");
	/* A number means a descriptor of this process where QEMU takes either. */
	if (!*name || isdigit((unsigned char)*name))
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"Parameter 'fdname' expects a name not starting with a digit");
	if (i == QMP_MAX_FDS)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"%d descriptors have names already; closefd one", QMP_MAX_FDS);
	if (i == f->nr_named) {
		f->named[i].name = strdup(name);
		if (!f->named[i].name)
			return qmp_fail(err, QMP_GENERIC_ERROR, "out of memory");
		f->named[i].fd = -1;
		f->nr_named++;
	}
	drop(&f->named[i].fd);
	f->named[i].fd = take_fd(&f->received);
	return 0;
}

int qmp_fds_take(struct qmp_fds *f, const char *name, struct qmp_error *err)
{
	unsigned int i = find(f, name);
	int fd;

	if (i == f->nr_named)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"File descriptor named '%.64s' not found; getfd gives names", name);
	fd = f->named[i].fd;
	free(f->named[i].name);
	f->named[i] = f->named[--f->nr_named];
	return fd;
}
