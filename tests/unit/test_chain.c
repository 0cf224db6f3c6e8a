/* SPDX-License-Identifier: Apache-2.0 */
/* test_chain.c - a request is a string of bytes, whatever its segments. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/fake_driver.h"
#include "virtio/chain.h"

#define BLOCK (2 * MiB)

static struct fake_memory mem;
static struct chain c;

static void setup(void)
{
	fake_memory_init(&mem, 4 * MiB, 4 * BLOCK, BLOCK);
	chain_init(&c, &mem.gm, 0);
}

static void teardown(void) { fake_memory_destroy(&mem); }

TestSuite(chain, .init = setup, .fini = teardown);

static void add(uint64_t at, uint32_t bytes, bool writable)
{
	cr_assert_eq(chain_add(&c, GPA(at), bytes, writable), 0);
}

Test(chain, empty_chain_has_nothing_to_read_or_fill)
{
	uint8_t byte = 0;

	cr_assert_eq(chain_readable(&c), 0);
	cr_assert_eq(chain_writable(&c), 0);
	cr_assert_eq(chain_read(&c, &byte, 1), -EPROTO);
	cr_assert_eq(chain_write(&c, &byte, 1), -EPROTO);
	cr_assert_eq(chain_read(&c, &byte, 0), 0);
	cr_assert_eq(chain_write(&c, &byte, 0), 0);
	cr_assert(chain_writable_valid(&c));
}

Test(chain, any_split_of_a_request_reads_the_same)
{
	const char text[] = "0123456789abcdefghijklm";
	const uint32_t bytes = sizeof(text);

	for (uint32_t cut = 1; cut < bytes; cut++) {
		char out[sizeof(text)] = "";

		/* Apart from each other and in reverse order in memory. */
		fake_write(&mem, GPA(0x2000), text, cut);
		fake_write(&mem, GPA(0x1000), text + cut, bytes - cut);
		chain_init(&c, &mem.gm, 0);
		add(0x2000, cut, false);
		add(0x1000, bytes - cut, false);
		cr_assert_eq(chain_readable(&c), bytes);
		for (uint32_t done = 0; done < bytes;) {
			uint32_t piece = (uint32_t)min_u64(5, bytes - done);

			cr_assert_eq(chain_read(&c, out + done, piece), 0);
			done += piece;
			cr_assert_eq(chain_readable(&c), bytes - done);
		}
		cr_assert_str_eq(out, text);
	}
}

Test(chain, an_answer_fills_segments_in_order_and_counts)
{
	const char text[] = "0123456789";
	char first[4], second[7];

	add(0x1000, 3, false);
	add(0x2000, 4, true);
	add(0x3000, 100, true);
	cr_assert_eq(chain_writable(&c), 104);
	cr_assert_eq(chain_write(&c, text, 2), 0);
	cr_assert_eq(chain_write(&c, text + 2, 9), 0);
	cr_assert_eq(c.written, 11);
	cr_assert_eq(chain_writable(&c), 93);
	fake_read(&mem, GPA(0x2000), first, sizeof(first));
	fake_read(&mem, GPA(0x3000), second, sizeof(second));
	cr_assert_arr_eq(first, "0123", 4);
	cr_assert_arr_eq(second, "456789", 7);
}

Test(chain, reading_never_reaches_the_devices_part)
{
	uint8_t data[8];

	add(0x1000, 4, false);
	add(0x2000, 4, true);
	cr_assert_eq(chain_read(&c, data, 5), -EPROTO);
	cr_assert_eq(chain_read(&c, data, 4), 0);
	cr_assert_eq(chain_read(&c, data, 1), -EPROTO);
}

Test(chain, short_read_leaves_the_cursor_where_it_was)
{
	uint8_t data[16] = { 0 };

	fake_write(&mem, GPA(0x1000), "abcd", 4);
	add(0x1000, 4, false);
	cr_assert_eq(chain_read(&c, data, 5), -EPROTO);
	cr_assert_eq(chain_read(&c, data, 4), 0);
	cr_assert_arr_eq(data, "abcd", 4);
}

Test(chain, missing_memory_refuses_the_whole_read)
{
	uint8_t data[16];

	add(0x1000, 4, false);
	add(16 * MiB, 4, false);
	cr_assert_eq(chain_read(&c, data, 8), -EFAULT);
	cr_assert_eq(chain_readable(&c), 8);
	cr_assert_eq(chain_read(&c, data, 4), 0, "the first segment can still be read");
	cr_assert_eq(chain_read(&c, data, 1), -EFAULT);
}

Test(chain, missing_memory_refuses_the_whole_write)
{
	uint8_t data[4] = { 0 };

	fake_write(&mem, GPA(0x1000), "keep", 4);
	add(0x1000, 4, true);
	add(16 * MiB, 4, true);
	cr_assert_not(chain_writable_valid(&c));
	cr_assert_eq(chain_write(&c, "overwrite", 8), -EFAULT);
	cr_assert_eq(c.written, 0);
	cr_assert_eq(chain_writable(&c), 8);
	fake_read(&mem, GPA(0x1000), data, 4);
	cr_assert_arr_eq(data, "keep", 4);
}

