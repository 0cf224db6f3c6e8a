/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_mmio.c - virtio-mmio version 2 behind virtio.h; names as in virtio, Virtio Over MMIO. */
#include "guests/virtio_mmio.h"
#include "guests/devtree.h"
#include "guests/vq.h"

#define VIRTIO_MAGIC 0x74726976
#define VIRTIO_MMIO_VERSION_MODERN 2

/* Where the next device is: the node or the word after the last one. */
struct place {
	int node;
	const char *word;
	uint64_t regs;
	uint32_t gsi;
};

static bool next_in_tree(struct place *place)
{
	struct range reg;

	place->node = devtree_next(place->node, "virtio,mmio");
	if (place->node < 0)
		return false;
	CHECK(devtree_reg(place->node, 0, &reg));
	place->regs = reg.start;
	place->gsi = devtree_interrupt(place->node);
	return true;
}

static bool next_word(struct place *place)
{
	const char *at = cmdline_next(VIRTIO_MMIO_WORD, place->word);

	place->word = at;
	if (!at)
		return false;
	parse_u64(&at);
	CHECK(*at++ == '@');
	place->regs = parse_u64(&at);
	CHECK(*at++ == ':');
	place->gsi = (uint32_t)parse_u64(&at);
	return true;
}

static bool find(struct virtio *dev, uint32_t device_id, unsigned int index)
{
	struct place place = { .node = -1 };
	bool tree = boot.devtree.bytes;

	while (tree ? next_in_tree(&place) : next_word(&place)) {
		/* A line, other than Ebb's edges, stays up until its device is told. */
		*dev = (struct virtio){ .transport = &virtio_mmio,
					.regs = place.regs,
					.config = place.regs + VIRTIO_MMIO_CONFIG,
					.mmio = { place.gsi, !tree } };
		CHECK_EQ(mmio_read(dev, VIRTIO_MMIO_MAGIC_VALUE), VIRTIO_MAGIC);
		CHECK_EQ(mmio_read(dev, VIRTIO_MMIO_VERSION), VIRTIO_MMIO_VERSION_MODERN);
		dev->device_id = mmio_read(dev, VIRTIO_MMIO_DEVICE_ID);
		if (dev->device_id && (!device_id || dev->device_id == device_id) && !index--)
			return true;
	}
	return false;
}

static uint32_t status(const struct virtio *dev) { return mmio_read(dev, VIRTIO_MMIO_STATUS); }

static void set_status(const struct virtio *dev, uint32_t value)
{
	mmio_write(dev, VIRTIO_MMIO_STATUS, value);
}

static uint64_t offered(const struct virtio *dev)
{
	uint64_t features;

	mmio_write(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	features = (uint64_t)mmio_read(dev, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	mmio_write(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	return features | mmio_read(dev, VIRTIO_MMIO_DEVICE_FEATURES);
}

static void accept(const struct virtio *dev, uint64_t features)
{
	mmio_write(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	mmio_write(dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	mmio_write(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	mmio_write(dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
}

static uint32_t generation(const struct virtio *dev)
{
	return mmio_read(dev, VIRTIO_MMIO_CONFIG_GENERATION);
}

static uint32_t take_interrupt(const struct virtio *dev)
{
	uint32_t bits = mmio_read(dev, VIRTIO_MMIO_INTERRUPT_STATUS);

	if (bits)
		mmio_write(dev, VIRTIO_MMIO_INTERRUPT_ACK, bits);
	return bits;
}

static void route_interrupt(const struct virtio *dev) { cpu_route_gsi(dev->mmio.gsi, dev->mmio.level); }

static uint16_t queue_max(const struct virtio *dev, uint16_t index)
{
	mmio_write(dev, VIRTIO_MMIO_QUEUE_SEL, index);
	return (uint16_t)mmio_read(dev, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

static void write_address(const struct virtio *dev, unsigned int low, const volatile void *at)
{
	mmio_write(dev, low, (uint32_t)(uint64_t)at);
	mmio_write(dev, low + 4, (uint32_t)((uint64_t)at >> 32));
}

static bool enable_queue(struct vq *vq)
{
	const struct virtio *dev = vq->dev;

	mmio_write(dev, VIRTIO_MMIO_QUEUE_SEL, vq->index);
	CHECK_EQ(mmio_read(dev, VIRTIO_MMIO_QUEUE_READY), 0);
	mmio_write(dev, VIRTIO_MMIO_QUEUE_NUM, vq->size);
	write_address(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, vq->desc);
	write_address(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, vq->avail);
	write_address(dev, VIRTIO_MMIO_QUEUE_USED_LOW, vq->used);
	vq->notify_at = dev->regs + VIRTIO_MMIO_QUEUE_NOTIFY;
	mmio_write(dev, VIRTIO_MMIO_QUEUE_READY, 1);
	return mmio_read(dev, VIRTIO_MMIO_QUEUE_READY);
}

static void notify(const struct vq *vq) { write32(vq->notify_at, vq->index); }

_Static_assert(VIRTIO_INTERRUPT_QUEUE == VIRTIO_MMIO_INT_VRING, "the bits of InterruptStatus");
_Static_assert(VIRTIO_INTERRUPT_CONFIG == VIRTIO_MMIO_INT_CONFIG, "the bits of InterruptStatus");

const struct virtio_transport virtio_mmio = {
	.find = find,
	.status = status,
	.set_status = set_status,
	.offered = offered,
	.accept = accept,
	.generation = generation,
	.take_interrupt = take_interrupt,
	.route_interrupt = route_interrupt,
	.queue_max = queue_max,
	.enable_queue = enable_queue,
	.notify = notify,
};
