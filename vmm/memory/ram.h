/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram.h - one memfd-backed region of guest RAM.
 * Owner: machine. Thread: the loop; ram_resident() any. All calls: 0 or -errno, on error nothing
 * changed. The memfd is sealed against shrinking and growing.
 */
#ifndef EBB_MEMORY_RAM_H
#define EBB_MEMORY_RAM_H

#include "vmm/base/types.h"

struct ram {
	int fd;
	uint64_t bytes;
	void *host; /* this process's mapping; for memslots and guest_mem.c alone */
};

/* BYTES: a multiple of 2 MiB. NAME shows in /proc/PID/maps. */
int must_check ram_create(struct ram *ram, const char *name, uint64_t bytes);
/* Accepts a zeroed struct. */
void ram_destroy(struct ram *ram);
/*
 * Gives [OFFSET, OFFSET + BYTES) back to the host with one fallocate(PUNCH_HOLE); the guest's
 * mappings go with it (MMU notifier), the next read sees zeros. Page aligned, inside the region.
 */
int must_check ram_discard(struct ram *ram, uint64_t offset, uint64_t bytes);
/* Bytes of host memory behind the memfd (st_blocks), as the host counts them. */
int must_check ram_resident(const struct ram *ram, uint64_t *bytes);

#endif
