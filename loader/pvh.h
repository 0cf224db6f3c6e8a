/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvh.h - wire layout of a PVH start (Xen public headers, "arch-x86/hvm/start_info.h", version 1).
 * Module 0 is the initrd (address and size 0 when there is none): Linux looks at no other. Module 1
 * is the FDT; its command line is PVH_FDT_NAME.
 */
#ifndef EBB_LOADER_PVH_H
#define EBB_LOADER_PVH_H

#include "loader/handover.h"

#define PVH_NOTE_NAME "Xen"
#define PVH_NOTE_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PVH_FDT_NAME "fdt"
/* The protocol knows no limit, but Linux on x86 would cut silently after this. */
#define PVH_CMDLINE_BYTES 2047

#define HVM_START_MAGIC 0x336ec578
#define HVM_MEMMAP_RAM 1
#define HVM_MEMMAP_RESERVED 2

struct hvm_start_info {
	le32 magic;
	le32 version;
	le32 flags;
	le32 nr_modules;
	le64 modlist_paddr;
	le64 cmdline_paddr;
	le64 rsdp_paddr;
	le64 memmap_paddr;
	le32 memmap_entries;
	le32 reserved;
};

struct hvm_module {
	le64 paddr;
	le64 size;
	le64 cmdline_paddr;
	le64 reserved;
};

struct hvm_memmap_entry {
	le64 addr;
	le64 size;
	le32 type;
	le32 reserved;
};

_Static_assert(sizeof(struct hvm_start_info) == 56, "wire size");
_Static_assert(sizeof(struct hvm_module) == 32, "wire size");
_Static_assert(sizeof(struct hvm_memmap_entry) == 24, "wire size");

/* Writes FDT and start info; fills in OUT->boot_data. */
int must_check pvh_hand_over(const struct guest_mem *gm, const struct handover *h,
			     struct boot_entry *out);

#endif
