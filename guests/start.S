/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start.S - from the PVH entry (32-bit, paging off, EBX = hvm_start_info) to C in ring 3.
 * Ring 0 does as little as possible: some hosts emulate it instruction by instruction.
 */
#include "layout.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define CR0_VALUE 0x80000033	/* PG NE ET MP PE */
#define CR4_VALUE 0x00000620	/* OSXMMEXCPT OSFXSR PAE */
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.long start32

/* EBP = CPU index, ESI = start info; both survive until ring 3. */
	.section .text.start, "ax"
	.code32
	.globl start32
start32:
	cld
	lgdt gdt_pointer
	mov %ebx, %esi
	xor %ebp, %ebp
	jmp enter_long_mode
ap_start32:
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov cpu_starting, %ebp
enter_long_mode:
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	mov $CR4_VALUE, %eax
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	mov $EFER_LME, %eax
	xor %edx, %edx
	wrmsr
	mov $CR0_VALUE, %eax
	mov %eax, %cr0
	ljmp $SEL_CODE64, $start64

	.code64
start64:
	/* This CPU's TSS: ring-0 stack, all ports below 0x400 open; then its descriptor. */
	lea 1(%rbp), %eax
	shl $RING0_STACK_SHIFT, %eax
	add $ring0_stacks, %eax
	mov %ebp, %ebx
	shl $TSS_SHIFT, %ebx
	add $tss, %ebx
	mov %eax, 4(%rbx)
	movw $TSS_FIXED_BYTES, 102(%rbx)
	mov %ebp, %edi
	shl $4, %edi
	add $SEL_TSS, %edi
	lea gdt(%rdi), %edx
	movw $TSS_LIMIT, (%rdx)
	mov %bx, 2(%rdx)
	shr $16, %ebx
	mov %bl, 4(%rdx)
	movb $0x89, 5(%rdx)
	mov %bh, 7(%rdx)
	ltr %di
	lidt idt_pointer

	/* Ring 3, on this CPU's stack. */
	lea 1(%rbp), %ecx
	shl $STACK_SHIFT, %ecx
	add $stacks - 8, %ecx
	mov %eax, %esp
	push $SEL_USER_DATA
	push %rcx
	push $RFLAGS_CLEAR
	push $SEL_USER_CODE
	push $cpu_entry
	mov %ebp, %edi
	xor %ebp, %ebp
	iretq

/* One stub per exception: error code (or 0) and vector, then on. */
	.text
	.balign EXCEPTION_STUB_BYTES
	.globl exception_stubs
exception_stubs:
	vector = 0
	.rept NR_EXCEPTIONS
	.balign EXCEPTION_STUB_BYTES
	.if !((0x60227d00 >> vector) & 1)	/* 8 10-14 17 21 29 30 bring an error code */
	push $0
	.endif
	push $vector
	jmp exception
	vector = vector + 1
	.endr

/*
 * An exception ends what cpu_try() called, or else is fatal: cpu_exception(frame, cr2) in ring 3,
 * on this CPU's emptied stack.
 */
exception:
	mov %rsp, %rdi
	mov %cr2, %rsi
	mov %esp, %eax
	sub $ring0_stacks, %eax
	shr $RING0_STACK_SHIFT, %eax
	mov tries(,%rax,8), %rdx
	test %rdx, %rdx
	jnz fail_try
	inc %eax
	shl $STACK_SHIFT, %eax
	add $stacks - 8, %eax
	push $SEL_USER_DATA
	push %rax
	push $RFLAGS_CLEAR
	push $SEL_USER_CODE
	push $cpu_exception
	iretq
fail_try:
	mov (%rdi), %eax
	push $SEL_USER_DATA
	push %rdx
	push $RFLAGS_CLEAR
	push $SEL_USER_CODE
	push $end_try
	iretq

/* int cpu_try(void (*fn)(uint64_t), uint64_t arg): where its stack is stands in tries[this CPU]. */
	.globl cpu_try
cpu_try:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %esp, %eax
	sub $stacks, %eax
	shr $STACK_SHIFT, %eax
	mov %rsp, tries(,%rax,8)
	mov %rdi, %rax
	mov %rsi, %rdi
	sub $8, %rsp
	call *%rax
	add $8, %rsp
	mov $-1, %eax
end_try:
	mov %esp, %ecx
	sub $stacks, %ecx
	shr $STACK_SHIFT, %ecx
	movq $0, tries(,%rcx,8)
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

/* uint64_t ring0(uint64_t (*fn)(uint64_t), uint64_t arg) */
	.globl ring0
ring0:
	int3
	ret

	.globl ring0_gate
ring0_gate:
	mov %rdi, %rax
	mov %rsi, %rdi
	sub $8, %rsp
	call *%rax
	add $8, %rsp
	iretq

/* Ends the HLT of cpu_wait_interrupt(), with interrupts off. */
	.globl device_gate
device_gate:
	andl $~RFLAGS_IF, 16(%rsp)
	iretq

/* Copied to a free page below 1 MiB; runs in real mode with CS = that page. */
	.section .rodata
	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	mov %cs, %ax
	mov %ax, %ds
	lgdtl gdt_pointer16 - trampoline
	mov $0x11, %eax
	mov %eax, %cr0
	ljmpl $SEL_CODE32, $ap_start32
	.balign 4
gdt_pointer16:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:
	.code64

	.data
	.balign 16
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* code32 */
	.quad 0x00af9b000000ffff	/* code64 */
	.quad 0x00cf93000000ffff	/* data */
	.quad 0x00cff3000000ffff	/* user data */
	.quad 0x00affb000000ffff	/* user code64 */
	.fill MAX_CPUS * 2, 8, 0
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt
	.balign 8
idt_pointer:
	.word NR_VECTORS * 16 - 1
	.quad idt

/* Page tables in the image, because filling them in ring 0 would be slow. */
	.section .data.page, "aw"
	.balign 4096
	.globl pml4
pml4:
	.quad pdpt + PAGE_PRESENT_RW_USER
	.fill 511, 8, 0
pdpt:
	gib = 0
	.rept STATIC_MAP_GIB
	.quad pd + gib * 4096 + PAGE_PRESENT_RW_USER
	gib = gib + 1
	.endr
	.fill 512 - STATIC_MAP_GIB, 8, 0
pd:
	page = 0
	.rept STATIC_MAP_GIB * 512
	.quad page * 0x200000 + PAGE_HUGE + PAGE_PRESENT_RW_USER
	page = page + 1
	.endr

	.section .bss.page, "aw", @nobits
	.balign 4096
ring0_stacks:
	.skip MAX_CPUS << RING0_STACK_SHIFT
stacks:
	.skip MAX_CPUS << STACK_SHIFT
tss:
	.skip MAX_CPUS << TSS_SHIFT
	.globl idt
idt:
	.skip NR_VECTORS * 16
tries:
	.skip MAX_CPUS * 8

	.section .note.GNU-stack, "", @progbits
