/* SPDX-License-Identifier: Apache-2.0 */
/* test_loader_elf.c - ELF kernels with a PVH note, and the start info they are handed. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/loader_fixture.h"

#define TEXT_AT 0x400
#define TEXT_BYTES 0x800

/* Two segments at 1 MiB and 2 MiB (the second is all zeros), and notes: another one, then ours. */
static struct {
	Elf64_Ehdr e;
	Elf64_Phdr p[3];
	struct {
		Elf64_Nhdr other;
		char other_name[4], other_desc[4];
		Elf64_Nhdr pvh;
		char pvh_name[4];
		uint64_t pvh_entry;
	} __attribute__((packed)) notes;
	unsigned char text[TEXT_BYTES] __attribute__((aligned(TEXT_AT)));
} image;
_Static_assert(sizeof(image) == TEXT_AT + TEXT_BYTES, "no padding");

static struct loader_fixture f;

static void setup(void)
{
	fixture_init(&f, 16 * MiB);
	memset(&image, 0, sizeof(image));
	memcpy(image.e.e_ident, ELFMAG, SELFMAG);
	image.e.e_ident[EI_CLASS] = ELFCLASS64;
	image.e.e_ident[EI_DATA] = ELFDATA2LSB;
	image.e.e_ident[EI_VERSION] = EV_CURRENT;
	image.e.e_type = ET_EXEC;
	image.e.e_machine = EM_X86_64;
	image.e.e_version = EV_CURRENT;
	image.e.e_phoff = sizeof(image.e);
	image.e.e_phentsize = sizeof(image.p[0]);
	image.e.e_phnum = 3;
	image.p[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = TEXT_AT, .p_paddr = 1 * MiB,
				   .p_vaddr = 0xffffffff80100000, .p_filesz = TEXT_BYTES,
				   .p_memsz = 0x2000, .p_align = 4096 };
	image.p[1] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_paddr = 2 * MiB, .p_memsz = 1 * MiB };
	image.p[2] = (Elf64_Phdr){ .p_type = PT_NOTE,
				   .p_offset = offsetof(typeof(image), notes),
				   .p_filesz = sizeof(image.notes), .p_align = 4 };
	image.notes.other = (Elf64_Nhdr){ 4, 3, 18 };
	memcpy(image.notes.other_name, "GNU", 4); /* our type, but not our name */
	image.notes.pvh = (Elf64_Nhdr){ 4, 8, 18 };
	memcpy(image.notes.pvh_name, "Xen", 4);
	image.notes.pvh_entry = 1 * MiB + 0x10;
	for (unsigned int i = 0; i < TEXT_BYTES; i++)
		image.text[i] = (unsigned char)(i * 5 + 1);
}

static void teardown(void) { fixture_destroy(&f); }

TestSuite(loader_elf, .init = setup, .fini = teardown);

static int load(void)
{
	if (f.spec.kernel_fd < 0)
		f.spec.kernel_fd = memory_file(&image, sizeof(image));
	return fixture_load(&f);
}

static void refused_with(const char *text)
{
	memset(&f.entry, 0x5a, sizeof(f.entry));
	cr_assert_eq(load(), -EINVAL);
	cr_assert(fixture_logged(text), "logged: %s", fixture_log());
	cr_assert_eq(f.entry.rip, UINT64_C(0x5a5a5a5a5a5a5a5a), "*out must stay untouched");
}

Test(loader_elf, segments_lie_at_their_physical_addresses)
{
	unsigned char text[TEXT_BYTES + 1];

	cr_assert_eq(load(), 0, "%s", fixture_log());
	cr_assert_eq(f.entry.protocol, BOOT_PVH);
	cr_assert_eq(f.entry.rip, 1 * MiB + 0x10);
	guest_read(&f, 1 * MiB, text, sizeof(text));
	cr_assert_arr_eq(text, image.text, TEXT_BYTES);
	cr_assert_eq(text[TEXT_BYTES], 0, "only what the file has");
	cr_assert_str_empty(fixture_log());
}