Test(chain, writable_part_is_valid_only_while_its_blocks_are_plugged)
{
	blocks_set(&mem.elastic.blocks, 0, 2, BLOCK_PLUGGED);
	add(FAKE_ELASTIC_BASE + BLOCK - 8, 16, true);
	cr_assert(chain_writable_valid(&c), "two plugged blocks of one region");
	cr_assert_eq(chain_write(&c, "12345678", 8), 0);
	blocks_set(&mem.elastic.blocks, 0, 1, BLOCK_UNPLUGGED);
	cr_assert(chain_writable_valid(&c), "only what is left to fill counts");
	blocks_set(&mem.elastic.blocks, 1, 1, BLOCK_CLOSING);
	cr_assert_not(chain_writable_valid(&c));
	cr_assert_eq(chain_write(&c, "12345678", 8), -EFAULT);
}

Test(chain, readable_after_writable_is_refused)
{
	add(0x1000, 1, true);
	cr_assert_eq(chain_add(&c, GPA(0x2000), 1, false), -EPROTO);
}

Test(chain, empty_segments_are_left_out)
{
	uint8_t data[4];

	fake_write(&mem, GPA(0x1000), "ab", 2);
	fake_write(&mem, GPA(0x2000), "cd", 2);
	add(UINT64_MAX, 0, false);
	add(0x1000, 2, false);
	add(0, 0, false);
	add(0x2000, 2, false);
	add(0, 0, true);
	cr_assert_eq(c.nr_segments, 2);
	cr_assert_eq(chain_read(&c, data, 4), 0);
	cr_assert_arr_eq(data, "abcd", 4);
}

Test(chain, segment_may_end_at_the_last_address_but_not_wrap)
{
	add(UINT64_MAX, 1, false);
	add(UINT64_MAX - 99, 100, false);
	cr_assert_eq(chain_add(&c, GPA(UINT64_MAX - 99), 101, false), -EPROTO);
	cr_assert_eq(chain_add(&c, GPA(UINT64_MAX), 2, false), -EPROTO);
}

Test(chain, more_segments_than_it_holds_are_refused)
{
	for (int i = 0; i < CHAIN_MAX_SEGMENTS; i++)
		add(0x1000, 1, i >= 100);
	cr_assert_eq(chain_add(&c, GPA(0x1000), 1, true), -EPROTO);
	cr_assert_eq(chain_readable(&c), 100);
	cr_assert_eq(chain_writable(&c), CHAIN_MAX_SEGMENTS - 100);
}

Test(chain, full_chain_can_be_read_to_its_end)
{
	uint8_t data[CHAIN_MAX_SEGMENTS];

	for (int i = 0; i < CHAIN_MAX_SEGMENTS; i++)
		add(0x1000 + (uint64_t)i, 1, false);
	cr_assert_eq(chain_read(&c, data, sizeof(data)), 0);
	cr_assert_eq(chain_readable(&c), 0);
	cr_assert_eq(chain_read(&c, data, 1), -EPROTO);
}

Test(chain, total_length_is_what_a_used_length_can_tell)
{
	add(0, UINT32_MAX - 10, false);
	add(0, 10, true);
	cr_assert_eq(chain_add(&c, GPA(0), 1, true), -EPROTO);
	cr_assert_eq(chain_readable(&c), UINT32_MAX - 10);
	cr_assert_eq(chain_writable(&c), 10);
}

Test(chain, all_of_a_chain_is_pinned_until_it_is_unpinned)
{
	const struct blocks *b = &mem.elastic.blocks;
	uint8_t data[4];

	blocks_set(&mem.elastic.blocks, 0, 3, BLOCK_PLUGGED);
	add(0x1000, 4, false);
	add(FAKE_ELASTIC_BASE, 4, false);
	add(FAKE_ELASTIC_BASE + 3 * BLOCK - 4, 4, true);
	add(FAKE_ELASTIC_BASE + 8, 4, true);
	cr_assert_eq(chain_pin(&c), 0);
	cr_expect(b->pins[0] == 2 && !b->pins[1] && b->pins[2] == 1);
	/* What was taken meanwhile makes no difference. */
	cr_assert_eq(chain_read(&c, data, 4), 0);
	cr_assert_eq(chain_write(&c, data, 4), 0);
	chain_unpin(&c);
	cr_expect_not(blocks_any_pinned(b, 0, 4));
}

Test(chain, nothing_is_pinned_when_some_of_a_chain_does_not_exist)
{
	blocks_set(&mem.elastic.blocks, 0, 3, BLOCK_PLUGGED);
	add(FAKE_ELASTIC_BASE, 4, false);
	add(FAKE_ELASTIC_BASE + BLOCK, 2 * BLOCK, true);
	add(FAKE_ELASTIC_BASE + 3 * BLOCK, 4, true);
	cr_expect_eq(chain_pin(&c), -EFAULT);
	cr_expect_not(blocks_any_pinned(&mem.elastic.blocks, 0, 4));
	blocks_set(&mem.elastic.blocks, 3, 1, BLOCK_PLUGGED);
	cr_expect_eq(chain_pin(&c), 0);
	chain_unpin(&c);
	cr_expect_not(blocks_any_pinned(&mem.elastic.blocks, 0, 4));
}

Test(chain, empty_chain_pins_nothing)
{
	cr_expect_eq(chain_pin(&c), 0);
	chain_unpin(&c);
	cr_expect_not(blocks_any_pinned(&mem.elastic.blocks, 0, 4));
}
