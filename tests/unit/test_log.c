/* SPDX-License-Identifier: Apache-2.0 */
/* test_log.c - one line per event, whole, at a bounded rate. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/stderr_text.h"
#include "vmm/base/log.h"

static unsigned int nr_lines(const char *text)
{
	unsigned int nr = 0;

	for (; (text = strchr(text, '\n')); text++)
		nr++;
	return nr;
}

Test(log, each_level_names_itself)
{
	log_set_level(LOG_DEBUG);
	stderr_keep();
	log_error("one %d", 1);
	log_warn("two");
	log_info("three");
	log_debug("four");
	cr_assert_str_eq(stderr_text(), "ebb: error: one 1\nebb: warning: two\nebb: info: three\n"
					"ebb: debug: four\n");
}

Test(log, warnings_and_errors_are_shown_by_default)
{
	stderr_keep();
	log_error("e");
	log_warn("w");
	log_info("i");
	log_debug("d");
	cr_assert_str_eq(stderr_text(), "ebb: error: e\nebb: warning: w\n");
}

Test(log, level_hides_what_is_below_it)
{
	static const unsigned int shown[] = { [LOG_ERROR] = 1, [LOG_WARN] = 2, [LOG_INFO] = 3,
					      [LOG_DEBUG] = 4 };

	for (unsigned int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
		log_set_level((enum log_level)level);
		stderr_keep();
		for (unsigned int at = LOG_ERROR; at <= LOG_DEBUG; at++)
			log_at((enum log_level)at, "x");
		cr_assert_eq(nr_lines(stderr_text()), shown[level], "level %u", level);
	}
}

Test(log, levels_have_names)
{
	enum log_level level = LOG_DEBUG;

	cr_assert_eq(log_level_parse("error", &level), 0);
	cr_assert_eq(level, LOG_ERROR);
	cr_assert_eq(log_level_parse("warning", &level), 0);
	cr_assert_eq(level, LOG_WARN);
	cr_assert_eq(log_level_parse("info", &level), 0);
	cr_assert_eq(level, LOG_INFO);
	cr_assert_eq(log_level_parse("debug", &level), 0);
	cr_assert_eq(level, LOG_DEBUG);
	level = LOG_INFO;
	cr_assert_eq(log_level_parse("warn", &level), -EINVAL);
	cr_assert_eq(log_level_parse("", &level), -EINVAL);
	cr_assert_eq(log_level_parse("Error", &level), -EINVAL);
	cr_assert_eq(level, LOG_INFO);
}

Test(log, fail_names_the_cause_and_returns_the_code)
{
	stderr_keep();
	cr_expect_eq(fail(-ENOENT, "open %s", "x"), -ENOENT);
	cr_assert_str_eq(stderr_text(), "ebb: error: open x: No such file or directory\n");
}

Test(log, fail_usage_says_its_text_alone)
{
	stderr_keep();
	cr_expect_eq(fail_usage("take %d", 3), -EINVAL);
	cr_assert_str_eq(stderr_text(), "ebb: error: take 3\n");
}

Test(log, failures_are_shown_whatever_the_level)
{
	log_set_level(LOG_ERROR);
	stderr_keep();
	fail(-EIO, "a");
	fail_usage("b");
	cr_assert_eq(nr_lines(stderr_text()), 2);
}

Test(log, raw_terminal_gets_its_carriage_returned_on_every_line)
{
	log_set_raw_terminal(true);
	stderr_keep();
	log_error("first\n  second\n\n  fourth");
	log_set_raw_terminal(false);
	log_error("first\n  second");
	cr_assert_str_eq(stderr_text(), "ebb: error: first\r\n  second\r\n\r\n  fourth\r\n"
					"ebb: error: first\n  second\n");
}

Test(log, line_too_long_is_cut_and_still_ends)
{
	char text[20000];
	const char *got;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	for (unsigned int raw = 0; raw < 2; raw++) {
		log_set_raw_terminal(raw);
		stderr_keep();
		fail(-EIO, "%s", text);
		got = stderr_text();
		cr_assert_eq(nr_lines(got), 1);
		cr_assert_geq(strlen(got), 2000);
		cr_assert_leq(strlen(got), 8192);
		cr_assert_str_eq(got + strlen(got) - 1 - raw, raw ? "\r\n" : "\n");
	}
}

Test(log, many_lines_on_a_raw_terminal_stay_within_bounds)
{
	char text[20000];
	const char *got;

	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	log_set_raw_terminal(true);
	stderr_keep();
	log_error("%s", text);
	got = stderr_text();
	cr_assert_geq(strlen(got), 2000);
	cr_assert_leq(strlen(got), 8192);
	cr_assert_eq(got[strlen(got) - 1], '\n');
}

Test(log, guest_can_trigger_a_few_lines_and_no_more)
{
	stderr_keep();
	for (unsigned int i = 0; i < 10000; i++)
		log_guest("bad %u", i);
	cr_assert_eq(nr_lines(stderr_text()), LOG_GUEST_BURST);
}

Test(log, each_message_of_a_guest_has_a_limit_of_its_own)
{
	stderr_keep();
	for (unsigned int i = 0; i < 100; i++) {
		log_guest("this %u", i);
		log_guest("that %u", i);
	}
	cr_assert_eq(nr_lines(stderr_text()), 2 * LOG_GUEST_BURST);
}

Test(log, one_more_line_comes_after_a_while_with_the_number_of_those_left_out)
{
	struct log_limit limit = { 0 };

	stderr_keep();
	for (unsigned int i = 0; i < LOG_GUEST_BURST + 7; i++)
		log_limited(&limit, LOG_WARN, "bad");
	limit.last_ns -= LOG_GUEST_INTERVAL_NS;
	log_limited(&limit, LOG_WARN, "bad again");
	log_limited(&limit, LOG_WARN, "too soon");
	cr_assert_str_eq(strstr(stderr_text(), "bad again"), "bad again (7 like it left out)\n");
}

Test(log, limit_counts_only_what_would_be_shown)
{
	struct log_limit limit = { 0 };

	log_set_level(LOG_ERROR);
	for (unsigned int i = 0; i < 100; i++)
		log_limited(&limit, LOG_WARN, "hidden");
	cr_assert_eq(limit.nr_printed + limit.nr_dropped, 0);
}

static void *write_lines(void *letter)
{
	char text[100];

	memset(text, *(const char *)letter, sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	for (unsigned int i = 0; i < 30; i++)
		log_error("%s", text);
	return NULL;
}

Test(log, lines_of_several_threads_do_not_mix)
{
	pthread_t threads[4];
	char letters[] = "abcd", *line, *save = NULL;
	char text[16384];

	stderr_keep();
	for (unsigned int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, write_lines, &letters[i]), 0);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	snprintf(text, sizeof(text), "%s", stderr_text());
	cr_assert_eq(nr_lines(text), 4 * 30);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		cr_assert_eq(strncmp(line, "ebb: error: ", 12), 0, "%s", line);
		cr_assert_eq(strlen(line), 12 + 99);
		cr_assert_eq(strspn(line + 12, (char[]){ line[12], 0 }), 99, "%s", line);
	}
}
