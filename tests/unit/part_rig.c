/* SPDX-License-Identifier: Apache-2.0 */
/* part_rig.c - what a part of a machine stands on. */
#include "tests/unit/part_rig.h"

#include <criterion/criterion.h>
#include <string.h>

/* --- what KVM and others do -------------------------------------------------------------------- */

static int log_writes(void *ctx, bool on)
{
	struct part_rig *r = ctx;

	r->nr_logs++;
	if (r->log_error)
		return r->log_error;
	r->logging = on;
	return 0;
}

static bool is_logging(void *ctx) { return ((struct part_rig *)ctx)->logging; }

static int written(void *ctx, void (*fn)(void *to, gpa_t base, const uint64_t *bitmap,
					 uint64_t nr_pages), void *to)
{
	struct part_rig *r = ctx;

	cr_assert(r->logging);
	cr_assert_eq(r->run.nr_parks, r->run.nr_unparks + 1, "the vCPUs stand meanwhile");
	r->nr_fetches++;
	if (r->written_error)
		return r->written_error;
	fn(to, GPA(0), r->dirty, PART_BOOT / 4096);
	memset(r->dirty, 0, sizeof(r->dirty));
	return 0;
}

static void drain(void *ctx)
{
	struct part_rig *r = ctx;

	cr_assert_eq(r->run.nr_parks, r->run.nr_unparks, "the vCPUs need not stand yet");
	r->nr_drains++;
}

/* --- from start to end ------------------------------------------------------------------------- */

void part_rig_config(struct part_rig *r)
{
	*r = (struct part_rig){ 0 };
	config_init(&r->cfg);
	r->cfg.boot_bytes = PART_BOOT;
	r->cfg.guard_off = true;
	r->cfg.agent = true;
	r->cfg.nr_elastic = 1;
	r->cfg.elastic[0] = (struct config_elastic){ .id = "vm0",
						     .bytes = PART_ELASTIC,
						     .block_bytes = 2 * MiB };
}

static void open_memory(struct part_rig *r)
{
	struct vm_memory_env env = { .cfg = &r->cfg,
				     .loop = r->loop,
				     .sinks = &r->told.sinks,
				     .slot_ops = fake_slots_init(&r->kvm),
				     .max_slots = 64,
				     .phys_bits = 39 };

	cr_assert_eq(vm_memory_open(&r->memory, &env), 0);
	r->guest = (struct fake_memory){ .gm = r->memory.gm,
					 .boot = r->memory.boot,
					 .next_free = 0x10000 };
}

static void open_balloon(struct part_rig *r)
{
	struct balloon_host_env env = { .cfg = &r->cfg,
					.loop = r->loop,
					.memory = &r->memory,
					.run = fake_run_control(&r->run),
					.write_log = { log_writes, is_logging, written, r },
					.drain = drain,
					.ctx = r,
					.store = &r->store,
					.sinks = &r->told.sinks };

	cr_assert_eq(balloon_host_open(&r->balloon, &env), 0);
}

void part_rig_init(struct part_rig *r)
{
	cr_assert_eq(loop_new(&r->loop), 0);
	fake_clock_init(&r->clock, r->loop);
	recorder_init(&r->told);
	virtio_slots_open(&r->slots, r->loop, &r->mmio);
	open_memory(r);
	r->store.sinks = &r->told.sinks;
	open_balloon(r);
}

void part_rig_add_devices(struct part_rig *r)
{
	cr_assert_eq(vm_memory_add_devices(&r->memory, &r->slots, &r->mmio), 0);
	cr_assert_eq(balloon_host_add(&r->balloon, &r->slots), 0);
}

void part_rig_destroy(struct part_rig *r)
{
	balloon_host_remove(&r->balloon);
	vm_memory_remove_devices(&r->memory);
	balloon_host_close(&r->balloon);
	vm_memory_close(&r->memory);
	virtio_slots_close(&r->slots);
	loop_free(r->loop);
}

void part_rig_drive(struct part_rig *r, struct fake_driver *drv, struct virtio_dev *dev,
		       uint64_t features)
{
	fake_driver_init(drv, &r->guest, dev);
	fake_driver_start(drv, features);
	fake_driver_take_interrupts(drv);
}