Test(loader_elf, boot_memory_that_no_one_needs_stays_untouched)
{
	uint64_t resident;

	cr_assert_eq(load(), 0);
	cr_assert_eq(ram_resident(&f.ram, &resident), 0);
	cr_assert_leq(resident, 8 * 4096, "%llu bytes", (unsigned long long)resident);
}

Test(loader_elf, entry_of_4_bytes_is_taken_too)
{
	image.notes.pvh.n_descsz = 4;
	cr_assert_eq(load(), 0, "%s", fixture_log());
	cr_assert_eq(f.entry.rip, 1 * MiB + 0x10);
}

Test(loader_elf, notes_aligned_to_8_bytes_are_read)
{
	struct {
		Elf64_Nhdr n;
		char name[8]; /* 12 + 4 is a multiple of 8: no padding */
		uint64_t entry;
	} notes = { .n = { 4, 8, 18 }, .name = "Xen" };
	uint64_t entry = 1 * MiB + 0x20;

	memcpy(notes.name + 4, &entry, sizeof(entry));
	memcpy(&image.notes, &notes, sizeof(notes));
	image.p[2].p_align = 8;
	image.p[2].p_filesz = 24;
	cr_assert_eq(load(), 0, "%s", fixture_log());
	cr_assert_eq(f.entry.rip, entry);
}

Test(loader_elf, start_info_names_everything)
{
	uint64_t info, modules, map;
	char text[16];

	f.spec.cmdline = "console=ttyS0";
	cr_assert_eq(load(), 0);
	info = f.entry.boot_data;
	cr_assert_eq(guest_u32(&f, info), 0x336ec578);
	cr_assert_eq(guest_u32(&f, info + 4), 1, "version");
	cr_assert_eq(guest_u32(&f, info + 12), 2, "modules");
	guest_read(&f, guest_u64(&f, info + 24), text, sizeof(text));
	cr_assert_str_eq(text, "console=ttyS0");
	guest_read(&f, guest_u64(&f, info + 32), text, 8);
	cr_assert_arr_eq(text, "RSD PTR ", 8);

	map = guest_u64(&f, info + 40);
	cr_assert_eq(guest_u32(&f, info + 48), 3, "map entries");
	cr_assert_eq(guest_u64(&f, map), 0);
	cr_assert_eq(guest_u64(&f, map + 8), 0xa0000);
	cr_assert_eq(guest_u32(&f, map + 16), 1);
	cr_assert_eq(guest_u64(&f, map + 24), 0xa0000);
	cr_assert_eq(guest_u64(&f, map + 24 + 8), 0x60000);
	cr_assert_eq(guest_u32(&f, map + 24 + 16), 2);
	cr_assert_eq(guest_u64(&f, map + 48), 0x100000);
	cr_assert_eq(guest_u64(&f, map + 48 + 8), 15 * MiB);
	cr_assert_eq(guest_u32(&f, map + 48 + 16), 1);

	/* No initrd: module 0 is empty; module 1 is the FDT. */
	modules = guest_u64(&f, info + 16);
	cr_assert_eq(guest_u64(&f, modules), 0);
	cr_assert_eq(guest_u64(&f, modules + 8), 0);
	cr_assert_eq(be32toh(guest_u32(&f, guest_u64(&f, modules + 32))), FDT_MAGIC);
	cr_assert_eq(be32toh(guest_u32(&f, guest_u64(&f, modules + 32) + 4)),
		     guest_u64(&f, modules + 40));
	guest_read(&f, guest_u64(&f, modules + 48), text, 4);
	cr_assert_str_eq(text, "fdt");
}

Test(loader_elf, memory_map_goes_on_at_4_gib_above_the_hole)
{
	uint64_t map;

	fixture_destroy(&f);
	fixture_init(&f, 4 * GiB);
	cr_assert_eq(load(), 0);
	map = guest_u64(&f, f.entry.boot_data + 40);
	cr_assert_eq(guest_u32(&f, f.entry.boot_data + 48), 4);
	cr_assert_eq(guest_u64(&f, map + 48 + 8), 3 * GiB - 1 * MiB);
	cr_assert_eq(guest_u64(&f, map + 72), 4 * GiB);
	cr_assert_eq(guest_u64(&f, map + 72 + 8), 1 * GiB);
}

