/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.h - the vCPU threads of one VM.
 * Each thread runs KVM_RUN and hands bus accesses to the devices under the device lock; it never
 * touches a queue. All calls here belong to the loop's thread and are made with the device lock
 * held; those that wait for the vCPUs let go of it meanwhile, since a vCPU may be waiting for it.
 */
#ifndef EBB_KVM_VCPU_H
#define EBB_KVM_VCPU_H

#include "vmm/base/bus.h"
#include "vmm/base/clock.h"
#include "vmm/base/loop.h"
#include "vmm/memory/guest_mem.h"

struct vm;

/* Where the boot CPU starts (loader/loader.h decides). */
struct vcpu_entry {
	enum { ENTRY_LONG_MODE, ENTRY_PVH } mode;
	uint64_t rip;
	uint64_t arg;		/* RSI: boot parameters; EBX: start info (PVH) */
	uint64_t page_table;	/* CR3, long mode only */
	uint64_t gdt;
	uint16_t gdt_bytes;	/* code selector 0x10, data selector 0x18; long mode only */
};

enum vcpu_end {
	VCPU_RUNNING,
	VCPU_TRIPLE_FAULT,
	VCPU_INTERNAL_ERROR, /* KVM could not go on: emulation failed, entry failed */
	VCPU_HOST_ERROR,     /* KVM_RUN returned an errno */
	VCPU_RESET,	     /* KVM_EXIT_SYSTEM_EVENT */
	VCPU_SHUTDOWN,
};

struct vcpu_env {
	struct loop *loop;
	const struct bus *mmio, *pio;
	const struct guest_mem *gm;
	/*
	 * A vCPU can't go on: END says why, TEXT has registers and instruction bytes (it lives
	 * as long as the set). Called once per set, on that vCPU's thread, without the lock.
	 */
	void (*ended)(void *ctx, enum vcpu_end end, const char *text);
	/*
	 * KVM can't carry out an instruction, perhaps for want of memory where it reads, writes or
	 * stands. True: that has changed, try again. On that vCPU's thread, without the lock.
	 */
	bool (*unemulated)(void *ctx);
	/*
	 * A vCPU waits in the kernel and the end can't wait for it: let it go. The loop's thread,
	 * without the lock.
	 */
	void (*release)(void *ctx);
	void *ctx;
};

struct vcpus; /* all vCPUs of one VM */

/* Creates NR vCPUs, the first one at ENTRY, paused. ENV is copied. */
int must_check vcpus_new(struct vcpus **out, const struct vm *vm, unsigned int nr,
			 const struct vcpu_env *env, const struct vcpu_entry *entry);
/* Stops and joins the threads. NULL is fine. */
void vcpus_free(struct vcpus *vcpus);
/*
 * Returns when every vCPU has left KVM_RUN and waits. False: after VCPUS_PATIENCE_NS one still waits
 * in the kernel for memory; it will not run guest code either. No effect when paused already.
 */
#define VCPUS_PATIENCE_NS (2 * NS_PER_S)
bool vcpus_pause(struct vcpus *vcpus);
void vcpus_resume(struct vcpus *vcpus);
/* 0 for NULL, as between a failed boot and the end. */
unsigned int vcpus_nr(const struct vcpus *vcpus);
/* Kernel thread id of vCPU I. */
int vcpus_tid(const struct vcpus *vcpus, unsigned int i);
/*
 * The ELF notes of a core file: of all vCPUs NT_PRSTATUS, then what readers of QEMU's dumps want.
 * They must be paused: -EBUSY (logged) when one is not. *NOTES is the caller's, to be freed.
 */
int must_check vcpus_notes(struct vcpus *vcpus, void **notes, size_t *bytes);
/* EM_* of these notes. */
uint16_t vcpu_elf_machine(void);
/* KVM_RUN calls that came back to user space, over all vCPUs. 0 for NULL. */
uint64_t vcpus_nr_exits(const struct vcpus *vcpus);

#endif
