/* SPDX-License-Identifier: Apache-2.0 */
/* arch.h - what a processor architecture provides to vmm/kvm, one folder each. */
#ifndef EBB_KVM_ARCH_H
#define EBB_KVM_ARCH_H

#include "vmm/base/types.h"
#include "vmm/kvm/vcpu.h"

struct kvm_run;
struct vm;

/* Right after KVM_CREATE_VM. */
int must_check arch_vm_init(struct vm *vm);
/* Right after KVM_CREATE_IRQCHIP: GSI n leads to pin n. */
int must_check arch_vm_route_irqs(struct vm *vm);
/* What all vCPUs have in common, as the KVM of KVM_FD can give it. */
struct arch_model;
int must_check arch_model_new(struct arch_model **out, int kvm_fd);
void arch_model_free(struct arch_model *model);
/* CPU number ID of NR; before its first run. */
int must_check arch_vcpu_init(struct arch_model *model, int vcpu_fd, unsigned int id,
			      unsigned int nr);
/* Puts the boot CPU at the kernel's entry. */
int must_check arch_vcpu_set_entry(int vcpu_fd, const struct vcpu_entry *entry);
/* An exit that only this architecture has (port I/O). False when it is not one. */
bool arch_vcpu_exit(const struct vcpu_env *env, struct kvm_run *run);
/*
 * KVM could not carry out an instruction. True: it came from user space in the guest, which now
 * gets an invalid-opcode exception, as it does from KVM where it does not ask us.
 */
bool arch_vcpu_refuse(int vcpu_fd);
/*
 * The vCPU has stood still and goes on: the guest's watchdogs are told, where it has asked for that,
 * so that they take nobody for stuck. Its clocks have gone on meanwhile. On its thread.
 */
void arch_vcpu_stood(int vcpu_fd);
/* Registers and the bytes at the instruction pointer, as lines for a person. */
void arch_vcpu_dump(int vcpu_fd, const struct guest_mem *gm, const struct kvm_run *run, char *text,
		    size_t bytes);
/*
 * ELF notes of a vCPU that stands still: its registers as NT_PRSTATUS, and all of its state in the
 * form that QEMU and its readers use. WHICH < ARCH_NR_NOTES. Their length, at most ARCH_NOTE_MAX, or
 * -errno (logged).
 */
#define ARCH_NR_NOTES 2
#define ARCH_NOTE_MAX 1024
int must_check arch_vcpu_note(int vcpu_fd, unsigned int id, unsigned int which, void *note);
uint16_t arch_elf_machine(void);
/* A non-maskable interrupt for every vCPU. */
int must_check arch_vm_nmi(struct vm *vm);
unsigned int arch_phys_bits(const struct arch_model *model);

#endif
