/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loader_bzimage.c - Linux bzImages. The layout comes from <asm/bootparam.h> here, so that the
 * loader's own definitions are compared with the kernel's.
 */
#include <asm/bootparam.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "loader/layout.h"
#include "tests/unit/loader_fixture.h"

#define SETUP_SECTS 3
#define SETUP_BYTES ((1 + SETUP_SECTS) * 512)
#define CODE_BYTES 0x2000
#define HEADER_AT 0x1f1

static struct loader_fixture f;
static struct {
	union {
		unsigned char setup[SETUP_BYTES];
		struct {
			unsigned char pad[HEADER_AT];
			struct setup_header header;
		} __attribute__((packed));
	};
	unsigned char code[CODE_BYTES];
} image;

/* A small good kernel at 16 MiB, in 64 MiB of boot memory; tests then spoil one thing. */
static void setup(void)
{
	struct setup_header *h = &image.header;

	fixture_init(&f, 64 * MiB);
	memset(&image, 0xee, sizeof(image)); /* what is not copied must not show up */
	memset(h, 0, sizeof(*h));
	h->setup_sects = SETUP_SECTS;
	h->syssize = CODE_BYTES / 16;
	h->boot_flag = 0xaa55;
	h->jump = 0x6aeb; /* the header ends at 0x26c */
	h->header = 0x53726448;
	h->version = 0x020f;
	h->loadflags = LOADED_HIGH;
	h->xloadflags = XLF_KERNEL_64;
	h->initrd_addr_max = 0x7fffffff;
	h->kernel_alignment = 2 * MiB;
	h->relocatable_kernel = 1;
	h->cmdline_size = 2047;
	h->pref_address = 16 * MiB;
	h->init_size = 4 * MiB;
	for (unsigned int i = 0; i < CODE_BYTES; i++)
		image.code[i] = (unsigned char)(i * 7 + i / 256);
}

static void teardown(void) { fixture_destroy(&f); }

TestSuite(loader_bzimage, .init = setup, .fini = teardown);

static int load(void)
{
	if (f.spec.kernel_fd < 0)
		f.spec.kernel_fd = memory_file(&image, sizeof(image));
	return fixture_load(&f);
}

static void add_initrd(size_t bytes)
{
	char *data = malloc(bytes);

	cr_assert(data);
	memset(data, 'i', bytes);
	f.spec.initrd_fd = memory_file(data, bytes);
	free(data);
}

static struct boot_params zero_page(void)
{
	struct boot_params p;

	guest_read(&f, f.entry.boot_data, &p, sizeof(p));
	return p;
}

static void refused_with(const char *text)
{
	memset(&f.entry, 0x5a, sizeof(f.entry));
	cr_assert_eq(load(), -EINVAL);
	cr_assert(fixture_logged(text), "logged: %s", fixture_log());
	cr_assert_eq(f.entry.rip, UINT64_C(0x5a5a5a5a5a5a5a5a), "*out must stay untouched");
}

Test(loader_bzimage, code_lies_at_the_preferred_address_and_starts_at_its_64_bit_entry)
{
	unsigned char code[CODE_BYTES];

	cr_assert_eq(load(), 0, "%s", fixture_log());
	cr_assert_eq(f.entry.protocol, BOOT_LINUX64);
	cr_assert_eq(f.entry.rip, 16 * MiB + 0x200);
	guest_read(&f, 16 * MiB, code, sizeof(code));
	cr_assert_arr_eq(code, image.code, sizeof(code));
	cr_assert_str_empty(fixture_log());
}

Test(loader_bzimage, preferred_address_is_raised_to_the_alignment_of_a_relocatable_kernel)
{
	image.header.pref_address = 16 * MiB + 4096;
	cr_assert_eq(load(), 0);
	cr_assert_eq(f.entry.rip, 18 * MiB + 0x200);
}

Test(loader_bzimage, fixed_kernel_stays_at_its_preferred_address)
{
	image.header.pref_address = 16 * MiB + 4096;
	image.header.relocatable_kernel = 0;
	image.header.kernel_alignment = 0;
	cr_assert_eq(load(), 0);
	cr_assert_eq(f.entry.rip, 16 * MiB + 4096 + 0x200);
}

Test(loader_bzimage, kernel_without_preferred_address_goes_to_1_mib)
{
	image.header.pref_address = 0;
	image.header.kernel_alignment = 1 * MiB;
	cr_assert_eq(load(), 0);
	cr_assert_eq(f.entry.rip, 1 * MiB + 0x200);
}

