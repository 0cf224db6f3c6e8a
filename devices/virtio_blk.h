/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.h - the block device (virtio, Block Device) over a file or device of the host.
 * Data goes straight between file and guest memory, on worker threads (vmm/base/workers.h); while a
 * request is under way its memory is pinned, so no block under it is unplugged. Small reads that
 * the host's page cache can answer are answered at once.
 *
 * Writes are stable when a flush after them was answered, as with any disk that has a cache; each
 * by itself for drivers that do not flush (no VIRTIO_BLK_F_FLUSH).
 *
 * A reset, or the stop of its queue, forgets requests that have not begun and waits for the others:
 * afterwards nothing touches the guest's memory or the disk any more.
 * Thread: the loop, under the device lock.
 */
#ifndef EBB_DEVICES_VIRTIO_BLK_H
#define EBB_DEVICES_VIRTIO_BLK_H

#include "devices/disk.h"
#include "virtio/device.h"
#include "vmm/base/loop.h"

#define BLK_SERIAL_BYTES 20 /* without a NUL */

struct blk;

struct blk_cfg {
	const char *id, *path; /* stay; PATH for messages */
	char serial[BLK_SERIAL_BYTES + 1];
};

/* Takes DISK on, also on failure. -errno, logged. */
int must_check blk_new(struct blk **out, const struct blk_cfg *cfg, const struct disk *disk,
		       struct loop *loop, const struct guest_mem *gm);
/* Waits for what is under way. NULL is fine. */
void blk_free(struct blk *b);
/* To be put behind a transport. */
struct virtio_dev *blk_dev(struct blk *b);

/* Waits for all requests under way. With virtio_hold() before, nothing changes guest memory then. */
void blk_drain(struct blk *b);

/* disk_set_size(), and the driver hears of it. */
int must_check blk_set_size(struct blk *b, uint64_t bytes);

struct blk_info {
	const char *id, *path;
	uint64_t bytes;
	bool is_read_only, driver_ready;
	unsigned int nr_in_flight;
	struct blk_counters {
		uint64_t reads, read_bytes, writes, written_bytes, flushes, others;
		uint64_t at_once; /* reads that the page cache had */
		uint64_t failed;
	} counters;
};
void blk_info(const struct blk *b, struct blk_info *info);

#endif
