/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_device.h - the simplest virtio device, for tests of queues and transport: it sends the
 * bytes of a request back, as many as the driver left room for, and counts what happens to it.
 */
#ifndef EBB_TESTS_FAKE_DEVICE_H
#define EBB_TESTS_FAKE_DEVICE_H

#include "virtio/device.h"

#define FAKE_DEVICE_ID 42
#define FAKE_DEVICE_FEATURE 5 /* the one feature bit offered */

struct fake_device {
	struct virtio_dev dev;
	unsigned int nr_kicks, nr_resets, nr_stops, nr_driver_ok, nr_served, nr_faults;
	bool refuses_features;
	unsigned int stopped_queue; /* the latest; what is held of it is not forgotten */
	/* Keep the chains instead of serving them; pushed by fake_device_release(). */
	bool holds;
	unsigned int nr_held;
	struct chain held[8];
	/* The configuration space: config[0] may be written by the driver, in single bytes. */
	le64 config[3];
	unsigned int nr_config_writes;
};

/* Queue 0 has up to 64 entries, queue 1 up to 8. */
void fake_device_init(struct fake_device *f, const struct guest_mem *gm);
void fake_device_release(struct fake_device *f);

#endif
