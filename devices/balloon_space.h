/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_space.h - the configuration space of a balloon (virtio, Traditional Memory Balloon Device
 * / Device configuration layout): the target, which the driver reads, and what the driver says.
 * Internal to the balloon device.
 *
 * Thread: any, under the device lock.
 */
#ifndef EBB_DEVICES_BALLOON_SPACE_H
#define EBB_DEVICES_BALLOON_SPACE_H

#include "devices/virtio_balloon_wire.h"
#include "virtio/device.h"

struct balloon_space {
	const struct virtio_dev *dev;
	uint32_t target_pages;	/* to be ballooned, of 4 KiB; the host's */
	uint32_t claimed_pages; /* ballooned, as the driver says; nothing relies on it */
	uint32_t poison_val;	/* the driver's pattern for free pages, of 4 bytes; 0: none */
};

/* Device reset: forgets what the driver said. The target stays. */
void balloon_space_reset(struct balloon_space *s);
/* Fills CONFIG (struct balloon_config). CMD_ID: of the run of hinting (devices/reclaim.h). */
void balloon_space_read(const struct balloon_space *s, uint32_t cmd_id, void *config);
/*
 * The driver wrote BYTES at OFFSET, both inside the space. Two of the four fields are the driver's;
 * what it writes to the others has no effect, nor has a pattern after DRIVER_OK.
 */
void balloon_space_write(struct balloon_space *s, size_t offset, const void *src, size_t bytes);
/* The guest counts on its pattern in free pages, which a discard would lose. */
bool balloon_space_is_poisoned(const struct balloon_space *s);

#endif