Test(loader_bzimage, setup_sects_of_0_means_4)
{
	f.spec.kernel_fd = memory_file(&image, sizeof(image));
	image.header.setup_sects = 0;
	cr_assert_eq(pwrite(f.spec.kernel_fd, image.setup, SETUP_BYTES, 0), SETUP_BYTES);
	cr_assert_eq(pwrite(f.spec.kernel_fd, image.code, CODE_BYTES, 5 * 512), CODE_BYTES);
	cr_assert_eq(load(), 0, "%s", fixture_log());
	cr_assert_eq(guest_u32(&f, 16 * MiB + 4), *(uint32_t *)&image.code[4]);
}

Test(loader_bzimage, zero_page_has_the_header_and_nothing_from_behind_it)
{
	struct boot_params p;

	image.header.hardware_subarch_data = 0x1122334455667788;
	cr_assert_eq(load(), 0);
	p = zero_page();
	cr_assert_eq(p.hdr.header, 0x53726448);
	cr_assert_eq(p.hdr.version, 0x020f);
	cr_assert_eq(p.hdr.type_of_loader, 0xff);
	cr_assert_eq(p.hdr.loadflags, LOADED_HIGH);
	cr_assert_eq(p.hdr.pref_address, 16 * MiB);
	cr_assert_eq(p.hdr.init_size, 4 * MiB);
	cr_assert_eq(p.hdr.hardware_subarch_data, 0x1122334455667788);
	cr_assert_eq(p.sentinel, 0);
	for (unsigned int i = 0; i < sizeof(p._pad7); i++)
		cr_assert_eq(p._pad7[i], 0, "byte %u", i);
	cr_assert_eq(p.edd_mbr_sig_buffer[0], 0);
}

Test(loader_bzimage, zero_page_names_rsdp_and_command_line)
{
	struct boot_params p;
	char text[32], signature[8];

	f.spec.cmdline = "console=ttyS0 quiet";
	cr_assert_eq(load(), 0);
	p = zero_page();
	guest_read(&f, p.acpi_rsdp_addr, signature, sizeof(signature));
	cr_assert_arr_eq(signature, "RSD PTR ", 8);
	guest_read(&f, p.hdr.cmd_line_ptr, text, sizeof(text));
	cr_assert_str_eq(text, f.spec.cmdline);
	cr_assert_eq(p.hdr.ramdisk_size, 0);
	cr_assert_eq(p.hdr.ramdisk_image, 0);
}

static void check_e820(unsigned int i, uint64_t base, uint64_t bytes, uint32_t type)
{
	struct boot_params p = zero_page();

	cr_assert_lt(i, p.e820_entries);
	cr_assert_eq(p.e820_table[i].addr, base, "entry %u", i);
	cr_assert_eq(p.e820_table[i].size, bytes, "entry %u", i);
	cr_assert_eq(p.e820_table[i].type, type, "entry %u", i);
}

Test(loader_bzimage, e820_has_low_memory_the_acpi_area_and_the_rest)
{
	cr_assert_eq(load(), 0);
	cr_assert_eq(zero_page().e820_entries, 3);
	check_e820(0, 0, 0xa0000, 1);
	check_e820(1, 0xa0000, 0x60000, 2);
	check_e820(2, 0x100000, 63 * MiB, 1);
}

Test(loader_bzimage, e820_goes_on_at_4_gib_above_the_hole)
{
	fixture_destroy(&f);
	fixture_init(&f, 5 * GiB);
	cr_assert_eq(load(), 0);
	cr_assert_eq(zero_page().e820_entries, 4);
	check_e820(2, 0x100000, 3 * GiB - 1 * MiB, 1);
	check_e820(3, 4 * GiB, 2 * GiB, 1);
}

Test(loader_bzimage, page_tables_map_the_first_4_gib_onto_themselves)
{
	uint64_t pdpt;

	cr_assert_eq(load(), 0);
	cr_assert_eq(f.entry.page_tables & 0xfff, 0);
	pdpt = guest_u64(&f, f.entry.page_tables) & ~UINT64_C(0xfff);
	for (uint64_t gpa = 0; gpa < 4 * GiB; gpa += 2 * MiB) {
		uint64_t pd = guest_u64(&f, pdpt + gpa / GiB * 8), pte;

		cr_assert_eq(pd & 0xfff, 0x3, "present and writable");
		pte = guest_u64(&f, (pd & ~UINT64_C(0xfff)) + gpa % GiB / (2 * MiB) * 8);
		cr_assert_eq(pte, gpa | 0x83, "present, writable, 2 MiB");
	}
	cr_assert_eq(guest_u64(&f, pdpt + 4 * 8), 0);
	cr_assert_eq(guest_u64(&f, f.entry.page_tables + 8), 0);
}

