/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_mmio.h - the registers of virtio-mmio, for guests that use them in their own way. */
#ifndef EBB_GUESTS_VIRTIO_MMIO_H
#define EBB_GUESTS_VIRTIO_MMIO_H

#include <linux/virtio_mmio.h>

#include "guests/virtio.h"

static inline uint32_t mmio_read(const struct virtio *dev, unsigned int reg)
{
	return read32(dev->regs + reg);
}
static inline void mmio_write(const struct virtio *dev, unsigned int reg, uint32_t value)
{
	write32(dev->regs + reg, value);
}

#endif
