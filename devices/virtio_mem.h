/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mem.h - the virtio memory device: a region of equal blocks that the guest plugs and
 * unplugs toward a size the host requests (virtio, Memory Device).
 * Owner: machine; one struct per elastic region, any number of them. Thread: the loop, under the
 * device lock. An ACK means that the host has already done it; where the host fails the guest gets
 * BUSY and every block stays what it was. Device reset changes no block; system reset unplugs all.
 */
#ifndef EBB_DEVICES_VIRTIO_MEM_H
#define EBB_DEVICES_VIRTIO_MEM_H

#include "devices/resize.h"
#include "devices/virtio_mem_rules.h"
#include "virtio/device.h"
#include "vmm/base/loop.h"
#include "vmm/memory/elastic.h"

struct vmem;

struct vmem_cfg {
	const char *id; /* copied */
	uint64_t addr, region_bytes, block_bytes;
	bool has_node; /* node_id is an ACPI proximity domain of the SRAT */
	uint16_t node_id;
	uint64_t memory_block_bytes; /* the guest's: 128 MiB on x86 with less than 64 GiB */
};

/* What the device works on; all of it outlives the device. */
struct vmem_env {
	struct loop *loop;
	const struct guest_mem *gm;
	struct elastic *elastic; /* the region; this device alone changes its blocks */
	/* Optional. Called last, so they may call back into the device, but not free it. */
	void (*size_changed)(void *ctx, struct vmem *v); /* the plugged size is another one */
	void (*job_changed)(void *ctx, struct vmem *v);	 /* a job has started or ended */
	void *ctx;
};

/*
 * -EINVAL for a configuration that no guest could use: block size not a power of two or below
 * 2 MiB; address or size of the region not a multiple of it. The requested size is 0.
 */
int must_check vmem_new(struct vmem **out, const struct vmem_cfg *cfg, const struct vmem_env *env);
void vmem_free(struct vmem *v);
/* To be put behind a transport. */
struct virtio_dev *vmem_dev(struct vmem *v);

/*
 * Sets the requested size and interrupts the driver, also when it is the same as before. A running
 * resize job is cancelled. -EINVAL: not a multiple of the block size; -ERANGE: above the region;
 * nothing has changed then.
 */
int must_check vmem_request(struct vmem *v, uint64_t bytes);
/*
 * The same as a job (devices/resize.h) that ends `short` at DEADLINE_NS (monotonic, 0: none); the
 * requested size stays the target then. A running job is cancelled first. Errors as above.
 */
int must_check vmem_resize(struct vmem *v, uint64_t target_bytes, uint64_t deadline_ns);
/*
 * Ends the running job; the requested size becomes what is plugged now, so that the guest stops
 * where it is. -ENOENT: no job is running.
 */
int must_check vmem_cancel(struct vmem *v);
struct resize_status vmem_job(const struct vmem *v);

/*
 * The machine is reset (the transport resets the virtio side): unplugs everything and gives all of
 * the region back to the host; the requested size and a running job stay, the next guest grows to
 * them. If the host refuses (logged), blocks stay plugged and the next driver will unplug them.
 */
void vmem_system_reset(struct vmem *v);

struct vmem_counters {
	uint64_t requests[4]; /* by VIRTIO_MEM_REQ_* */
	uint64_t unknown_requests;
	uint64_t responses[4]; /* by VIRTIO_MEM_RESP_* */
	uint64_t busys[VMEM_NR_BUSY];
};

struct vmem_info {
	const char *id;
	uint64_t addr, region_bytes, block_bytes;
	uint64_t usable_bytes, plugged_bytes, requested_bytes;
	bool has_node;
	uint16_t node_id;
	bool driver_ready;
	struct vmem_counters counters;
	struct elastic_counters host;
};
void vmem_info(const struct vmem *v, struct vmem_info *info);

#endif
