/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - what every virtio device does with its queues, and how it breaks. */
#include "virtio/device.h"

#include <assert.h>
#include <linux/virtio_config.h>

#include "vmm/base/log.h"

bool virtio_live(const struct virtio_dev *dev)
{
	const uint8_t over = VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;

	return (dev->status & (VIRTIO_CONFIG_S_DRIVER_OK | over)) == VIRTIO_CONFIG_S_DRIVER_OK;
}

bool virtio_negotiated(const struct virtio_dev *dev)
{
	return dev->status & VIRTIO_CONFIG_S_FEATURES_OK;
}

void virtio_config_changed(struct virtio_dev *dev)
{
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		dev->transport->config_changed(dev->transport);
}

void virtio_broken(struct virtio_dev *dev, const char *what)
{
	log_guest("%s: the driver broke the rules: %s", dev->ops->name, what);
	if (dev->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	virtio_config_changed(dev);
}

/* The queue, or NULL while it must not be touched. */
static struct virtq *queue_in_use(struct virtio_dev *dev, unsigned int queue)
{
	assert(queue < dev->ops->nr_queues);
	return virtio_live(dev) && dev->queues[queue].ready ? &dev->queues[queue] : NULL;
}

/* virtq_pop(); when there is nothing, a kick is asked for, or the next buffer would go unseen. */
static int pop_or_wait(struct virtq *q, const struct guest_mem *gm, struct chain *chain)
{
	int r = virtq_pop(q, gm, chain);

	if (r)
		return r;
	r = virtq_enable_kick(q, gm);
	/* Once only: a guest that moves its index back and forth gets no loop out of it. */
	return r > 0 ? virtq_pop(q, gm, chain) : r;
}

int virtio_pop(struct virtio_dev *dev, unsigned int queue, struct chain *chain)
{
	struct virtq *q = queue_in_use(dev, queue);
	int r;

	if (!q || dev->held)
		return 0;
	if (!dev->pops_left) {
		virtio_serve_later(dev, queue);
		return 0;
	}
	r = pop_or_wait(q, dev->gm, chain);
	if (r >= 0) {
		dev->pops_left -= (uint32_t)r;
		return r;
	}
	/* Heads that went back so far, a malformed one among them, are still announced. */
	const char *why = q->why;

	virtio_notify(dev, queue);
	virtio_broken(dev, why);
	return 0;
}

void virtio_yield(struct virtio_dev *dev) { dev->pops_left = 0; }

void virtio_serve_later(struct virtio_dev *dev, unsigned int queue)
{
	dev->transport->kick(dev->transport, queue);
}

void virtio_push(struct virtio_dev *dev, unsigned int queue, const struct chain *chain)
{
	struct virtq *q = queue_in_use(dev, queue);

	if (q && virtq_push(q, dev->gm, chain))
		virtio_broken(dev, q->why);
}

void virtio_notify(struct virtio_dev *dev, unsigned int queue)
{
	struct virtq *q = queue_in_use(dev, queue);
	int r = q ? virtq_wants_interrupt(q, dev->gm) : 0;

	if (r > 0)
		dev->transport->used_buffer(dev->transport);
	else if (r < 0)
		virtio_broken(dev, q->why);
}

void virtio_hold(struct virtio_dev *dev, bool hold)
{
	dev->held = hold;
	for (unsigned int i = 0; i < dev->ops->nr_queues && !hold; i++)
		if (queue_in_use(dev, i))
			virtio_serve_later(dev, i);
}
