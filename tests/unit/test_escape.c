/* SPDX-License-Identifier: Apache-2.0 */
/* test_escape.c - the escape key, in whatever pieces it arrives. */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/chardev/escape.h"

/* Types TEXT in pieces of PIECE bytes; PASSED is what reaches the guest. Was the command typed? */
static bool type(const char *text, size_t piece, char passed[64])
{
	struct escape e = { .command = 'd' };
	size_t nr = 0, length = strlen(text);
	bool asked = false;

	for (size_t i = 0; i < length && !asked; i += piece)
		nr += escape_filter(&e, (const uint8_t *)text + i,
				    i + piece > length ? length - i : piece,
				    (uint8_t *)passed + nr, &asked);
	passed[nr] = 0;
	return asked;
}

Test(escape, has_its_rules)
{
	static const struct {
		const char *typed, *passed;
		bool asked;
	} row[] = {
		{ "", "", false },
		{ "hello d", "hello d", false },
		{ "\1", "", false },
		{ "\1\1", "\1", false },
		{ "\1\1d", "\1d", false },
		{ "\1\1\1d", "\1", true },
		{ "\1d", "", true },
		{ "ab\1dcd", "ab", true },
		{ "\1xd", "xd", false },
		{ "\1x\1d", "x", true },
	};
	char passed[64];

	for (size_t i = 0; i < ARRAY_SIZE(row); i++)
		for (size_t piece = 1; piece < 8; piece++) {
			cr_expect_eq(type(row[i].typed, piece, passed), row[i].asked,
				     "row %zu in pieces of %zu", i, piece);
			cr_expect_str_eq(passed, row[i].passed, "row %zu in pieces of %zu", i,
					 piece);
		}
}

Test(escape, works_in_place)
{
	struct escape e = { .command = 'x' };
	uint8_t bytes[] = { 'a', 1, 1, 'b', 1, 'y' };
	bool asked;

	cr_assert_eq(escape_filter(&e, bytes, sizeof(bytes), bytes, &asked), 4);
	cr_assert_not(asked);
	cr_assert_arr_eq(bytes, "a\1by", 4);
}
