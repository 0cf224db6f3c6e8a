/* SPDX-License-Identifier: Apache-2.0 */
/* core_file.c - ELF header, program headers, notes. */
#include "vmm/dump/core_file.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/log.h"

#define ALIGN UINT64_C(4096) /* so that a reader can map the memory */

static bool next_run(const struct guest_mem *gm, struct core_run *run)
{
	gpa_t from = GPA(run->base.v + run->bytes);

	run->bytes = gm_next_run(gm, from, &run->base);
	return run->bytes;
}

static int collect_runs(struct core_file *c, const struct guest_mem *gm)
{
	struct core_run run = { 0 };

	while (next_run(gm, &run))
		c->nr_runs++;
	c->runs = calloc(c->nr_runs + 1, sizeof(*c->runs));
	if (!c->runs)
		return -ENOMEM;
	run = (struct core_run){ 0 };
	for (size_t i = 0; next_run(gm, &run); i++)
		c->runs[i] = run;
	return 0;
}

static Elf64_Ehdr header(uint16_t elf_machine, size_t nr_segments)
{
	Elf64_Ehdr h = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT, ELFOSABI_NONE },
		.e_type = ET_CORE,
		.e_machine = elf_machine,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (uint16_t)min_u64(nr_segments, PN_XNUM),
	};

	if (nr_segments >= PN_XNUM) {
		/* The number does not fit: it stands in the first, and only, section header. */
		h.e_shoff = sizeof(Elf64_Ehdr) + nr_segments * sizeof(Elf64_Phdr);
		h.e_shentsize = sizeof(Elf64_Shdr);
		h.e_shnum = 1;
	}
	return h;
}

int core_file_new(struct core_file *c, const struct guest_mem *gm, uint16_t elf_machine,
		  const void *notes, size_t notes_bytes)
{
	size_t nr_segments, notes_at;
	Elf64_Phdr *segment;
	Elf64_Ehdr h;

	*c = (struct core_file){ 0 };
	if (collect_runs(c, gm))
		return fail(-ENOMEM, "core file");
	nr_segments = c->nr_runs + 1;
	h = header(elf_machine, nr_segments);
	notes_at = sizeof(h) + nr_segments * sizeof(*segment) + h.e_shnum * sizeof(Elf64_Shdr);
	c->head_bytes = align_up(notes_at + notes_bytes, ALIGN);
	c->head = calloc(1, c->head_bytes);
	if (!c->head) {
		core_file_free(c);
		return fail(-ENOMEM, "core file");
	}
	memcpy(c->head, &h, sizeof(h));
	segment = (void *)((char *)c->head + sizeof(h));
	*segment++ = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = notes_at,
				   .p_filesz = notes_bytes, .p_memsz = notes_bytes };
	c->bytes = c->head_bytes;
	for (size_t i = 0; i < c->nr_runs; i++) {
		const struct core_run *run = &c->runs[i];

		*segment++ = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_W | PF_X,
					   .p_offset = c->bytes, .p_vaddr = run->base.v,
					   .p_paddr = run->base.v, .p_filesz = run->bytes,
					   .p_memsz = run->bytes, .p_align = ALIGN };
		c->bytes += run->bytes;
	}
	if (h.e_shnum) {
		Elf64_Shdr count = { .sh_info = (uint32_t)nr_segments };

		memcpy(segment, &count, sizeof(count));
	}
	if (notes_bytes)
		memcpy((char *)c->head + notes_at, notes, notes_bytes);
	return 0;
}

void core_file_free(struct core_file *c)
{
	free(c->head);
	free(c->runs);
	*c = (struct core_file){ 0 };
}
