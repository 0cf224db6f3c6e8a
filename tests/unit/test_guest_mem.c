/* SPDX-License-Identifier: Apache-2.0 */
/* test_guest_mem.c - guest memory is reached as a whole or not at all. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/memory/guest_mem.h"

#define BLOCK (2 * MiB)
#define LOW_BYTES (4 * MiB)
/* A region right after the boot memory, a hole, and an elastic region of four blocks. */
#define SECOND (LOW_BYTES)
#define HOLE (LOW_BYTES + 2 * MiB)
#define ELASTIC (64 * MiB)

static struct ram low, second, elastic;
static struct blocks blocks;
static struct guest_mem gm;

static void setup(void)
{
	gm = (struct guest_mem){ .nr_regions = 0 };
	cr_assert_eq(ram_create(&low, "low", LOW_BYTES), 0);
	cr_assert_eq(ram_create(&second, "second", 4 * MiB), 0);
	cr_assert_eq(ram_create(&elastic, "elastic", 4 * BLOCK), 0);
	cr_assert_eq(blocks_init(&blocks, BLOCK, 4), 0);
	cr_assert_eq(gm_add(&gm, GPA(0), LOW_BYTES, &low, 0, NULL), 0);
	/* Only its second half is shown to the guest. */
	cr_assert_eq(gm_add(&gm, GPA(SECOND), 2 * MiB, &second, 2 * MiB, NULL), 0);
	cr_assert_eq(gm_add(&gm, GPA(ELASTIC), 4 * BLOCK, &elastic, 0, &blocks), 0);
}

static void teardown(void)
{
	ram_destroy(&low);
	ram_destroy(&second);
	ram_destroy(&elastic);
	blocks_destroy(&blocks);
}

TestSuite(guest_mem, .init = setup, .fini = teardown);

/* Every door says the same about a range of at least two bytes. */
static void assert_doors(uint64_t at, size_t bytes, int want)
{
	static char buffer[8 * MiB];

	cr_assert_leq(bytes, sizeof(buffer));
	cr_assert_eq(gm_read(&gm, GPA(at), buffer, bytes), want, "read %#lx", (unsigned long)at);
	cr_assert_eq(gm_write(&gm, GPA(at), buffer, bytes), want, "write %#lx", (unsigned long)at);
	cr_assert_eq(gm_zero(&gm, GPA(at), bytes), want, "zero %#lx", (unsigned long)at);
	cr_assert_eq(gm_valid(&gm, GPA(at), bytes), !want, "valid %#lx", (unsigned long)at);
}

Test(guest_mem, what_is_written_is_read)
{
	const uint64_t at[] = { 0, 1, 4095, LOW_BYTES - 8, SECOND, HOLE - 8 };
	uint64_t value = 0x0123456789abcdef, back;

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		cr_assert_eq(gm_write_obj(&gm, GPA(at[i]), &value), 0);
		cr_assert_eq(gm_read_obj(&gm, GPA(at[i]), &back), 0);
		cr_assert_eq(back, value);
	}
	cr_assert_eq(gm_zero(&gm, GPA(HOLE - 8), 8), 0);
	cr_assert_eq(gm_read_obj(&gm, GPA(HOLE - 8), &back), 0);
	cr_assert_eq(back, 0);
}

Test(guest_mem, region_may_show_a_part_of_its_ram)
{
	char text[4] = "";

	cr_assert_eq(gm_write(&gm, GPA(SECOND), "abc", 4), 0);
	cr_assert_eq(pread(second.fd, text, 4, 2 * MiB), 4);
	cr_assert_str_eq(text, "abc");
}

Test(guest_mem, access_ends_with_its_region)
{
	assert_doors(0, LOW_BYTES, 0);
	assert_doors(0, LOW_BYTES + 1, -EFAULT);
	assert_doors(LOW_BYTES - 4, 4, 0);
	assert_doors(LOW_BYTES - 4, 8, -EFAULT);
	assert_doors(HOLE - 1, 2, -EFAULT);
	assert_doors(HOLE, 2, -EFAULT);
	assert_doors(ELASTIC - 2, 2, -EFAULT);
}

