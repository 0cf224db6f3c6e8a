/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bootparam.h - wire layout of the Linux x86 boot protocol ("The Linux/x86 Boot Protocol", "Zero
 * Page"). Own definitions, because <asm/bootparam.h> exists on x86 alone; a test compares them.
 */
#ifndef EBB_LOADER_BOOTPARAM_H
#define EBB_LOADER_BOOTPARAM_H

#include "vmm/base/types.h"

#define SETUP_OFFSET 0x1f1 /* of the header, in a bzImage and in the zero page */
#define SETUP_BOOT_FLAG 0xaa55
#define SETUP_MAGIC 0x53726448 /* "HdrS" */
#define SETUP_VERSION_MIN 0x020c /* first with xloadflags */
#define SETUP_LOADER_UNDEFINED 0xff
#define SETUP_LOADED_HIGH 0x01 /* loadflags */
#define SETUP_KERNEL_64 0x0001 /* xloadflags: 64-bit entry at 0x200 */
#define SETUP_ENTRY_64 0x200

struct setup_header {
	uint8_t setup_sects;
	le16 root_flags;
	le32 syssize; /* of the protected-mode code, in 16 bytes */
	le16 ram_size;
	le16 vid_mode;
	le16 root_dev;
	le16 boot_flag;
	uint8_t jump_opcode, jump_offset; /* the header ends jump_offset bytes after this */
	le32 header;
	le16 version;
	le32 realmode_swtch;
	le16 start_sys_seg;
	le16 kernel_version;
	uint8_t type_of_loader;
	uint8_t loadflags;
	le16 setup_move_size;
	le32 code32_start;
	le32 ramdisk_image;
	le32 ramdisk_size;
	le32 bootsect_kludge;
	le16 heap_end_ptr;
	uint8_t ext_loader_ver;
	uint8_t ext_loader_type;
	le32 cmd_line_ptr;
	le32 initrd_addr_max; /* highest address the initrd may occupy */
	le32 kernel_alignment;
	uint8_t relocatable_kernel;
	uint8_t min_alignment;
	le16 xloadflags;
	le32 cmdline_size; /* without the final NUL */
	le32 hardware_subarch;
	le64 hardware_subarch_data;
	le32 payload_offset;
	le32 payload_length;
	le64 setup_data;
	le64 pref_address;
	le32 init_size; /* memory needed from the start address on */
	le32 handover_offset;
	uint8_t later[0x290 - 0x268]; /* newer versions; copied as they are */
} __attribute__((packed));

#define E820_RAM 1
#define E820_RESERVED 2
#define E820_MAX 128

struct e820_entry {
	le64 base, bytes;
	le32 type;
} __attribute__((packed));

struct boot_params {
	uint8_t pad0[0x070];
	le64 acpi_rsdp_addr;
	uint8_t pad1[0x1e8 - 0x078];
	uint8_t e820_entries;
	uint8_t pad2[SETUP_OFFSET - 0x1e9];
	struct setup_header setup;
	uint8_t pad3[0x2d0 - 0x290];
	struct e820_entry e820_table[E820_MAX];
	uint8_t pad4[0x1000 - 0xcd0];
} __attribute__((packed));

_Static_assert(sizeof(struct setup_header) == 0x290 - SETUP_OFFSET, "wire size");
_Static_assert(SETUP_OFFSET + offsetof(struct setup_header, header) == 0x202, "wire offset");
_Static_assert(SETUP_OFFSET + offsetof(struct setup_header, cmd_line_ptr) == 0x228, "wire offset");
_Static_assert(SETUP_OFFSET + offsetof(struct setup_header, init_size) == 0x260, "wire offset");
_Static_assert(offsetof(struct boot_params, acpi_rsdp_addr) == 0x070, "wire offset");
_Static_assert(offsetof(struct boot_params, e820_table) == 0x2d0, "wire offset");
_Static_assert(sizeof(struct boot_params) == 0x1000, "wire size");

#endif
