/* SPDX-License-Identifier: Apache-2.0 */
/* test_log.c - one line per event, whole, at a bounded rate. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <json-c/json.h>

#include "tests/unit/stderr_text.h"
#include "vmm/base/log.h"
#include "vmm/base/types.h"

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

/* What the file PATH holds. */
static const char *content(const char *path)
{
	static char text[16384];
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	cr_assert_geq(n, 0, "%s", path);
	text[n] = 0;
	return text;
}

static const char *temporary(void)
{
	static char path[] = "/tmp/ebb-test-XXXXXX";
	auto_close int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	return path;
}

Test(log, formats_have_names)
{
	enum log_format format = LOG_TEXT;

	cr_assert_eq(log_format_parse("json", &format), 0);
	cr_assert_eq(format, LOG_JSON);
	cr_assert_eq(log_format_parse("text", &format), 0);
	cr_assert_eq(format, LOG_TEXT);
	cr_assert_eq(log_format_parse("xml", &format), -EINVAL);
}

/* Parses one line of JSON; its message must be TEXT. */
static void is_json(const char *line, const char *level, const char *text)
{
	struct json_object *o = json_tokener_parse(line), *member = NULL;

	cr_assert_not_null(o, "%s", line);
	cr_assert_eq(nr_lines(line), 1, "%s", line);
	cr_assert(json_object_object_get_ex(o, "message", &member));
	cr_assert_str_eq(json_object_get_string(member), text);
	cr_assert(json_object_object_get_ex(o, "level", &member));
	cr_assert_str_eq(json_object_get_string(member), level);
	cr_assert(json_object_object_get_ex(o, "pid", &member));
	cr_assert_eq(json_object_get_int(member), (int)getpid());
	cr_assert(json_object_object_get_ex(o, "time", &member));
	cr_assert_eq(strlen(json_object_get_string(member)), strlen("2026-01-01T00:00:00.000Z"));
	json_object_put(o);
}

Test(log, json_is_one_object_a_line_whatever_the_message)
{
	log_set_format(LOG_JSON);
	stderr_keep();
	log_warn("plain");
	is_json(stderr_text(), "warning", "plain");
	stderr_keep();
	log_error("two\nlines\t\"quoted\" \\ \x01 k\xc3\xa9rnel");
	is_json(stderr_text(), "error", "two\nlines\t\"quoted\" \\ \x01 k\xc3\xa9rnel");
	stderr_keep();
	log_error("not UTF-8: \xff\xc3(");
	is_json(stderr_text(), "error", "not UTF-8: \xef\xbf\xbd\xef\xbf\xbd(");
}

Test(log, json_that_is_too_long_is_cut_and_still_json)
{
	static char text[5000];
	struct json_object *o;

	log_set_format(LOG_JSON);
	for (int c = 1; c < 4; c++) {
		memset(text, c == 1 ? 'x' : c == 2 ? '\n' : 0xff, sizeof(text) - 1);
		stderr_keep();
		log_warn("%s", text);
		o = json_tokener_parse(stderr_text());
		cr_assert_not_null(o);
		json_object_put(o);
	}
}

Test(log, a_file_has_the_time_and_stderr_only_errors)
{
	const char *path = temporary();
	int n = 0;

	cr_assert_eq(log_open(path), 0);
	stderr_keep();
	log_warn("w");
	log_error("e");
	cr_assert_str_eq(stderr_text(), "ebb: error: e\n");
	cr_assert_eq(nr_lines(content(path)), 2);
	sscanf(content(path), "%*4d-%*2d-%*2dT%*2d:%*2d:%*6sZ [%*d] ebb: warning: w\n%n", &n);
	cr_assert_gt(n, 0, "%s", content(path));
	unlink(path);
}

Test(log, a_renamed_file_is_made_anew_when_it_is_reopened)
{
	const char *path = temporary();
	char old[64];

	snprintf(old, sizeof(old), "%s.1", path);
	cr_assert_eq(log_open(path), 0);
	log_warn("one");
	cr_assert_eq(rename(path, old), 0);
	log_warn("two");
	log_reopen();
	log_warn("three");
	cr_assert_eq(nr_lines(content(old)), 2);
	cr_assert_eq(nr_lines(content(path)), 1);
	cr_assert_not_null(strstr(content(path), "three"));
	unlink(path);
	unlink(old);
}

Test(log, a_file_that_can_not_be_opened_is_reported)
{
	stderr_keep();
	cr_assert_eq(log_open("/nonexistent/log"), -ENOENT);
	cr_assert_not_null(strstr(stderr_text(), "/nonexistent/log: No such file"));
}

Test(log, reopening_without_a_file_does_nothing)
{
	stderr_keep();
	log_reopen();
	log_warn("w");
	cr_assert_str_eq(stderr_text(), "ebb: warning: w\n");
}

Test(log, a_source_stands_before_the_message)
{
	stderr_keep();
	log_set_source("a.json");
	fail_usage("wrong");
	log_set_source(NULL);
	fail_usage("wrong");
	cr_assert_str_eq(stderr_text(), "ebb: error: a.json: wrong\nebb: error: wrong\n");
}

Test(log, captured_messages_go_nowhere_else)
{
	char text[16];

	stderr_keep();
	log_capture(text, sizeof(text));
	fail(-ENOENT, "a");
	log_warn("b");
	log_info("c");
	log_capture(NULL, 0);
	log_warn("d");
	cr_assert_str_eq(stderr_text(), "ebb: warning: d\n");
	cr_assert_str_eq(text, "a: No such file");
}