Test(guest_mem, addresses_that_wrap_are_refused)
{
	assert_doors(UINT64_MAX, 2, -EFAULT);
	assert_doors(UINT64_MAX - 7, 8, -EFAULT);
	cr_assert_not(gm_valid(&gm, GPA(8), UINT64_MAX));
	cr_assert_not(gm_valid(&gm, GPA(8), UINT64_MAX - 7));
	cr_assert_not(gm_valid(&gm, GPA(UINT64_MAX), UINT64_MAX));
}

Test(guest_mem, unplugged_blocks_do_not_exist)
{
	uint64_t resident;

	assert_doors(ELASTIC, 8, -EFAULT);
	blocks_set(&blocks, 1, 2, BLOCK_PLUGGED);
	assert_doors(ELASTIC + BLOCK - 1, 2, -EFAULT);
	assert_doors(ELASTIC + 3 * BLOCK - 1, 2, -EFAULT);
	assert_doors(ELASTIC, 4 * BLOCK, -EFAULT);
	cr_assert_eq(ram_resident(&elastic, &resident), 0);
	cr_assert_eq(resident, 0, "a refused access brings no page");
	assert_doors(ELASTIC + BLOCK, 2 * BLOCK, 0);
	assert_doors(ELASTIC + 2 * BLOCK - 1, 2, 0);
}

Test(guest_mem, closing_blocks_do_not_exist_either)
{
	blocks_set(&blocks, 0, 4, BLOCK_PLUGGED);
	blocks_set(&blocks, 2, 1, BLOCK_CLOSING);
	assert_doors(ELASTIC + 2 * BLOCK, 8, -EFAULT);
	assert_doors(ELASTIC + 2 * BLOCK - 4, 8, -EFAULT);
	assert_doors(ELASTIC, 2 * BLOCK, 0);
}

Test(guest_mem, refused_write_leaves_all_bytes_as_they_were)
{
	char text[8] = "";

	cr_assert_eq(gm_write(&gm, GPA(LOW_BYTES - 4), "keep", 4), 0);
	cr_assert_eq(gm_write(&gm, GPA(LOW_BYTES - 4), "overwrite", 8), -EFAULT);
	cr_assert_eq(gm_zero(&gm, GPA(LOW_BYTES - 4), 8), -EFAULT);
	cr_assert_eq(gm_read(&gm, GPA(LOW_BYTES - 4), text, 4), 0);
	cr_assert_str_eq(text, "keep");
}

Test(guest_mem, words_are_little_endian_and_aligned)
{
	const uint8_t bytes[] = { 0x34, 0x12 };
	uint16_t value = 0;
	uint8_t back[2];

	cr_assert_eq(gm_write(&gm, GPA(0x1000), bytes, 2), 0);
	cr_assert_eq(gm_load_le16(&gm, GPA(0x1000), &value), 0);
	cr_assert_eq(value, 0x1234);
	cr_assert_eq(gm_store_le16(&gm, GPA(0x1000), 0xabcd), 0);
	cr_assert_eq(gm_read(&gm, GPA(0x1000), back, 2), 0);
	cr_assert(back[0] == 0xcd && back[1] == 0xab);
	cr_assert_eq(gm_load_le16(&gm, GPA(0x1001), &value), -EFAULT);
	cr_assert_eq(gm_store_le16(&gm, GPA(0x1001), 0), -EFAULT);
	cr_assert_eq(gm_load_le16(&gm, GPA(HOLE), &value), -EFAULT);
	cr_assert_eq(gm_store_le16(&gm, GPA(UINT64_MAX - 1), 0), -EFAULT);
	cr_assert_eq(gm_store_le16(&gm, GPA(HOLE - 2), 0), 0);
}

Test(guest_mem, overlapping_regions_are_refused)
{
	cr_assert_eq(gm_add(&gm, GPA(0), 2 * MiB, &second, 0, NULL), -EEXIST);
	cr_assert_eq(gm_add(&gm, GPA(HOLE - 1), 2, &second, 0, NULL), -EEXIST);
	cr_assert_eq(gm_add(&gm, GPA(ELASTIC - 1), 2, &second, 0, NULL), -EEXIST);
	cr_assert_eq(gm_add(&gm, GPA(LOW_BYTES / 2), 8, &second, 0, NULL), -EEXIST);
	cr_assert_eq(gm_add(&gm, GPA(HOLE), ELASTIC - HOLE > 2 * MiB ? 2 * MiB : 1, &second, 0,
			    NULL),
		     0);
}

