/* SPDX-License-Identifier: Apache-2.0 */
/* mmio.c - the virtio-mmio registers, version 2. */
#include "virtio/mmio.h"

#include <assert.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "vmm/base/log.h"

#define MAGIC	0x74726976 /* "virt" */
#define VERSION 2
#define VENDOR	0x20424245 /* "EBB " */

#define BIT64(n) (UINT64_C(1) << (n))
#define RING_FEATURES                                                                              \
	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_INDIRECT_DESC) |                          \
	 BIT64(VIRTIO_RING_F_EVENT_IDX))

_Static_assert(VIRTIO_MMIO_CONFIG + VIRTIO_MAX_CONFIG_BYTES == VIRTIO_MMIO_BYTES, "one window");

static struct virtio_mmio *mmio_of(struct virtio_transport *t)
{
	return container_of(t, struct virtio_mmio, transport);
}

/* Interrupts. The status bit comes first: the handler may run before this returns. */

static void interrupt(struct virtio_mmio *m, uint32_t why)
{
	m->interrupt_status |= why;
	irq_raise(&m->irq);
}

static void used_buffer(struct virtio_transport *t)
{
	interrupt(mmio_of(t), VIRTIO_MMIO_INT_VRING);
}

static void config_changed(struct virtio_transport *t)
{
	interrupt(mmio_of(t), VIRTIO_MMIO_INT_CONFIG);
}

static void kick(struct virtio_transport *t, unsigned int queue)
{
	struct virtio_mmio *m = mmio_of(t);

	m->kick(m->kick_ctx, queue);
}

/* Life. */

void virtio_mmio_reset(struct virtio_mmio *m)
{
	struct virtio_dev *dev = m->dev;

	dev->status = 0; /* first: nothing that the device does from here on reaches the driver */
	dev->ops->reset(dev);
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++)
		virtq_reset(&dev->queues[i]);
	dev->features = 0;
	m->interrupt_status = 0;
	m->device_features_sel = m->driver_features_sel = m->queue_sel = 0;
	m->driver_features = 0;
	m->unknown_features = false;
}

void virtio_mmio_init(struct virtio_mmio *m, struct virtio_dev *dev, struct irq_line irq,
		      void (*kick_fn)(void *ctx, unsigned int queue), void *kick_ctx)
{
	assert(dev->ops->nr_queues <= VIRTIO_MAX_QUEUES);
	assert(dev->ops->config_bytes <= VIRTIO_MAX_CONFIG_BYTES);
	for (unsigned int i = 0; i < dev->ops->nr_queues; i++)
		assert(is_power_of_two(dev->ops->queue_size[i]) &&
		       dev->ops->queue_size[i] <= VIRTQ_MAX_SIZE);
	*m = (struct virtio_mmio){
		.transport = { used_buffer, config_changed, kick },
		.dev = dev,
		.irq = irq,
		.kick = kick_fn,
		.kick_ctx = kick_ctx,
	};
	dev->transport = &m->transport;
	dev->pops_left = UINT32_MAX;
	virtio_mmio_reset(m);
}

void virtio_mmio_kicked(struct virtio_mmio *m, unsigned int queue)
{
	struct virtio_dev *dev = m->dev;

	assert(queue < dev->ops->nr_queues);
	if (!virtio_live(dev) || !dev->queues[queue].ready)
		return;
	dev->pops_left = dev->queues[queue].size;
	dev->ops->kick(dev, queue);
	dev->pops_left = UINT32_MAX;
}

/* Features. */

static uint64_t offered_features(const struct virtio_mmio *m)
{
	return m->dev->ops->features(m->dev) | RING_FEATURES;
}

static uint32_t half_of(uint64_t value, uint32_t sel)
{
	return sel < 2 ? (uint32_t)(value >> (32 * sel)) : 0;
}

static void write_half(uint64_t *value, unsigned int sel, uint32_t half)
{
	*value = (*value & ~(UINT64_C(0xffffffff) << (32 * sel))) | (uint64_t)half << (32 * sel);
}

static void write_driver_features(struct virtio_mmio *m, uint32_t value)
{
	if (m->dev->status & VIRTIO_CONFIG_S_FEATURES_OK)
		log_guest("%s: features written after FEATURES_OK", m->dev->ops->name);
	else if (m->driver_features_sel < 2)
		write_half(&m->driver_features, m->driver_features_sel, value);
	else if (value)
		m->unknown_features = true;
}

static bool has_queue(const struct virtio_dev *dev, uint32_t queue)
{
	return queue < dev->ops->nr_queues &&
	       (!dev->ops->has_queue || dev->ops->has_queue(dev, queue));
}

