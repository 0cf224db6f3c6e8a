/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm.h - one virtual machine of /dev/kvm: memory slots, interrupts, doorbells.
 * Owner: machine. Thread: the loop (or before it runs). 0 or -errno, logged where it arose.
 * Order of calls (it decides the start-up time, KVM waits for a grace period otherwise): vm_create,
 * vm_add_slot for all memory, vm_create_irqchip, vCPUs, then vm_irqfd and vm_ioeventfd.
 */
#ifndef EBB_KVM_KVM_H
#define EBB_KVM_KVM_H

#include "vmm/base/types.h"

struct arch_model;

struct kvm {
	int fd;
	size_t run_bytes;     /* of a vCPU's shared page */
	unsigned int max_vcpus;
	uint32_t max_slots;
	struct arch_model *model; /* what its vCPUs can be; asked for once, it takes long */
};

#define KVM_DEVICE "/dev/kvm"
/*
 * Opens PATH (NULL: KVM_DEVICE), or takes the descriptor that "fd:N" names, and checks what Ebb
 * needs of it. The message of a failure names the way out. -ENOENT, -EACCES, -ENODEV (too old, or
 * something else), -EBADF, -EINVAL.
 */
int must_check kvm_open(struct kvm *kvm, const char *path);
void kvm_close(struct kvm *kvm);
/* The width of guest-physical addresses. */
unsigned int kvm_phys_bits(const struct kvm *kvm);

struct vm {
	int fd;
	const struct kvm *kvm;
	uint32_t nr_slots;
	struct vm_slot *slots; /* by number */
	bool logging;	       /* what is written, see vm_log_writes() */
};

int must_check vm_create(struct vm *vm, const struct kvm *kvm);
/* Accepts a zeroed struct. All vCPUs must be gone. */
void vm_destroy(struct vm *vm);
/*
 * Memory slot number SLOT (below max_slots, free): BYTES of memory at HOST for the guest at BASE;
 * guest writes to a read-only one are MMIO exits. Adding and removing also while vCPUs run; they
 * may have to wait for a vCPU that waits for the memory guard, so never under its lock.
 */
int must_check vm_add_slot(struct vm *vm, uint32_t slot, gpa_t base, void *host, uint64_t bytes,
			   bool read_only);
int must_check vm_remove_slot(struct vm *vm, uint32_t slot);
/*
 * Has KVM note which pages vCPUs write, from now on, also in slots that are added later. It costs
 * the guest a fault for the first write to a page. On error nothing is noted. No effect when it is
 * so already, or when the VM is gone.
 */
int must_check vm_log_writes(struct vm *vm, bool on);
/*
 * While writes are noted: what was written so far to slots that touch [AT, AT + BYTES), at least
 * once since vm_log_writes() or the call before, a bit for each page of 4 KiB from BASE on. vCPUs
 * that run meanwhile may be noted or not.
 */
int must_check vm_written(struct vm *vm, gpa_t at, uint64_t bytes,
			  void (*fn)(void *ctx, gpa_t base, const uint64_t *bitmap,
				     uint64_t nr_pages), void *ctx);
/* In-kernel interrupt controllers; GSI n is pin n of the I/O APIC (x86). */
int must_check vm_create_irqchip(struct vm *vm);
/* Each write to EVENT_FD is one edge on GSI. */
int must_check vm_irqfd(struct vm *vm, int event_fd, uint32_t gsi);
/* A non-maskable interrupt for every vCPU, also while they stand. */
int must_check vm_nmi(struct vm *vm);
/* A 32-bit guest write of VALUE to AT is a write to EVENT_FD and no exit to user space. */
int must_check vm_ioeventfd(struct vm *vm, int event_fd, gpa_t at, uint32_t value);

#endif
