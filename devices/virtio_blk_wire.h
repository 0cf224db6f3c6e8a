/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk_wire.h - layouts of the block device (virtio, Block Device), tied to
 * <linux/virtio_blk.h>.
 */
#ifndef EBB_DEVICES_VIRTIO_BLK_WIRE_H
#define EBB_DEVICES_VIRTIO_BLK_WIRE_H

#include <linux/virtio_blk.h>

#include "vmm/base/types.h"

/* As far as the features that are offered reach. */
struct blk_config {
	le64 capacity; /* sectors of 512 bytes, whatever blk_size is */
	le32 size_max; /* bytes of a buffer */
	le32 seg_max;  /* buffers of a request */
	le16 cylinders;
	uint8_t heads, sectors;
	le32 blk_size;
	uint8_t physical_block_exp; /* blocks of blk_size in a physical one, as a power of two */
	uint8_t alignment_offset;
	le16 min_io_size;
	le32 opt_io_size;
	uint8_t wce, unused;
	le16 num_queues;
	le32 max_discard_sectors, max_discard_seg, discard_sector_alignment;
	le32 max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};

#define BLK_SAME_PLACE(member)                                                                     \
	_Static_assert(offsetof(struct blk_config, member) ==                                      \
			       offsetof(struct virtio_blk_config, member), #member)
BLK_SAME_PLACE(capacity);
BLK_SAME_PLACE(size_max);
BLK_SAME_PLACE(seg_max);
BLK_SAME_PLACE(blk_size);
BLK_SAME_PLACE(physical_block_exp);
BLK_SAME_PLACE(min_io_size);
BLK_SAME_PLACE(opt_io_size);
BLK_SAME_PLACE(num_queues);
BLK_SAME_PLACE(max_discard_sectors);
BLK_SAME_PLACE(max_write_zeroes_sectors);
BLK_SAME_PLACE(write_zeroes_may_unmap);

/* Begins a request; its last byte is the status. */
struct blk_header {
	le32 type; /* VIRTIO_BLK_T_* */
	le32 reserved;
	le64 sector;
};
_Static_assert(sizeof(struct blk_header) == sizeof(struct virtio_blk_outhdr), "header");

/* One of those that DISCARD and WRITE_ZEROES name. */
struct blk_range {
	le64 sector;
	le32 num_sectors;
	le32 flags; /* VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP */
};
_Static_assert(sizeof(struct blk_range) == sizeof(struct virtio_blk_discard_write_zeroes), "range");

#endif
