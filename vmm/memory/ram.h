/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram.h - one memfd-backed region of guest RAM.
 * Owner: machine. Thread: any; callers see to it that no two work on the same range. All calls: 0
 * or -errno, on error nothing changed unless said otherwise. The memfd is sealed against shrinking
 * and growing. Ranges are page aligned and lie inside the region.
 */
#ifndef EBB_MEMORY_RAM_H
#define EBB_MEMORY_RAM_H

#include "vmm/base/types.h"

struct ram {
	int fd;
	uint64_t bytes;
	void *host; /* this process's mapping; for memslots and guest_mem.c alone */
	void *window; /* the mapping and the guard zone around it; ram.c's own */
	bool no_huge; /* no huge page, whoever allows it */
};

/* The size of the huge pages that can back it (x86, and aarch64 with 4 KiB pages). */
#define RAM_HUGE_BYTES (2 * MiB)
#define RAM_HUGE_PAGES 512 /* small pages in a huge one */

/* BYTES: a multiple of RAM_HUGE_BYTES. NAME shows in /proc/PID/maps. */
int must_check ram_create(struct ram *ram, const char *name, uint64_t bytes);
/* Accepts a zeroed struct. */
void ram_destroy(struct ram *ram);
/*
 * Gives [OFFSET, OFFSET + BYTES) back to the host with one fallocate(PUNCH_HOLE); the guest's
 * mappings go with it (MMU notifier), the next read sees zeros.
 */
int must_check ram_discard(struct ram *ram, uint64_t offset, uint64_t bytes);
/* No huge pages in any of it, for good: ram_allow_huge() and ram_remap() can't allow them again. */
int must_check ram_forbid_huge(struct ram *ram);
/*
 * Whether huge pages may back the range from now on: made by the kernel (MADV_HUGEPAGE, where the
 * host's shmem_enabled allows it), by khugepaged or by ram_collapse(). May split the mapping:
 * -ENOMEM at vm.max_map_count. A kernel without huge pages has nothing to allow: 0.
 */
int must_check ram_allow_huge(struct ram *ram, uint64_t offset, uint64_t bytes, bool allow);
/*
 * Makes huge pages of a range of whole RAM_HUGE_BYTES now (MADV_COLLAPSE, Linux 6.1, whatever the
 * host's settings); holes become zeros, content stays, also under a running guest. What is huge
 * already costs next to nothing. Small pages stay where the kernel cannot: -EBUSY, -EAGAIN;
 * -ENOMEM: no huge page is free; -EINVAL: not allowed, or no such kernel (then also for 0 bytes).
 * Not logged.
 */
int ram_collapse(struct ram *ram, uint64_t offset, uint64_t bytes);
/* How many of the small pages of the RAM_HUGE_BYTES at OFFSET are there. Reads no page. -errno. */
int must_check ram_nr_present(const struct ram *ram, uint64_t offset);
/*
 * Empties the page tables of the mapping, and with them KVM's; the pages stay. Whole RAM_HUGE_BYTES:
 * of a huge page in part a mapping by small ones would be left.
 */
int must_check ram_forget(struct ram *ram, uint64_t offset, uint64_t bytes);
/* How many pages the page tables of the mapping hold; PAGEMAP is /proc/self/pagemap. -errno. */
int must_check ram_nr_mapped(const struct ram *ram, int pagemap, uint64_t offset, uint64_t bytes);
/* Copies out without making a page of what is a hole: that reads as zeros. -EIO at a short read. */
int must_check ram_read(const struct ram *ram, uint64_t offset, void *dst, size_t bytes);
/* Where memory lies at OFFSET or next after it; the region's size when nowhere. */
uint64_t ram_next_data(const struct ram *ram, uint64_t offset);
/* The same for where there is none. */
uint64_t ram_next_hole(const struct ram *ram, uint64_t offset);
/*
 * Maps the range anew: page tables, userfaultfd registration and everything else about the old
 * mapping is gone, the content stays. Huge pages are allowed as ALLOW_HUGE says. For ranges of
 * whole RAM_HUGE_BYTES. On error the range may have no mapping: whoever touches it gets -EFAULT.
 */
int must_check ram_remap(struct ram *ram, uint64_t offset, uint64_t bytes, bool allow_huge);
/* Bytes of host memory behind the memfd (st_blocks), as the host counts them. */
int must_check ram_resident(const struct ram *ram, uint64_t *bytes);
/* The same for a range: what lies in the page cache there (SEEK_DATA). Reads no page. */
int must_check ram_range_resident(const struct ram *ram, uint64_t offset, uint64_t bytes,
				  uint64_t *resident);

#endif
