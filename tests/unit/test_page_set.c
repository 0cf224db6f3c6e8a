/* SPDX-License-Identifier: Apache-2.0 */
/* test_page_set.c - a set of pages against a plain array of flags. */
#include "vmm/memory/page_set.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* No multiple of a word. */
#define NR 300

static struct page_set set;
static bool model[NR];

static void setup(void)
{
	cr_assert_eq(page_set_init(&set, NR), 0);
	memset(model, 0, sizeof(model));
}

static void teardown(void) { page_set_destroy(&set); }

TestSuite(page_set, .init = setup, .fini = teardown, .timeout = 240);

static uint64_t model_count(uint64_t first, uint64_t nr)
{
	uint64_t count = 0;

	for (uint64_t i = first; i < first + nr; i++)
		count += model[i];
	return count;
}

static void model_set(uint64_t first, uint64_t nr, bool value)
{
	for (uint64_t i = first; i < first + nr; i++)
		model[i] = value;
}

/* The set says of every page, and of every run, what the model says. */
static void expect_like_the_model(void)
{
	uint64_t from = 0, first, nr, seen = 0;

	cr_assert_eq(set.nr, model_count(0, NR));
	for (uint64_t i = 0; i < NR; i++)
		cr_assert_eq(page_set_has(&set, i), model[i], "page %lu", i);
	while ((nr = page_set_next_run(&set, from, &first))) {
		cr_assert_eq(model_count(from, first - from), 0);
		cr_assert_eq(model_count(first, nr), nr);
		cr_assert(first + nr == NR || !model[first + nr], "a run ends where it ends");
		seen += nr;
		from = first + nr;
	}
	cr_assert_eq(seen, set.nr);
}

Test(page_set, a_new_set_is_empty_and_a_zeroed_one_can_be_destroyed)
{
	struct page_set none = { 0 };
	uint64_t first;

	cr_expect_eq(page_set_next_run(&set, 0, &first), 0);
	expect_like_the_model();
	page_set_destroy(&none);
}

Test(page_set, every_range_is_added_once_and_removed_once)
{
	for (uint64_t first = 0; first < NR; first += 13)
		for (uint64_t nr = 0; nr <= NR - first; nr += nr < 70 ? 1 : 61) {
			cr_assert_eq(page_set_add(&set, first, nr), nr);
			cr_assert_eq(page_set_add(&set, first, nr), 0);
			cr_assert_eq(page_set_count(&set, 0, NR), nr);
			cr_assert_eq(page_set_count(&set, first, nr), nr);
			cr_assert_eq(page_set_count(&set, 0, first), 0);
			cr_assert_eq(page_set_remove(&set, first, nr), nr);
			cr_assert_eq(page_set_remove(&set, first, nr), 0);
			cr_assert_eq(set.nr, 0);
		}
}

Test(page_set, the_last_page_belongs_to_it)
{
	uint64_t first = 0;

	cr_expect_eq(page_set_add(&set, NR - 1, 1), 1);
	cr_expect_eq(page_set_next_run(&set, 0, &first), 1);
	cr_expect_eq(first, NR - 1);
	cr_expect_eq(page_set_next_run(&set, NR, &first), 0);
	cr_expect_eq(page_set_add(&set, 0, NR), NR - 1);
	cr_expect_eq(page_set_next_run(&set, 0, &first), NR, "no page beyond the end");
}

Test(page_set, a_look_from_inside_a_run_finds_the_rest_of_it)
{
	uint64_t first;

	page_set_add(&set, 60, 10);
	cr_expect_eq(page_set_next_run(&set, 65, &first), 5);
	cr_expect_eq(first, 65);
	cr_expect_eq(page_set_next_run(&set, 70, &first), 0);
}

Test(page_set, random_changes_leave_it_like_the_model)
{
	unsigned int seed = 4711;

	for (int i = 0; i < 3000; i++) {
		uint64_t first = (uint64_t)rand_r(&seed) % NR;
		uint64_t nr = (uint64_t)rand_r(&seed) % (NR - first + 1);
		uint64_t count = model_count(first, nr);
		bool add = rand_r(&seed) & 1;

		cr_assert_eq(page_set_count(&set, first, nr), count);
		if (add)
			cr_assert_eq(page_set_add(&set, first, nr), nr - count);
		else
			cr_assert_eq(page_set_remove(&set, first, nr), count);
		model_set(first, nr, add);
		if (!(i % 50))
			expect_like_the_model();
	}
	page_set_clear(&set);
	model_set(0, NR, false);
	expect_like_the_model();
}

Test(page_set, merge_adds_the_bits_of_its_range_and_no_others)
{
	uint64_t bits[3] = { UINT64_C(0x8000000000000001), 0, UINT64_MAX };

	page_set_add(&set, 64, 1); /* one of them is in it already */
	model_set(64, 1, true);
	page_set_merge(&set, 64, bits, 64 + 64 + 5);
	model_set(127, 1, true);
	model_set(192, 5, true); /* bits beyond the range do not count */
	expect_like_the_model();
	/* The last words of a set that ends within one. */
	page_set_merge(&set, 256, bits + 2, NR - 256);
	model_set(256, NR - 256, true);
	expect_like_the_model();
}
