/* SPDX-License-Identifier: Apache-2.0 */
/* rng_rig.h - an entropy device with all it stands on: memory, a loop, a fake driver. */
#ifndef EBB_TESTS_RNG_RIG_H
#define EBB_TESTS_RNG_RIG_H

#include "devices/virtio_rng.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/fake_driver.h"

struct rng_rig {
	struct fake_memory mem; /* 4 MiB, and an elastic region of 4 unplugged blocks of 2 MiB */
	struct loop *loop;
	struct fake_clock clock;
	struct rng *rng;
	struct fake_driver drv;
};

/* Nothing is negotiated yet. */
void rng_rig_init(struct rng_rig *r, uint32_t rate);
void rng_rig_destroy(struct rng_rig *r);
/* Runs the main loop for NS. */
void rng_rig_run(struct rng_rig *r, uint64_t ns);

#endif
