/* SPDX-License-Identifier: Apache-2.0 */
/* vq.c - see vq.h; names as in virtio, Split Virtqueues. */
#include "guests/vq.h"
#include "guests/lib.h"

void vq_alloc(struct vq *vq, const struct virtio *dev, uint16_t index, uint16_t size)
{
	CHECK(size && size <= 256 && !(size & (size - 1)));
	*vq = (struct vq){
		.dev = dev,
		.index = index,
		.size = size,
		.indirect = dev->features >> VIRTIO_RING_F_INDIRECT_DESC & 1,
		.event_idx = dev->features >> VIRTIO_RING_F_EVENT_IDX & 1,
		.desc = page_alloc(1),
		.avail = page_alloc(1),
		.used = page_alloc(1),
		.next_free = page_alloc(1),
		.nr_free = size,
	};
	vq->used_event = &vq->avail->ring[size];
	vq->avail_event = (void *)&vq->used->ring[size];
	if (vq->indirect)
		vq->tables = page_alloc(size * VQ_TABLE * sizeof(*vq->tables) / PAGE_BYTES + 1);
	for (uint16_t i = 0; i < size; i++)
		vq->next_free[i] = (uint16_t)(i + 1);
}

bool vq_try_enable(struct vq *vq) { return vq->dev->transport->enable_queue(vq); }

void vq_enable(struct vq *vq) { CHECK(vq_try_enable(vq)); }

void vq_setup(struct vq *vq, const struct virtio *dev, uint16_t index)
{
	uint16_t max = dev->transport->queue_max(dev, index);

	CHECK(max > 0);
	vq_alloc(vq, dev, index, max < 64 ? max : 64);
	vq_enable(vq);
}

static uint16_t take_desc(struct vq *vq)
{
	uint16_t i = vq->free_head;

	CHECK(vq->nr_free);
	vq->free_head = vq->next_free[i];
	vq->nr_free--;
	return i;
}

static struct vring_desc describe(struct vq_buffer buffer, bool write, bool last)
{
	return (struct vring_desc){
		.addr = (uint64_t)buffer.at,
		.len = buffer.bytes,
		.flags = (uint16_t)((write ? VRING_DESC_F_WRITE : 0) |
				    (last ? 0 : VRING_DESC_F_NEXT)),
	};
}

uint16_t vq_add(struct vq *vq, const struct vq_buffer *buffers, unsigned int nr_out,
		unsigned int nr_in)
{
	unsigned int nr = nr_out + nr_in;
	uint16_t head = take_desc(vq), at = head;

	CHECK(nr > 0);
	if (vq->indirect && nr <= VQ_TABLE) {
		struct vring_desc *table = &vq->tables[head * VQ_TABLE];

		for (unsigned int i = 0; i < nr; i++) {
			table[i] = describe(buffers[i], i >= nr_out, i + 1 == nr);
			table[i].next = (uint16_t)(i + 1);
		}
		vq->desc[head] = (struct vring_desc){ .addr = (uint64_t)table,
						      .len = nr * (uint32_t)sizeof(*table),
						      .flags = VRING_DESC_F_INDIRECT };
	} else {
		for (unsigned int i = 0;; i++) {
			vq->desc[at] = describe(buffers[i], i >= nr_out, i + 1 == nr);
			if (i + 1 == nr)
				break;
			vq->desc[at].next = take_desc(vq);
			at = vq->desc[at].next;
		}
	}
	vq->avail->ring[vq->next_avail % vq->size] = head;
	vq->next_avail++;
	__atomic_store_n(&vq->avail->idx, vq->next_avail, __ATOMIC_RELEASE);
	return head;
}

void vq_kick(struct vq *vq)
{
	uint16_t old = vq->kicked_avail, event;

	vq->kicked_avail = vq->next_avail;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq->event_idx) {
		event = __atomic_load_n(vq->avail_event, __ATOMIC_RELAXED);
		if (!vring_need_event(event, vq->next_avail, old))
			return;
	} else if (__atomic_load_n(&vq->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY) {
		return;
	}
	vq->dev->transport->notify(vq);
}

bool vq_poll(struct vq *vq, uint16_t *head, uint32_t *written)
{
	struct vring_used_elem elem;
	uint16_t last;

	if (__atomic_load_n(&vq->used->idx, __ATOMIC_ACQUIRE) == vq->next_used)
		return false;
	elem = vq->used->ring[vq->next_used % vq->size];
	vq->next_used++;
	if (vq->event_idx)
		__atomic_store_n(vq->used_event, vq->next_used, __ATOMIC_RELAXED);
	CHECK(elem.id < vq->size);
	*head = last = (uint16_t)elem.id;
	*written = elem.len;
	/* The whole chain is free again. */
	for (vq->nr_free++; vq->desc[last].flags & VRING_DESC_F_NEXT; vq->nr_free++) {
		vq->next_free[last] = vq->desc[last].next;
		last = vq->desc[last].next;
	}
	vq->next_free[last] = vq->free_head;
	vq->free_head = *head;
	return true;
}

void vq_pause(const struct virtio *dev)
{
	if (!dev->interrupts) {
		cpu_pause();
		return;
	}
	cpu_wait_interrupt();
	virtio_take_interrupt(dev);
	cpu_end_interrupt();
}

uint32_t vq_wait(struct vq *vq, uint16_t *head)
{
	uint64_t start = cpu_tsc();
	uint32_t written;

	while (!vq_poll(vq, head, &written)) {
		if (cpu_tsc() - start > CPU_PATIENCE_CYCLES)
			FAIL("device %u does not answer, status 0x%x", vq->dev->device_id,
			     virtio_status(vq->dev));
		vq_pause(vq->dev);
	}
	return written;
}

uint32_t vq_finish(struct vq *vq, uint16_t head)
{
	uint16_t used;
	uint32_t written = vq_wait(vq, &used);

	CHECK_EQ(used, head);
	return written;
}

uint32_t vq_run(struct vq *vq, const struct vq_buffer *buffers, unsigned int nr_out,
		unsigned int nr_in)
{
	uint16_t head = vq_add(vq, buffers, nr_out, nr_in);

	vq_kick(vq);
	return vq_finish(vq, head);
}

uint32_t vq_request(struct vq *vq, const void *out, uint32_t out_bytes, void *in,
		    uint32_t in_bytes)
{
	struct vq_buffer buffers[] = { { out, out_bytes }, { in, in_bytes } };

	return vq_run(vq, buffers, 1, 1);
}
