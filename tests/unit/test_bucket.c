/* SPDX-License-Identifier: Apache-2.0 */
/* test_bucket.c - a token bucket gives its rate, exactly, whoever asks how often. */
#include <criterion/criterion.h>

#include "vmm/base/token_bucket.h"

Test(bucket, begins_full_also_right_after_the_clock_did)
{
	struct token_bucket b = token_bucket_full(10, 1000, 5);

	cr_assert_eq(token_bucket_level(&b, 5), 1000);
	cr_assert_eq(token_bucket_level(&b, 1000 * NS_PER_S), 1000);
}

Test(bucket, refills_at_its_rate_up_to_its_capacity)
{
	struct token_bucket b = token_bucket_full(100, 50, NS_PER_S);

	token_bucket_take(&b, 50, NS_PER_S);
	cr_assert_eq(token_bucket_level(&b, NS_PER_S), 0);
	cr_assert_eq(token_bucket_level(&b, NS_PER_S + 100 * NS_PER_MS), 10);
	cr_assert_eq(token_bucket_level(&b, NS_PER_S + 499 * NS_PER_MS), 49);
	cr_assert_eq(token_bucket_level(&b, NS_PER_S + 500 * NS_PER_MS), 50);
	cr_assert_eq(token_bucket_level(&b, 100 * NS_PER_S), 50);
	token_bucket_take(&b, 20, 100 * NS_PER_S);
	cr_assert_eq(token_bucket_level(&b, 100 * NS_PER_S), 30);
}

/* Taken a thousand times a second, whatever there is: what has come in between is not lost. */
Test(bucket, fractions_are_kept)
{
	const uint32_t rates[] = { 1, 3, 7, 64, 999, 1000003 };

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct token_bucket b = token_bucket_full(rates[i], 2000, 0);
		uint64_t taken = 0, now = 0;

		token_bucket_take(&b, 2000, 0);
		for (; now < 100 * NS_PER_S; now += 999983) {
			uint32_t level = token_bucket_level(&b, now);

			token_bucket_take(&b, level, now);
			taken += level;
		}
		/* Up to a nanosecond a take, and what has come in since the last one. */
		cr_assert_geq(taken, (uint64_t)rates[i] * 100 - 1 - rates[i] / 900);
		cr_assert_leq(taken, (uint64_t)rates[i] * 100);
	}
}

Test(bucket, says_when_and_is_right)
{
	struct token_bucket b = token_bucket_full(3, 100, NS_PER_S);

	token_bucket_take(&b, 100, NS_PER_S);
	for (uint32_t n = 1; n <= 100; n++) {
		uint64_t when = token_bucket_when(&b, n);

		cr_assert_eq(token_bucket_level(&b, when), n);
		cr_assert_eq(token_bucket_level(&b, when - 1), n - 1);
	}
}

Test(bucket, holds_the_largest_numbers)
{
	struct token_bucket b = token_bucket_full(1, UINT32_MAX, NS_PER_S);

	cr_assert_eq(token_bucket_level(&b, NS_PER_S), UINT32_MAX);
	token_bucket_take(&b, UINT32_MAX, NS_PER_S);
	cr_assert_eq(token_bucket_level(&b, NS_PER_S), 0);
	cr_assert_eq(token_bucket_level(&b, UINT32_MAX * NS_PER_S), UINT32_MAX - 1);
	b = token_bucket_full(UINT32_MAX, UINT32_MAX, 0);
	token_bucket_take(&b, UINT32_MAX, 0);
	cr_assert_eq(token_bucket_level(&b, NS_PER_S - 1), UINT32_MAX - 5);
}
