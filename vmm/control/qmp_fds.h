/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_fds.h - the descriptors that one client has handed over (SCM_RIGHTS): one that getfd has not
 * taken yet, and those that it has given a name. Loop's thread.
 */
#ifndef EBB_CONTROL_QMP_FDS_H
#define EBB_CONTROL_QMP_FDS_H

#include <sys/types.h>

#include "vmm/json/error.h"

#define QMP_MAX_FDS 16

struct qmp_fds {
	int received; /* -1: none */
	unsigned int nr_named;
	struct {
		char *name;
		int fd;
	} named[QMP_MAX_FDS];
};

void qmp_fds_init(struct qmp_fds *f);
/* Closes them all. */
void qmp_fds_clear(struct qmp_fds *f);

/*
 * recv(MSG_DONTWAIT) that takes in what comes along: of one message's descriptors the first, in the
 * place of one that still waited; the others are closed.
 */
ssize_t qmp_fds_receive(struct qmp_fds *f, int socket, void *buf, size_t bytes);
/* Names the one that waits; what had that name is closed. */
int must_check qmp_fds_name(struct qmp_fds *f, const char *name, struct qmp_error *err);
/* Takes a named one out: the caller's from here on. -EINVAL: none has that name. */
int must_check qmp_fds_take(struct qmp_fds *f, const char *name, struct qmp_error *err);

#endif
