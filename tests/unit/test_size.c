/* SPDX-License-Identifier: Apache-2.0 */
/* test_size.c - sizes as people write them, and nothing else. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/size.h"

static void parses(const char *text, uint64_t bytes)
{
	uint64_t got = 12345;
	int r = size_parse(text, &got);

	cr_assert_eq(r, 0, "'%s': %d", text, r);
	cr_assert_eq(got, bytes, "'%s': %llu, not %llu", text, (unsigned long long)got,
		     (unsigned long long)bytes);
}

static void refused(const char *text)
{
	uint64_t got = 12345;
	int r = size_parse(text, &got);

	cr_assert_eq(r, -EINVAL, "'%s': %d, %llu", text, r, (unsigned long long)got);
	cr_assert_eq(got, 12345, "'%s' stored a value", text);
}

static void shown(uint64_t bytes, const char *text)
{
	char buffer[SIZE_TEXT_BYTES];

	cr_assert_str_eq(size_format(bytes, buffer), text);
}

Test(size, number_without_unit_is_in_mib)
{
	parses("0", 0);
	parses("1", MiB);
	parses("512", 512 * MiB);
}

Test(size, each_unit_is_a_power_of_1024)
{
	parses("1B", 1);
	parses("1K", KiB);
	parses("1M", MiB);
	parses("1G", GiB);
	parses("1T", 1024 * GiB);
	parses("1P", 1024 * 1024 * GiB);
	parses("1E", 1024 * 1024 * 1024 * GiB);
}

Test(size, unit_is_known_in_any_case_and_with_b_or_ib)
{
	parses("8g", 8 * GiB);
	parses("8GB", 8 * GiB);
	parses("8Gb", 8 * GiB);
	parses("8GiB", 8 * GiB);
	parses("8gib", 8 * GiB);
	parses("64k", 64 * KiB);
	parses("64b", 64);
}

Test(size, fraction_counts_when_it_is_a_whole_number_of_bytes)
{
	parses("1.5G", 3 * GiB / 2);
	parses("0.5K", 512);
	parses("1.0", MiB);
	parses("2.25M", 9 * MiB / 4);
	parses("0.000", 0);
	parses("1.5T", 1536 * GiB);
	parses("1.5P", UINT64_C(3) << 49);
	parses("15.5E", UINT64_C(31) << 59);
	refused("0.5B");
	refused("1.1K");
	refused("0.0001K");
}

Test(size, leading_zeros_are_no_octal)
{
	parses("010M", 10 * MiB);
	parses("0000001K", KiB);
}

Test(size, largest_sizes_are_exact)
{
	parses("18446744073709551615B", UINT64_MAX);
	parses("17592186044415M", UINT64_MAX - MiB + 1);
	parses("15E", UINT64_C(15) << 60);
	parses("17179869183.5G", (UINT64_C(17179869183) << 30) + GiB / 2);
}

Test(size, too_large_for_64_bits_is_refused)
{
	refused("18446744073709551616B");
	refused("18446744073709551616");
	refused("99999999999999999999");
	refused("17592186044416M");
	refused("17592186044416");
	refused("16E");
	refused("16777216T");
}

Test(size, text_that_is_no_size_is_refused)
{
	static const char *const texts[] = {
		"", " ", "M", "x", "-1", "-1M", "+1M", " 1M", "1 M", "1M ", "1MM", "1MBB", "1iB",
		"1Bi", "1BB", "1BiB", "1Q", "1.", "1.M", ".5G", "1..5G", "1.5.5G", "0x10", "1e3",
		"1,5G", "inf", "nan", "1\n", "1.0000001G", "1.0000000M",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		refused(texts[i]);
}

Test(size, exact_multiples_are_shown_without_decimals)
{
	shown(0, "0 B");
	shown(1, "1 B");
	shown(1023, "1023 B");
	shown(KiB, "1 KiB");
	shown(2 * MiB, "2 MiB");
	shown(1023 * MiB, "1023 MiB");
	shown(GiB, "1 GiB");
	shown(8 * KiB * GiB, "8 TiB");
	shown(UINT64_C(1) << 60, "1 EiB");
}

Test(size, other_sizes_are_shown_with_one_decimal_rounded_down)
{
	shown(1536, "1.5 KiB");
	shown(3 * GiB / 2, "1.5 GiB");
	shown(1025 * MiB, "1.0 GiB");
	shown(2 * MiB - 1, "1.9 MiB");
	shown(UINT64_MAX, "15.9 EiB");
}

Test(size, what_is_shown_exactly_parses_back)
{
	for (unsigned int shift = 0; shift < 64; shift++) {
		char text[SIZE_TEXT_BYTES], *blank;

		size_format(UINT64_C(1) << shift, text);
		blank = strchr(text, ' ');
		memmove(blank, blank + 1, strlen(blank));
		parses(text, UINT64_C(1) << shift);
	}
}
