/* SPDX-License-Identifier: Apache-2.0 */
/* pvh.c - hvm_start_info, its modules and its memory map. */
#include "loader/pvh.h"

#include "loader/fdt.h"
#include "loader/layout.h"
#include "loader/memory_map.h"
#include "vmm/base/log.h"

/* As it lies in guest memory. */
struct start_page {
	struct hvm_start_info info;
	struct hvm_module modules[2];
	struct hvm_memmap_entry memmap[MEMORY_MAP_MAX];
	char fdt_name[sizeof(PVH_FDT_NAME)];
};
_Static_assert(sizeof(struct start_page) <= LAYOUT_START_INFO_BYTES, "one page");

#define PART(member) le64_of(LAYOUT_START_INFO + offsetof(struct start_page, member))

int pvh_hand_over(const struct guest_mem *gm, const struct handover *h, struct boot_entry *out)
{
	const struct memory_map map = memory_map(h->spec->boot_bytes);
	uint32_t fdt_bytes;
	struct start_page page = {
		.info = {
			.magic = le32_of(HVM_START_MAGIC),
			.version = le32_of(1),
			.nr_modules = le32_of(ARRAY_SIZE(page.modules)),
			.modlist_paddr = PART(modules),
			.cmdline_paddr = le64_of(LAYOUT_CMDLINE),
			.rsdp_paddr = le64_of(h->rsdp.v),
			.memmap_paddr = PART(memmap),
			.memmap_entries = le32_of(map.nr),
		},
		.modules[0] = { .paddr = le64_of(h->initrd.v), .size = le64_of(h->initrd_bytes) },
		.fdt_name = PVH_FDT_NAME,
	};
	int r = fdt_write(gm, h, &fdt_bytes);

	if (r)
		return r;
	page.modules[1] = (struct hvm_module){
		.paddr = le64_of(LAYOUT_FDT),
		.size = le64_of(fdt_bytes),
		.cmdline_paddr = PART(fdt_name),
	};
	for (unsigned int i = 0; i < map.nr; i++)
		page.memmap[i] = (struct hvm_memmap_entry){
			.addr = le64_of(map.ranges[i].base),
			.size = le64_of(map.ranges[i].bytes),
			.type = le32_of(map.ranges[i].usable ? HVM_MEMMAP_RAM :
							       HVM_MEMMAP_RESERVED),
		};
	r = gm_write_obj(gm, GPA(LAYOUT_START_INFO), &page);
	if (r)
		return fail(r, "write the PVH start info");
	out->boot_data = LAYOUT_START_INFO;
	return 0;
}
