/* SPDX-License-Identifier: Apache-2.0 */
/* test_blocks.c - the map of an elastic region's blocks. */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/memory/blocks.h"

#define BLOCK (2 * MiB)
#define NR    10

static struct blocks b;

static void setup(void) { cr_assert_eq(blocks_init(&b, BLOCK, NR), 0); }
static void teardown(void) { blocks_destroy(&b); }

TestSuite(blocks, .init = setup, .fini = teardown);

Test(blocks, all_start_unplugged)
{
	cr_assert(blocks_all(&b, 0, NR, BLOCK_UNPLUGGED));
	cr_assert_eq(blocks_plugged_bytes(&b), 0);
	cr_assert_not(blocks_bytes_plugged(&b, 0, 1));
}

Test(blocks, setting_a_run_changes_that_run_alone)
{
	blocks_set(&b, 3, 4, BLOCK_PLUGGED);
	for (uint32_t i = 0; i < NR; i++)
		cr_assert_eq(blocks_all(&b, i, 1, BLOCK_PLUGGED), i >= 3 && i < 7, "block %u", i);
	cr_assert(blocks_all(&b, 3, 4, BLOCK_PLUGGED));
	cr_assert_not(blocks_all(&b, 2, 5, BLOCK_PLUGGED));
	cr_assert_not(blocks_all(&b, 3, 5, BLOCK_PLUGGED));
}

Test(blocks, plugged_bytes_count_each_block_once)
{
	blocks_set(&b, 0, 4, BLOCK_PLUGGED);
	blocks_set(&b, 2, 4, BLOCK_PLUGGED);
	cr_assert_eq(blocks_plugged_bytes(&b), 6 * BLOCK);
	blocks_set(&b, 1, 2, BLOCK_CLOSING);
	cr_assert_eq(blocks_plugged_bytes(&b), 4 * BLOCK, "a closing block is not the guest's");
	blocks_set(&b, 1, 2, BLOCK_UNPLUGGED);
	blocks_set(&b, 1, 2, BLOCK_UNPLUGGED);
	cr_assert_eq(blocks_plugged_bytes(&b), 4 * BLOCK);
	blocks_set(&b, 0, NR, BLOCK_UNPLUGGED);
	cr_assert_eq(blocks_plugged_bytes(&b), 0);
}

Test(blocks, bytes_are_plugged_when_each_block_they_touch_is)
{
	blocks_set(&b, 1, 2, BLOCK_PLUGGED);
	cr_assert(blocks_bytes_plugged(&b, BLOCK, 2 * BLOCK));
	cr_assert(blocks_bytes_plugged(&b, 2 * BLOCK - 1, 2));
	cr_assert_not(blocks_bytes_plugged(&b, BLOCK - 1, 1));
	cr_assert_not(blocks_bytes_plugged(&b, BLOCK - 1, 2));
	cr_assert_not(blocks_bytes_plugged(&b, 3 * BLOCK - 1, 2));
	cr_assert_not(blocks_bytes_plugged(&b, 0, NR * BLOCK));
	blocks_set(&b, 2, 1, BLOCK_CLOSING);
	cr_assert_not(blocks_bytes_plugged(&b, BLOCK, 2 * BLOCK));
}

Test(blocks, no_bytes_are_always_plugged)
{
	cr_assert(blocks_bytes_plugged(&b, 0, 0));
	cr_assert(blocks_bytes_plugged(&b, NR * BLOCK, 0));
}

/* Every map of NR blocks: the runs found are the runs there. */
Test(blocks, runs_are_found_in_every_map)
{
	for (uint32_t map = 0; map < 1u << NR; map++) {
		uint32_t found = 0, first = 0, nr;

		for (uint32_t i = 0; i < NR; i++)
			blocks_set(&b, i, 1, map >> i & 1 ? BLOCK_PLUGGED : BLOCK_UNPLUGGED);
		for (uint32_t from = 0; (nr = blocks_next_run(&b, from, BLOCK_PLUGGED, &first));
		     from = first + nr) {
			cr_assert_geq(first, from);
			cr_assert(first + nr == NR || !(map >> (first + nr) & 1), "run too short");
			for (uint32_t i = first; i < first + nr; i++)
				found |= 1u << i;
		}
		cr_assert_eq(found, map);
	}
}

Test(blocks, there_is_no_run_past_the_end)
{
	uint32_t first;

	cr_assert_eq(blocks_next_run(&b, NR, BLOCK_UNPLUGGED, &first), 0);
	cr_assert_eq(blocks_next_run(&b, 0, BLOCK_CLOSING, &first), 0);
	cr_assert_eq(blocks_next_run(&b, 4, BLOCK_UNPLUGGED, &first), NR - 4);
	cr_assert_eq(first, 4);
}

Test(blocks, no_block_is_pinned_at_first)
{
	cr_expect_not(blocks_any_pinned(&b, 0, NR));
	cr_expect_not(blocks_any_pinned(&b, NR, 0));
}

Test(blocks, every_block_that_bytes_touch_is_pinned_as_often_as_asked)
{
	blocks_pin(&b, 2 * BLOCK - 1, 2);
	blocks_pin(&b, 2 * BLOCK, BLOCK);
	blocks_pin(&b, 2 * BLOCK, 0);
	blocks_pin(&b, NR * BLOCK - 1, 1);
	for (uint32_t i = 0; i < NR; i++)
		cr_assert_eq(b.pins[i], i == 2 ? 2 : i == 1 || i == NR - 1 ? 1 : 0, "block %u", i);
	cr_expect(blocks_any_pinned(&b, 0, 2) && blocks_any_pinned(&b, 2, 1));
	cr_expect_not(blocks_any_pinned(&b, 0, 1) || blocks_any_pinned(&b, 3, NR - 4));
	cr_expect_not(blocks_any_pinned(&b, 2, 0));
	blocks_unpin(&b, 2 * BLOCK - 1, 2);
	cr_expect_not(blocks_any_pinned(&b, 0, 2));
	cr_expect(blocks_any_pinned(&b, 2, 1), "one pin is left");
	blocks_unpin(&b, 2 * BLOCK, BLOCK);
	blocks_unpin(&b, NR * BLOCK - 1, 1);
	cr_expect_not(blocks_any_pinned(&b, 0, NR));
}

Test(blocks, pins_and_states_know_nothing_of_each_other)
{
	blocks_pin(&b, 0, 3 * BLOCK);
	blocks_set(&b, 0, 2, BLOCK_PLUGGED);
	blocks_set(&b, 0, 1, BLOCK_CLOSING);
	cr_expect(blocks_any_pinned(&b, 0, 1) && blocks_any_pinned(&b, 2, 1));
	cr_expect_eq(blocks_plugged_bytes(&b), BLOCK);
	blocks_unpin(&b, 0, 3 * BLOCK);
	cr_expect_eq(blocks_state(&b, 1), BLOCK_PLUGGED);
}