Test(loader_bzimage, gdt_has_flat_boot_segments)
{
	cr_assert_eq(load(), 0);
	cr_assert_geq(f.entry.gdt_bytes, 0x20);
	/* 64-bit code, execute and read; data, read and write; both accessed, ring 0, 4 GiB. */
	cr_assert_eq(guest_u64(&f, f.entry.gdt + 0x10), 0x00af9b000000ffff);
	cr_assert_eq(guest_u64(&f, f.entry.gdt + 0x18), 0x00cf93000000ffff);
	cr_assert_eq(guest_u64(&f, f.entry.gdt), 0);
}

Test(loader_bzimage, initrd_ends_at_the_end_of_low_memory)
{
	struct boot_params p;
	char byte;

	add_initrd(10000);
	cr_assert_eq(load(), 0);
	p = zero_page();
	cr_assert_eq(p.hdr.ramdisk_size, 10000);
	cr_assert_eq(p.hdr.ramdisk_image, 64 * MiB - 3 * 4096);
	guest_read(&f, p.hdr.ramdisk_image + 9999, &byte, 1);
	cr_assert_eq(byte, 'i');
	guest_read(&f, p.hdr.ramdisk_image + 10000, &byte, 1);
	cr_assert_eq(byte, 0);
}

Test(loader_bzimage, initrd_stays_below_the_limit_of_the_kernel)
{
	image.header.initrd_addr_max = 0x027fffff;
	add_initrd(4096);
	cr_assert_eq(load(), 0);
	cr_assert_eq(zero_page().hdr.ramdisk_image, 0x02800000 - 4096);
}

Test(loader_bzimage, initrd_may_take_all_that_the_kernel_leaves_and_no_byte_more)
{
	uint64_t room = 64 * MiB - (16 + 4) * MiB;

	add_initrd(room);
	cr_assert_eq(load(), 0);
	cr_assert_eq(zero_page().hdr.ramdisk_image, 20 * MiB);
	cr_assert_eq(ftruncate(f.spec.initrd_fd, (off_t)room + 1), 0);
	refused_with("initrd initrd.img has 45 MiB, but only 44 MiB are left beside the kernel: "
		     "give the guest more boot memory");
}

Test(loader_bzimage, initrd_larger_than_memory_is_refused)
{
	add_initrd(1);
	cr_assert_eq(ftruncate(f.spec.initrd_fd, (off_t)(100 * GiB)), 0);
	refused_with("initrd initrd.img has 102400 MiB, but only 44 MiB are left");
}

Test(loader_bzimage, empty_initrd_is_refused)
{
	add_initrd(0);
	refused_with("initrd initrd.img is empty");
}

Test(loader_bzimage, initrd_that_cannot_be_read_is_refused)
{
	f.spec.initrd_fd = open("/", O_RDONLY | O_CLOEXEC);
	refused_with("initrd initrd.img is not a regular file");
}

Test(loader_bzimage, command_line_may_be_as_long_as_the_kernel_says_and_no_longer)
{
	char text[101];

	memset(text, 'x', 100);
	text[100] = '\0';
	f.spec.cmdline = text;
	image.header.cmdline_size = 100;
	cr_assert_eq(load(), 0);
	image.header.cmdline_size = 99;
	close(f.spec.kernel_fd);
	f.spec.kernel_fd = -1;
	refused_with("the kernel command line has 100 bytes, this kernel takes 99: shorten it");
}

Test(loader_bzimage, kernel_larger_than_memory_is_refused)
{
	image.header.init_size = 48 * MiB + 1;
	refused_with("kernel vmlinuz needs memory up to 65 MiB, but boot memory below 3 GiB ends at "
		     "64 MiB: give it more boot memory");
}

Test(loader_bzimage, kernel_that_just_fits_is_loaded)
{
	image.header.init_size = 48 * MiB;
	cr_assert_eq(load(), 0, "%s", fixture_log());
}

