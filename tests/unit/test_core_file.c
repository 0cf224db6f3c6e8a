/* SPDX-License-Identifier: Apache-2.0 */
/* test_core_file.c - the head of a core file says where everything is; nothing unplugged is there. */
#include <criterion/criterion.h>
#include <elf.h>
#include <string.h>

#include "vmm/dump/core_file.h"

#define BLOCK (2 * MiB)
#define LOW_BYTES (4 * MiB)
#define HIGH (64 * MiB)
#define ELASTIC (4 * GiB)
#define NR_BLOCKS 8

static struct ram low, high, elastic;
static struct blocks blocks;
static struct guest_mem gm;
static struct core_file core;

static void setup(void)
{
	gm = (struct guest_mem){ .nr_regions = 0 };
	cr_assert_eq(ram_create(&low, "low", LOW_BYTES), 0);
	cr_assert_eq(ram_create(&high, "high", BLOCK), 0);
	cr_assert_eq(ram_create(&elastic, "elastic", NR_BLOCKS * BLOCK), 0);
	cr_assert_eq(blocks_init(&blocks, BLOCK, NR_BLOCKS), 0);
	/* Runs come by address, in whatever order the regions were added. */
	cr_assert_eq(gm_add(&gm, GPA(ELASTIC), NR_BLOCKS * BLOCK, &elastic, 0, &blocks), 0);
	cr_assert_eq(gm_add(&gm, GPA(HIGH), BLOCK, &high, 0, NULL), 0);
	cr_assert_eq(gm_add(&gm, GPA(0), LOW_BYTES, &low, 0, NULL), 0);
}

static void teardown(void)
{
	core_file_free(&core);
	ram_destroy(&low);
	ram_destroy(&high);
	ram_destroy(&elastic);
	blocks_destroy(&blocks);
}

TestSuite(core_file, .init = setup, .fini = teardown);

static const Elf64_Ehdr *elf(void) { return core.head; }
static const Elf64_Phdr *segment(unsigned int i)
{
	return (const Elf64_Phdr *)(const void *)((const char *)core.head + elf()->e_phoff) + i;
}

static void expect_load(unsigned int i, uint64_t base, uint64_t bytes, uint64_t offset)
{
	const Elf64_Phdr *p = segment(i);

	cr_expect_eq(p->p_type, PT_LOAD);
	cr_expect_eq(p->p_paddr, base, "%#lx", (unsigned long)p->p_paddr);
	cr_expect_eq(p->p_vaddr, base);
	cr_expect_eq(p->p_filesz, bytes, "%#lx", (unsigned long)p->p_filesz);
	cr_expect_eq(p->p_memsz, bytes);
	cr_expect_eq(p->p_offset, offset, "%#lx", (unsigned long)p->p_offset);
	cr_expect(is_aligned(p->p_offset, 4096));
}

Test(core_file, head_has_one_segment_for_each_run_of_plugged_blocks)
{
	static const char notes[] = "some notes";
	uint64_t at;

	blocks_set(&blocks, 1, 2, BLOCK_PLUGGED);
	blocks_set(&blocks, 3, 1, BLOCK_CLOSING);
	blocks_set(&blocks, 7, 1, BLOCK_PLUGGED);
	cr_assert_eq(core_file_new(&core, &gm, EM_X86_64, notes, sizeof(notes)), 0);
	cr_expect_eq(memcmp(elf()->e_ident, ELFMAG "\2\1\1", 7), 0);
	cr_expect_eq(elf()->e_type, ET_CORE);
	cr_expect_eq(elf()->e_machine, EM_X86_64);
	cr_expect_eq(elf()->e_phnum, 5);
	cr_expect_eq(elf()->e_shnum, 0);
	cr_expect_eq(segment(0)->p_type, PT_NOTE);
	cr_expect_eq(segment(0)->p_filesz, sizeof(notes));
	cr_expect_str_eq((char *)core.head + segment(0)->p_offset, notes);
	at = core.head_bytes;
	expect_load(1, 0, LOW_BYTES, at);
	expect_load(2, HIGH, BLOCK, at += LOW_BYTES);
	expect_load(3, ELASTIC + BLOCK, 2 * BLOCK, at += BLOCK);
	expect_load(4, ELASTIC + 7 * BLOCK, BLOCK, at += 2 * BLOCK);
	cr_expect_eq(core.bytes, at + BLOCK);
	cr_expect_eq(core.nr_runs, 4);
	cr_expect_eq(core.runs[2].base.v, ELASTIC + BLOCK);
}

Test(core_file, without_plugged_blocks_or_notes_boot_memory_is_all)
{
	cr_assert_eq(core_file_new(&core, &gm, EM_AARCH64, NULL, 0), 0);
	cr_expect_eq(elf()->e_phnum, 3);
	cr_expect_eq(segment(0)->p_filesz, 0);
	cr_expect_eq(core.bytes, core.head_bytes + LOW_BYTES + BLOCK);
}

Test(core_file, more_segments_than_the_header_can_count_stand_in_a_section_header)
{
	struct guest_mem many = { .nr_regions = 0 };
	const uint32_t nr = 2 * 70000;
	const Elf64_Shdr *section;
	struct blocks alternating;
	struct ram ram;

	/* Sparse: neither the region nor the core takes memory of that size. */
	cr_assert_eq(ram_create(&ram, "many", nr * BLOCK), 0);
	cr_assert_eq(blocks_init(&alternating, BLOCK, nr), 0);
	cr_assert_eq(gm_add(&many, GPA(ELASTIC), nr * BLOCK, &ram, 0, &alternating), 0);
	for (uint32_t i = 0; i < nr; i += 2)
		blocks_set(&alternating, i, 1, BLOCK_PLUGGED);
	cr_assert_eq(core_file_new(&core, &many, EM_X86_64, "n", 2), 0);
	cr_expect_eq(core.nr_runs, 70000);
	cr_expect_eq(elf()->e_phnum, PN_XNUM);
	cr_assert_eq(elf()->e_shnum, 1);
	cr_assert_eq(elf()->e_shentsize, sizeof(*section));
	section = (const void *)((const char *)core.head + elf()->e_shoff);
	cr_expect_eq(section->sh_info, 70001);
	cr_expect_eq(segment(70000)->p_paddr, ELASTIC + (nr - 2) * BLOCK);
	cr_expect_str_eq((char *)core.head + segment(0)->p_offset, "n");
	cr_expect_geq(segment(0)->p_offset, elf()->e_shoff + sizeof(*section));
	blocks_destroy(&alternating);
	ram_destroy(&ram);
}
