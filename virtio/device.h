/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.h - what a virtio device is: one constant table and a small base struct.
 * A device sees chains of bytes (virtio/chain.h), never a descriptor, a register or an ioctl.
 * Thread: everything here runs under the device lock. kick and the device's own work run in the
 * loop's thread; the other functions of the table also on a vCPU thread, during a register access.
 */
#ifndef EBB_VIRTIO_DEVICE_H
#define EBB_VIRTIO_DEVICE_H

#include "vmm/base/types.h"
#include "virtio/queue.h"

#define VIRTIO_MAX_QUEUES 32
#define VIRTIO_MAX_CONFIG_BYTES 256

struct virtio_dev;

struct virtio_ops {
	const char *name;
	uint32_t id;		/* VIRTIO_ID_* */
	unsigned int nr_queues;
	/* Largest size offered: a power of two, at most VIRTQ_MAX_SIZE. */
	uint16_t queue_size[VIRTIO_MAX_QUEUES];
	/* Device feature bits offered; transport and ring bits are added by the transport. */
	uint64_t (*features)(struct virtio_dev *dev);
	/* Optional: may refuse what the driver chose (FEATURES_OK then does not stick). */
	bool (*features_ok)(struct virtio_dev *dev, uint64_t features);
	/*
	 * Optional: whether there is such a queue (below nr_queues), by the features chosen; before
	 * FEATURES_OK by those offered.
	 */
	bool (*has_queue)(const struct virtio_dev *dev, unsigned int queue);
	/* The driver has made buffers available in QUEUE. Only called while live. */
	void (*kick)(struct virtio_dev *dev, unsigned int queue);
	/*
	 * Device reset (status 0), also before first use. The device forgets every chain it holds;
	 * virtio_push() of one of them later would be a bug. Must not touch guest memory.
	 */
	void (*reset)(struct virtio_dev *dev);
	/*
	 * The driver has stopped QUEUE: the device forgets the chains of it that it holds, as in a
	 * reset. When this returns it touches their buffers no more, on no thread. Needed by those
	 * that hold chains beyond a kick, or let go of the lock in one.
	 */
	void (*stop_queue)(struct virtio_dev *dev, unsigned int queue);
	/* Optional: the driver has set DRIVER_OK. */
	void (*driver_ok)(struct virtio_dev *dev);
	/* Fills the device configuration space, config_bytes long, as it is now. */
	void (*config_read)(struct virtio_dev *dev, void *config);
	size_t config_bytes; /* at most VIRTIO_MAX_CONFIG_BYTES; 0: no config_read needed */
	/* Optional: the driver wrote BYTES at OFFSET (both inside the space). */
	void (*config_write)(struct virtio_dev *dev, size_t offset, const void *src, size_t bytes);
};

/* What a device asks of its transport, through the functions below. */
struct virtio_transport {
	/* Interrupts: look at the used rings; look at configuration and status. */
	void (*used_buffer)(struct virtio_transport *t);
	void (*config_changed)(struct virtio_transport *t);
	/* Have QUEUE served again, later. */
	void (*kick)(struct virtio_transport *t, unsigned int queue);
};

/* Embedded in every device. The device sets ops and gm; the rest belongs to the transport. */
struct virtio_dev {
	const struct virtio_ops *ops;
	const struct guest_mem *gm;
	struct virtq queues[VIRTIO_MAX_QUEUES];
	uint64_t features; /* negotiated; 0 before FEATURES_OK */
	uint8_t status;
	/* Chains that may still be popped during this kick: no guest keeps the loop for itself. */
	uint32_t pops_left;
	bool held; /* virtio_hold() */
	struct virtio_transport *transport;
};

/* Whether the driver has chosen its features: dev->features has them. */
bool virtio_negotiated(const struct virtio_dev *dev);

static inline bool virtio_has(const struct virtio_dev *dev, unsigned int feature)
{
	return dev->features >> feature & 1;
}

/* True between DRIVER_OK and reset, while neither side has given up on the device. */
bool virtio_live(const struct virtio_dev *dev);

/*
 * Tells the driver, when it is there, that the configuration space changed (virtio, Notifications
 * of Device Configuration Changes). The generation counter needs no call: the transport moves it
 * on whenever the driver would see other bytes than before.
 */
void virtio_config_changed(struct virtio_dev *dev);

/*
 * The guest broke the rules: sets NEEDS_RESET, tells the driver, and no queue is served until it
 * resets the device. Logs WHAT at a limited rate. The VM lives on.
 */
void virtio_broken(struct virtio_dev *dev, const char *what);

/*
 * Takes the next available chain. 1: CHAIN is set; 0: none, or the device is not live; on a rule
 * broken by the guest the device is marked broken and the result is 0 as well, so a kick is one
 * `while` loop. After a queue's worth of chains in one kick it says 0 too and has the loop kick
 * again after its other work.
 */
int must_check virtio_pop(struct virtio_dev *dev, unsigned int queue, struct chain *chain);
/* This kick has taken long enough: virtio_pop() says 0 as after a queue's worth of chains. */
void virtio_yield(struct virtio_dev *dev);
/* Has the loop kick QUEUE after its other work, if the device is live then. */
void virtio_serve_later(struct virtio_dev *dev, unsigned int queue);
/*
 * Returns CHAIN to the driver with the number of bytes written into it; every popped chain once.
 * No effect when the device broke or the driver stopped the queue in the meantime.
 */
void virtio_push(struct virtio_dev *dev, unsigned int queue, const struct chain *chain);
/* Interrupts the driver if it wants to hear of what was pushed since the last call. */
void virtio_notify(struct virtio_dev *dev, unsigned int queue);
/*
 * While the machine is paused its memory must not change: from here on virtio_pop() says that there
 * is nothing, until the hold ends, when every queue is kicked. A device that keeps chains leaves
 * them alone meanwhile.
 */
void virtio_hold(struct virtio_dev *dev, bool hold);

#endif