Test(loader_bzimage, boot_memory_below_2_mib_is_refused)
{
	f.spec.boot_bytes = 1 * MiB;
	refused_with("boot memory of 1048576 bytes is too small");
}

Test(loader_bzimage, kernel_below_1_mib_is_refused)
{
	image.header.relocatable_kernel = 0;
	image.header.pref_address = 0x90000;
	refused_with("kernel vmlinuz wants 0x400000 bytes at 0x90000: the first MiB is reserved");
}

Test(loader_bzimage, preferred_address_at_the_end_of_the_address_space_is_refused)
{
	image.header.pref_address = UINT64_MAX - 4096;
	refused_with("corrupt setup header (alignment 0x200000, address 0xffffffffffffefff)");
}

Test(loader_bzimage, fixed_address_at_the_end_of_the_address_space_is_refused)
{
	image.header.relocatable_kernel = 0;
	image.header.pref_address = UINT64_MAX - 4096;
	refused_with("the first MiB is reserved");
}

Test(loader_bzimage, alignment_that_is_no_power_of_two_is_refused)
{
	image.header.kernel_alignment = 3 * MiB;
	refused_with("corrupt setup header (alignment 0x300000");
}

Test(loader_bzimage, image_cut_in_its_code_is_truncated)
{
	f.spec.kernel_fd = memory_file(&image, sizeof(image) - 1);
	refused_with("kernel vmlinuz is truncated: it has 10239 bytes, its headers want 10240; "
		     "copy or build it again");
}

Test(loader_bzimage, image_cut_in_its_header_is_truncated)
{
	f.spec.kernel_fd = memory_file(&image, 0x28f);
	refused_with("kernel vmlinuz is truncated");
}

Test(loader_bzimage, image_cut_anywhere_is_refused)
{
	f.spec.kernel_fd = memory_file(&image, sizeof(image));
	for (off_t bytes = sizeof(image) - 1; bytes >= 0; bytes -= bytes > 0x300 ? 97 : 1) {
		cr_assert_eq(ftruncate(f.spec.kernel_fd, bytes), 0);
		cr_assert_eq(fixture_load(&f), -EINVAL, "%lld bytes", (long long)bytes);
		cr_assert(fixture_logged("vmlinuz"), "logged: %s", fixture_log());
	}
}

Test(loader_bzimage, old_boot_protocol_is_refused)
{
	image.header.version = 0x020b;
	refused_with("kernel vmlinuz speaks boot protocol 2.11, needed is 2.12 or later");
}

Test(loader_bzimage, kernel_without_64_bit_entry_is_refused)
{
	image.header.xloadflags = 0;
	refused_with("kernel vmlinuz has no 64-bit entry: use a 64-bit kernel");
}

Test(loader_bzimage, zimage_is_refused)
{
	image.header.loadflags = 0;
	refused_with("corrupt setup header");
}

Test(loader_bzimage, header_of_impossible_length_is_refused)
{
	image.header.jump = 0x10eb;
	refused_with("corrupt setup header");
}

Test(loader_bzimage, header_that_reaches_into_the_edd_area_is_refused)
{
	image.header.jump = 0xffeb;
	refused_with("corrupt setup header");
}

Test(loader_bzimage, kernel_without_code_is_refused)
{
	image.header.syssize = 0;
	refused_with("corrupt setup header");
}

Test(loader_bzimage, kernel_that_ends_before_its_entry_is_refused)
{
	image.header.syssize = 0x200 / 16;
	refused_with("too small for a 64-bit entry");
}

Test(loader_bzimage, file_that_is_no_kernel_is_refused)
{
	image.header.header = 0;
	refused_with("vmlinuz is not a kernel: give a Linux bzImage or a 64-bit ELF file");
}

Test(loader_bzimage, one_byte_is_no_kernel)
{
	f.spec.kernel_fd = memory_file("x", 1);
	refused_with("vmlinuz is not a kernel");
}

Test(loader_bzimage, empty_file_is_refused)
{
	f.spec.kernel_fd = memory_file("", 0);
	refused_with("kernel vmlinuz is empty");
}

Test(loader_bzimage, directory_is_refused)
{
	f.spec.kernel_fd = open("/", O_RDONLY | O_CLOEXEC);
	refused_with("kernel vmlinuz is not a regular file");
}

