/* SPDX-License-Identifier: Apache-2.0 */
/* virtio.c - see virtio.h; names as in virtio, Device Initialization. */
#include "guests/virtio.h"
#include "guests/lib.h"

bool virtio_find(struct virtio *dev, uint32_t device_id, unsigned int index)
{
	bool mmio = boot.devtree.bytes || cmdline_get(VIRTIO_MMIO_WORD);

	return (mmio ? &virtio_mmio : &virtio_pci)->find(dev, device_id, index);
}

void virtio_use_interrupts(struct virtio *dev)
{
	cpu_enable_interrupts();
	dev->transport->route_interrupt(dev);
	dev->interrupts = true;
}

uint32_t virtio_status(const struct virtio *dev) { return dev->transport->status(dev); }

static void add_status(const struct virtio *dev, uint32_t bits)
{
	dev->transport->set_status(dev, virtio_status(dev) | bits);
	CHECK_EQ(virtio_status(dev) & bits, bits);
}

void virtio_reset(struct virtio *dev)
{
	uint64_t start = cpu_tsc();

	dev->transport->set_status(dev, 0);
	while (virtio_status(dev)) {
		if (cpu_tsc() - start > CPU_PATIENCE_CYCLES)
			FAIL("device %u does not reset", dev->device_id);
		cpu_pause();
	}
	dev->features = 0;
}

uint64_t virtio_offered(const struct virtio *dev) { return dev->transport->offered(dev); }

void virtio_negotiate(struct virtio *dev, uint64_t wanted)
{
	uint64_t offered;

	virtio_reset(dev);
	add_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	add_status(dev, VIRTIO_CONFIG_S_DRIVER);
	offered = virtio_offered(dev);
	CHECK(offered >> VIRTIO_F_VERSION_1 & 1);
	dev->features = offered & (wanted | UINT64_C(1) << VIRTIO_F_VERSION_1);
	dev->transport->accept(dev, dev->features);
	add_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
}

void virtio_driver_ok(struct virtio *dev) { add_status(dev, VIRTIO_CONFIG_S_DRIVER_OK); }

uint32_t virtio_take_interrupt(const struct virtio *dev)
{
	return dev->transport->take_interrupt(dev);
}

void virtio_config(const struct virtio *dev, unsigned int offset, void *dst, uint32_t bytes)
{
	uint32_t before, *words = dst;

	do {
		before = dev->transport->generation(dev);
		for (uint32_t i = 0; i < bytes / 4; i++)
			words[i] = read32(dev->config + offset + i * 4);
	} while (dev->transport->generation(dev) != before);
}

uint32_t virtio_config_word(const struct virtio *dev, unsigned int offset)
{
	return read32(dev->config + offset);
}

void virtio_set_config_word(const struct virtio *dev, unsigned int offset, uint32_t value)
{
	write32(dev->config + offset, value);
}
