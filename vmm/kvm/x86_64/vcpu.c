/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu.c - registers of an x86 vCPU at its start, port I/O, and its state as text. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/base/log.h"
#include "vmm/kvm/arch.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/x86_64/cpuid.h"

#define CR0_PE 0x1
#define CR0_ET 0x10
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define EFER_LME 0x100
#define EFER_LMA 0x400
#define RFLAGS_RESERVED 0x2
#define UD_VECTOR 6

/* Where a processor starts, and where it is again after a reset. */
#define RESET_CS_BASE 0xffff0000
#define RESET_RIP 0xfff0

#define MSR_IA32_MISC_ENABLE 0x1a0
#define MISC_ENABLE_FAST_STRING 1
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLED_WRITE_BACK (1 << 11 | 6)

static int set_msrs(int vcpu_fd)
{
	/* Without them Linux takes all memory for uncached and leaves PAT off. */
	static const struct kvm_msr_entry wanted[] = {
		{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLED_WRITE_BACK },
		{ .index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING },
	};
	union {
		struct kvm_msrs head;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(wanted)];
	} msrs = { .head.nmsrs = ARRAY_SIZE(wanted) };
	int r;

	memcpy(msrs.head.entries, wanted, sizeof(wanted));
	r = ioctl(vcpu_fd, KVM_SET_MSRS, &msrs);
	if (r < 0)
		return fail(-errno, "KVM_SET_MSRS");
	if (r != ARRAY_SIZE(wanted))
		return fail(-EINVAL, "KVM_SET_MSRS: MSR %#x", wanted[r].index);
	return 0;
}

struct arch_model {
	bool tsc_deadline;
	struct cpuid_table cpuid; /* of the vCPU adapted last */
};

int arch_model_new(struct arch_model **out, int kvm_fd)
{
	struct arch_model *model = malloc(sizeof(*model));
	int r;

	if (!model)
		return fail(-ENOMEM, "CPU model");
	/* Older kernels leave the bit out of the supported list: the capability decides. */
	model->tsc_deadline = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	r = cpuid_supported(kvm_fd, &model->cpuid);
	if (r)
		free(model);
	else
		*out = model;
	return r;
}

void arch_model_free(struct arch_model *model) { free(model); }

int arch_vcpu_init(struct arch_model *model, int vcpu_fd, unsigned int id, unsigned int nr)
{
	cpuid_adapt(&model->cpuid, model->tsc_deadline, id, nr);
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, &model->cpuid.head))
		return fail(-errno, "KVM_SET_CPUID2 of vCPU %u", id);
	return set_msrs(vcpu_fd);
}

unsigned int arch_phys_bits(const struct arch_model *model)
{
	return cpuid_phys_bits(&model->cpuid);
}

static struct kvm_segment flat(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = !long_mode,
		.s = 1,
		.l = long_mode,
		.g = 1,
	};
}

int arch_vcpu_set_entry(int vcpu_fd, const struct vcpu_entry *entry)
{
	bool long_mode = entry->mode == ENTRY_LONG_MODE;
	struct kvm_segment code = flat(0x10, 0xb, long_mode), data = flat(0x18, 0x3, false);
	struct kvm_regs regs = { .rip = entry->rip, .rflags = RFLAGS_RESERVED };
	struct kvm_sregs sregs;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs))
		return fail(-errno, "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	/* A busy 32-bit TSS of one page's worth, as the PVH protocol asks. */
	sregs.tr = (struct kvm_segment){ .limit = 0x67, .type = 0xb, .present = 1 };
	sregs.cr0 = CR0_PE | CR0_ET;
	if (long_mode) {
		sregs.gdt.base = entry->gdt;
		sregs.gdt.limit = (uint16_t)(entry->gdt_bytes - 1);
		sregs.cr3 = entry->page_table;
		sregs.cr4 = CR4_PAE;
		sregs.cr0 |= CR0_PG;
		sregs.efer = EFER_LME | EFER_LMA;
		regs.rsi = entry->arg;
	} else {
		regs.rbx = entry->arg;
	}
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs))
		return fail(-errno, "KVM_SET_SREGS");
	if (ioctl(vcpu_fd, KVM_SET_REGS, &regs))
		return fail(-errno, "KVM_SET_REGS");
	return 0;
}

/* COUNT accesses of SIZE bytes each, as `rep ins` and `rep outs` make them. */
static void port_io(const struct vcpu_env *env, struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	loop_lock(env->loop);
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		struct bus_access access = { .bytes = run->io.size,
					     .is_write = run->io.direction == KVM_EXIT_IO_OUT };

		if (access.is_write)
			memcpy(&access.value, data, run->io.size);
		bus_access(env->pio, run->io.port, &access);
		if (!access.is_write)
			memcpy(data, &access.value, run->io.size);
	}
	loop_unlock(env->loop);
}

