/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmem_rig.h - one virtio memory device with all it stands on, and a driver that talks to it.
 * Boot memory and one elastic region are real memfds, so that the host can be asked what it holds.
 */
#ifndef EBB_TESTS_VMEM_RIG_H
#define EBB_TESTS_VMEM_RIG_H

#include "devices/virtio_mem.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/fake_driver.h"

#define VMEM_BLOCK    (2 * MiB)
#define VMEM_FEATURES (UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE)

struct vmem_rig {
	struct fake_memory mem;
	struct loop *loop;
	struct fake_clock clock;
	struct vmem *v;
	struct fake_driver drv;
	struct vmem_cfg cfg;
	struct loop_timer stop;
	int saved_fd; /* while the host refuses */
	unsigned int nr_size_changes, nr_job_changes;
	enum resize_state last_job_state;
};

/* REGION bytes in blocks of 2 MiB, guest memory blocks of 128 MiB, no node, no driver yet. */
void vmem_rig_init(struct vmem_rig *r, uint64_t region_bytes);
/* As r->cfg says; memory is as large as the region. */
void vmem_rig_init_cfg(struct vmem_rig *r, struct vmem_cfg cfg);
/* The driver sets the device up; what it is asked for is REQUESTED_BYTES then. */
void vmem_rig_start(struct vmem_rig *r, uint64_t requested_bytes);
void vmem_rig_destroy(struct vmem_rig *r);

/* Requests; each must be answered with 10 bytes. Blocks are counted from the region's start. */
struct vmem_resp vmem_rig_ask(struct vmem_rig *r, uint16_t type, uint64_t addr, uint16_t nr_blocks);
uint16_t vmem_rig_plug(struct vmem_rig *r, uint32_t first, uint16_t nr);
uint16_t vmem_rig_unplug(struct vmem_rig *r, uint32_t first, uint16_t nr);
uint16_t vmem_rig_unplug_all(struct vmem_rig *r);
/* The state type; the request must be acknowledged. */
uint16_t vmem_rig_state(struct vmem_rig *r, uint32_t first, uint16_t nr);
/* Requests in buffers of the test's own; false: not answered. */
bool vmem_rig_ask_at(struct vmem_rig *r, const struct vmem_req *req, const struct fake_buffer *bufs,
		     unsigned int nr_bufs);

struct vmem_config vmem_rig_config(struct vmem_rig *r);
struct vmem_info vmem_rig_info(const struct vmem_rig *r);
static inline gpa_t vmem_rig_at(const struct vmem_rig *r, uint32_t block)
{
	return GPA(r->cfg.addr + block * r->cfg.block_bytes);
}

/* Fills a whole plugged block with words made from SEED; whether it holds them still. */
void vmem_rig_fill(struct vmem_rig *r, uint32_t block, uint64_t seed);
bool vmem_rig_holds(struct vmem_rig *r, uint32_t block, uint64_t seed);
bool vmem_rig_is_zero(struct vmem_rig *r, uint32_t block);
/* Writes as a vCPU does, past every check of ours. */
void vmem_rig_vcpu_write(struct vmem_rig *r, uint32_t block, uint64_t offset, uint8_t value);

/* What the host says: bytes behind the region's memfd; bytes in its page cache for some blocks. */
uint64_t vmem_rig_resident(const struct vmem_rig *r);
uint64_t vmem_rig_mincore(const struct vmem_rig *r, uint32_t first, uint32_t nr);

/* From now on every discard fails (the descriptor cannot be written to), or works again. */
void vmem_rig_host_refuses(struct vmem_rig *r, bool refuses);
/* Runs the main loop for NS. */
void vmem_rig_run(struct vmem_rig *r, uint64_t ns);
/* Whether the driver got a configuration change interrupt since the last call. */
bool vmem_rig_config_interrupt(struct vmem_rig *r);

#endif
