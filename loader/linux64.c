/* SPDX-License-Identifier: Apache-2.0 */
/* linux64.c - zero page, page tables, GDT (The Linux/x86 Boot Protocol, 64-bit Boot Protocol). */
#include "loader/linux64.h"

#include <errno.h>

#include "loader/layout.h"
#include "loader/memory_map.h"
#include "vmm/base/log.h"

#define PAGE_BYTES UINT64_C(0x1000)
#define PTE_PRESENT 0x1
#define PTE_WRITE 0x2
#define PTE_LARGE 0x80
#define NR_PTES 512
#define NR_PDS 4 /* one per GiB */

/* In the order of their addresses; each table is a page. */
struct page_tables {
	le64 pml4[NR_PTES];
	le64 pdpt[NR_PTES];
	le64 pd[NR_PDS][NR_PTES];
};
_Static_assert(LAYOUT_PAGE_TABLES + sizeof(struct page_tables) <= LAYOUT_CMDLINE, "layout");

#define TABLE_AT(member) (LAYOUT_PAGE_TABLES + offsetof(struct page_tables, member))

/* Selectors 0x10 and 0x18: flat, present, ring 0. Accessed already, so nothing writes them. */
static const le64 gdt[] = {
	[LAYOUT_BOOT_CS / 8] = { UINT64_C(0x00af9b000000ffff) },
	[LAYOUT_BOOT_DS / 8] = { UINT64_C(0x00cf93000000ffff) },
};

/* Identity map of the first 4 GiB, where kernel, zero page and command line are. */
static int write_page_tables(const struct guest_mem *gm)
{
	struct page_tables *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->pml4[0] = le64_of(TABLE_AT(pdpt) | PTE_PRESENT | PTE_WRITE);
	for (unsigned int i = 0; i < NR_PDS; i++) {
		t->pdpt[i] = le64_of((TABLE_AT(pd) + i * PAGE_BYTES) | PTE_PRESENT | PTE_WRITE);
		for (unsigned int j = 0; j < NR_PTES; j++)
			t->pd[i][j] = le64_of((i * GiB + j * 2 * MiB) | PTE_PRESENT | PTE_WRITE |
					      PTE_LARGE);
	}
	r = gm_write_obj(gm, GPA(LAYOUT_PAGE_TABLES), t);
	free(t);
	return r;
}

static int write_zero_page(const struct guest_mem *gm, const struct handover *h,
			   const struct setup_header *setup)
{
	const struct memory_map map = memory_map(h->spec->boot_bytes);
	struct boot_params p = {
		.acpi_rsdp_addr = le64_of(h->rsdp.v),
		.e820_entries = (uint8_t)map.nr,
		.setup = *setup,
	};

	p.setup.type_of_loader = SETUP_LOADER_UNDEFINED;
	p.setup.cmd_line_ptr = le32_of(LAYOUT_CMDLINE);
	p.setup.ramdisk_image = le32_of((uint32_t)h->initrd.v);
	p.setup.ramdisk_size = le32_of((uint32_t)h->initrd_bytes);
	p.setup.setup_data = le64_of(0);
	for (unsigned int i = 0; i < map.nr; i++)
		p.e820_table[i] = (struct e820_entry){
			le64_of(map.ranges[i].base),
			le64_of(map.ranges[i].bytes),
			le32_of(map.ranges[i].usable ? E820_RAM : E820_RESERVED),
		};
	return gm_write_obj(gm, GPA(LAYOUT_ZERO_PAGE), &p);
}

int linux64_hand_over(const struct guest_mem *gm, const struct handover *h,
		      const struct setup_header *setup, struct boot_entry *out)
{
	int r = write_zero_page(gm, h, setup);

	if (!r)
		r = write_page_tables(gm);
	if (!r)
		r = gm_write(gm, GPA(LAYOUT_GDT), gdt, sizeof(gdt));
	if (r)
		return fail(r, "write the boot parameters");
	out->boot_data = LAYOUT_ZERO_PAGE;
	out->page_tables = LAYOUT_PAGE_TABLES;
	out->gdt = LAYOUT_GDT;
	out->gdt_bytes = sizeof(gdt);
	return 0;
}