Test(loader_elf, initrd_is_module_0_at_the_end_of_low_memory)
{
	uint64_t modules;
	char byte;

	f.spec.initrd_fd = memory_file("initrd", 6);
	cr_assert_eq(load(), 0);
	modules = guest_u64(&f, f.entry.boot_data + 16);
	cr_assert_eq(guest_u64(&f, modules), 16 * MiB - 4096);
	cr_assert_eq(guest_u64(&f, modules + 8), 6);
	guest_read(&f, 16 * MiB - 4096, &byte, 1);
	cr_assert_eq(byte, 'i');
}

Test(loader_elf, initrd_stays_below_3_gib)
{
	fixture_destroy(&f);
	fixture_init(&f, 5 * GiB);
	f.spec.initrd_fd = memory_file("initrd", 6);
	cr_assert_eq(load(), 0);
	cr_assert_eq(guest_u64(&f, guest_u64(&f, f.entry.boot_data + 16)), 3 * GiB - 4096);
}

Test(loader_elf, initrd_that_would_lie_on_the_zeroed_segment_is_refused)
{
	f.spec.initrd_fd = memory_file("initrd", 6);
	cr_assert_eq(ftruncate(f.spec.initrd_fd, (off_t)(13 * MiB + 1)), 0);
	refused_with("initrd initrd.img has 14 MiB, but only 13 MiB are left");
}

Test(loader_elf, file_without_pvh_note_is_refused_by_its_name)
{
	image.notes.pvh.n_type = 17;
	refused_with("kernel vmlinuz has no PVH entry (ELF note XEN_ELFNOTE_PHYS32_ENTRY): build it "
		     "with CONFIG_PVH, or use its bzImage");
}

Test(loader_elf, file_without_any_note_is_refused)
{
	image.e.e_phnum = 2;
	refused_with("XEN_ELFNOTE_PHYS32_ENTRY");
}

Test(loader_elf, note_larger_than_its_segment_is_refused)
{
	image.notes.pvh.n_descsz = 0xffffffff;
	refused_with("corrupt ELF file (note)");
}

Test(loader_elf, note_name_larger_than_its_segment_is_refused)
{
	image.notes.pvh.n_namesz = 0xffffffff;
	refused_with("corrupt ELF file (note)");
}

Test(loader_elf, note_of_odd_size_is_refused)
{
	image.notes.pvh.n_descsz = 7;
	refused_with("corrupt ELF file (PVH note)");
}

Test(loader_elf, note_segment_of_a_gigabyte_is_refused)
{
	image.p[2].p_filesz = 1 * GiB;
	refused_with("corrupt ELF file (note segment)");
}

Test(loader_elf, note_segment_past_the_end_of_the_file_is_refused)
{
	image.p[2].p_offset = UINT64_MAX - 16;
	refused_with("kernel vmlinuz is truncated");
}

Test(loader_elf, entry_outside_of_every_segment_is_refused)
{
	image.notes.pvh_entry = 1 * MiB + TEXT_BYTES;
	refused_with("PVH entry outside of every segment");
}

Test(loader_elf, entry_above_4_gib_is_refused)
{
	image.notes.pvh_entry |= UINT64_C(1) << 32;
	refused_with("PVH entry outside of every segment");
}

Test(loader_elf, segment_past_the_end_of_the_file_is_truncated)
{
	image.p[0].p_offset += 1;
	refused_with("kernel vmlinuz is truncated: it has 3072 bytes, its headers want 3073");
}

Test(loader_elf, segment_whose_offset_wraps_is_refused)
{
	image.p[0].p_offset = UINT64_MAX - 1;
	refused_with("corrupt ELF file (segment offset)");
}

Test(loader_elf, segment_larger_in_the_file_than_in_memory_is_refused)
{
	image.p[0].p_memsz = TEXT_BYTES - 1;
	refused_with("corrupt ELF file (segment larger in the file than in memory)");
}

