/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.h - what a virtio device is: one constant table and a small base struct.
 * A device sees chains of bytes (virtio/chain.h), never a descriptor, a register or an ioctl.
 * Thread: everything here runs under the device lock; kick, reset and work in the loop's thread.
 */
#ifndef EBB_VIRTIO_DEVICE_H
#define EBB_VIRTIO_DEVICE_H

#include "vmm/base/types.h"
#include "virtio/queue.h"

#define VIRTIO_MAX_QUEUES 8

struct virtio_dev;

struct virtio_ops {
	const char *name;
	uint32_t id;		/* VIRTIO_ID_* */
	unsigned int nr_queues;
	uint16_t queue_size[VIRTIO_MAX_QUEUES]; /* largest size offered, a power of two */
	/* Device feature bits offered; transport and ring bits are added by the transport. */
	uint64_t (*features)(struct virtio_dev *dev);
	/* Optional: may refuse what the driver chose (FEATURES_OK then does not stick). */
	bool (*features_ok)(struct virtio_dev *dev, uint64_t features);
	/* The driver has made buffers available in QUEUE. Only called while DRIVER_OK. */
	void (*kick)(struct virtio_dev *dev, unsigned int queue);
	/* Device reset (status 0), also before first use. Must not touch guest memory. */
	void (*reset)(struct virtio_dev *dev);
	/* Optional: the driver has set DRIVER_OK. */
	void (*driver_ok)(struct virtio_dev *dev);
	/* Fills the device configuration space, config_bytes long, as it is now. */
	void (*config_read)(struct virtio_dev *dev, void *config);
	size_t config_bytes;
	/* Optional: the driver wrote BYTES at OFFSET (both inside the space). */
	void (*config_write)(struct virtio_dev *dev, size_t offset, const void *src, size_t bytes);
};

/* Embedded in every device. The transport owns `features`, `status` and the queues' setup. */
struct virtio_dev {
	const struct virtio_ops *ops;
	struct guest_mem *gm;
	struct virtq queues[VIRTIO_MAX_QUEUES];
	uint64_t features; /* negotiated; 0 before FEATURES_OK */
	uint8_t status;
	/* Set by the transport when it takes the device on. */
	const struct virtio_transport *transport;
};

/* What a device may ask of its transport. */
struct virtio_transport {
	void (*interrupt_queue)(const struct virtio_transport *t); /* used buffer notification */
	void (*interrupt_config)(const struct virtio_transport *t); /* configuration change */
	void (*needs_reset)(const struct virtio_transport *t);
};

static inline bool virtio_has(const struct virtio_dev *dev, unsigned int feature)
{
	return dev->features >> feature & 1;
}

/* True between DRIVER_OK and reset, while the device is not broken. */
bool virtio_live(const struct virtio_dev *dev);

/*
 * The configuration space changed: the generation counter moves on and, when the driver is there,
 * it is interrupted (virtio, Notification of Device Configuration Changes).
 */
void virtio_config_changed(struct virtio_dev *dev);

/*
 * The guest broke the rules: sets NEEDS_RESET, tells the driver, and no queue is served until it
 * resets the device. Logs WHAT at a limited rate. The VM lives on.
 */
void virtio_broken(struct virtio_dev *dev, const char *what);

/* Takes the next available chain. 1: CHAIN is set; 0: none; on a rule broken by the guest the
 * device is marked broken and the result is 0 as well, so a kick is one `while` loop. */
int must_check virtio_pop(struct virtio_dev *dev, unsigned int queue, struct chain *chain);
/* Returns CHAIN to the driver with the number of bytes written into it. */
void virtio_push(struct virtio_dev *dev, unsigned int queue, struct chain *chain);
/* Interrupts the driver if it wants to hear of what was pushed since the last call. */
void virtio_notify(struct virtio_dev *dev, unsigned int queue);

#endif