static bool accept_features(struct virtio_mmio *m)
{
	struct virtio_dev *dev = m->dev;
	uint64_t chosen = m->driver_features;

	if (m->unknown_features || chosen & ~offered_features(m) ||
	    !(chosen & BIT64(VIRTIO_F_VERSION_1)) ||
	    (dev->ops->features_ok && !dev->ops->features_ok(dev, chosen))) {
		log_guest("%s: features %#llx refused", dev->ops->name, (unsigned long long)chosen);
		return false;
	}
	dev->status |= VIRTIO_CONFIG_S_FEATURES_OK;
	dev->features = chosen;
	for (unsigned int i = 0; i < dev->ops->nr_queues; i++) {
		dev->queues[i].indirect = virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC);
		dev->queues[i].event_idx = virtio_has(dev, VIRTIO_RING_F_EVENT_IDX);
		/* Set up before it was known that there would be no such queue. */
		if (!has_queue(dev, i))
			virtq_reset(&dev->queues[i]);
	}
	return true;
}

/* Status (virtio, Device Status Field; Device Initialization). */

static void driver_is_ok(struct virtio_mmio *m)
{
	struct virtio_dev *dev = m->dev;

	if (!virtio_live(dev)) {
		/* It broke during set-up; only now can the driver be told. */
		virtio_config_changed(dev);
		return;
	}
	if (dev->ops->driver_ok)
		dev->ops->driver_ok(dev);
	/* Kicks so far were ignored, the buffers behind them are not. */
	for (unsigned int i = 0; i < dev->ops->nr_queues; i++)
		if (dev->queues[i].ready)
			m->kick(m->kick_ctx, i);
}

/*
 * Drivers set one bit after the other, several at once, or each without those before it. What they
 * leave out stays set: they may not clear a bit, and some only mean to add one. Bits without a
 * meaning are not taken, after FAILED nothing is, and what a device is to work by comes before
 * DRIVER_OK: features that it accepted.
 */
static void add_status(struct virtio_mmio *m, uint8_t added)
{
	const uint8_t steps = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			      VIRTIO_CONFIG_S_FAILED;
	struct virtio_dev *dev = m->dev;

	dev->status |= added & steps;
	if (added & VIRTIO_CONFIG_S_FEATURES_OK)
		(void)accept_features(m);
	if (added & VIRTIO_CONFIG_S_DRIVER_OK && virtio_negotiated(dev)) {
		dev->status |= VIRTIO_CONFIG_S_DRIVER_OK;
		driver_is_ok(m);
	}
}

static void write_status(struct virtio_mmio *m, uint32_t value)
{
	struct virtio_dev *dev = m->dev;
	/* The device sets NEEDS_RESET when it likes; the driver's copy may or may not have it. */
	uint32_t added = value & ~(uint32_t)(dev->status | VIRTIO_CONFIG_S_NEEDS_RESET);

	if (!value) {
		virtio_mmio_reset(m);
		return;
	}
	if (!(dev->status & VIRTIO_CONFIG_S_FAILED))
		add_status(m, (uint8_t)added);
	if (added & ~(uint32_t)dev->status)
		log_guest("%s: status %#x written, it is %#x", dev->ops->name, value, dev->status);
}

/* Queues. */

/* The selected queue, or NULL. */
static struct virtq *selected_queue(struct virtio_mmio *m)
{
	return has_queue(m->dev, m->queue_sel) ? &m->dev->queues[m->queue_sel] : NULL;
}

/*
 * The same while its place and size may change: not ready, and not since it was stopped, for what
 * was in it is neither side's then. That a driver does this between FEATURES_OK and DRIVER_OK is
 * its duty; those that are early or late harm nobody.
 */
static struct virtq *queue_in_setup(struct virtio_mmio *m)
{
	struct virtq *q = selected_queue(m);

	if (q && !q->ready && !q->stopped)
		return q;
	log_guest("%s: queue %u written while it cannot be set up", m->dev->ops->name,
		  m->queue_sel);
	return NULL;
}

static void write_queue_size(struct virtio_mmio *m, uint32_t value)
{
	struct virtq *q = queue_in_setup(m);

	if (!q)
		return;
	if (is_power_of_two(value) && value <= m->dev->ops->queue_size[m->queue_sel])
		q->size = (uint16_t)value;
	else
		log_guest("%s: queue size %u refused", m->dev->ops->name, value);
}

/*
 * The driver may stop a queue at any time; only a reset starts it again. It reads the register back
 * to be sure that its buffers are its own again (virtio, MMIO Device Register Layout), and the read
 * gives what it wrote: so all waiting is done here, before it can be read.
 */
static void stop_queue(struct virtio_mmio *m)
{
	struct virtio_dev *dev = m->dev;
	struct virtq *q = selected_queue(m);

	if (!q || !q->ready)
		return;
	q->ready = false; /* first: nothing is taken from it, or put there, any more */
	q->stopped = dev->status & VIRTIO_CONFIG_S_DRIVER_OK;
	if (dev->ops->stop_queue)
		dev->ops->stop_queue(dev, m->queue_sel);
}

