/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.h - a request is a string of bytes (virtio, Message Framing): first the part the driver
 * wrote, then the part the device fills. The layout of descriptors never shows.
 * The descriptors were copied when the chain was popped; the guest cannot change them any more.
 */
#ifndef EBB_VIRTIO_CHAIN_H
#define EBB_VIRTIO_CHAIN_H

#include "vmm/base/types.h"
#include "vmm/memory/guest_mem.h"

#define CHAIN_MAX_SEGMENTS 256

struct chain {
	const struct guest_mem *gm;
	uint16_t head;
	uint32_t written; /* bytes filled so far: the used length */
	/* Readable segments first, then writable ones; a cursor for each part. */
	uint16_t nr_readable, nr_segments;
	uint16_t read_segment, write_segment;
	uint64_t read_offset, write_offset; /* inside the current segment */
	struct chain_segment {
		gpa_t at;
		uint32_t bytes;
	} segments[CHAIN_MAX_SEGMENTS];
};

/* Bytes left to read and to fill. */
uint64_t chain_readable(const struct chain *c);
uint64_t chain_writable(const struct chain *c);
/*
 * Takes the next BYTES of the driver's part. -EPROTO when fewer are left, -EFAULT when they lie
 * in memory that does not exist; the cursor then stays where it was.
 */
int must_check chain_read(struct chain *c, void *dst, size_t bytes);
/* Fills the next BYTES of the device's part; errors as above, chain->written counts. */
int must_check chain_write(struct chain *c, const void *src, size_t bytes);
#define chain_read_obj(c, obj) chain_read(c, obj, sizeof(*(obj)))
#define chain_write_obj(c, obj) chain_write(c, obj, sizeof(*(obj)))
/* True when every byte left to fill lies in memory that exists now. */
bool chain_writable_valid(const struct chain *c);

#endif
