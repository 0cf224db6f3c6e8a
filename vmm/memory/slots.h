/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.h - the coarse layer of an elastic region: fixed segments, each with or without a memory
 * slot of KVM. Where there is none, guest accesses reach no memory at all: they come as MMIO exits
 * with address and data. Adding a slot disturbs nobody; removing one throws away all mappings of
 * the VM (before Linux 6.12), so that is done seldom.
 * Thread: whoever holds the device lock. 0 or -errno.
 */
#ifndef EBB_MEMORY_SLOTS_H
#define EBB_MEMORY_SLOTS_H

#include "vmm/memory/ram.h"

/* KVM, as memory sees it. A slot's number is ours to choose. Failures are logged there. */
struct slot_ops {
	int (*add)(void *ctx, uint32_t slot, gpa_t base, void *host, uint64_t bytes,
		   bool read_only);
	int (*remove)(void *ctx, uint32_t slot);
	void *ctx;
};

/* A slot for a part of RAM that is always there. */
int must_check slot_add_ram(const struct slot_ops *ops, uint32_t slot, gpa_t base, struct ram *ram,
			    uint64_t offset, uint64_t bytes);

/* A segment that holds nothing plugged for so long loses its slot. */
#define SLOTS_IDLE_NS (UINT64_C(10) * 1000 * 1000 * 1000)

enum segment_shows { SEGMENT_NOTHING, SEGMENT_ZEROS, SEGMENT_RAM };

struct slots {
	struct slot_ops ops;
	uint32_t first_slot, nr;
	gpa_t base;
	struct ram *ram;
	uint64_t segment_bytes;
	void *zeros; /* what segments without memory show while `readable`; NULL: never needed yet */
	bool readable;
	struct segment {
		enum segment_shows shows;
		uint64_t idle_since_ns; /* 0: in use */
	} *segments;
};

/* Of all regions of a VM together: so that NR_SLOTS are enough. 0: they can't be. */
uint64_t slots_segment_bytes(uint64_t region_bytes, uint64_t block_bytes, uint32_t nr_slots);

/* Segments of SEGMENT_BYTES, numbered from FIRST_SLOT on, none with a slot. -ENOMEM. */
int must_check slots_init(struct slots *s, const struct slot_ops *ops, uint32_t first_slot,
			  gpa_t base, struct ram *ram, uint64_t segment_bytes);
void slots_destroy(struct slots *s);
/* The VM is gone, and its slots with it. */
void slots_forget(struct slots *s);

/* Memory for all segments that [OFFSET, OFFSET + BYTES) touches. *ADDED (may be NULL): any was
 * missing. On error some may have been added, which is harmless. */
int must_check slots_need(struct slots *s, uint64_t offset, uint64_t bytes, bool *added);
/* Nothing is plugged in the segment at OFFSET any more. */
void slots_idle(struct slots *s, uint64_t offset, uint64_t now_ns);
/* Takes memory from segments that have been idle for SLOTS_IDLE_NS. */
void slots_tick(struct slots *s, uint64_t now_ns);
/* Whether segments without memory read as zeros (writes still exit), by one window of zeros. */
int must_check slots_set_readable(struct slots *s, bool readable);

#endif
