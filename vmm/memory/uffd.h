/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uffd.h - userfaultfd for shared memory: missing pages and write protection (kernel doc,
 * Userfaultfd). Thread: any. 0 or -errno; not logged unless said so.
 */
#ifndef EBB_MEMORY_UFFD_H
#define EBB_MEMORY_UFFD_H

#include "vmm/base/types.h"

#define UFFD_DEVICE "/dev/userfaultfd"
/*
 * *FD: non-blocking, close-on-exec, belongs to this process's memory: to be made after the last
 * fork. From the device PATH, or the descriptor that "fd:N" names; NULL: from UFFD_DEVICE, or else
 * by the system call. Logged, with the way out: -EPERM, -ENOSYS, -EOPNOTSUPP (a kernel before Linux
 * 5.19), -ENOTTY (PATH is something else), errors of open() and inherited_fds_fd().
 */
int must_check uffd_open(int *fd, const char *path);

/* Whether all that would work here, tried on 2 MiB of shared memory. Errors of uffd_open(), and of
 * the others; logged. */
int must_check uffd_try(void);

/* Accesses to missing and to write-protected pages of the range raise events from now on.
 * May split the mapping: -ENOMEM at vm.max_map_count. */
int must_check uffd_register(int fd, void *at, uint64_t bytes);
/* No events any more; who waits in the range goes on. */
int must_check uffd_unregister(int fd, void *at, uint64_t bytes);

/*
 * Fills missing pages with BYTES of SRC. PROTECT: writes to them raise events. Nobody is woken.
 * -EEXIST: the first page is there already. -EAGAIN: only *COPIED bytes are done, or the mapping is
 * changing: try again. -ENOENT: the range is not registered any more. -ENOMEM.
 */
int must_check uffd_copy(int fd, void *at, const void *src, uint64_t bytes, bool protect,
			 uint64_t *copied);
/* Writes to the range raise no event any more; nobody is woken. */
int must_check uffd_unprotect(int fd, void *at, uint64_t bytes);
/* Who waits in the range tries again. */
int must_check uffd_wake(int fd, void *at, uint64_t bytes);

struct uffd_event {
	char *at;
	uint32_t tid; /* of the thread that waits */
	bool is_write, is_protected; /* else: the page is missing */
};
/* Takes up to MAX waiting events; how many there were, 0 when none, or -errno. */
int must_check uffd_read(int fd, struct uffd_event *events, unsigned int max);

#endif