Test(loader_elf, segment_whose_end_wraps_is_refused)
{
	image.p[1].p_paddr = UINT64_MAX - 4096;
	refused_with("kernel vmlinuz wants 0x100000 bytes at 0xffffffffffffefff");
}

Test(loader_elf, segment_below_1_mib_is_refused)
{
	image.p[1].p_paddr = 0x1000;
	refused_with("the first MiB is reserved; link it to 1 MiB or above");
}

Test(loader_elf, segment_that_ends_behind_low_memory_is_refused)
{
	image.p[1].p_paddr = 15 * MiB + 1;
	refused_with("kernel vmlinuz needs memory up to 17 MiB, but boot memory below 3 GiB ends at "
		     "16 MiB: give it more boot memory");
}

Test(loader_elf, segment_that_ends_with_low_memory_is_taken)
{
	image.p[1].p_paddr = 15 * MiB;
	cr_assert_eq(load(), 0, "%s", fixture_log());
}

Test(loader_elf, segment_in_the_device_hole_is_refused)
{
	fixture_destroy(&f);
	fixture_init(&f, 8 * GiB);
	image.p[1].p_paddr = 3 * GiB - 4096;
	refused_with("boot memory below 3 GiB ends at 3072 MiB");
}

Test(loader_elf, overlapping_segments_are_refused)
{
	image.p[1].p_paddr = 1 * MiB + 0x1fff;
	refused_with("kernel vmlinuz has two segments at 0x101fff");
}

Test(loader_elf, touching_segments_are_taken)
{
	image.p[1].p_paddr = 1 * MiB + 0x2000;
	cr_assert_eq(load(), 0, "%s", fixture_log());
}

Test(loader_elf, empty_segment_may_lie_anywhere)
{
	image.p[1].p_paddr = 0x1000;
	image.p[1].p_memsz = 0;
	cr_assert_eq(load(), 0, "%s", fixture_log());
}

Test(loader_elf, program_headers_outside_of_the_file_are_refused)
{
	image.e.e_phoff = UINT64_MAX - 8;
	refused_with("kernel vmlinuz is truncated");
}

Test(loader_elf, program_headers_without_end_are_refused)
{
	image.e.e_phnum = 0xffff;
	refused_with("corrupt ELF file (program header table)");
}

Test(loader_elf, program_headers_of_foreign_size_are_refused)
{
	image.e.e_phentsize = 32;
	refused_with("corrupt ELF file (program header table)");
}

Test(loader_elf, elf_for_another_machine_is_refused)
{
	image.e.e_machine = EM_AARCH64;
	refused_with("kernel vmlinuz is an ELF file, but not for 64-bit x86");
}

Test(loader_elf, elf_of_32_bits_is_refused)
{
	image.e.e_ident[EI_CLASS] = ELFCLASS32;
	refused_with("kernel vmlinuz is an ELF file, but not for 64-bit x86");
}

Test(loader_elf, object_file_is_refused)
{
	image.e.e_type = ET_REL;
	refused_with("kernel vmlinuz is an ELF file, but not an executable");
}

Test(loader_elf, too_many_segments_are_refused)
{
	struct {
		Elf64_Ehdr e;
		Elf64_Phdr p[64];
	} many = { .e = image.e };

	many.e.e_phnum = 64;
	for (unsigned int i = 0; i < 64; i++)
		many.p[i] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_paddr = (1 + i) * MiB,
					  .p_memsz = 4096 };
	f.spec.kernel_fd = memory_file(&many, sizeof(many));
	refused_with("corrupt ELF file (too many segments)");
}

Test(loader_elf, command_line_that_linux_would_cut_is_refused)
{
	static char text[2049];

	memset(text, 'x', 2047);
	f.spec.cmdline = text;
	cr_assert_eq(load(), 0);
	text[2047] = 'x';
	refused_with("the kernel command line has 2048 bytes, this kernel takes 2047");
}