Test(guest_mem, table_of_regions_has_an_end)
{
	unsigned int nr = gm.nr_regions;

	for (; nr < GM_MAX_REGIONS; nr++)
		cr_assert_eq(gm_add(&gm, GPA(1 * GiB + nr * MiB), MiB, &low, 0, NULL), 0);
	cr_assert_eq(gm_add(&gm, GPA(2 * GiB), MiB, &low, 0, NULL), -ENOSPC);
	cr_assert_eq(gm.nr_regions, GM_MAX_REGIONS);
}

Test(guest_mem, region_may_end_at_the_last_address)
{
	uint64_t value = 1;

	cr_assert_eq(gm_add(&gm, GPA(UINT64_MAX - MiB + 1), MiB, &second, 0, NULL), 0);
	cr_assert_eq(gm_write_obj(&gm, GPA(UINT64_MAX - 7), &value), 0);
	cr_assert_eq(gm_write_obj(&gm, GPA(UINT64_MAX - 6), &value), -EFAULT);
}

Test(guest_mem, file_fills_memory)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	char text[6] = "";

	cr_assert_eq(pwrite(fd, "0123456789", 10, 0), 10);
	cr_assert_eq(gm_read_file(&gm, GPA(0x1000), fd, 4, 5), 0);
	cr_assert_eq(gm_read(&gm, GPA(0x1000), text, 5), 0);
	cr_assert_str_eq(text, "45678");
	cr_assert_eq(gm_read_file(&gm, GPA(0x1000), fd, 4, 7), -ENODATA);
	cr_assert_eq(gm_read_file(&gm, GPA(0x1000), fd, 11, 1), -ENODATA);
	cr_assert_eq(gm_read_file(&gm, GPA(HOLE - 4), fd, 0, 8), -EFAULT);
	cr_assert_eq(gm_read_file(&gm, GPA(ELASTIC), fd, 0, 8), -EFAULT);
	cr_assert_eq(gm_read_file(&gm, GPA(0x1000), -1, 0, 8), -EBADF);
	close(fd);
}

Test(guest_mem, pins_are_on_all_blocks_of_a_range_or_on_none)
{
	blocks_set(&blocks, 0, 2, BLOCK_PLUGGED);
	cr_assert_eq(gm_pin(&gm, GPA(ELASTIC + BLOCK - 1), 2), 0);
	cr_expect(blocks.pins[0] == 1 && blocks.pins[1] == 1);
	cr_expect_eq(gm_pin(&gm, GPA(ELASTIC + 2 * BLOCK - 1), 2), -EFAULT);
	cr_expect_eq(gm_pin(&gm, GPA(ELASTIC + 3 * BLOCK), 1), -EFAULT);
	cr_expect_eq(gm_pin(&gm, GPA(ELASTIC - 1), 2), -EFAULT);
	blocks_set(&blocks, 1, 1, BLOCK_CLOSING);
	cr_expect_eq(gm_pin(&gm, GPA(ELASTIC + BLOCK), 1), -EFAULT);
	cr_expect(blocks.pins[0] == 1 && blocks.pins[1] == 1 && !blocks_any_pinned(&blocks, 2, 2));
	/* Undone whatever the blocks are by then. */
	gm_unpin(&gm, GPA(ELASTIC + BLOCK - 1), 2);
	cr_expect_not(blocks_any_pinned(&blocks, 0, 4));
}

Test(guest_mem, boot_memory_needs_no_pins)
{
	cr_expect_eq(gm_pin(&gm, GPA(LOW_BYTES - 8), 8), 0);
	cr_expect_eq(gm_pin(&gm, GPA(LOW_BYTES - 8), 9), -EFAULT);
	cr_expect_eq(gm_pin(&gm, GPA(HOLE), 1), -EFAULT);
	cr_expect_eq(gm_pin(&gm, GPA(UINT64_MAX), 2), -EFAULT);
	gm_unpin(&gm, GPA(LOW_BYTES - 8), 8);
	cr_expect_not(blocks_any_pinned(&blocks, 0, 4));
}

