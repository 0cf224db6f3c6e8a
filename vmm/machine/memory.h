/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - all memory of one machine: boot memory, the elastic regions with their devices, the
 * guard that is over them, and sums over all of it. It lives as long as the process; a VM is
 * connected to it at each boot. Thread: the loop, with the device lock. 0 or -errno, logged.
 */
#ifndef EBB_MACHINE_MEMORY_H
#define EBB_MACHINE_MEMORY_H

#include "devices/virtio_mem.h"
#include "vmm/base/bus.h"
#include "vmm/config/config.h"
#include "vmm/machine/events.h"
#include "vmm/machine/virtio_slots.h"
#include "vmm/memory/elastic.h"
#include "vmm/memory/guest_mem.h"

/* Linux, x86 with less than 64 GiB: the unit in which it takes memory. */
#define GUEST_MEMORY_BLOCK (128 * MiB)

struct vm_memory_env {
	const struct config *cfg;
	struct loop *loop;
	const struct vm_sinks *sinks;
	struct slot_ops slot_ops; /* of the VM that is connected */
	uint32_t max_slots;	  /* of KVM, for all memory together */
	unsigned int phys_bits;	  /* of guest-physical addresses */
};

struct vm_elastic {
	const char *id;
	struct elastic elastic;
	struct vmem *vmem; /* NULL: not built yet */
	struct vm_memory *memory;
};

struct vm_memory {
	struct vm_memory_env env;
	struct guard *guard; /* NULL: --guard=off, or no elastic memory */
	int guard_fd;	     /* raised when guard_take_status() has something to tell; -1: no guard */
	struct ram boot;
	struct huge boot_huge; /* boot memory's huge pages; others are in struct elastic */
	unsigned int nr_elastic;
	struct vm_elastic elastic[CONFIG_MAX_ELASTIC];
	struct guest_mem gm; /* all of it, by guest-physical address */
};

/* Everything is unplugged, the guard not started. vm_memory_close() also after a failure. */
int must_check vm_memory_open(struct vm_memory *mem, const struct vm_memory_env *env);
/* The guard ends first. No device uses memory any more. */
void vm_memory_close(struct vm_memory *mem);
/* One virtio-mem device for each region, with the requested sizes of the configuration; MMIO gets
 * what the guest accesses in a region without memory. */
int must_check vm_memory_add_devices(struct vm_memory *mem, struct virtio_slots *slots,
				     struct bus *mmio);
/* The devices go. */
void vm_memory_remove_devices(struct vm_memory *mem);

/* A VM was made, its vCPUs have not run: gives it all memory slots that it needs from the start. */
int must_check vm_memory_connect(struct vm_memory *mem);
/* The VM is gone. */
void vm_memory_disconnect(struct vm_memory *mem);
/* An instruction can't be carried out where memory has no slot: true when some has one now. */
bool vm_memory_cover(struct vm_memory *mem);
/* The machine is reset, no VM is connected: elastic memory is unplugged (requested sizes and jobs
 * stay), boot memory given back. */
int must_check vm_memory_reset(struct vm_memory *mem);

/* NULL: no device has that id. */
struct vm_elastic *vm_memory_find(struct vm_memory *mem, const char *id);
/* What makes huge pages of a region of `gm`. */
struct huge *vm_memory_huge(struct vm_memory *mem, const struct gm_region *region);
/* Sums in bytes: plugged of all regions; asked for of all regions; what the host holds of all. */
uint64_t vm_memory_plugged(const struct vm_memory *mem);
uint64_t vm_memory_requested(const struct vm_memory *mem);
int must_check vm_memory_resident(const struct vm_memory *mem, uint64_t *bytes);
/* What the host holds behind unplugged blocks, of all regions; where it does not say: 0. */
uint64_t vm_memory_overhang(const struct vm_memory *mem);

#endif
