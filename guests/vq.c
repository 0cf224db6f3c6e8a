/* SPDX-License-Identifier: Apache-2.0 */
/* vq.c - see vq.h; names as in virtio, Split Virtqueues and Virtio Over MMIO. */
#include "guests/vq.h"
#include "guests/devtree.h"
#include "guests/lib.h"

#define VIRTIO_MAGIC 0x74726976
#define VIRTIO_MMIO_VERSION_MODERN 2

bool virtio_find(struct virtio *dev, uint32_t device_id, unsigned int index)
{
	for (int node = -1; (node = devtree_next(node, "virtio,mmio")) >= 0;) {
		struct range reg;

		CHECK(devtree_reg(node, 0, &reg));
		*dev = (struct virtio){ .regs = reg.start };
		CHECK_EQ(virtio_read(dev, VIRTIO_MMIO_MAGIC_VALUE), VIRTIO_MAGIC);
		CHECK_EQ(virtio_read(dev, VIRTIO_MMIO_VERSION), VIRTIO_MMIO_VERSION_MODERN);
		dev->device_id = virtio_read(dev, VIRTIO_MMIO_DEVICE_ID);
		if (dev->device_id && (!device_id || dev->device_id == device_id) && !index--)
			return true;
	}
	return false;
}

static void set_status(const struct virtio *dev, uint32_t bits)
{
	virtio_write(dev, VIRTIO_MMIO_STATUS, virtio_read(dev, VIRTIO_MMIO_STATUS) | bits);
	CHECK_EQ(virtio_read(dev, VIRTIO_MMIO_STATUS) & bits, bits);
}

void virtio_reset(struct virtio *dev)
{
	uint64_t start = cpu_tsc();

	virtio_write(dev, VIRTIO_MMIO_STATUS, 0);
	while (virtio_read(dev, VIRTIO_MMIO_STATUS)) {
		if (cpu_tsc() - start > CPU_PATIENCE_CYCLES)
			FAIL("device %u does not reset", dev->device_id);
		cpu_pause();
	}
	dev->features = 0;
}

uint64_t virtio_offered(const struct virtio *dev)
{
	uint64_t features;

	virtio_write(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	features = (uint64_t)virtio_read(dev, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	virtio_write(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	return features | virtio_read(dev, VIRTIO_MMIO_DEVICE_FEATURES);
}

void virtio_negotiate(struct virtio *dev, uint64_t wanted)
{
	uint64_t offered;

	virtio_reset(dev);
	set_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	set_status(dev, VIRTIO_CONFIG_S_DRIVER);
	offered = virtio_offered(dev);
	CHECK(offered >> VIRTIO_F_VERSION_1 & 1);
	dev->features = offered & (wanted | UINT64_C(1) << VIRTIO_F_VERSION_1);
	virtio_write(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	virtio_write(dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(dev->features >> 32));
	virtio_write(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	virtio_write(dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)dev->features);
	set_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
}

void virtio_driver_ok(struct virtio *dev)
{
	set_status(dev, VIRTIO_CONFIG_S_DRIVER_OK);
}

uint32_t virtio_take_interrupt(const struct virtio *dev)
{
	uint32_t status = virtio_read(dev, VIRTIO_MMIO_INTERRUPT_STATUS);

	if (status)
		virtio_write(dev, VIRTIO_MMIO_INTERRUPT_ACK, status);
	return status;
}

void virtio_config(const struct virtio *dev, unsigned int offset, void *dst, uint32_t bytes)
{
	uint32_t before, *words = dst;

	do {
		before = virtio_read(dev, VIRTIO_MMIO_CONFIG_GENERATION);
		for (uint32_t i = 0; i < bytes / 4; i++)
			words[i] = virtio_read(dev, VIRTIO_MMIO_CONFIG + offset + i * 4);
	} while (virtio_read(dev, VIRTIO_MMIO_CONFIG_GENERATION) != before);
}

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

static void write_address(const struct virtio *dev, unsigned int low, const volatile void *at)
{
	virtio_write(dev, low, (uint32_t)(uint64_t)at);
	virtio_write(dev, low + 4, (uint32_t)((uint64_t)at >> 32));
}

bool vq_try_enable(struct vq *vq)
{
	const struct virtio *dev = vq->dev;

	virtio_write(dev, VIRTIO_MMIO_QUEUE_SEL, vq->index);
	CHECK_EQ(virtio_read(dev, VIRTIO_MMIO_QUEUE_READY), 0);
	virtio_write(dev, VIRTIO_MMIO_QUEUE_NUM, vq->size);
	write_address(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, vq->desc);
	write_address(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, vq->avail);
	write_address(dev, VIRTIO_MMIO_QUEUE_USED_LOW, vq->used);
	virtio_write(dev, VIRTIO_MMIO_QUEUE_READY, 1);
	return virtio_read(dev, VIRTIO_MMIO_QUEUE_READY);
}

void vq_enable(struct vq *vq) { CHECK(vq_try_enable(vq)); }

void vq_setup(struct vq *vq, const struct virtio *dev, uint16_t index)
{
	uint32_t max;

	virtio_write(dev, VIRTIO_MMIO_QUEUE_SEL, index);
	max = virtio_read(dev, VIRTIO_MMIO_QUEUE_NUM_MAX);
	CHECK(max > 0);
	vq_alloc(vq, dev, index, (uint16_t)(max < 64 ? max : 64));
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
	virtio_write(vq->dev, VIRTIO_MMIO_QUEUE_NOTIFY, vq->index);
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

uint32_t vq_request(struct vq *vq, const void *out, uint32_t out_bytes, void *in,
		    uint32_t in_bytes)
{
	struct vq_buffer buffers[] = { { out, out_bytes }, { in, in_bytes } };
	uint16_t head = vq_add(vq, buffers, 1, 1), used;
	uint64_t start = cpu_tsc();
	uint32_t written;

	vq_kick(vq);
	while (!vq_poll(vq, &used, &written)) {
		if (cpu_tsc() - start > CPU_PATIENCE_CYCLES)
			FAIL("device %u does not answer, status 0x%x", vq->dev->device_id,
			     virtio_read(vq->dev, VIRTIO_MMIO_STATUS));
		cpu_pause();
	}
	CHECK_EQ(used, head);
	return written;
}