static void start_queue(struct virtio_mmio *m)
{
	struct virtq *q = queue_in_setup(m);

	if (!q)
		return;
	if (virtq_check(q, m->dev->gm)) {
		virtio_broken(m->dev, q->why);
		return;
	}
	q->ready = true;
	/* As at DRIVER_OK: buffers that were there before it are not forgotten. */
	if (virtio_live(m->dev))
		m->kick(m->kick_ctx, m->queue_sel);
}

static void write_queue_ready(struct virtio_mmio *m, uint32_t value)
{
	if (!value)
		stop_queue(m);
	else if (value == 1)
		start_queue(m);
	else
		log_guest("%s: %#x written to QueueReady", m->dev->ops->name, value);
}

static void write_queue_notify(struct virtio_mmio *m, uint32_t queue)
{
	const struct virtio_dev *dev = m->dev;

	if (!has_queue(dev, queue))
		log_guest("%s: notification for queue %u", dev->ops->name, queue);
	else if (virtio_live(dev) && dev->queues[queue].ready)
		m->kick(m->kick_ctx, queue);
}

static void write_queue_address(struct virtio_mmio *m, uint32_t reg, uint32_t value)
{
	struct virtq *q = queue_in_setup(m);

	if (!q)
		return;
	switch (reg) {
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		write_half(&q->desc.v, reg == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		write_half(&q->avail.v, reg == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		break;
	default:
		write_half(&q->used.v, reg == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
		break;
	}
}

/* Configuration space. */

/* Reads it as it is now; bytes unlike those last seen by the driver begin a new generation. */
static void look_at_config(struct virtio_mmio *m)
{
	uint8_t now[VIRTIO_MAX_CONFIG_BYTES] = { 0 };

	if (!m->dev->ops->config_bytes)
		return;
	m->dev->ops->config_read(m->dev, now);
	if (!memcmp(m->config_seen, now, sizeof(now)))
		return;
	memcpy(m->config_seen, now, sizeof(now));
	m->config_generation++;
}

static void access_config(struct virtio_mmio *m, struct bus_access *a)
{
	const struct virtio_ops *ops = m->dev->ops;
	uint64_t offset = a->offset - VIRTIO_MMIO_CONFIG;
	le64 wire = le64_of(a->value);

	if (!range_inside(offset, a->bytes, 0, ops->config_bytes))
		return;
	if (!a->is_write) {
		look_at_config(m);
		wire = le64_of(0);
		memcpy(&wire, m->config_seen + offset, a->bytes);
		a->value = le64_get(wire);
	} else if (ops->config_write) {
		ops->config_write(m->dev, offset, &wire, a->bytes);
	} else {
		log_guest("%s: write to read-only configuration", ops->name);
	}
}

/* Registers. */

static uint32_t read_register(struct virtio_mmio *m, uint32_t reg)
{
	const struct virtio_dev *dev = m->dev;
	const struct virtq *q = selected_queue(m);

	switch (reg) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return dev->ops->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return half_of(offered_features(m), m->device_features_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q ? dev->ops->queue_size[m->queue_sel] : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q && q->ready;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return m->interrupt_status;
	case VIRTIO_MMIO_STATUS:
		return dev->status;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX; /* length -1: no such region */
	case VIRTIO_MMIO_CONFIG_GENERATION:
		look_at_config(m);
		return m->config_generation;
	default:
		return 0;
	}
}

static void write_register(struct virtio_mmio *m, uint32_t reg, uint32_t value)
{
	switch (reg) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		m->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		m->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		write_driver_features(m, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		m->queue_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_NUM:
		write_queue_size(m, value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		write_queue_address(m, reg, value);
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		write_queue_ready(m, value);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		write_queue_notify(m, value);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		m->interrupt_status &= ~value;
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(m, value);
		break;
	default:
		break; /* read-only, legacy or unknown */
	}
}

void virtio_mmio_access(void *ctx, struct bus_access *a)
{
	struct virtio_mmio *m = ctx;

	if (!a->is_write)
		a->value = UINT64_MAX;
	if (a->offset >= VIRTIO_MMIO_CONFIG)
		access_config(m, a);
	else if (a->bytes != 4 || !is_aligned(a->offset, 4))
		log_guest("%s: %u byte access to register %#llx", m->dev->ops->name, a->bytes,
			  (unsigned long long)a->offset);
	else if (a->is_write)
		write_register(m, (uint32_t)a->offset, (uint32_t)a->value);
	else
		a->value = read_register(m, (uint32_t)a->offset);
}
