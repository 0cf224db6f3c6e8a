/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_slots.h - the places where virtio-mmio devices stand: registers on the bus, an interrupt,
 * and an eventfd for each queue by which the guest's kicks come. In the order of their numbers, which
 * is that of virtio_slots_add(). Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_VIRTIO_SLOTS_H
#define EBB_MACHINE_VIRTIO_SLOTS_H

#include "virtio/mmio.h"
#include "vmm/base/bus.h"
#include "vmm/base/loop.h"
#include "vmm/base/platform.h"
#include "vmm/kvm/kvm.h"

/* One device with its eventfds. */
struct virtio_slot {
	struct virtio_mmio mmio;
	struct loop_event irq;
	int kick_fd[VIRTIO_MAX_QUEUES];
	struct virtio_kick {
		struct virtio_slot *slot;
		unsigned int queue;
	} kick[VIRTIO_MAX_QUEUES];
};

struct virtio_slots {
	struct loop *loop;
	struct bus *mmio;
	unsigned int nr;
	struct virtio_slot slot[PLATFORM_MAX_VIRTIO];
};

void virtio_slots_open(struct virtio_slots *slots, struct loop *loop, struct bus *mmio);
/* The devices are gone. Accepts a zeroed struct. */
void virtio_slots_close(struct virtio_slots *slots);
/* A place for DEV, which stays the caller's. -EINVAL: there are PLATFORM_MAX_VIRTIO already; or
 * -errno; logged. */
int must_check virtio_slots_add(struct virtio_slots *slots, struct virtio_dev *dev);
/* A VM was made: its guest's kicks and our interrupts go by KVM from now on. */
int must_check virtio_slots_connect(struct virtio_slots *slots, struct vm *vm);
/* While held no device takes requests of its guest. */
void virtio_slots_hold(struct virtio_slots *slots, bool hold);
/* All devices are as their driver finds them first. */
void virtio_slots_reset(struct virtio_slots *slots);

#endif
