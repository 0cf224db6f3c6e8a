/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmio.h - virtio over memory-mapped I/O, version 2 (virtio, Virtio Over MMIO).
 * Owns the registers, the status machine, feature negotiation and the queues' addresses of one
 * device. Thread: virtio_mmio_access() on vCPU threads, kicks in the loop, all under the device
 * lock. Accesses that the spec does not allow are ignored and logged at a limited rate; reads of
 * nothing give 0, reads of a wrong width all ones.
 */
#ifndef EBB_VIRTIO_MMIO_H
#define EBB_VIRTIO_MMIO_H

#include "vmm/base/bus.h"
#include "vmm/base/irq.h"
#include "virtio/device.h"

#define VIRTIO_MMIO_BYTES 0x200 /* registers and configuration space of one device */

struct virtio_mmio {
	struct virtio_transport transport;
	struct virtio_dev *dev;
	struct irq_line irq;
	/* Wakes the loop to call virtio_mmio_kicked() later, for a trapped QueueNotify for example.
	 * Kicks that KVM turns into an eventfd never come here. */
	void (*kick)(void *ctx, unsigned int queue);
	void *kick_ctx;
	uint32_t interrupt_status;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features; /* as written, before FEATURES_OK */
	bool unknown_features;	  /* the driver wrote some beyond those 64 */
	/* Counts the different contents of the configuration space that were seen. */
	uint32_t config_generation;
	uint8_t config_seen[VIRTIO_MAX_CONFIG_BYTES];
};

/* Takes DEV on and resets it. */
void virtio_mmio_init(struct virtio_mmio *m, struct virtio_dev *dev, struct irq_line irq,
		      void (*kick)(void *ctx, unsigned int queue), void *kick_ctx);
/* A bus_fn; ctx is the struct virtio_mmio. */
void virtio_mmio_access(void *ctx, struct bus_access *access);
/* Serves QUEUE after its eventfd fired: ignored unless the device is live and the queue ready. */
void virtio_mmio_kicked(struct virtio_mmio *m, unsigned int queue);
/* As the driver's write of 0 to Status. Also used for a system reset. */
void virtio_mmio_reset(struct virtio_mmio *m);

#endif
