/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mem_wire.h - request, response and configuration layout of the virtio memory device
 * (virtio, Memory Device), tied to <linux/virtio_mem.h>. The union of a request always holds
 * {addr, nb_blocks}: PLUG, UNPLUG and STATE share that payload, UNPLUG_ALL has none.
 */
#ifndef EBB_DEVICES_VIRTIO_MEM_WIRE_H
#define EBB_DEVICES_VIRTIO_MEM_WIRE_H

#include <linux/virtio_mem.h>

#include "vmm/base/types.h"

struct vmem_req {
	le16 type; /* VIRTIO_MEM_REQ_* */
	uint8_t padding0[6];
	le64 addr;
	le16 nb_blocks;
	uint8_t padding1[6];
};

struct vmem_resp {
	le16 type; /* VIRTIO_MEM_RESP_* */
	uint8_t padding[6];
	le16 state; /* VIRTIO_MEM_STATE_*: only for an acknowledged STATE request */
};

struct vmem_config {
	le64 block_size;
	le16 node_id;
	uint8_t padding[6];
	le64 addr;
	le64 region_size;
	le64 usable_region_size;
	le64 plugged_size;
	le64 requested_size;
};

#define VMEM_SAME_PLACE(ours, field, theirs, member)                                               \
	_Static_assert(offsetof(struct ours, field) == offsetof(struct theirs, member) &&          \
			       sizeof(((struct ours *)0)->field) ==                                \
				       sizeof(((struct theirs *)0)->member),                       \
		       #ours "." #field)

_Static_assert(sizeof(struct vmem_req) == 24 && sizeof(struct virtio_mem_req) == 24, "request");
VMEM_SAME_PLACE(vmem_req, type, virtio_mem_req, type);
VMEM_SAME_PLACE(vmem_req, addr, virtio_mem_req, u.plug.addr);
VMEM_SAME_PLACE(vmem_req, nb_blocks, virtio_mem_req, u.plug.nb_blocks);
VMEM_SAME_PLACE(vmem_req, addr, virtio_mem_req, u.unplug.addr);
VMEM_SAME_PLACE(vmem_req, nb_blocks, virtio_mem_req, u.unplug.nb_blocks);
VMEM_SAME_PLACE(vmem_req, addr, virtio_mem_req, u.state.addr);
VMEM_SAME_PLACE(vmem_req, nb_blocks, virtio_mem_req, u.state.nb_blocks);

_Static_assert(sizeof(struct vmem_resp) == 10 && sizeof(struct virtio_mem_resp) == 10, "response");
VMEM_SAME_PLACE(vmem_resp, type, virtio_mem_resp, type);
VMEM_SAME_PLACE(vmem_resp, state, virtio_mem_resp, u.state.state);

_Static_assert(sizeof(struct vmem_config) == sizeof(struct virtio_mem_config), "configuration");
VMEM_SAME_PLACE(vmem_config, block_size, virtio_mem_config, block_size);
VMEM_SAME_PLACE(vmem_config, node_id, virtio_mem_config, node_id);
VMEM_SAME_PLACE(vmem_config, addr, virtio_mem_config, addr);
VMEM_SAME_PLACE(vmem_config, region_size, virtio_mem_config, region_size);
VMEM_SAME_PLACE(vmem_config, usable_region_size, virtio_mem_config, usable_region_size);
VMEM_SAME_PLACE(vmem_config, plugged_size, virtio_mem_config, plugged_size);
VMEM_SAME_PLACE(vmem_config, requested_size, virtio_mem_config, requested_size);
#undef VMEM_SAME_PLACE

#endif
