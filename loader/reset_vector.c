/* SPDX-License-Identifier: Apache-2.0 */
/* reset_vector.c - real-mode code that writes the reset register, at the BIOS entry. */
#include "loader/reset_vector.h"

#include "loader/layout.h"
#include "vmm/base/log.h"

#define BIOS_SEGMENT 0xf000
#define OFFSET(member)                                                                             \
	(uint16_t)(LAYOUT_RESET_CODE - (BIOS_SEGMENT << 4) + offsetof(struct code, member))

/* The register lies above 1 MiB: protected mode with a flat data segment reaches it. */
static const struct code {
	uint8_t cli;
	uint8_t lgdt[5];
	le16 gdtr_offset;
	uint8_t set_pe[8];
	uint8_t load_ds[5];
	uint8_t movb[3];
	le32 reset_register;
	uint8_t reset_value;
	uint8_t halt[3];
	le64 gdt[2];
	le16 gdt_limit;
	le32 gdt_base;
} __attribute__((packed)) code = {
	.cli = 0xfa,
	.lgdt = { 0x66, 0x2e, 0x0f, 0x01, 0x16 }, /* lgdtl %cs:gdtr_offset */
	.gdtr_offset = { OFFSET(gdt_limit) },
	.set_pe = {
		0x0f, 0x20, 0xc0, /* mov %cr0, %eax */
		0x0c, 0x01,	  /* or $1, %al */
		0x0f, 0x22, 0xc0, /* mov %eax, %cr0 */
	},
	.load_ds = { 0xb8, 0x08, 0x00, 0x8e, 0xd8 }, /* mov $8, %ax; mov %ax, %ds */
	.movb = { 0x67, 0xc6, 0x05 },		     /* movb $reset_value, reset_register */
	.reset_register = { (uint32_t)(POWER_BASE + POWER_RESET) },
	.reset_value = POWER_RESET_VALUE,
	.halt = { 0xf4, 0xeb, 0xfd }, /* 1: hlt; jmp 1b */
	.gdt[1] = { UINT64_C(0x00cf93000000ffff) },
	.gdt_limit = { 2 * 8 - 1 },
	.gdt_base = { (uint32_t)(LAYOUT_RESET_CODE + offsetof(struct code, gdt)) },
};
_Static_assert(LAYOUT_RESET_CODE + sizeof(code) <= LAYOUT_RESET_VECTOR, "layout");

static const struct {
	uint8_t ljmp;
	le16 offset, segment;
} __attribute__((packed)) vector = {
	.ljmp = 0xea,
	.offset = { OFFSET(cli) },
	.segment = { BIOS_SEGMENT },
};

int reset_vector_write(const struct guest_mem *gm)
{
	int r = gm_write_obj(gm, GPA(LAYOUT_RESET_CODE), &code);

	if (!r)
		r = gm_write_obj(gm, GPA(LAYOUT_RESET_VECTOR), &vector);
	return r ? fail(r, "write the reset vector") : 0;
}
