/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_pci.c - virtio over PCI behind virtio.h, devices of version 1 alone; names as in virtio,
 * Virtio Over PCI Bus. Bus 0, as firmware has set it up, and INTx: QEMU's virtio-mem has no MSI-X.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "guests/lib.h"
#include "guests/vq.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE 0x80000000u
#define SLOT_SHIFT 11
#define NR_SLOTS 32
#define VENDOR 0x1af4
#define DEVICE_MODERN 0x1040
#define DEVICE_IDS 0x40

/* --- configuration space --------------------------------------------------------------------- */

struct access {
	uint32_t at, value;
};

/* Ports that ring 3 may not use. */
static uint64_t do_read(uint64_t at)
{
	outl(CONFIG_ADDRESS, CONFIG_ENABLE | (uint32_t)at);
	return inl(CONFIG_DATA);
}

static uint64_t do_write(uint64_t arg)
{
	const struct access *a = (const void *)arg;

	outl(CONFIG_ADDRESS, CONFIG_ENABLE | a->at);
	outl(CONFIG_DATA, a->value);
	return 0;
}

/* REG: a multiple of 4. */
static uint32_t config_read(uint32_t slot, uint32_t reg)
{
	return (uint32_t)ring0(do_read, slot << SLOT_SHIFT | reg);
}

static void config_write(uint32_t slot, uint32_t reg, uint32_t value)
{
	struct access a = { slot << SLOT_SHIFT | reg, value };

	ring0(do_write, (uint64_t)&a);
}

/* Where OFFSET of a memory BAR is, mapped. */
static uint64_t bar_at(uint32_t slot, uint32_t bar, uint32_t offset, uint32_t bytes)
{
	uint32_t reg = PCI_BASE_ADDRESS_0 + bar * 4, low = config_read(slot, reg);
	uint64_t at = low & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;

	CHECK(!(low & PCI_BASE_ADDRESS_SPACE_IO));
	if ((low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64)
		at |= (uint64_t)config_read(slot, reg + 4) << 32;
	CHECK(at);
	cpu_map(at + offset, bytes);
	return at + offset;
}

static void take_virtio_cap(struct virtio *dev, uint32_t cap)
{
	uint32_t slot = dev->pci.slot, head = config_read(slot, cap);
	uint32_t bar = config_read(slot, cap + VIRTIO_PCI_CAP_BAR) & 0xff;
	uint32_t offset = config_read(slot, cap + VIRTIO_PCI_CAP_OFFSET);
	uint32_t bytes = config_read(slot, cap + VIRTIO_PCI_CAP_LENGTH);
	uint64_t *to;

	/* The first of each kind is the one to use. */
	switch (head >> 8 * VIRTIO_PCI_CAP_CFG_TYPE) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		to = &dev->regs;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		to = &dev->config;
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		to = &dev->pci.isr;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		to = &dev->pci.notify;
		if (!*to)
			dev->pci.notify_multiplier =
				config_read(slot, cap + VIRTIO_PCI_NOTIFY_CAP_MULT);
		break;
	default:
		return;
	}
	if (!*to)
		*to = bar_at(slot, bar, offset, bytes);
}

static void take_caps(struct virtio *dev)
{
	uint32_t slot = dev->pci.slot, cap = config_read(slot, PCI_CAPABILITY_LIST) & 0xfc;

	while (cap) {
		uint32_t head = config_read(slot, cap);

		if ((head & 0xff) == PCI_CAP_ID_VNDR)
			take_virtio_cap(dev, cap);
		cap = head >> 8 & 0xfc;
	}
	CHECK(dev->regs && dev->config && dev->pci.isr && dev->pci.notify);
}

