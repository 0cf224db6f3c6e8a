/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.h - a request is a string of bytes (virtio, Message Framing): first the part the driver
 * wrote, then the part the device fills. The layout of descriptors never shows.
 * The descriptors were copied when the chain was popped; the guest cannot change them any more.
 * Thread: whoever may use guest memory (vmm/memory/guest_mem.h).
 */
#ifndef EBB_VIRTIO_CHAIN_H
#define EBB_VIRTIO_CHAIN_H

#include "vmm/base/types.h"
#include "vmm/memory/guest_mem.h"

#define CHAIN_MAX_SEGMENTS GM_MAX_PLACES

/* A place in a chain. */
struct chain_cursor {
	uint16_t segment;
	uint32_t offset; /* inside it, always less than its length */
};

struct chain {
	const struct guest_mem *gm;
	uint16_t head;
	uint32_t written; /* bytes filled so far: the used length */
	uint32_t readable, writable; /* bytes left in each part */
	/* Readable segments first, then writable ones; none is empty. */
	uint16_t nr_readable, nr_segments;
	struct chain_cursor read, write;
	struct gm_place segments[CHAIN_MAX_SEGMENTS];
};

/* An empty chain that began at descriptor HEAD; segments up to CHAIN_MAX_SEGMENTS are not set. */
void chain_init(struct chain *c, const struct guest_mem *gm, uint16_t head);
/*
 * Adds [AT, AT + BYTES) at the end; an empty range adds nothing. -EPROTO: readable after
 * writable, an address that wraps, more than CHAIN_MAX_SEGMENTS or UINT32_MAX bytes.
 */
int must_check chain_add(struct chain *c, gpa_t at, uint32_t bytes, bool writable);

/* Bytes left to read and to fill. */
static inline uint32_t chain_readable(const struct chain *c) { return c->readable; }
static inline uint32_t chain_writable(const struct chain *c) { return c->writable; }
/*
 * Takes the next BYTES of the driver's part. -EPROTO when fewer are left, -EFAULT when they lie
 * in memory that does not exist; the cursor then stays where it was and DST is undefined.
 */
int must_check chain_read(struct chain *c, void *dst, size_t bytes);
/* Fills the next BYTES of the device's part, all or none; errors as above; counts in written. */
int must_check chain_write(struct chain *c, const void *src, size_t bytes);
#define chain_read_obj(c, obj) chain_read(c, obj, sizeof(*(obj)))
#define chain_write_obj(c, obj) chain_write(c, obj, sizeof(*(obj)))
/*
 * For messages that are places and not bytes (a range of memory to give back): the next piece of
 * the device's part that lies together, which counts as passed, not as written. Whether it exists
 * is for the caller to ask. False: the end.
 */
bool chain_take_place(struct chain *c, gpa_t *at, uint32_t *bytes);
/* Passes the next BYTES of the device's part, that many are left; they do not count as written. */
void chain_skip(struct chain *c, size_t bytes);
/*
 * chain_write() of the next BYTES from FD at OFFSET, without a copy on the way (gm_preadv()). Any
 * thread, while the chain is pinned. -EPROTO as above or -errno; the cursor then stays where it
 * was, part of the memory may be filled.
 */
int must_check chain_write_from_file(struct chain *c, size_t bytes, int fd, uint64_t offset,
				     int flags);
/* chain_read() of the next BYTES into FD at OFFSET, likewise; part of the file may be written. */
int must_check chain_read_to_file(struct chain *c, size_t bytes, int fd, uint64_t offset,
				  int flags);
/*
 * Pins all memory of the chain, for a device that answers later (gm_pin()); undone once, before the
 * chain is pushed or forgotten. The device's part is noted as written. -EFAULT: some of it does not
 * exist, nothing is pinned.
 */
int must_check chain_pin(const struct chain *c);
void chain_unpin(const struct chain *c);
/* True when every byte left to read, or to fill, lies in memory that exists now. */
bool chain_readable_valid(const struct chain *c);
bool chain_writable_valid(const struct chain *c);

#endif
