/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp_scan.c - where a value ends, and which bytes may stand in it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/json/scan.h"

/* Bytes up to and with the one that ends the value; 0: none did; -1: a bad byte came first. */
static int end_of(const char *text, size_t bytes, struct qmp_scan *scan)
{
	*scan = (struct qmp_scan){ 0 };
	for (size_t i = 0; i < bytes; i++) {
		enum qmp_scan_result r = qmp_scan_byte(scan, text[i]);

		if (r == QMP_SCAN_BAD)
			return -1;
		if (r == QMP_SCAN_END)
			return (int)i + 1;
	}
	return 0;
}

#define END_OF(text) end_of(text, sizeof(text) - 1, &(struct qmp_scan){ 0 })

Test(qmp_scan, value_ends_with_its_outermost_bracket)
{
	cr_expect_eq(END_OF("{}{}"), 2);
	cr_expect_eq(END_OF("{\"a\":[{},{}]} "), 13);
	cr_expect_eq(END_OF("{\"a\":[{},{}]"), 0);
	cr_expect_eq(END_OF("}}{}"), 4);
}

Test(qmp_scan, brackets_in_strings_do_not_count)
{
	cr_expect_eq(END_OF("{\"}\":'}'}"), 9);
	cr_expect_eq(END_OF("{\"\\\"}\":1}"), 9);
	cr_expect_eq(END_OF("{'\\'}':1}"), 9);
	cr_expect_eq(END_OF("{\"'}\":1}"), 8);
	cr_expect_eq(END_OF("{\"\\\\\":1}"), 8);
}

Test(qmp_scan, members_and_containers_are_counted)
{

	static const char text[] = "{\"a:b\":{\"c\":[[],{}]},'d':1}";
	struct qmp_scan scan;

	cr_assert_gt(end_of(text, sizeof(text) - 1, &scan), 0);
	cr_expect_eq(scan.nr_members, 3);
	cr_expect_eq(scan.nr_containers, 5);
}

Test(qmp_scan, bytes_outside_strings_are_those_of_json)
{
	for (int c = 0; c < 256; c++) {
		struct qmp_scan scan = { 0 };
		bool good = c && strchr("{}[]:,\"' \t\r\n+-.0123456789Eaeflnrstu", c);

		cr_expect_eq(qmp_scan_byte(&scan, (char)c) != QMP_SCAN_BAD, good, "byte %d", c);
	}
}

Test(qmp_scan, control_characters_in_strings_are_bad)
{
	for (char c = 0; c < 0x20; c++) {
		struct qmp_scan scan = { .quote = '"', .depth = 1 };

		cr_expect_eq(qmp_scan_byte(&scan, c), QMP_SCAN_BAD, "byte %d", c);
	}
}

/* The same question asked another way: by the value of the code point. */
static bool is_utf8_by_value(const unsigned char *p, size_t n)
{
	unsigned int v;

	if (n == 1)
		return p[0] < 0x80;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return false;
	if (n == 2) {
		v = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
		return (p[0] & 0xe0) == 0xc0 && v >= 0x80;
	}
	if (n == 3) {
		v = (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
		return (p[0] & 0xf0) == 0xe0 && v >= 0x800 && (v < 0xd800 || v > 0xdfff);
	}
	v = (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
	return (p[0] & 0xf8) == 0xf0 && v >= 0x10000 && v <= 0x10ffff;
}

static bool is_char(const unsigned char *p, size_t n)
{
	struct utf8 u = { 0 };

	for (size_t i = 0; i < n; i++)
		if (!utf8_step(&u, p[i]) || (i + 1 < n) != (u.nr_left > 0))
			return false;
	return true;
}

Test(qmp_scan, utf8_is_well_formed_by_code_point)
{
	unsigned char p[4];
	unsigned int nr_wrong = 0;

	for (unsigned int v = 0; v < 1u << 24; v++) {
		p[0] = (unsigned char)(v >> 16);
		p[1] = (unsigned char)(v >> 8);
		p[2] = (unsigned char)v;
		nr_wrong += is_char(p, 3) != is_utf8_by_value(p, 3);
		if (!(v & 0xff))
			nr_wrong += is_char(p, 2) != is_utf8_by_value(p, 2);
		/* Four bytes: the first two decide; the others at their edges. */
		for (unsigned int i = 0; i < 4 && !(v & 0xffff); i++)
			for (p[1] = 0; p[1] < 255; p[1]++)
				for (unsigned int j = 0; j < 16; j++) {
					static const unsigned char edge[] = { 0x7f, 0x80, 0xbf,
									      0xc0 };

					p[2] = edge[i];
					p[3] = edge[j % 4];
					nr_wrong += is_char(p, 4) != is_utf8_by_value(p, 4);
				}
	}
	cr_expect_eq(nr_wrong, 0);
}

Test(qmp_scan, unclean_text_is_cleaned_in_place)
{
	char text[] = "a\xc3\xa9\xc3z\xed\xa0\x80\xf0\x9f\x98\x80\xe2\x82";

	utf8_clean(text);
	cr_expect_str_eq(text, "a\xc3\xa9?z???\xf0\x9f\x98\x80??");
}