bool arch_vcpu_exit(const struct vcpu_env *env, struct kvm_run *run)
{
	if (run->exit_reason != KVM_EXIT_IO)
		return false;
	port_io(env, run);
	return true;
}

bool arch_vcpu_refuse(int vcpu_fd)
{
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;

	/* The privilege level is that of the stack segment; a kernel's code never says 3. */
	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) || sregs.ss.dpl != 3 ||
	    (sregs.cs.selector & 3) != 3 ||
	    ioctl(vcpu_fd, KVM_GET_VCPU_EVENTS, &events) || events.exception.injected)
		return false;
	events.exception.injected = 1;
	events.exception.nr = UD_VECTOR;
	events.exception.has_error_code = 0;
	return !ioctl(vcpu_fd, KVM_SET_VCPU_EVENTS, &events);
}

/* A guest without kvmclock can't be told, which is no error. */
void arch_vcpu_stood(int vcpu_fd) { (void)ioctl(vcpu_fd, KVM_KVMCLOCK_CTRL, 0); }

/* The bytes KVM failed to emulate, or those that the guest's page tables give for RIP. */
static unsigned int instruction_bytes(int vcpu_fd, const struct guest_mem *gm,
				      const struct kvm_run *run, uint64_t rip, uint8_t bytes[16])
{
	struct kvm_translation at = { .linear_address = rip };
	unsigned int nr;

	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	    run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata > 0 &&
	    run->emulation_failure.flags &
		    KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES &&
	    run->emulation_failure.insn_size) {
		nr = (unsigned int)min_u64(run->emulation_failure.insn_size, 15);
		memcpy(bytes, run->emulation_failure.insn_bytes, nr);
		return nr;
	}
	if (ioctl(vcpu_fd, KVM_TRANSLATE, &at) || !at.valid)
		return 0;
	nr = (unsigned int)min_u64(15, 4096 - at.physical_address % 4096);
	return gm_read(gm, GPA(at.physical_address), bytes, nr) ? 0 : nr;
}

void arch_vcpu_dump(int vcpu_fd, const struct guest_mem *gm, const struct kvm_run *run, char *text,
		    size_t bytes)
{
	struct kvm_regs r;
	struct kvm_sregs s;
	uint8_t insn[16];
	unsigned int nr_insn;
	int used;

	if (ioctl(vcpu_fd, KVM_GET_REGS, &r) || ioctl(vcpu_fd, KVM_GET_SREGS, &s)) {
		snprintf(text, bytes, "  registers: %s\n", strerror(errno));
		return;
	}
#define X(v) ((unsigned long long)(v))
	used = snprintf(text, bytes,
			"  rip %016llx  rsp %016llx  rflags %08llx\n"
			"  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n"
			"  rsi %016llx  rdi %016llx  rbp %016llx  r8  %016llx\n"
			"  r9  %016llx  r10 %016llx  r11 %016llx  r12 %016llx\n"
			"  r13 %016llx  r14 %016llx  r15 %016llx\n"
			"  cr0 %08llx  cr2 %016llx  cr3 %016llx  cr4 %08llx  efer %04llx\n"
			"  cs %04x base %llx  ss %04x  gdt %llx+%x  idt %llx+%x\n"
			"  instruction bytes:",
			X(r.rip), X(r.rsp), X(r.rflags), X(r.rax), X(r.rbx), X(r.rcx), X(r.rdx),
			X(r.rsi), X(r.rdi), X(r.rbp), X(r.r8), X(r.r9), X(r.r10), X(r.r11),
			X(r.r12), X(r.r13), X(r.r14), X(r.r15), X(s.cr0), X(s.cr2), X(s.cr3),
			X(s.cr4), X(s.efer), s.cs.selector, X(s.cs.base), s.ss.selector,
			X(s.gdt.base), s.gdt.limit, X(s.idt.base), s.idt.limit);
#undef X
	if (s.cs.base == RESET_CS_BASE && r.rip == RESET_RIP) {
		/* AMD's SVM leaves nothing of a guest that shut down; KVM resets the vCPU. */
		if (used >= 0 && (size_t)used < bytes)
			snprintf(text + used, bytes - (size_t)used,
				 " none; the vCPU has reset itself, where it was is lost");
		return;
	}
	nr_insn = instruction_bytes(vcpu_fd, gm, run, s.cs.base + r.rip, insn);
	for (unsigned int i = 0; i < nr_insn && used >= 0 && (size_t)used < bytes; i++)
		used += snprintf(text + used, bytes - (size_t)used, " %02x", insn[i]);
	if (!nr_insn && used >= 0 && (size_t)used < bytes)
		snprintf(text + used, bytes - (size_t)used, " not readable");
}
