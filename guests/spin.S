/* SPDX-License-Identifier: Apache-2.0 */
/* spin.S - its first instructions leave by the exit port: for timing a start, nothing else. */
	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 4, 18	/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start32

	.section .text.start, "ax"
	.code32
	.globl start32
start32:
	mov $0xf4, %edx
	xor %eax, %eax
	outl %eax, %dx
1:
	hlt
	jmp 1b

	.section .note.GNU-stack, "", @progbits
