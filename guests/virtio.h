/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.h - the driver's side of a virtio device, whatever its transport: virtio-mmio version 2
 * where the machine handed over a device tree or says on the command line where its devices are
 * (virtio_mmio.device=BYTES@ADDRESS:INTERRUPT), else PCI.
 * Errors of the device fail the guest; a guest that wants to see them uses the registers itself
 * (virtio_mmio.h).
 */
#ifndef EBB_GUESTS_VIRTIO_H
#define EBB_GUESTS_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdbool.h>
#include <stdint.h>

#include "guests/cpu.h"

struct virtio;
struct vq;

struct virtio_transport {
	bool (*find)(struct virtio *dev, uint32_t device_id, unsigned int index);
	uint32_t (*status)(const struct virtio *dev);
	void (*set_status)(const struct virtio *dev, uint32_t status);
	uint64_t (*offered)(const struct virtio *dev);
	void (*accept)(const struct virtio *dev, uint64_t features);
	uint32_t (*generation)(const struct virtio *dev);
	uint32_t (*take_interrupt)(const struct virtio *dev);
	/* From now on the device's interrupts wake cpu_wait_interrupt(). */
	void (*route_interrupt)(const struct virtio *dev);
	/* The largest size; 0: no such queue. */
	uint16_t (*queue_max)(const struct virtio *dev, uint16_t index);
	/* False: the device does not take it. */
	bool (*enable_queue)(struct vq *vq);
	void (*notify)(const struct vq *vq);
};
extern const struct virtio_transport virtio_mmio, virtio_pci;
#define VIRTIO_MMIO_WORD "virtio_mmio.device"

struct virtio {
	const struct virtio_transport *transport;
	uint32_t device_id;
	uint64_t features; /* negotiated */
	uint64_t regs;	   /* virtio-mmio: all registers; PCI: the common configuration */
	uint64_t config;   /* the device's own configuration */
	bool interrupts;
	union {
		struct {
			uint32_t gsi;
			bool level;
		} mmio;
		struct {
			uint32_t slot; /* of bus 0 */
			uint64_t isr, notify;
			uint32_t notify_multiplier;
		} pci;
	};
};

/* The INDEXth device of the machine with this id (0: any). False: there is none. */
bool virtio_find(struct virtio *dev, uint32_t device_id, unsigned int index);
/*
 * Requests wait halted for an interrupt instead of polling, so that the host's CPU is free for
 * whoever serves them. CPU 0 only.
 */
void virtio_use_interrupts(struct virtio *dev);
/* Reset; waits until the status reads 0. */
void virtio_reset(struct virtio *dev);
uint32_t virtio_status(const struct virtio *dev);
uint64_t virtio_offered(const struct virtio *dev);
/* Reset, then up to FEATURES_OK with what is both wanted and offered, and VERSION_1. */
void virtio_negotiate(struct virtio *dev, uint64_t wanted);
void virtio_driver_ok(struct virtio *dev);
/* VIRTIO_INTERRUPT_* that were announced since the last call; acknowledges them. */
uint32_t virtio_take_interrupt(const struct virtio *dev);
#define VIRTIO_INTERRUPT_QUEUE 1u
#define VIRTIO_INTERRUPT_CONFIG 2u
/* Copies BYTES (a multiple of 4) from the configuration space, untorn. */
void virtio_config(const struct virtio *dev, unsigned int offset, void *dst, uint32_t bytes);
/* One word of it, which is never torn. */
uint32_t virtio_config_word(const struct virtio *dev, unsigned int offset);
void virtio_set_config_word(const struct virtio *dev, unsigned int offset, uint32_t value);

#endif
