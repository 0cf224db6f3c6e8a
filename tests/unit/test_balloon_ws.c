/* SPDX-License-Identifier: Apache-2.0 */
/* test_balloon_ws.c - the working set on the wire. */
#include "devices/balloon_ws.h"

#include <criterion/criterion.h>
#include <string.h>

static struct balloon_ws_report report;
static struct working_set ws;

static void setup(void)
{
	memset(&report, 0, sizeof(report));
	memset(&ws, 0xee, sizeof(ws));
}

TestSuite(balloon_ws, .init = setup);

/* NR bins, the ages 1000, 2000 and so on, the last one without an end. */
static void bins(unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		report.bins[i].idle_age = le64_of(i == nr - 1 ? UINT64_MAX : 1000 * (i + 1u));
		report.bins[i].anon_bytes = le64_of(i * MiB + 1);
		report.bins[i].file_bytes = le64_of(i * GiB + 2);
	}
}

Test(balloon_ws, a_report_of_any_number_of_bins_is_taken)
{
	for (unsigned int nr = 1; nr <= BALLOON_WS_BINS; nr++) {
		setup();
		report.node_id = le32_of(7 + nr);
		bins(nr);
		cr_expect_null(balloon_ws_parse(&ws, &report));
		cr_expect_eq(ws.node, 7 + nr);
		cr_expect_eq(ws.error, 0);
		cr_assert_eq(ws.nr_bins, nr);
		for (unsigned int i = 0; i < nr; i++) {
			cr_expect_eq(ws.bins[i].idle_ms,
				     i == nr - 1 ? UINT64_MAX : 1000 * (i + 1u));
			cr_expect_eq(ws.bins[i].anon_bytes, i * MiB + 1);
			cr_expect_eq(ws.bins[i].file_bytes, i * GiB + 2);
		}
	}
}

Test(balloon_ws, what_follows_the_last_bin_is_not_looked_at)
{
	bins(3);
	report.bins[3].idle_age = le64_of(1);
	cr_expect_null(balloon_ws_parse(&ws, &report));
	cr_expect_eq(ws.nr_bins, 3);
}

Test(balloon_ws, ages_must_rise_from_above_zero_up_to_a_last_bin)
{
	cr_expect_not_null(balloon_ws_parse(&ws, &report), "all zeros");
	bins(4);
	report.bins[2].idle_age = report.bins[1].idle_age;
	cr_expect_not_null(balloon_ws_parse(&ws, &report), "twice the same");
	bins(4);
	report.bins[0].idle_age = le64_of(5000);
	cr_expect_not_null(balloon_ws_parse(&ws, &report), "falling");
	bins(4);
	report.bins[0].idle_age = le64_of(0);
	cr_expect_not_null(balloon_ws_parse(&ws, &report), "a bin for nothing");
	bins(BALLOON_WS_BINS);
	report.bins[BALLOON_WS_BINS - 1].idle_age = le64_of(UINT64_MAX - 1);
	cr_expect_not_null(balloon_ws_parse(&ws, &report), "no last bin");
}

Test(balloon_ws, an_error_is_an_errno_and_comes_without_bins)
{
	static const uint32_t bad[] = { 1, 4096, 0x80000000, 0u - 4096 };

	report.error = le32_of(0u - 22);
	report.node_id = le32_of(3);
	cr_expect_null(balloon_ws_parse(&ws, &report));
	cr_expect_eq(ws.error, 22);
	cr_expect_eq(ws.node, 3);
	cr_expect_eq(ws.nr_bins, 0);
	report.error = le32_of(0u - 4095);
	cr_expect_null(balloon_ws_parse(&ws, &report));
	cr_expect_eq(ws.error, 4095);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		report.error = le32_of(bad[i]);
		cr_expect_not_null(balloon_ws_parse(&ws, &report), "%#x", bad[i]);
	}
}

Test(balloon_ws, a_configuration_has_rising_borders_between_one_and_one_less_than_the_bins)
{
	struct working_set_config c = { .nr_ages = 2, .age_ms = { 1000, 2000 } };

	cr_expect(balloon_ws_config_valid(&c));
	c.age_ms[1] = 1000;
	cr_expect_not(balloon_ws_config_valid(&c));
	c.age_ms[1] = 999;
	cr_expect_not(balloon_ws_config_valid(&c));
	c.age_ms[1] = UINT32_MAX;
	cr_expect_not(balloon_ws_config_valid(&c), "the last bin comes by itself");
	c.age_ms[1] = UINT32_MAX - 1;
	cr_expect(balloon_ws_config_valid(&c));
	c.age_ms[0] = 0;
	cr_expect_not(balloon_ws_config_valid(&c));
	c.nr_ages = 0;
	cr_expect_not(balloon_ws_config_valid(&c));
	for (unsigned int i = 0; i < BALLOON_WS_BINS; i++)
		c.age_ms[i] = i + 1;
	c.nr_ages = BALLOON_WS_BINS - 1;
	cr_expect(balloon_ws_config_valid(&c));
	c.nr_ages = BALLOON_WS_BINS;
	cr_expect_not(balloon_ws_config_valid(&c));
	c.nr_ages = UINT32_MAX;
	cr_expect_not(balloon_ws_config_valid(&c));
}

/* Byte by byte, so that the layout is seen. */
Test(balloon_ws, a_configuration_on_the_wire)
{
	struct working_set_config c = { .node = 0x0102,
					.report_threshold_ms = 0x03040506,
					.refresh_interval_ms = 0x0708090a,
					.nr_ages = 1,
					.age_ms = { 0x0b0c0d0e } };
	struct balloon_ws_notify n = balloon_ws_configure(&c);
	static const uint8_t begin[] = { 2, 0, 2, 1, 6, 5, 4, 3, 10, 9, 8, 7, 14, 13, 12, 11 };
	const uint8_t *wire = (const uint8_t *)&n;

	cr_expect_arr_eq(wire, begin, sizeof(begin));
	for (size_t i = sizeof(begin); i < sizeof(n); i++)
		cr_expect_eq(wire[i], 0xff);
}

Test(balloon_ws, a_request_on_the_wire)
{
	struct balloon_ws_notify n = balloon_ws_request(0x0304);
	static const uint8_t begin[] = { 1, 0, 4, 3 };
	const uint8_t *wire = (const uint8_t *)&n;

	cr_expect_arr_eq(wire, begin, sizeof(begin));
	for (size_t i = sizeof(begin); i < sizeof(n); i++)
		cr_expect_eq(wire[i], 0);
}
