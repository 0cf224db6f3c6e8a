/* SPDX-License-Identifier: Apache-2.0 */
/* fake_device.c - a virtio device that sends requests back. */
#include "tests/unit/fake_device.h"

#include <string.h>

static struct fake_device *fake_of(struct virtio_dev *dev)
{
	return container_of(dev, struct fake_device, dev);
}

static uint64_t features(struct virtio_dev *dev)
{
	(void)dev;
	return UINT64_C(1) << FAKE_DEVICE_FEATURE;
}

static bool features_ok(struct virtio_dev *dev, uint64_t chosen)
{
	(void)chosen;
	return !fake_of(dev)->refuses_features;
}

static void serve(struct fake_device *f, struct chain *c)
{
	uint8_t data[4096];
	size_t bytes = min_u64(min_u64(chain_readable(c), chain_writable(c)), sizeof(data));

	f->nr_served++;
	if (chain_read(c, data, bytes) || chain_write(c, data, bytes))
		f->nr_faults++;
}

static void kick(struct virtio_dev *dev, unsigned int queue)
{
	struct fake_device *f = fake_of(dev);
	struct chain c;

	f->nr_kicks++;
	if (f->holds) {
		while (f->nr_held < ARRAY_SIZE(f->held) &&
		       virtio_pop(dev, queue, &f->held[f->nr_held]))
			f->nr_held++;
		return;
	}
	while (virtio_pop(dev, queue, &c)) {
		serve(f, &c);
		virtio_push(dev, queue, &c);
	}
	virtio_notify(dev, queue);
}

void fake_device_release(struct fake_device *f)
{
	for (unsigned int i = 0; i < f->nr_held; i++) {
		serve(f, &f->held[i]);
		virtio_push(&f->dev, 0, &f->held[i]);
	}
	f->nr_held = 0;
	virtio_notify(&f->dev, 0);
}

static void reset(struct virtio_dev *dev)
{
	struct fake_device *f = fake_of(dev);

	f->nr_resets++;
	f->nr_held = 0;
}

static void stop_queue(struct virtio_dev *dev, unsigned int queue)
{
	fake_of(dev)->nr_stops++;
	fake_of(dev)->stopped_queue = queue;
}

static void driver_ok(struct virtio_dev *dev) { fake_of(dev)->nr_driver_ok++; }

static void config_read(struct virtio_dev *dev, void *config)
{
	memcpy(config, fake_of(dev)->config, sizeof(fake_of(dev)->config));
}

static void config_write(struct virtio_dev *dev, size_t offset, const void *src, size_t bytes)
{
	struct fake_device *f = fake_of(dev);

	f->nr_config_writes++;
	if (offset + bytes <= sizeof(f->config[0]))
		memcpy((char *)f->config + offset, src, bytes);
}

static const struct virtio_ops ops = {
	.name = "fake device",
	.id = FAKE_DEVICE_ID,
	.nr_queues = 2,
	.queue_size = { 64, 8 },
	.features = features,
	.features_ok = features_ok,
	.kick = kick,
	.reset = reset,
	.stop_queue = stop_queue,
	.driver_ok = driver_ok,
	.config_read = config_read,
	.config_bytes = sizeof(((struct fake_device *)0)->config),
	.config_write = config_write,
};

void fake_device_init(struct fake_device *f, const struct guest_mem *gm)
{
	*f = (struct fake_device){ .dev = { .ops = &ops, .gm = gm } };
}
