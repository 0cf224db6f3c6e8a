/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmem_model.h - the virtio memory device as its specification says it, restated as plainly as it
 * goes (virtio, Memory Device / Device Operation), and a resize job as devices/virtio_mem.h says.
 * Shares nothing with the device but constants. Where the specification leaves a choice, the choice
 * of ours is here, too: BUSY while the host refuses or a block is pinned, room of two memory blocks
 * above the requested size.
 */
#ifndef EBB_TESTS_VMEM_MODEL_H
#define EBB_TESTS_VMEM_MODEL_H

#include <linux/virtio_mem.h>

#include "devices/resize.h"

#define MODEL_BLOCKS_MAX 32

struct vmem_model {
	uint64_t addr, block_bytes, memory_block_bytes;
	uint32_t nr; /* blocks of the region */
	uint64_t requested, usable;
	bool plugged[MODEL_BLOCKS_MAX];
	bool pinned[MODEL_BLOCKS_MAX]; /* plugged ones only */
	bool host_refuses;	       /* to discard */
	uint32_t job_id;
	enum resize_state job;
	uint64_t job_target;
	bool job_late; /* its deadline has passed */
};

void model_init(struct vmem_model *m);
uint64_t model_plugged_bytes(const struct vmem_model *m);
uint64_t model_usable_for(const struct vmem_model *m, uint64_t requested);

struct model_answer {
	uint16_t resp, state;
};
/* The answer if the host plays along; nothing changes. */
struct model_answer model_judge(const struct vmem_model *m, uint16_t type, uint64_t addr,
				uint16_t nr_blocks);
/* Whether the request, if it is acknowledged, takes block I from the guest. */
bool model_takes(const struct vmem_model *m, uint16_t type, uint64_t addr, uint16_t nr_blocks,
		 uint32_t i);
/* The answer, and the device is as it is afterwards. */
struct model_answer model_ask(struct vmem_model *m, uint16_t type, uint64_t addr,
			      uint16_t nr_blocks);

/* The host's side; results as in devices/virtio_mem.h. */
int model_request(struct vmem_model *m, uint64_t bytes);
int model_resize(struct vmem_model *m, uint64_t bytes, bool late);
int model_cancel(struct vmem_model *m);
void model_system_reset(struct vmem_model *m);
/* The blocks were changed by someone; a running job may have reached its target. */
void model_plugged(struct vmem_model *m);
/* Time passes. */
void model_tick(struct vmem_model *m);

#endif
