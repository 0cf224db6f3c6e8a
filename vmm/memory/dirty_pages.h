/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirty_pages.h - which pages of guest memory were written since a moment: by devices, through the
 * doors of guest_mem.h, and by vCPUs, whose log somebody adds (KVM's dirty log).
 * Off, it costs one comparison for each write of a device. Thread: the loop.
 */
#ifndef EBB_MEMORY_DIRTY_PAGES_H
#define EBB_MEMORY_DIRTY_PAGES_H

#include "vmm/memory/guest_mem.h"
#include "vmm/memory/page_set.h"

struct dirty_pages {
	const struct guest_mem *gm;
	struct page_set sets[GM_MAX_REGIONS]; /* of gm->regions */
};

/* From now on writes of devices are noted. -ENOMEM: nothing has changed. Not while it is on. */
int must_check dirty_pages_start(struct dirty_pages *w, struct guest_mem *gm);
/* Forgets all. Accepts one that is off, or zeroed. */
void dirty_pages_stop(struct dirty_pages *w, struct guest_mem *gm);
/* A write to [AT, AT + BYTES), which lies in one region. */
void dirty_pages_note(struct dirty_pages *w, gpa_t at, uint64_t bytes);
/* A bit for each of NR_PAGES pages from BASE on, within one region; BASE / 4 KiB a multiple of 64. */
void dirty_pages_merge(struct dirty_pages *w, gpa_t base, const uint64_t *bitmap, uint64_t nr_pages);
/* Whether any page of the range was; true as well for memory outside of all regions. */
bool dirty_pages_any(const struct dirty_pages *w, gpa_t at, uint64_t bytes);

#endif
