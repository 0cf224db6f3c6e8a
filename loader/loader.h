/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader.h - puts a kernel and all it is told into boot memory and says where to start.
 * Formats: Linux x86 bzImage (64-bit boot protocol 2.12 or later) and 64-bit ELF with a PVH note.
 */
#ifndef EBB_LOADER_LOADER_H
#define EBB_LOADER_LOADER_H

#include "vmm/memory/guest_mem.h"

struct boot_spec {
	int kernel_fd;
	const char *kernel_path; /* for messages */
	int initrd_fd;		 /* -1: none */
	const char *initrd_path;
	const char *cmdline;
	uint64_t boot_bytes; /* boot memory, laid out as vmm/base/platform.h says */
	unsigned int nr_cpus;
	unsigned int nr_virtio; /* virtio-mmio devices 0 ... nr_virtio - 1 */
};

enum boot_protocol {
	BOOT_LINUX64, /* long mode, paging on, RSI = boot_data */
	BOOT_PVH,     /* 32-bit protected mode, paging off, flat segments, EBX = boot_data */
};

struct boot_entry {
	enum boot_protocol protocol;
	uint64_t rip;
	uint64_t boot_data; /* boot_params (zero page) or hvm_start_info */
	/* BOOT_LINUX64 only: identity map of the first 4 GiB; selectors 0x10 (code), 0x18 (data). */
	uint64_t page_tables, gdt;
	uint16_t gdt_bytes;
};

/*
 * Boot memory must be in GM and fresh: what a kernel expects to be zero is not written. The
 * descriptors stay the caller's; their file offsets do not move. On error (-errno, logged) *OUT is
 * untouched and boot memory holds anything.
 */
int must_check load_kernel(const struct guest_mem *gm, const struct boot_spec *spec,
			   struct boot_entry *out);

#endif
