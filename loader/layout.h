/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.h - what the loader puts where in guest-physical memory.
 *
 *   0x0000_1000  GDT                      64-bit entry only
 *   0x0000_2000  hvm_start_info, modules, memory map      PVH entry only
 *   0x0000_3000  zero page (boot_params)  64-bit entry only
 *   0x0000_4000  page tables, 6 pages     64-bit entry only
 *   0x0001_0000  command line
 *   0x0002_0000  FDT                      PVH entry only
 *   0x000a_0000  reserved from here ...
 *   0x000e_0000  ACPI tables, the RSDP first (guests may also scan for it)
 *   0x000f_ff00  code that resets the machine; 0x000f_fff0 (BIOS entry) jumps to it
 *   0x0010_0000  ... to here; the kernel from here on
 *   initrd       page aligned, as high as possible below 3 GiB and below the kernel's own limit
 *
 * Everything below 0xa_0000 is ordinary memory for the guest once it has read it.
 */
#ifndef EBB_LOADER_LAYOUT_H
#define EBB_LOADER_LAYOUT_H

#include "vmm/base/platform.h"

#define LAYOUT_GDT UINT64_C(0x1000)
#define LAYOUT_START_INFO UINT64_C(0x2000)
#define LAYOUT_START_INFO_BYTES UINT64_C(0x1000)
#define LAYOUT_ZERO_PAGE UINT64_C(0x3000)
#define LAYOUT_PAGE_TABLES UINT64_C(0x4000)
#define LAYOUT_CMDLINE UINT64_C(0x10000)
#define LAYOUT_CMDLINE_BYTES UINT64_C(0x10000)
#define LAYOUT_FDT UINT64_C(0x20000)
#define LAYOUT_FDT_BYTES UINT64_C(0x10000)
#define LAYOUT_RESERVED UINT64_C(0xa0000)
#define LAYOUT_ACPI UINT64_C(0xe0000)
#define LAYOUT_ACPI_BYTES UINT64_C(0x10000)
#define LAYOUT_RESET_CODE UINT64_C(0xfff00)
#define LAYOUT_RESET_VECTOR UINT64_C(0xffff0)
#define LAYOUT_KERNEL UINT64_C(0x100000)

/* Code and data segment of the GDT (Linux x86 boot protocol, 64-bit boot protocol). */
#define LAYOUT_BOOT_CS 0x10
#define LAYOUT_BOOT_DS 0x18

#endif
