/* SPDX-License-Identifier: Apache-2.0 */
/* notes.c - a vCPU's registers as the notes of an ELF core file. */
#include <elf.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/procfs.h>
#include <sys/user.h>

#include "vmm/base/log.h"
#include "vmm/kvm/arch.h"

#define MSR_KERNEL_GS_BASE 0xc0000102
#define NOTE_ALIGN 4

/*
 * The note "QEMU", type 0: what crash and others need beside NT_PRSTATUS in order to find a kernel
 * that was moved (CR3, IDT). Its readers take the length from SIZE.
 */
struct qemu_segment {
	uint32_t selector, limit, flags, pad;
	uint64_t base;
};
struct qemu_state {
	uint32_t version, size;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	struct qemu_segment cs, ds, es, fs, gs, ss;
	struct qemu_segment ldt, tr, gdt, idt;
	uint64_t cr[5];
	uint64_t kernel_gs_base;
};
#define QEMU_STATE_VERSION 1

struct state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint64_t kernel_gs_base;
};

static int get_state(int vcpu_fd, struct state *s)
{
	union {
		struct kvm_msrs head;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} msrs = { .head.nmsrs = 1 };

	msrs.head.entries[0] = (struct kvm_msr_entry){ .index = MSR_KERNEL_GS_BASE };
	if (ioctl(vcpu_fd, KVM_GET_REGS, &s->regs))
		return fail(-errno, "KVM_GET_REGS");
	if (ioctl(vcpu_fd, KVM_GET_SREGS, &s->sregs))
		return fail(-errno, "KVM_GET_SREGS");
	if (ioctl(vcpu_fd, KVM_GET_MSRS, &msrs) != 1)
		return fail(-EIO, "KVM_GET_MSRS");
	s->kernel_gs_base = msrs.head.entries[0].data;
	return 0;
}

static struct elf_prstatus prstatus(const struct state *s, unsigned int id)
{
	const struct kvm_regs *r = &s->regs;
	const struct kvm_sregs *g = &s->sregs;
	struct user_regs_struct regs = {
		.r15 = r->r15, .r14 = r->r14, .r13 = r->r13, .r12 = r->r12, .rbp = r->rbp,
		.rbx = r->rbx, .r11 = r->r11, .r10 = r->r10, .r9 = r->r9, .r8 = r->r8,
		.rax = r->rax, .rcx = r->rcx, .rdx = r->rdx, .rsi = r->rsi, .rdi = r->rdi,
		.rip = r->rip, .cs = g->cs.selector, .eflags = r->rflags, .rsp = r->rsp,
		.ss = g->ss.selector, .fs_base = g->fs.base, .gs_base = g->gs.base,
		.ds = g->ds.selector, .es = g->es.selector, .fs = g->fs.selector,
		.gs = g->gs.selector,
	};
	struct elf_prstatus status = { .pr_pid = (pid_t)id + 1 }; /* a thread's id is not 0 */

	_Static_assert(sizeof(status.pr_reg) == sizeof(regs), "NT_PRSTATUS");
	memcpy(&status.pr_reg, &regs, sizeof(regs));
	return status;
}

/* The hidden part, in the places that the second half of a descriptor has for it. */
static struct qemu_segment segment(const struct kvm_segment *s)
{
	return (struct qemu_segment){
		.selector = s->selector, .limit = s->limit, .base = s->base,
		.flags = (uint32_t)(s->type << 8 | s->s << 12 | s->dpl << 13 | s->present << 15 |
				    s->avl << 20 | s->l << 21 | s->db << 22 | s->g << 23),
	};
}

static struct qemu_segment table(const struct kvm_dtable *t)
{
	return (struct qemu_segment){ .limit = t->limit, .base = t->base };
}

static struct qemu_state qemu_state(const struct state *s)
{
	const struct kvm_regs *r = &s->regs;
	const struct kvm_sregs *g = &s->sregs;

	return (struct qemu_state){
		.version = QEMU_STATE_VERSION, .size = sizeof(struct qemu_state),
		.rax = r->rax, .rbx = r->rbx, .rcx = r->rcx, .rdx = r->rdx, .rsi = r->rsi,
		.rdi = r->rdi, .rsp = r->rsp, .rbp = r->rbp, .r8 = r->r8, .r9 = r->r9,
		.r10 = r->r10, .r11 = r->r11, .r12 = r->r12, .r13 = r->r13, .r14 = r->r14,
		.r15 = r->r15, .rip = r->rip, .rflags = r->rflags,
		.cs = segment(&g->cs), .ds = segment(&g->ds), .es = segment(&g->es),
		.fs = segment(&g->fs), .gs = segment(&g->gs), .ss = segment(&g->ss),
		.ldt = segment(&g->ldt), .tr = segment(&g->tr), .gdt = table(&g->gdt),
		.idt = table(&g->idt),
		.cr = { g->cr0, 0, g->cr2, g->cr3, g->cr4 },
		.kernel_gs_base = s->kernel_gs_base,
	};
}

static int put_note(void *note, const char *name, uint32_t type, const void *desc, size_t bytes)
{
	Elf64_Nhdr head = { .n_namesz = (uint32_t)strlen(name) + 1, .n_descsz = (uint32_t)bytes,
			    .n_type = type };
	size_t name_bytes = align_up(head.n_namesz, NOTE_ALIGN);
	char *p = note;

	memcpy(p, &head, sizeof(head));
	memcpy(p + sizeof(head), name, head.n_namesz);
	memcpy(p + sizeof(head) + name_bytes, desc, bytes);
	return (int)(sizeof(head) + name_bytes + align_up(bytes, NOTE_ALIGN));
}

int arch_vcpu_note(int vcpu_fd, unsigned int id, unsigned int which, void *note)
{
	struct elf_prstatus status;
	struct qemu_state qemu;
	struct state s;
	int r = get_state(vcpu_fd, &s);

	_Static_assert(sizeof(status) + 32 <= ARCH_NOTE_MAX && sizeof(qemu) + 32 <= ARCH_NOTE_MAX,
		       "room for a note");
	if (r)
		return r;
	if (!which) {
		status = prstatus(&s, id);
		return put_note(note, "CORE", NT_PRSTATUS, &status, sizeof(status));
	}
	qemu = qemu_state(&s);
	return put_note(note, "QEMU", 0, &qemu, sizeof(qemu));
}

uint16_t arch_elf_machine(void) { return EM_X86_64; }
