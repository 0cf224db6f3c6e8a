/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_file.h - the head of an ELF core file of a guest's physical memory, and where the memory goes
 * behind it: ELF64, ET_CORE, little-endian, one PT_LOAD per run of memory that exists now, with its
 * guest-physical address as both of its addresses. Pure: it writes no file.
 */
#ifndef EBB_DUMP_CORE_FILE_H
#define EBB_DUMP_CORE_FILE_H

#include "vmm/memory/guest_mem.h"

struct core_file {
	void *head; /* what stands before the memory, HEAD_BYTES, whole pages */
	size_t head_bytes;
	struct core_run {
		gpa_t base;
		uint64_t bytes;
	} *runs; /* in the file one right after the other, in this order */
	size_t nr_runs;
	uint64_t bytes; /* of the whole file */
};

/*
 * ELF_MACHINE: EM_*. NOTES: finished ELF notes, copied; of at most 4 GiB. -ENOMEM (logged), nothing
 * is left behind then.
 */
int must_check core_file_new(struct core_file *c, const struct guest_mem *gm, uint16_t elf_machine,
			     const void *notes, size_t notes_bytes);
/* Accepts a zeroed struct. */
void core_file_free(struct core_file *c);

#endif
