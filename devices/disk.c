/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c - a raw file or a block device of the host that serves as a disk. */
#include "devices/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "devices/disk_lock.h"
#include "vmm/base/log.h"

/* Most file systems write pages of this size. */
#define FILE_PHYSICAL_BYTES 4096

static int size_of(const struct disk *d, uint64_t *bytes)
{
	struct stat st;

	if (d->is_device)
		return ioctl(d->fd, BLKGETSIZE64, bytes) ? -errno : 0;
	if (fstat(d->fd, &st))
		return -errno;
	*bytes = (uint64_t)st.st_size;
	return 0;
}

static int open_failed(int code, const char *path, bool read_only)
{
	if (!read_only && (code == -EACCES || code == -EROFS || code == -EPERM)) {
		fail_usage("--disk %s: it can't be written; take --disk %s,readonly, or have it "
			   "made writable", path, path);
		return code;
	}
	if (code == -EBUSY) {
		fail_usage("--disk %s: the host uses this device (mounted, or part of another "
			   "one); unmount it first", path);
		return code;
	}
	return fail(code, "--disk %s", path);
}

/* What kind of file it is decides how it is opened: a FIFO would wait for its other end. */
static int open_file(struct disk *d, const char *path)
{
	int flags = (d->is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat st;

	if (stat(path, &st)) {
		if (errno != ENOENT)
			return fail(-errno, "--disk %s", path);
		fail_usage("--disk %s: there is no such file; make one with "
			   "truncate -s 8G %s", path, path);
		return -ENOENT;
	}
	d->is_device = S_ISBLK(st.st_mode);
	if (!d->is_device && !S_ISREG(st.st_mode)) {
		fail_usage("--disk %s: %s; take a raw image or a block device", path,
			   S_ISDIR(st.st_mode) ? "a directory" : "neither a file nor a disk");
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	}
	/* On a device O_EXCL keeps the host's own users away. */
	if (d->is_device && !d->is_read_only)
		flags |= O_EXCL;
	d->fd = open(path, flags);
	return d->fd < 0 ? open_failed(-errno, path, d->is_read_only) : 0;
}

static int look_at_size(struct disk *d, const char *path)
{
	uint64_t rest;
	int r = size_of(d, &d->bytes);

	if (r)
		return fail(r, "--disk %s", path);
	rest = d->bytes % DISK_SECTOR_BYTES;
	if (!d->bytes)
		return fail_usage("--disk %s: it is empty; give it a size with truncate -s 8G %s",
				  path, path);
	if (rest)
		return fail_usage("--disk %s: %llu bytes is not a multiple of %d, the size of a "
				  "sector; fill it up with truncate -s %%%d %s (and make sure that "
				  "it is a raw image)", path, (unsigned long long)d->bytes,
				  DISK_SECTOR_BYTES, DISK_SECTOR_BYTES, path);
	return 0;
}

static uint32_t physical_bytes(const struct disk *d)
{
	unsigned int bytes = FILE_PHYSICAL_BYTES;

	if (d->is_device && ioctl(d->fd, BLKPBSZGET, &bytes))
		bytes = DISK_SECTOR_BYTES;
	return is_power_of_two(bytes) && bytes >= DISK_SECTOR_BYTES ? bytes : DISK_SECTOR_BYTES;
}

int disk_open(struct disk *d, const char *path, bool read_only)
{
	int r;

	*d = (struct disk){ .fd = -1, .is_read_only = read_only };
	r = open_file(d, path);
	if (!r)
		r = disk_lock(d->fd, path, read_only);
	if (!r)
		r = look_at_size(d, path);
	if (!r)
		d->physical_bytes = physical_bytes(d);
	else
		disk_close(d);
	return r;
}

void disk_close(struct disk *d)
{
	auto_close_fn(&d->fd);
	d->fd = -1;
}

int disk_set_size(struct disk *d, uint64_t bytes)
{
	uint64_t now;
	int r = size_of(d, &now);

	if (r)
		return r;
	if (bytes % DISK_SECTOR_BYTES)
		return -EINVAL;
	if (bytes < d->bytes)
		return -ERANGE;
	if (bytes > now && (d->is_device || d->is_read_only))
		return -ENOSPC;
	if (bytes > now && ftruncate(d->fd, (off_t)bytes))
		return -errno;
	d->bytes = bytes;
	return 0;
}

int disk_flush(const struct disk *d) { return fdatasync(d->fd) ? -errno : 0; }

/* fallocate(), as -errno. */
static int allocate(const struct disk *d, int mode, uint64_t offset, uint64_t bytes)
{
	int r;

	do
		r = fallocate(d->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
	while (r && errno == EINTR);
	return r ? -errno : 0;
}

int disk_discard(const struct disk *d, uint64_t offset, uint64_t bytes)
{
	int r = bytes ? allocate(d, FALLOC_FL_PUNCH_HOLE, offset, bytes) : 0;

	return r == -EOPNOTSUPP ? 0 : r;
}

static int write_zeros(const struct disk *d, uint64_t offset, uint64_t bytes)
{
	static const char zeros[64 * KiB];

	while (bytes) {
		ssize_t n = pwrite(d->fd, zeros, min_u64(bytes, sizeof(zeros)), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		offset += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	return 0;
}

int disk_zero(const struct disk *d, uint64_t offset, uint64_t bytes, bool may_discard)
{
	int r = -EOPNOTSUPP;

	if (!bytes)
		return 0;
	if (may_discard)
		r = allocate(d, FALLOC_FL_PUNCH_HOLE, offset, bytes);
	if (r == -EOPNOTSUPP)
		r = allocate(d, FALLOC_FL_ZERO_RANGE, offset, bytes);
	return r == -EOPNOTSUPP ? write_zeros(d, offset, bytes) : r;
}
