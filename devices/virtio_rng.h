/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_rng.h - the virtio entropy device (virtio, Entropy Device): buffers filled from the host's
 * getrandom(2), so many bytes a second. Over the rate, buffers wait in the queue until a timer of
 * the loop finds tokens again. Owner: machine. Thread: the loop, under the device lock.
 */
#ifndef EBB_DEVICES_VIRTIO_RNG_H
#define EBB_DEVICES_VIRTIO_RNG_H

#include "virtio/device.h"
#include "vmm/base/loop.h"

/* Bytes a second. The host makes some 300 MiB/s, in the loop's time. */
#define RNG_RATE_MIN 64
#define RNG_RATE_MAX (64 * MiB)
#define RNG_RATE_DEFAULT (1 * MiB)
/* What gathers while nobody asks: so much, or 10 ms of the rate where that is more. */
#define RNG_BURST_BYTES (64 * KiB)

struct rng;

/*
 * RATE: RNG_RATE_MIN to RNG_RATE_MAX. -EAGAIN (logged): the host has just started and has no random
 * numbers yet; -ENOMEM.
 */
int must_check rng_new(struct rng **out, struct loop *loop, const struct guest_mem *gm,
		       uint32_t rate);
void rng_free(struct rng *r);
/* To be put behind a transport. */
struct virtio_dev *rng_dev(struct rng *r);

#endif
