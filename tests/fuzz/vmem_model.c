/* SPDX-License-Identifier: Apache-2.0 */
/* vmem_model.c - the virtio memory device, restated. */
#include "tests/fuzz/vmem_model.h"

#include <errno.h>
#include <string.h>

void model_init(struct vmem_model *m) { m->usable = model_usable_for(m, 0); }

uint64_t model_plugged_bytes(const struct vmem_model *m)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < m->nr; i++)
		bytes += m->plugged[i] ? m->block_bytes : 0;
	return bytes;
}

uint64_t model_usable_for(const struct vmem_model *m, uint64_t requested)
{
	/* Room of two memory blocks, in whole blocks. */
	uint64_t room = (2 * m->memory_block_bytes + m->block_bytes - 1) / m->block_bytes;
	uint64_t usable = requested + room * m->block_bytes;

	return usable < m->nr * m->block_bytes ? usable : m->nr * m->block_bytes;
}

/* Whether block I is one that the request names. */
static bool names(const struct vmem_model *m, uint64_t addr, uint16_t nr_blocks, uint32_t i)
{
	unsigned __int128 at = m->addr + (unsigned __int128)i * m->block_bytes;

	return at >= addr && at < addr + (unsigned __int128)nr_blocks * m->block_bytes;
}

static struct model_answer answer(uint16_t resp) { return (struct model_answer){ .resp = resp }; }

struct model_answer model_judge(const struct vmem_model *m, uint16_t type, uint64_t addr,
				uint16_t nr_blocks)
{
	unsigned __int128 end = addr + (unsigned __int128)nr_blocks * m->block_bytes;
	uint32_t nr_plugged = 0, nr_pinned = 0, nr_all_pinned = 0;

	for (uint32_t i = 0; i < m->nr; i++) {
		nr_plugged += names(m, addr, nr_blocks, i) && m->plugged[i];
		nr_pinned += names(m, addr, nr_blocks, i) && m->pinned[i];
		nr_all_pinned += m->pinned[i];
	}
	if (type == VIRTIO_MEM_REQ_UNPLUG_ALL)
		return answer(nr_all_pinned ? VIRTIO_MEM_RESP_BUSY : VIRTIO_MEM_RESP_ACK);
	if (type > VIRTIO_MEM_REQ_STATE || !nr_blocks || addr % m->block_bytes || addr < m->addr ||
	    end > m->addr + m->usable)
		return answer(VIRTIO_MEM_RESP_ERROR);
	if (type == VIRTIO_MEM_REQ_STATE)
		return (struct model_answer){ VIRTIO_MEM_RESP_ACK,
					     nr_plugged == nr_blocks ? VIRTIO_MEM_STATE_PLUGGED
					     : nr_plugged	     ? VIRTIO_MEM_STATE_MIXED
								     : VIRTIO_MEM_STATE_UNPLUGGED };
	if (type == VIRTIO_MEM_REQ_UNPLUG) {
		if (nr_plugged < nr_blocks)
			return answer(VIRTIO_MEM_RESP_ERROR);
		return answer(nr_pinned ? VIRTIO_MEM_RESP_BUSY : VIRTIO_MEM_RESP_ACK);
	}
	if (nr_plugged)
		return answer(VIRTIO_MEM_RESP_ERROR);
	if (model_plugged_bytes(m) + nr_blocks * m->block_bytes > m->requested)
		return answer(VIRTIO_MEM_RESP_NACK);
	return answer(VIRTIO_MEM_RESP_ACK);
}

bool model_takes(const struct vmem_model *m, uint16_t type, uint64_t addr, uint16_t nr_blocks,
		 uint32_t i)
{
	return m->plugged[i] && (type == VIRTIO_MEM_REQ_UNPLUG_ALL ||
				 (type == VIRTIO_MEM_REQ_UNPLUG && names(m, addr, nr_blocks, i)));
}

struct model_answer model_ask(struct vmem_model *m, uint16_t type, uint64_t addr,
			      uint16_t nr_blocks)
{
	struct model_answer judged = model_judge(m, type, addr, nr_blocks);
	bool discards = type == VIRTIO_MEM_REQ_PLUG;

	if (judged.resp != VIRTIO_MEM_RESP_ACK || type == VIRTIO_MEM_REQ_STATE)
		return judged;
	for (uint32_t i = 0; i < m->nr; i++)
		discards |= model_takes(m, type, addr, nr_blocks, i);
	if (discards && m->host_refuses)
		return answer(VIRTIO_MEM_RESP_BUSY);
	for (uint32_t i = 0; i < m->nr; i++)
		if (type == VIRTIO_MEM_REQ_UNPLUG_ALL || names(m, addr, nr_blocks, i))
			m->plugged[i] = type == VIRTIO_MEM_REQ_PLUG;
	if (type == VIRTIO_MEM_REQ_UNPLUG_ALL)
		m->usable = model_usable_for(m, m->requested);
	model_plugged(m);
	return judged;
}

static int set_requested(struct vmem_model *m, uint64_t bytes)
{
	if (bytes % m->block_bytes)
		return -EINVAL;
	if (bytes > m->nr * m->block_bytes)
		return -ERANGE;
	m->requested = bytes;
	if (m->usable < model_usable_for(m, bytes))
		m->usable = model_usable_for(m, bytes);
	return 0;
}

int model_request(struct vmem_model *m, uint64_t bytes)
{
	int r = set_requested(m, bytes);

	if (!r && m->job == RESIZE_RUNNING)
		m->job = RESIZE_CANCELLED;
	return r;
}

int model_resize(struct vmem_model *m, uint64_t bytes, bool late)
{
	int r = set_requested(m, bytes);

	if (r)
		return r;
	m->job_id++;
	m->job = RESIZE_RUNNING;
	m->job_target = bytes;
	m->job_late = late;
	model_plugged(m);
	return 0;
}

int model_cancel(struct vmem_model *m)
{
	if (m->job != RESIZE_RUNNING)
		return -ENOENT;
	m->job = RESIZE_CANCELLED;
	return set_requested(m, model_plugged_bytes(m));
}

void model_system_reset(struct vmem_model *m)
{
	if (m->host_refuses)
		return;
	memset(m->plugged, 0, sizeof(m->plugged));
	m->usable = model_usable_for(m, m->requested);
	model_plugged(m);
}

void model_plugged(struct vmem_model *m)
{
	if (m->job == RESIZE_RUNNING && model_plugged_bytes(m) == m->job_target)
		m->job = RESIZE_DONE;
}

void model_tick(struct vmem_model *m)
{
	if (m->job == RESIZE_RUNNING && m->job_late)
		m->job = RESIZE_SHORT;
}
