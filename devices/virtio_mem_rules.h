/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mem_rules.h - the decisions of the virtio memory device: pure, no I/O, no clock.
 * A verdict depends on the sizes, the block map and a private copy of the request alone; nothing
 * here changes any of them (virtio, Memory Device / Device Operation).
 */
#ifndef EBB_DEVICES_VIRTIO_MEM_RULES_H
#define EBB_DEVICES_VIRTIO_MEM_RULES_H

#include "devices/virtio_mem_wire.h"
#include "vmm/memory/blocks.h"

struct vmem_sizes {
	uint64_t addr, region_bytes, block_bytes; /* fixed */
	uint64_t usable_bytes, requested_bytes;	  /* requested <= usable <= region */
};

/* Why a request was answered BUSY. */
enum vmem_busy {
	VMEM_BUSY_CLOSING, /* a block is being given back */
	VMEM_BUSY_DISCARD, /* the host did not take the memory back */
	VMEM_BUSY_PINNED,  /* a request of a device is under way in a block */
	VMEM_BUSY_CLEAR,   /* the host did not clear the memory before it is plugged */
	VMEM_NR_BUSY,
};
const char *vmem_busy_text(enum vmem_busy busy);

struct vmem_verdict {
	uint16_t resp;	     /* VIRTIO_MEM_RESP_* */
	uint16_t state;	     /* VIRTIO_MEM_STATE_*: of an acknowledged STATE request */
	enum vmem_busy busy; /* of VIRTIO_MEM_RESP_BUSY */
	uint32_t first, nr;  /* the blocks meant, unless the request has none or is an ERROR */
};

/*
 * The answer to REQ if the host plays along. ERROR, in this order, for an unknown type, a bad
 * range, or a block that is already where the request wants it (the specification leaves no choice
 * in these); BUSY for a block that is being given back or
 * that an UNPLUG would take from a request under way; NACK only for a PLUG above the requested
 * size.
 */
struct vmem_verdict vmem_judge(const struct vmem_sizes *sizes, const struct blocks *blocks,
			       const struct vmem_req *req);

/* 0; -EINVAL: not a multiple of the block size; -ERANGE: above the region. */
int must_check vmem_check_target(const struct vmem_sizes *sizes, uint64_t bytes);
/*
 * The usable region for REQUESTED_BYTES: so much plus two of the guest's memory blocks, at most
 * the region. Linux adds whole memory blocks only, so it needs room to choose. Some room stays at
 * a request of 0 as well: a late PLUG must get a NACK there, since after an ERROR Linux gives the
 * device up.
 */
uint64_t vmem_usable_for(const struct vmem_sizes *sizes, uint64_t requested_bytes,
			 uint64_t memory_block_bytes);
/* How much of the usable region a guest can use that adds whole, aligned memory blocks only. */
uint64_t vmem_guest_limit(const struct vmem_sizes *sizes, uint64_t memory_block_bytes);

#endif
