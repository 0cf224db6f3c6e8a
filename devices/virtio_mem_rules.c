/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_mem_rules.c - the decisions of the virtio memory device. */
#include "devices/virtio_mem_rules.h"

#include <errno.h>

static const char *const busy_text[] = {
	[VMEM_BUSY_CLOSING] = "blocks are still being given back",
	[VMEM_BUSY_DISCARD] = "the host did not take the memory back",
	[VMEM_BUSY_PINNED] = "a device's request is under way in the blocks",
	[VMEM_BUSY_CLEAR] = "the host could not clear the memory",
};
_Static_assert(ARRAY_SIZE(busy_text) == VMEM_NR_BUSY, "a text for every reason");

const char *vmem_busy_text(enum vmem_busy busy) { return busy_text[busy]; }

static struct vmem_verdict answer(uint16_t resp) { return (struct vmem_verdict){ .resp = resp }; }

static bool any(const struct blocks *b, uint32_t first, uint32_t nr, enum block_state state)
{
	for (uint32_t i = first; i < first + nr; i++)
		if (blocks_all(b, i, 1, state))
			return true;
	return false;
}

/* The blocks REQ names, or false when one of the conditions on addr and nb_blocks is not met. */
static bool range(const struct vmem_sizes *s, const struct vmem_req *req, struct vmem_verdict *v)
{
	uint64_t addr = le64_get(req->addr);
	uint16_t nr = le16_get(req->nb_blocks);

	/* 16 bits times the block size may exceed 64 bits: compare blocks, not bytes. */
	if (!nr || !is_aligned(addr, s->block_bytes) || addr < s->addr ||
	    addr - s->addr >= s->usable_bytes ||
	    nr > (s->usable_bytes - (addr - s->addr)) / s->block_bytes)
		return false;
	v->first = (uint32_t)((addr - s->addr) / s->block_bytes);
	v->nr = nr;
	return true;
}

static uint16_t state_of(const struct blocks *b, uint32_t first, uint32_t nr)
{
	if (blocks_all(b, first, nr, BLOCK_PLUGGED))
		return VIRTIO_MEM_STATE_PLUGGED;
	if (blocks_all(b, first, nr, BLOCK_UNPLUGGED))
		return VIRTIO_MEM_STATE_UNPLUGGED;
	return VIRTIO_MEM_STATE_MIXED;
}

static struct vmem_verdict busy(struct vmem_verdict v, enum vmem_busy why)
{
	v.resp = VIRTIO_MEM_RESP_BUSY;
	v.busy = why;
	return v;
}

static struct vmem_verdict judge_range(const struct vmem_sizes *s, const struct blocks *b,
				       const struct vmem_req *req)
{
	uint16_t type = le16_get(req->type);
	struct vmem_verdict v = answer(VIRTIO_MEM_RESP_ACK);

	if (!range(s, req, &v))
		return answer(VIRTIO_MEM_RESP_ERROR);
	if (type == VIRTIO_MEM_REQ_STATE) {
		v.state = state_of(b, v.first, v.nr);
		return v;
	}
	if (any(b, v.first, v.nr, type == VIRTIO_MEM_REQ_PLUG ? BLOCK_PLUGGED : BLOCK_UNPLUGGED))
		return answer(VIRTIO_MEM_RESP_ERROR);
	if (type == VIRTIO_MEM_REQ_PLUG) {
		uint64_t plugged = blocks_plugged_bytes(b);

		if (plugged > s->requested_bytes ||
		    v.nr > (s->requested_bytes - plugged) / s->block_bytes) {
			v.resp = VIRTIO_MEM_RESP_NACK;
			return v;
		}
	}
	if (any(b, v.first, v.nr, BLOCK_CLOSING))
		return busy(v, VMEM_BUSY_CLOSING);
	if (type == VIRTIO_MEM_REQ_UNPLUG && blocks_any_pinned(b, v.first, v.nr))
		return busy(v, VMEM_BUSY_PINNED);
	return v;
}

struct vmem_verdict vmem_judge(const struct vmem_sizes *s, const struct blocks *b,
			       const struct vmem_req *req)
{
	switch (le16_get(req->type)) {
	case VIRTIO_MEM_REQ_PLUG:
	case VIRTIO_MEM_REQ_UNPLUG:
	case VIRTIO_MEM_REQ_STATE:
		return judge_range(s, b, req);
	case VIRTIO_MEM_REQ_UNPLUG_ALL:
		if (any(b, 0, b->nr, BLOCK_CLOSING))
			return busy(answer(VIRTIO_MEM_RESP_BUSY), VMEM_BUSY_CLOSING);
		if (blocks_any_pinned(b, 0, b->nr))
			return busy(answer(VIRTIO_MEM_RESP_BUSY), VMEM_BUSY_PINNED);
		return answer(VIRTIO_MEM_RESP_ACK);
	default:
		return answer(VIRTIO_MEM_RESP_ERROR);
	}
}

int vmem_check_target(const struct vmem_sizes *s, uint64_t bytes)
{
	if (!is_aligned(bytes, s->block_bytes))
		return -EINVAL;
	return bytes > s->region_bytes ? -ERANGE : 0;
}

uint64_t vmem_usable_for(const struct vmem_sizes *s, uint64_t requested_bytes,
			 uint64_t memory_block_bytes)
{
	uint64_t room = align_up(2 * memory_block_bytes, s->block_bytes);

	return requested_bytes + min_u64(room, s->region_bytes - requested_bytes);
}

uint64_t vmem_guest_limit(const struct vmem_sizes *s, uint64_t memory_block_bytes)
{
	uint64_t unit = max_u64(memory_block_bytes, s->block_bytes);
	uint64_t start = align_up(s->addr, unit);
	uint64_t end = align_down(s->addr + s->usable_bytes, unit);

	return end > start ? end - start : 0;
}
