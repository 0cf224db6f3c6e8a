/* SPDX-License-Identifier: Apache-2.0 */
/* rng_rig.c - an entropy device with all it stands on. */
#include "tests/unit/rng_rig.h"

#include <criterion/criterion.h>

#include "vmm/base/clock.h"

void rng_rig_init(struct rng_rig *r, uint32_t rate)
{
	fake_memory_init(&r->mem, 4 * MiB, 8 * MiB, 2 * MiB);
	cr_assert_eq(loop_new(&r->loop), 0);
	fake_clock_init(&r->clock, r->loop);
	cr_assert_eq(rng_new(&r->rng, r->loop, &r->mem.gm, rate), 0);
	fake_driver_init(&r->drv, &r->mem, rng_dev(r->rng));
}

void rng_rig_destroy(struct rng_rig *r)
{
	rng_free(r->rng);
	loop_free(r->loop);
	fake_memory_destroy(&r->mem);
	*r = (struct rng_rig){ 0 };
}

static void stop(void *ctx) { loop_stop(ctx); }

void rng_rig_run(struct rng_rig *r, uint64_t ns)
{
	struct loop_timer end = { .fn = stop, .ctx = r->loop };

	loop_timer_set(r->loop, &end, loop_now(r->loop) + ns);
	cr_assert_eq(loop_run(r->loop), 0);
	loop_timer_cancel(r->loop, &end);
}
