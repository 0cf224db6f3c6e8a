/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_rig.h - what a part of a machine stands on: a loop with its clock, buses, places for
 * virtio devices, all of the memory, a balloon's host side, and somebody who keeps the events. No
 * KVM: memory slots, the running of the VM and the log of writes are the test's.
 */
#ifndef EBB_TESTS_PART_RIG_H
#define EBB_TESTS_PART_RIG_H

#include "tests/unit/fake_clock.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/fake_run.h"
#include "tests/unit/fake_slots.h"
#include "tests/unit/recorder.h"
#include "vmm/machine/balloon_host.h"

#define PART_BOOT    (64 * MiB)
#define PART_ELASTIC (512 * MiB) /* "vm0", blocks of 2 MiB, nothing requested */

struct part_rig {
	struct config cfg;
	struct loop *loop;
	struct fake_clock clock;
	struct recorder told;
	struct bus mmio, pio;
	struct virtio_slots slots;
	struct fake_slots kvm;
	struct vm_memory memory;
	struct fake_memory guest; /* the same memory, as drivers use it */
	struct working_set_store store;
	struct balloon_host balloon;
	struct fake_run run;

	/* The log of writes: whether it is on, the pages of boot memory to be found in it. */
	bool logging;
	int log_error, written_error; /* to be answered */
	unsigned int nr_logs, nr_fetches, nr_drains;
	uint64_t dirty[PART_BOOT / 4096 / 64];
};

/* A configuration without guard and with an agent, to be changed. */
void part_rig_config(struct part_rig *r);
/* By that, up to memory and the balloon's ledger; no device. */
void part_rig_init(struct part_rig *r);
/* Adds the elastic devices, then the balloon, as the machine does. */
void part_rig_add_devices(struct part_rig *r);
void part_rig_destroy(struct part_rig *r);
/* A driver for DEV, with FEATURES. */
void part_rig_drive(struct part_rig *r, struct fake_driver *drv, struct virtio_dev *dev,
		       uint64_t features);
/* Lets the loop run for NS of its time. */
static inline void part_rig_run(struct part_rig *r, uint64_t ns)
{
	fake_clock_run(&r->clock, r->loop, ns);
}
static inline unsigned int part_rig_told(const struct part_rig *r, enum vm_event_kind kind)
{
	return recorder_count(&r->told, kind);
}

#endif
