/* SPDX-License-Identifier: Apache-2.0 */
/* pid_file.c - a file with the process's number. */
#include "vmm/rundir/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "vmm/base/log.h"

#define NUMBER_BYTES_MAX 16

/* Is the file of FD still the one at PATH? Its last owner may have removed it meanwhile. */
static bool is_at(int fd, const char *path)
{
	struct stat ours, there;

	return !fstat(fd, &ours) && !stat(path, &there) && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

static int open_locked(const char *path)
{
	for (;;) {
		auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
		struct stat st;

		if (fd < 0)
			return fail(-errno, "pid file %s", path);
		if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > NUMBER_BYTES_MAX) {
			fail_usage("pid file %s: something else is there; remove it or choose "
				   "another path", path);
			return -EEXIST;
		}
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			fail_usage("pid file %s: in use by a VM that is running", path);
			return -EBUSY;
		}
		if (is_at(fd, path))
			return take_fd(&fd);
	}
}

int pid_file_write(struct pid_file *file, const char *path)
{
	auto_close int fd = open_locked(path);

	if (fd < 0)
		return fd;
	if (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		int r = fail(-errno, "pid file %s", path);

		unlink(path);
		return r;
	}
	*file = (struct pid_file){ path, take_fd(&fd) };
	return 0;
}

void pid_file_remove(struct pid_file *file)
{
	if (!file->path)
		return;
	/* Before the lock goes: whoever waits for it looks again. */
	if (is_at(file->fd, file->path))
		unlink(file->path);
	close(file->fd);
	*file = (struct pid_file){ NULL, -1 };
}
