/* SPDX-License-Identifier: Apache-2.0 */
/* vm_socket.h - a unix socket of a VM: made once per name, also beside one left by a dead VM. */
#ifndef EBB_RUNDIR_VM_SOCKET_H
#define EBB_RUNDIR_VM_SOCKET_H

#include <sys/types.h>

#include "vmm/rundir/vm_path.h"

struct vm_socket {
	int fd;                  /* -1: closed */
	char path[VM_PATH_SIZE]; /* empty: inherited, no file of ours */
	dev_t dev;
	ino_t ino;
};

/*
 * Listens at PATH with mode 0600, non-blocking. A socket there that nobody serves any more is
 * replaced; its directory is locked meanwhile, so of two VMs that start at once one wins. Makes
 * the run directory (mode 0700) when PATH lies in it. -EADDRINUSE: a live process has it;
 * -EEXIST: something there is not a socket; -EBUSY: the directory stays locked; all logged, with
 * SOCKET closed and nothing left behind.
 */
int must_check vm_socket_listen(struct vm_socket *socket, const char *path);
/* Closes it and removes the file, if it is still ours. */
void vm_socket_close(struct vm_socket *socket);

/*
 * Connects to PATH; *FD is non-blocking. Waits until the monotonic time UNTIL_NS for a server that
 * is behind with its clients, then -ETIMEDOUT. -ECONNREFUSED: nobody serves it; -ENOENT and others.
 * Not logged.
 */
int must_check vm_socket_connect(const char *path, uint64_t until_ns, int *fd);
/* Removes the socket at PATH if a VM that died has left it; no effect on any other file. */
int must_check vm_socket_prune(const char *path);
/* The same for all sockets of the run directory whose name is VM and, after a point, more. */
int must_check vm_sockets_prune(const char *vm);
/* Does somebody serve it? */
bool vm_socket_is_live(const char *path);

#endif
