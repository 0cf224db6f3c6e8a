/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf.c - the headers of a 64-bit ELF kernel with a PVH note: Linux vmlinux, bare-metal guests
 * (Xen "x86/HVM direct boot ABI").
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "loader/kernel.h"
#include "loader/layout.h"
#include "loader/pvh.h"
#include "vmm/base/log.h"

#define MAX_PROGRAM_HEADERS 64
#define MAX_NOTE_BYTES (64 * KiB)

static int corrupt(const struct image *image, const char *what)
{
	return fail_usage("kernel %s is a corrupt ELF file (%s); copy or build it again",
			  image->path, what);
}

static int check_header(const struct image *image, const Elf64_Ehdr *e)
{
	if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_ident[EI_DATA] != ELFDATA2LSB ||
	    le16toh(e->e_machine) != EM_X86_64)
		return fail_usage("kernel %s is an ELF file, but not for 64-bit x86", image->path);
	if (le16toh(e->e_type) != ET_EXEC && le16toh(e->e_type) != ET_DYN)
		return fail_usage("kernel %s is an ELF file, but not an executable", image->path);
	if (le16toh(e->e_phentsize) != sizeof(Elf64_Phdr) || !e->e_phnum ||
	    le16toh(e->e_phnum) > MAX_PROGRAM_HEADERS)
		return corrupt(image, "program header table");
	return 0;
}

static int add_segment(const struct image *image, struct kernel *kernel, const Elf64_Phdr *p)
{
	uint64_t offset = le64toh(p->p_offset), file_bytes = le64toh(p->p_filesz);
	uint64_t bytes = le64toh(p->p_memsz);

	if (!bytes)
		return 0;
	if (file_bytes > bytes)
		return corrupt(image, "segment larger in the file than in memory");
	if (!range_inside(offset, file_bytes, 0, image->bytes)) {
		if (offset > UINT64_MAX - file_bytes)
			return corrupt(image, "segment offset");
		return image_truncated(image, offset + file_bytes);
	}
	if (kernel->nr_segments == KERNEL_MAX_SEGMENTS)
		return corrupt(image, "too many segments");
	kernel->segments[kernel->nr_segments++] = (struct kernel_segment){
		.file_offset = offset,
		.file_bytes = file_bytes,
		.base = le64toh(p->p_paddr),
		.bytes = bytes,
	};
	return 0;
}

/* Name and descriptor of a note are padded to 4 bytes, or to 8 when the segment says so. */
static uint64_t pad(uint64_t bytes, const Elf64_Phdr *p)
{
	return align_up(bytes, le64toh(p->p_align) == 8 ? 8 : 4);
}

/* Looks for the PVH note in one note segment; ENTRY stays as it is when there is none. */
static int find_note(const struct image *image, const Elf64_Phdr *p, uint64_t *entry)
{
	uint64_t left = le64toh(p->p_filesz), at = 0;
	auto_free char *notes = NULL;
	int r;

	if (left > MAX_NOTE_BYTES)
		return corrupt(image, "note segment");
	notes = malloc(left + 1);
	if (!notes)
		return fail(-ENOMEM, "notes of kernel %s", image->path);
	r = image_read(image, le64toh(p->p_offset), notes, left);
	if (r)
		return r;
	while (left - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr n;
		uint64_t name_at = at + sizeof(n), desc_at, name_bytes, desc_bytes;
		le64 value = { 0 };

		memcpy(&n, notes + at, sizeof(n));
		name_bytes = le32toh(n.n_namesz);
		desc_bytes = le32toh(n.n_descsz);
		desc_at = at + pad(sizeof(n) + name_bytes, p);
		at = desc_at + pad(desc_bytes, p);
		/* The padding after the last note may be missing. */
		if (desc_at + desc_bytes > left)
			return corrupt(image, "note");
		if (le32toh(n.n_type) == PVH_NOTE_ENTRY && name_bytes == sizeof(PVH_NOTE_NAME) &&
		    !memcmp(notes + name_at, PVH_NOTE_NAME, sizeof(PVH_NOTE_NAME))) {
			if (desc_bytes != 4 && desc_bytes != 8)
				return corrupt(image, "PVH note");
			memcpy(&value, notes + desc_at, desc_bytes);
			*entry = le64_get(value);
		}
		if (at > left)
			break;
	}
	return 0;
}

static bool entry_is_loaded(const struct kernel *kernel)
{
	for (unsigned int i = 0; i < kernel->nr_segments; i++) {
		const struct kernel_segment *s = &kernel->segments[i];

		if (range_inside(kernel->entry, 1, s->base, s->file_bytes))
			return true;
	}
	return false;
}

int elf_parse(const struct image *image, struct kernel *kernel)
{
	uint64_t entry = UINT64_MAX;
	Elf64_Ehdr e;
	int r = image_read(image, 0, &e, sizeof(e));

	if (!r)
		r = check_header(image, &e);
	for (unsigned int i = 0; !r && i < le16toh(e.e_phnum); i++) {
		uint64_t table = le64toh(e.e_phoff);
		Elf64_Phdr p;

		if (table > image->bytes)
			return image_truncated(image, table);
		r = image_read(image, table + i * sizeof(p), &p, sizeof(p));
		if (!r && le32toh(p.p_type) == PT_LOAD)
			r = add_segment(image, kernel, &p);
		else if (!r && le32toh(p.p_type) == PT_NOTE)
			r = find_note(image, &p, &entry);
	}
	if (r)
		return r;
	if (entry == UINT64_MAX)
		return fail_usage("kernel %s has no PVH entry (ELF note XEN_ELFNOTE_PHYS32_ENTRY): "
				  "build it with CONFIG_PVH, or use its bzImage",
				  image->path);
	kernel->protocol = BOOT_PVH;
	kernel->entry = entry;
	kernel->initrd_end = PLATFORM_LOW_END;
	kernel->cmdline_bytes = PVH_CMDLINE_BYTES;
	if (entry > UINT32_MAX || !entry_is_loaded(kernel))
		return corrupt(image, "PVH entry outside of every segment");
	return 0;
}
