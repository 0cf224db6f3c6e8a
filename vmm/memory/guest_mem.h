/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_mem.h - the only doors to guest memory.
 * An access lies wholly in one region, and in plugged blocks of it, or it is refused as a whole
 * with -EFAULT: unplugged memory does not exist here. No call gives out a host pointer. Regions
 * are added before the first vCPU runs, then frozen. Thread: the loop (which alone changes block
 * states, so a check holds until its copy is done).
 */
#ifndef EBB_MEMORY_GUEST_MEM_H
#define EBB_MEMORY_GUEST_MEM_H

#include "vmm/base/types.h"
#include "vmm/memory/blocks.h"
#include "vmm/memory/ram.h"

#define GM_MAX_REGIONS 20

struct dirty_pages;

struct guest_mem {
	struct gm_region {
		gpa_t base;
		uint64_t bytes;
		struct ram *ram;
		uint64_t ram_offset;
		struct blocks *blocks; /* NULL: boot memory, always there */
	} regions[GM_MAX_REGIONS];
	unsigned int nr_regions;
	bool frozen;
	/* Notes all writes through these doors; NULL: nobody does. */
	struct dirty_pages *written;
};

/*
 * Puts BYTES of RAM from RAM_OFFSET on at guest address BASE. BLOCKS (may be NULL) says which
 * parts exist at any moment. -EEXIST on overlap, -ENOSPC when the table is full.
 */
int must_check gm_add(struct guest_mem *gm, gpa_t base, uint64_t bytes, struct ram *ram,
		      uint64_t ram_offset, struct blocks *blocks);
void gm_freeze(struct guest_mem *gm);

/* Copies all BYTES or none: 0 or -EFAULT. */
int must_check gm_read(const struct guest_mem *gm, gpa_t at, void *dst, size_t bytes);
int must_check gm_write(const struct guest_mem *gm, gpa_t at, const void *src, size_t bytes);
int must_check gm_zero(const struct guest_mem *gm, gpa_t at, size_t bytes);
/*
 * gm_read() for whoever reads all of memory: what the host has no memory for reads as zeros, and it
 * still has none afterwards. Also -errno of pread().
 */
int must_check gm_read_cold(const struct guest_mem *gm, gpa_t at, void *dst, size_t bytes);
/* Whether all of it is zeros, read in that way; also false when it does not exist. */
bool gm_is_zero(const struct guest_mem *gm, gpa_t at, uint64_t bytes);
/*
 * How many of BYTES at AT, within one region, are like the first: held by the host (*HELD) or not.
 * Whole pages but for the ends.
 */
uint64_t gm_extent(const struct guest_mem *gm, gpa_t at, uint64_t bytes, bool *held);
/*
 * The run of memory that exists at FROM or next after it, within one region: where in *BASE, its
 * length as the result; 0 when there is none.
 */
uint64_t gm_next_run(const struct guest_mem *gm, gpa_t from, gpa_t *base);
#define gm_read_obj(gm, at, obj) gm_read(gm, at, obj, sizeof(*(obj)))
#define gm_write_obj(gm, at, obj) gm_write(gm, at, obj, sizeof(*(obj)))

/*
 * A single 16-bit word in ring order: the load acquires, the store releases (virtio, Split
 * Virtqueues). AT must be even; -EFAULT otherwise too.
 */
int must_check gm_load_le16(const struct guest_mem *gm, gpa_t at, uint16_t *value);
int must_check gm_store_le16(const struct guest_mem *gm, gpa_t at, uint16_t value);

/* True when an access of BYTES at AT would succeed now. */
bool gm_valid(const struct guest_mem *gm, gpa_t at, uint64_t bytes);

/*
 * For a request whose memory is used after the callback that took it: while it is pinned, no block
 * under it is given back (UNPLUG is answered BUSY). -EFAULT: it does not exist now. Every pin is
 * undone once, with the same range.
 */
int must_check gm_pin(const struct guest_mem *gm, gpa_t at, uint64_t bytes);
void gm_unpin(const struct guest_mem *gm, gpa_t at, uint64_t bytes);
/* Memory that is pinned will be written, by gm_preadv() in another thread: noted as written now. */
void gm_will_write(const struct guest_mem *gm, gpa_t at, uint64_t bytes);

/* A place in guest memory. */
struct gm_place {
	gpa_t at;
	uint32_t bytes;
};
#define GM_MAX_PLACES 256
/*
 * Straight between FD at OFFSET and NR places, one after the other, without a copy on the way. Any
 * thread, but all of it must be pinned. FLAGS as of preadv2(). 0; -EFAULT: some of it does not
 * exist, or the host has no memory for it; -ENODATA: the file ends early; -errno. Part of it may be
 * done on error.
 */
int must_check gm_preadv(const struct guest_mem *gm, const struct gm_place *places, unsigned int nr,
			 int fd, uint64_t offset, int flags);
int must_check gm_pwritev(const struct guest_mem *gm, const struct gm_place *places,
			  unsigned int nr, int fd, uint64_t offset, int flags);

/* Reads up to BYTES from FD at FILE_OFFSET into guest memory (loaders). 0, -EFAULT, -errno;
 * -ENODATA when the file ends early. Part of the range may be filled on error. */
int must_check gm_read_file(const struct guest_mem *gm, gpa_t at, int fd, uint64_t file_offset,
			    uint64_t bytes);

#endif
