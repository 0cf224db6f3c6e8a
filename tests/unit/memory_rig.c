/* SPDX-License-Identifier: Apache-2.0 */
/* memory_rig.c - all memory of a machine, without KVM. */
#include "tests/unit/memory_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>

void memory_rig_prepare(struct memory_rig *rig, uint64_t boot_bytes, unsigned int nr_elastic)
{
	*rig = (struct memory_rig){ 0 };
	config_init(&rig->cfg);
	rig->cfg.boot_bytes = boot_bytes;
	rig->cfg.nr_elastic = nr_elastic;
	rig->cfg.guard_off = true;
	rig->cfg.huge = HUGE_NEVER;
	for (unsigned int i = 0; i < nr_elastic; i++) {
		struct config_elastic *e = &rig->cfg.elastic[i];

		*e = (struct config_elastic){ .bytes = RIG_REGION, .block_bytes = RIG_BLOCK };
		snprintf(e->id, sizeof(e->id), "mem%u", i);
	}
	cr_assert_eq(loop_new(&rig->loop), 0);
	fake_clock_init(&rig->clock, rig->loop);
	recorder_init(&rig->recorder);
}

int memory_rig_open(struct memory_rig *rig)
{
	struct vm_memory_env env = { .cfg = &rig->cfg,
				     .loop = rig->loop,
				     .sinks = &rig->recorder.sinks,
				     .slot_ops = fake_slots_init(&rig->kvm),
				     .max_slots = 509,
				     .phys_bits = 46 };

	return vm_memory_open(&rig->memory, &env);
}

void memory_rig_devices(struct memory_rig *rig)
{
	virtio_slots_open(&rig->slots, rig->loop, &rig->mmio);
	cr_assert_eq(vm_memory_add_devices(&rig->memory, &rig->slots, &rig->mmio), 0);
	bus_freeze(&rig->mmio);
}

void memory_rig_init(struct memory_rig *rig, uint64_t boot_bytes, unsigned int nr_elastic,
		     bool guarded)
{
	memory_rig_prepare(rig, boot_bytes, nr_elastic);
	rig->cfg.guard_off = !guarded;
	cr_assert_eq(memory_rig_open(rig), 0);
	memory_rig_devices(rig);
}

void memory_rig_destroy(struct memory_rig *rig)
{
	vm_memory_remove_devices(&rig->memory);
	vm_memory_close(&rig->memory);
	virtio_slots_close(&rig->slots);
	loop_free(rig->loop);
}

void memory_rig_run(struct memory_rig *rig, uint64_t ns)
{
	fake_clock_run(&rig->clock, rig->loop, ns);
}

void memory_rig_plug(struct memory_rig *rig, unsigned int i, uint32_t first, uint32_t nr)
{
	cr_assert_eq(elastic_plug(&rig->memory.elastic[i].elastic, first, nr), 0);
}
