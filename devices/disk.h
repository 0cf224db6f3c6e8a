/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - a raw file or a block device of the host that serves as a disk.
 * Locked for as long as it is open (disk_lock.h). Thread: disk_open(), disk_close() and
 * disk_set_size() the loop, the others any.
 */
#ifndef EBB_DEVICES_DISK_H
#define EBB_DEVICES_DISK_H

#include "vmm/base/types.h"

#define DISK_SECTOR_BYTES 512

struct disk {
	int fd;
	uint64_t bytes; /* the disk's; the file is as large or larger */
	uint32_t physical_bytes; /* what the host writes as a whole; a power of two */
	bool is_read_only, is_device;
};

/* 0 or -errno, logged with the way out. PATH names it in messages. */
int must_check disk_open(struct disk *d, const char *path, bool read_only);
/* Accepts one that was not opened (fd -1). */
void disk_close(struct disk *d);
/*
 * The disk has BYTES from now on; a file that is smaller grows. -EINVAL: not of whole sectors;
 * -ERANGE: smaller than it is; -ENOSPC: a device, or a file that can't be written, has less;
 * -errno.
 */
int must_check disk_set_size(struct disk *d, uint64_t bytes);

/* All 0 or -errno. What was written before stays, whatever happens to the host. */
int must_check disk_flush(const struct disk *d);
/* The range is not needed any more; reads give zeros or what was there. A host that can't do that
 * has nothing to do. */
int must_check disk_discard(const struct disk *d, uint64_t offset, uint64_t bytes);
/* The range reads as zeros; MAY_DISCARD: and needs no space. */
int must_check disk_zero(const struct disk *d, uint64_t offset, uint64_t bytes, bool may_discard);

#endif