Test(guest_mem, a_cold_read_brings_no_memory_in_and_obeys_the_blocks)
{
	static char buffer[2 * BLOCK];
	uint64_t resident;

	blocks_set(&blocks, 1, 2, BLOCK_PLUGGED);
	memset(buffer, 'x', sizeof(buffer));
	cr_assert_eq(gm_read_cold(&gm, GPA(ELASTIC + BLOCK), buffer, sizeof(buffer)), 0);
	for (size_t i = 0; i < sizeof(buffer); i++)
		cr_assert_eq(buffer[i], 0);
	cr_assert_eq(ram_resident(&elastic, &resident), 0);
	cr_expect_eq(resident, 0);
	cr_assert_eq(gm_write(&gm, GPA(ELASTIC + 2 * BLOCK + 5), "here", 4), 0);
	cr_assert_eq(gm_read_cold(&gm, GPA(ELASTIC + 2 * BLOCK + 4), buffer, 6), 0);
	cr_expect_eq(memcmp(buffer, "\0here", 6), 0);
	cr_expect_eq(gm_read_cold(&gm, GPA(ELASTIC + BLOCK - 1), buffer, 2), -EFAULT);
	cr_expect_eq(gm_read_cold(&gm, GPA(ELASTIC + 3 * BLOCK - 1), buffer, 2), -EFAULT);
	cr_expect_eq(gm_read_cold(&gm, GPA(HOLE - 1), buffer, 2), -EFAULT);
	cr_expect_eq(gm_read_cold(&gm, GPA(UINT64_MAX - 1), buffer, 8), -EFAULT);
}

static void expect_extent(uint64_t at, uint64_t bytes, uint64_t want, bool want_held)
{
	bool held;

	cr_expect_eq(gm_extent(&gm, GPA(at), bytes, &held), want, "%#lx", (unsigned long)at);
	cr_expect_eq(held, want_held, "%#lx", (unsigned long)at);
}

Test(guest_mem, extents_tell_what_the_host_holds_from_what_it_does_not)
{
	expect_extent(0, LOW_BYTES, LOW_BYTES, false);
	cr_assert_eq(gm_write(&gm, GPA(3 * MiB + 5), "x", 1), 0);
	expect_extent(0, LOW_BYTES, 3 * MiB, false);
	expect_extent(MiB, MiB, MiB, false);
	expect_extent(3 * MiB, MiB, 4096, true);
	expect_extent(3 * MiB + 8, 16, 16, true);
	expect_extent(3 * MiB + 4096, MiB - 4096, MiB - 4096, false);
	/* The region that shows only the second half of its memory. */
	cr_assert_eq(gm_write(&gm, GPA(SECOND + MiB), "x", 1), 0);
	expect_extent(SECOND, 2 * MiB, MiB, false);
	cr_assert_eq(gm_zero(&gm, GPA(SECOND + MiB), MiB), 0);
	expect_extent(SECOND + MiB, MiB, MiB, true);
}

Test(guest_mem, runs_of_what_exists_come_in_order)
{
	gpa_t base;

	cr_expect_eq(gm_next_run(&gm, GPA(0), &base), LOW_BYTES);
	cr_expect_eq(base.v, 0);
	cr_expect_eq(gm_next_run(&gm, GPA(LOW_BYTES - 4096), &base), 4096);
	cr_expect_eq(base.v, LOW_BYTES - 4096);
	cr_expect_eq(gm_next_run(&gm, GPA(LOW_BYTES), &base), 2 * MiB);
	cr_expect_eq(base.v, SECOND);
	cr_expect_eq(gm_next_run(&gm, GPA(HOLE), &base), 0);
	blocks_set(&blocks, 1, 1, BLOCK_PLUGGED);
	blocks_set(&blocks, 3, 1, BLOCK_PLUGGED);
	cr_expect_eq(gm_next_run(&gm, GPA(HOLE), &base), BLOCK);
	cr_expect_eq(base.v, ELASTIC + BLOCK);
	cr_expect_eq(gm_next_run(&gm, GPA(ELASTIC + BLOCK + 4096), &base), BLOCK - 4096);
	cr_expect_eq(base.v, ELASTIC + BLOCK + 4096);
	cr_expect_eq(gm_next_run(&gm, GPA(ELASTIC + 2 * BLOCK), &base), BLOCK);
	cr_expect_eq(base.v, ELASTIC + 3 * BLOCK);
	cr_expect_eq(gm_next_run(&gm, GPA(ELASTIC + 4 * BLOCK), &base), 0);
	cr_expect_eq(gm_next_run(&gm, GPA(UINT64_MAX), &base), 0);
}
