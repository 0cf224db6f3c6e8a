/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.h - what a kernel file asks for, whatever its format.
 * The parsers read headers only and check them against the file; whether the segments fit the
 * machine is checked in one place, loader.c.
 */
#ifndef EBB_LOADER_KERNEL_H
#define EBB_LOADER_KERNEL_H

#include "loader/bootparam.h"
#include "loader/image.h"
#include "loader/loader.h"

#define KERNEL_MAX_SEGMENTS 32

struct kernel {
	enum boot_protocol protocol;
	uint64_t entry;
	uint64_t initrd_end;	/* the initrd must end at or below this address */
	uint64_t cmdline_bytes; /* most that the kernel takes, without the final NUL */
	unsigned int nr_segments;
	struct kernel_segment {
		uint64_t file_offset, file_bytes; /* lies inside the file */
		uint64_t base, bytes;		  /* bytes >= file_bytes, bytes > 0 */
	} segments[KERNEL_MAX_SEGMENTS];
	struct setup_header setup; /* BOOT_LINUX64 only */
};

/* Both: 0, or -errno and logged. *KERNEL is zeroed before. */
int must_check bzimage_parse(const struct image *image, struct kernel *kernel);
int must_check elf_parse(const struct image *image, struct kernel *kernel);

#endif