Test(loader_bzimage, file_that_cannot_be_read_is_refused)
{
	auto_close int fd = memory_file(&image, sizeof(image));
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	f.spec.kernel_fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(load(), -EBADF);
	cr_assert(fixture_logged("read kernel vmlinuz: Bad file descriptor"), "%s", fixture_log());
}

Test(loader_bzimage, closed_descriptor_is_refused)
{
	f.spec.kernel_fd = 1000;
	cr_assert_eq(load(), -EBADF);
	cr_assert(fixture_logged("kernel vmlinuz: Bad file descriptor"), "%s", fixture_log());
	f.spec.kernel_fd = -1;
}

/* Whatever the header says: an error in one line, or an entry in code that really is there. */
Test(loader_bzimage, no_changed_byte_of_the_header_does_harm, .timeout = 240)
{
	static const unsigned char masks[] = { 0x01, 0x02, 0x04, 0x08, 0x10,
					       0x20, 0x40, 0x80, 0xff };
	unsigned int nr_loaded = 0, nr_refused = 0;

	f.spec.kernel_fd = memory_file(&image, sizeof(image));
	add_initrd(4096);
	for (unsigned int at = 0x1f0; at < 0x290; at++) {
		for (unsigned int m = 0; m < sizeof(masks); m++) {
			unsigned char byte = image.setup[at] ^ masks[m];

			cr_assert_eq(pwrite(f.spec.kernel_fd, &byte, 1, at), 1);
			if (fixture_load(&f)) {
				cr_assert(fixture_logged("vmlinuz") || fixture_logged("initrd.img"),
					  "byte %#x: %s", at, fixture_log());
				nr_refused++;
				continue;
			}
			cr_assert_geq(f.entry.rip, 1 * MiB + 0x200);
			cr_assert_lt(f.entry.rip, 64 * MiB);
			cr_assert_neq(guest_u64(&f, f.entry.rip), 0);
			nr_loaded++;
		}
		cr_assert_eq(pwrite(f.spec.kernel_fd, &image.setup[at], 1, at), 1);
	}
	cr_assert_gt(nr_loaded, 100);
	cr_assert_gt(nr_refused, 100);
}

static void stock_bzimage_is_loaded(const char *flavour)
{
	struct boot_params p;
	struct setup_header h;
	unsigned char want[4096], got[4096];
	uint64_t code_at, code_bytes;
	struct stat st;

	fixture_destroy(&f);
	fixture_init(&f, 512 * MiB);
	f.spec.kernel_fd = stock_kernel(flavour, "bzImage");
	f.spec.cmdline = "console=ttyS0";
	add_initrd(1 * MiB);
	cr_assert_eq(load(), 0, "%s", fixture_log());
	p = zero_page();
	cr_assert_eq(pread(f.spec.kernel_fd, &h, sizeof(h), HEADER_AT), (ssize_t)sizeof(h));
	cr_assert_eq(p.hdr.init_size, h.init_size);
	cr_assert_eq(p.hdr.kernel_info_offset, h.kernel_info_offset);
	cr_assert_eq(f.entry.rip, h.pref_address + 0x200);
	cr_assert_eq(p.hdr.ramdisk_size, 1 * MiB);

	/* First and last page of the code. */
	code_at = (h.setup_sects + 1u) * 512;
	code_bytes = h.syssize * UINT64_C(16);
	cr_assert_eq(fstat(f.spec.kernel_fd, &st), 0);
	cr_assert_geq((uint64_t)st.st_size, code_at + code_bytes);
	for (uint64_t at = 0; at + sizeof(want) <= code_bytes; at += code_bytes - sizeof(want)) {
		cr_assert_eq(pread(f.spec.kernel_fd, want, sizeof(want), (off_t)(code_at + at)),
			     (ssize_t)sizeof(want));
		guest_read(&f, h.pref_address + at, got, sizeof(got));
		cr_assert_arr_eq(got, want, sizeof(want));
	}
}

Test(loader_bzimage, stock_cloud_kernel_is_loaded, .timeout = 240)
{
	stock_bzimage_is_loaded("cloud");
}

Test(loader_bzimage, stock_full_kernel_is_loaded, .timeout = 240)
{
	stock_bzimage_is_loaded("full");
}

Test(loader_bzimage, stock_kernel_in_too_little_memory_is_refused)
{
	f.spec.kernel_fd = stock_kernel("cloud", "bzImage");
	refused_with("give it more boot memory");
}
