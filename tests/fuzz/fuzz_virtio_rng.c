/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_virtio_rng.c - the entropy device under a driver that knows no rule. After every step no
 * unplugged block has got host memory; and whatever came before, after a reset a lawful buffer is
 * filled, at once or when the rate allows.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "tests/fuzz/wild_driver.h"
#include "tests/unit/rng_rig.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"

#define STEPS_MAX 200

static struct rng_rig rig;
static struct fuzz_stream in;

static void set_up(void)
{
	log_set_level(LOG_ERROR);
	/* The rate at which nobody waits long. */
	rng_rig_init(&rig, RNG_RATE_MAX);
	fake_queue_init(&rig.drv.queues[0], &rig.mem, 32);
}

/* One after the other, by the rules. */
static void ask(void)
{
	uint32_t bytes = 1 + fuzz_u16(&in) % 4096, used = 0;
	struct fake_queue *q = &rig.drv.queues[0];
	struct fake_buffer b;

	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	wild_forget_memory(&rig.mem);
	fake_driver_start(&rig.drv, UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	b = (struct fake_buffer){ fake_alloc(&rig.mem, bytes, 16), bytes, true };
	fake_queue_add(q, &b, 1);
	fake_driver_kick(&rig.drv, 0);
	for (int i = 0; i < 100 && !fake_queue_poll(q, NULL, &used); i++)
		rng_rig_run(&rig, NS_PER_MS);
	fuzz_check(used >= (bytes < 64 ? bytes : 64) && used <= bytes);
	fuzz_check(bytes < 16 || !gm_is_zero(&rig.mem.gm, b.at, bytes));
	fuzz_check(!fake_driver_needs_reset(&rig.drv));
}

static void check(void)
{
	uint64_t resident = 1;

	fuzz_check(!ram_range_resident(&rig.mem.elastic.ram, 0, 8 * MiB, &resident) && !resident);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	in = (struct fuzz_stream){ data, bytes };
	set_up();
	for (int i = 0; i < STEPS_MAX && in.left; i++) {
		uint32_t what = fuzz_below(&in, 32);

		if (what == 0)
			ask();
		else if (what == 1)
			rng_rig_run(&rig, 0);
		else
			wild_step(&rig.drv, &in);
		check();
	}
	rng_rig_destroy(&rig);
	return 0;
}
