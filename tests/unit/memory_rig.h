/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_rig.h - all memory of a machine with its virtio-mem devices, without KVM: real memfds, a
 * real guard where it is wanted, memory slots that are faked. What the parts of a machine stand on.
 */
#ifndef EBB_TESTS_MEMORY_RIG_H
#define EBB_TESTS_MEMORY_RIG_H

#include "tests/unit/fake_clock.h"
#include "tests/unit/fake_slots.h"
#include "tests/unit/recorder.h"
#include "vmm/machine/memory.h"

#define RIG_REGION (128 * MiB) /* of each elastic region */
#define RIG_BLOCK  (2 * MiB)

struct memory_rig {
	struct config cfg;
	struct loop *loop;
	struct fake_clock clock;
	struct fake_slots kvm;
	struct recorder recorder;
	struct bus mmio;
	struct virtio_slots slots;
	struct vm_memory memory;
};

/* A configuration with NR_ELASTIC regions, mem0, mem1 and so on, unguarded; and a loop. */
void memory_rig_prepare(struct memory_rig *rig, uint64_t boot_bytes, unsigned int nr_elastic);
/* What opening says to that configuration, with memory_rig_devices() to follow. */
int memory_rig_open(struct memory_rig *rig);
void memory_rig_devices(struct memory_rig *rig);
/* All three; it must succeed. */
void memory_rig_init(struct memory_rig *rig, uint64_t boot_bytes, unsigned int nr_elastic,
		     bool guarded);
void memory_rig_destroy(struct memory_rig *rig);
/* Runs the loop for NS of its time. */
void memory_rig_run(struct memory_rig *rig, uint64_t ns);
/* Gives the guest NR blocks of region I from block FIRST on. */
void memory_rig_plug(struct memory_rig *rig, unsigned int i, uint32_t first, uint32_t nr);

#endif