static bool find(struct virtio *dev, uint32_t device_id, unsigned int index)
{
	for (uint32_t slot = 0; slot < NR_SLOTS; slot++) {
		uint32_t ids = config_read(slot, PCI_VENDOR_ID), id = (ids >> 16) - DEVICE_MODERN;
		uint32_t command;

		if ((ids & 0xffff) != VENDOR || id >= DEVICE_IDS)
			continue;
		if ((device_id && id != device_id) || index--)
			continue;
		command = config_read(slot, PCI_COMMAND) & 0xffff;
		config_write(slot, PCI_COMMAND, command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		*dev = (struct virtio){ .transport = &virtio_pci,
					.device_id = id,
					.pci.slot = slot };
		take_caps(dev);
		return true;
	}
	return false;
}

/* --- common configuration -------------------------------------------------------------------- */

static uint32_t status(const struct virtio *dev)
{
	return read8(dev->regs + VIRTIO_PCI_COMMON_STATUS);
}

static void set_status(const struct virtio *dev, uint32_t value)
{
	write8(dev->regs + VIRTIO_PCI_COMMON_STATUS, (uint8_t)value);
}

static uint64_t offered(const struct virtio *dev)
{
	uint64_t features;

	write32(dev->regs + VIRTIO_PCI_COMMON_DFSELECT, 1);
	features = (uint64_t)read32(dev->regs + VIRTIO_PCI_COMMON_DF) << 32;
	write32(dev->regs + VIRTIO_PCI_COMMON_DFSELECT, 0);
	return features | read32(dev->regs + VIRTIO_PCI_COMMON_DF);
}

static void accept(const struct virtio *dev, uint64_t features)
{
	write32(dev->regs + VIRTIO_PCI_COMMON_GFSELECT, 1);
	write32(dev->regs + VIRTIO_PCI_COMMON_GF, (uint32_t)(features >> 32));
	write32(dev->regs + VIRTIO_PCI_COMMON_GFSELECT, 0);
	write32(dev->regs + VIRTIO_PCI_COMMON_GF, (uint32_t)features);
}

static uint32_t generation(const struct virtio *dev)
{
	return read8(dev->regs + VIRTIO_PCI_COMMON_CFGGENERATION);
}

/* Reading it lowers INTx. */
static uint32_t take_interrupt(const struct virtio *dev) { return read8(dev->pci.isr); }

/* The line that firmware chose; on a PC the I/O APIC has it at the same pin. */
static void route_interrupt(const struct virtio *dev)
{
	cpu_route_gsi(config_read(dev->pci.slot, PCI_INTERRUPT_LINE) & 0xff, true);
}

static uint16_t queue_max(const struct virtio *dev, uint16_t index)
{
	write16(dev->regs + VIRTIO_PCI_COMMON_Q_SELECT, index);
	return read16(dev->regs + VIRTIO_PCI_COMMON_Q_SIZE);
}

static void write_address(const struct virtio *dev, unsigned int low, const volatile void *at)
{
	write32(dev->regs + low, (uint32_t)(uint64_t)at);
	write32(dev->regs + low + 4, (uint32_t)((uint64_t)at >> 32));
}

static bool enable_queue(struct vq *vq)
{
	const struct virtio *dev = vq->dev;

	write16(dev->regs + VIRTIO_PCI_COMMON_Q_SELECT, vq->index);
	CHECK_EQ(read16(dev->regs + VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	write16(dev->regs + VIRTIO_PCI_COMMON_Q_SIZE, vq->size);
	write_address(dev, VIRTIO_PCI_COMMON_Q_DESCLO, vq->desc);
	write_address(dev, VIRTIO_PCI_COMMON_Q_AVAILLO, vq->avail);
	write_address(dev, VIRTIO_PCI_COMMON_Q_USEDLO, vq->used);
	vq->notify_at = dev->pci.notify + (uint64_t)read16(dev->regs + VIRTIO_PCI_COMMON_Q_NOFF) *
						  dev->pci.notify_multiplier;
	write16(dev->regs + VIRTIO_PCI_COMMON_Q_ENABLE, 1);
	return read16(dev->regs + VIRTIO_PCI_COMMON_Q_ENABLE);
}

static void notify(const struct vq *vq) { write16(vq->notify_at, vq->index); }

_Static_assert(VIRTIO_INTERRUPT_CONFIG == VIRTIO_PCI_ISR_CONFIG, "the bits of ISR status");

const struct virtio_transport virtio_pci = {
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