Test(loader_elf, file_cut_anywhere_is_refused)
{
	f.spec.kernel_fd = memory_file(&image, sizeof(image));
	for (off_t bytes = sizeof(image) - 1; bytes >= 0; bytes--) {
		cr_assert_eq(ftruncate(f.spec.kernel_fd, bytes), 0);
		cr_assert_eq(fixture_load(&f), -EINVAL, "%lld bytes", (long long)bytes);
		cr_assert(fixture_logged("vmlinuz"), "logged: %s", fixture_log());
	}
}

Test(loader_elf, missing_boot_memory_is_an_error_and_no_crash)
{
	f.spec.boot_bytes = 64 * MiB;
	image.p[1].p_paddr = 20 * MiB; /* not written; the initrd is */
	f.spec.initrd_fd = memory_file("initrd", 6);
	cr_assert_eq(load(), -EFAULT);
	cr_assert(fixture_logged("load initrd initrd.img at 0x3fff000: Bad address"), "%s",
		  fixture_log());
}

/* Whatever the headers say: an error in one line, or an entry in code that really is there. */
Test(loader_elf, no_changed_byte_of_the_headers_does_harm, .timeout = 240)
{
	static const unsigned char masks[] = { 0x01, 0x02, 0x04, 0x08, 0x10,
					       0x20, 0x40, 0x80, 0xff };
	unsigned int nr_loaded = 0, nr_refused = 0;
	unsigned char *bytes = (unsigned char *)&image;

	f.spec.kernel_fd = memory_file(&image, sizeof(image));
	f.spec.initrd_fd = memory_file("initrd", 6);
	for (unsigned int at = 0; at < offsetof(typeof(image), notes) + sizeof(image.notes); at++) {
		for (unsigned int m = 0; m < sizeof(masks); m++) {
			unsigned char byte = bytes[at] ^ masks[m];

			cr_assert_eq(pwrite(f.spec.kernel_fd, &byte, 1, at), 1);
			if (fixture_load(&f)) {
				cr_assert(fixture_logged("vmlinuz") || fixture_logged("initrd.img"),
					  "byte %#x: %s", at, fixture_log());
				nr_refused++;
				continue;
			}
			cr_assert_geq(f.entry.rip, 1 * MiB);
			cr_assert_lt(f.entry.rip, 16 * MiB);
			nr_loaded++;
		}
		cr_assert_eq(pwrite(f.spec.kernel_fd, &bytes[at], 1, at), 1);
	}
	cr_assert_gt(nr_loaded, 100);
	cr_assert_gt(nr_refused, 100);
}

static void stock_vmlinux_is_loaded(const char *flavour)
{
	Elf64_Ehdr e;
	Elf64_Phdr p;
	unsigned char want[4096], got[4096];

	fixture_destroy(&f);
	fixture_init(&f, 512 * MiB);
	f.spec.kernel_fd = stock_kernel(flavour, "vmlinux");
	cr_assert_eq(load(), 0, "%s", fixture_log());
	cr_assert_eq(f.entry.protocol, BOOT_PVH);
	cr_assert_eq(pread(f.spec.kernel_fd, &e, sizeof(e), 0), (ssize_t)sizeof(e));
	for (unsigned int i = 0; i < e.e_phnum; i++) {
		uint64_t at;

		cr_assert_eq(pread(f.spec.kernel_fd, &p, sizeof(p),
				   (off_t)(e.e_phoff + i * sizeof(p))),
			     (ssize_t)sizeof(p));
		if (p.p_type != PT_LOAD)
			continue;
		/* The last page of each segment is there. */
		at = p.p_filesz - sizeof(want);
		cr_assert_eq(pread(f.spec.kernel_fd, want, sizeof(want), (off_t)(p.p_offset + at)),
			     (ssize_t)sizeof(want));
		guest_read(&f, p.p_paddr + at, got, sizeof(got));
		cr_assert_arr_eq(got, want, sizeof(want));
	}
}

Test(loader_elf, stock_cloud_kernel_is_loaded, .timeout = 240) { stock_vmlinux_is_loaded("cloud"); }

Test(loader_elf, stock_full_kernel_is_loaded, .timeout = 240) { stock_vmlinux_is_loaded("full"); }
