/* SPDX-License-Identifier: Apache-2.0 */
/* test_options.c - a command line as a table: every spelling of an option, and none besides. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/stderr_text.h"
#include "vmm/base/clock.h"
#include "vmm/config/options.h"

#define MAX_SET 8

/* What was set, in order. */
struct target {
	unsigned int nr;
	struct {
		char option;
		const char *value;
	} set[MAX_SET];
};

static int note(void *target, char option, const char *value)
{
	struct target *t = target;

	cr_assert_lt(t->nr, MAX_SET);
	t->set[t->nr].option = option;
	t->set[t->nr++].value = value;
	return 0;
}

static int set_size(void *target, const char *value) { return note(target, 's', value); }
static int set_quiet(void *target, const char *value) { return note(target, 'q', value); }
static int set_long(void *target, const char *value) { return note(target, 'l', value); }
static int set_again(void *target, const char *value) { return note(target, 'a', value); }
static int set_never(void *target, const char *value)
{
	(void)target, (void)value;
	return -EDOM;
}

static const struct option_row rows[] = {
	{ "size", 's', "SIZE", "how large\nin all", .set = set_size },
	{ "quiet", 'q', NULL, "say nothing", .set = set_quiet },
	{ "a-rather-long-option-name", 0, "ARGUMENT", "on a line of its own", .set = set_long },
	{ "never", 'n', NULL, "refused", .set = set_never },
	{ "again", 'a', "[=S]", "with a value or without", .set = set_again },
	{ 0 }
};
static const struct verb verb = { "try", "WORD... [OPTION...]", "try things", rows, NULL };

static struct target target;
static const char *words[4];

static int parse(int argc, const char *const *argv, int max)
{
	target = (struct target){ 0 };
	memset(words, 0, sizeof(words));
	return options_parse(&verb, argc, (char **)(uintptr_t)argv, &target, words, max);
}

#define PARSE(max, ...)                                                             \
	parse((int)ARRAY_SIZE(((const char *const[]){ "try", ##__VA_ARGS__ })),     \
	      (const char *const[]){ "try", ##__VA_ARGS__, NULL }, max)

static void one_set(char option, const char *value)
{
	cr_assert_eq(target.nr, 1);
	cr_assert_eq(target.set[0].option, option);
	if (value)
		cr_assert_str_eq(target.set[0].value, value);
	else
		cr_assert_null(target.set[0].value);
}

/* The parse failed with R and said all of TEXT, in one line. */
#define REFUSED(text, parsed)                                         \
	do {                                                          \
		const char *said_;                                    \
		int r_;                                               \
		stderr_keep();                                        \
		r_ = (parsed);                                        \
		said_ = stderr_text();                                \
		cr_assert_eq(r_, -EINVAL, "%d", r_);                  \
		cr_assert_str_eq(said_, "ebb: error: try: " text "\n"); \
	} while (0)

Test(options, nothing_is_nothing)
{
	cr_assert_eq(PARSE(4), 0);
	cr_assert_eq(target.nr, 0);
}

Test(options, words_are_kept_in_order)
{
	cr_assert_eq(PARSE(4, "one", "two", ""), 3);
	cr_assert_str_eq(words[0], "one");
	cr_assert_str_eq(words[1], "two");
	cr_assert_str_eq(words[2], "");
}

Test(options, value_of_an_option_in_every_spelling)
{
	cr_assert_eq(PARSE(0, "--size", "5"), 0);
	one_set('s', "5");
	cr_assert_eq(PARSE(0, "--size=5"), 0);
	one_set('s', "5");
	cr_assert_eq(PARSE(0, "-s", "5"), 0);
	one_set('s', "5");
	cr_assert_eq(PARSE(0, "-s5"), 0);
	one_set('s', "5");
	cr_assert_eq(PARSE(0, "--size="), 0);
	one_set('s', "");
	cr_assert_eq(PARSE(0, "--size=a=b"), 0);
	one_set('s', "a=b");
}

Test(options, value_may_look_like_an_option)
{
	cr_assert_eq(PARSE(0, "--size", "--quiet"), 0);
	one_set('s', "--quiet");
	cr_assert_eq(PARSE(0, "-s", "--help"), 0);
	one_set('s', "--help");
}

Test(options, option_without_a_value)
{
	cr_assert_eq(PARSE(0, "--quiet"), 0);
	one_set('q', NULL);
	cr_assert_eq(PARSE(0, "-q"), 0);
	one_set('q', NULL);
}

Test(options, options_and_words_in_any_order)
{
	cr_assert_eq(PARSE(4, "-q", "one", "--size=1", "two", "-s", "2"), 2);
	cr_assert_eq(target.nr, 3);
	cr_assert_str_eq(target.set[2].value, "2");
	cr_assert_str_eq(words[1], "two");
}

Test(options, everything_after_two_dashes_is_a_word)
{
	cr_assert_eq(PARSE(4, "-q", "--", "--size", "--", "-h"), 3);
	cr_assert_eq(target.nr, 1);
	cr_assert_str_eq(words[0], "--size");
	cr_assert_str_eq(words[1], "--");
	cr_assert_str_eq(words[2], "-h");
}

Test(options, negative_number_and_single_dash_are_words)
{
	cr_assert_eq(PARSE(4, "vm", "-1G", "-"), 3);
	cr_assert_str_eq(words[1], "-1G");
	cr_assert_str_eq(words[2], "-");
}

Test(options, unknown_option_is_refused_by_name)
{
	REFUSED("unknown option --frob; see ebb try --help", PARSE(4, "--frob"));
	REFUSED("unknown option --siz; see ebb try --help", PARSE(4, "--siz", "1"));
	REFUSED("unknown option --sizes; see ebb try --help", PARSE(4, "--sizes", "1"));
	REFUSED("unknown option -S; see ebb try --help", PARSE(4, "-S", "1"));
	REFUSED("unknown option --=1; see ebb try --help", PARSE(4, "--=1"));
}

Test(options, missing_and_unwanted_values_are_refused)
{
	REFUSED("--size needs SIZE", PARSE(4, "--size"));
	REFUSED("--size needs SIZE", PARSE(4, "one", "-s"));
	REFUSED("--quiet takes no value", PARSE(4, "--quiet=yes"));
	REFUSED("--quiet takes no value", PARSE(4, "-qs"));
}

Test(options, word_too_many_is_refused)
{
	REFUSED("one word too many: 'two'; see ebb try --help", PARSE(1, "one", "two"));
	REFUSED("one word too many: 'one'; see ebb try --help", PARSE(0, "one"));
}

Test(options, error_of_an_option_ends_the_parse)
{
	cr_assert_eq(PARSE(0, "-q", "--never", "--size=1"), -EDOM);
	cr_assert_eq(target.nr, 1);
}

Test(options, table_may_be_absent)
{
	static const struct verb bare = { "try", "", "", NULL, NULL };
	const char *argv[] = { "try", "--size", NULL };

	stderr_keep();
	cr_expect_eq(options_parse(&bare, 2, (char **)(uintptr_t)argv, NULL, NULL, 0), -EINVAL);
	cr_assert_str_eq(stderr_text(), "ebb: error: try: unknown option --size; see ebb try "
					"--help\n");
}

Test(options, help_shows_the_table, .init = cr_redirect_stdout)
{
	cr_assert_eq(PARSE(4, "one", "--help", "--frob"), OPTIONS_HELP);
	fflush(stdout);
	cr_assert_stdout_eq_str(
		"Usage: ebb try WORD... [OPTION...]\n\ntry things\n\nOptions:\n"
		"  -s, --size SIZE          how large\n"
		"                           in all\n"
		"  -q, --quiet              say nothing\n"
		"      --a-rather-long-option-name ARGUMENT\n"
		"                           on a line of its own\n"
		"  -n, --never              refused\n"
		"  -a, --again[=S]          with a value or without\n"
		"  -h, --help               this text\n");
}

Test(options, letter_asks_for_help_too, .init = cr_redirect_stdout)
{
	cr_assert_eq(PARSE(4, "-h"), OPTIONS_HELP);
	fflush(stdout);
}

static void seconds(const char *text, uint64_t ns)
{
	uint64_t got = 77;

	cr_assert_eq(options_seconds(text, &got), 0, "'%s'", text);
	cr_assert_eq(got, ns, "'%s': %llu", text, (unsigned long long)got);
}

Test(options, seconds_with_and_without_a_fraction)
{
	seconds("0", 0);
	seconds("1", NS_PER_S);
	seconds("2.5", 5 * NS_PER_S / 2);
	seconds(".25", NS_PER_S / 4);
	seconds("1e3", 1000 * NS_PER_S);
	seconds("1000000000", 1000000000 * NS_PER_S);
}

Test(options, what_is_no_number_of_seconds_is_refused)
{
	static const char *const texts[] = { "",    "x",   "1s",  "1 ",   "-1",       "-0.1",
					     "inf", "nan", "1,5", "1e10", "1000000001" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		uint64_t got = 77;

		cr_assert_eq(options_seconds(texts[i], &got), -EINVAL, "'%s'", texts[i]);
		cr_assert_eq(got, 77);
	}
}

static enum option_kind kind_of(const char *argument)
{
	return option_kind(&(struct option_row){ .name = "x", .argument = argument });
}

Test(options, kind_is_in_the_name_of_the_argument)
{
	cr_assert_eq(kind_of(NULL), OPTION_SWITCH);
	cr_assert_eq(kind_of("on|off"), OPTION_ON_OFF);
	cr_assert_eq(kind_of("N"), OPTION_NUMBER);
	cr_assert_eq(kind_of("S"), OPTION_NUMBER);
	cr_assert_eq(kind_of("NAME"), OPTION_TEXT);
	cr_assert_eq(kind_of("a|b"), OPTION_TEXT);
	cr_assert_eq(kind_of("SIZE[,KEY=VALUE]..."), OPTION_OBJECT);
	cr_assert_eq(kind_of("FILE[,KEY=VALUE...]"), OPTION_OBJECT);
}

static bool repeats(const char *argument)
{
	return option_repeats(&(struct option_row){ .name = "x", .argument = argument });
}

Test(options, three_dots_at_the_end_mean_again)
{
	cr_assert(repeats("FILE..."));
	cr_assert(repeats("SIZE[,KEY=VALUE]..."));
	cr_assert_not(repeats("FILE[,KEY=VALUE...]"));
	cr_assert_not(repeats("N"));
	cr_assert_not(repeats(NULL));
}

Test(options, words_and_files_in_the_name_of_the_argument)
{
	char text[ARGUMENT_WORDS_BYTES];

	cr_assert_str_eq(argument_words("on|off", ' ', text), "on off");
	cr_assert_str_eq(argument_words("PATH|fd:N", ' ', text), "");
	cr_assert_str_eq(argument_words("stdio|file:PATH|pty", ',', text), "stdio,pty");
	cr_assert_str_eq(argument_words("SIZE", ' ', text), "");
	cr_assert(argument_is_file("FILE"));
	cr_assert(argument_is_file("PATH|fd:N"));
	cr_assert(argument_is_file("none|PATH"));
	cr_assert_not(argument_is_file("a|b"));
	cr_assert_not(argument_is_file("VM"));
}

static bool takes_word(const char *argument)
{
	return option_takes_word(&(struct option_row){ .name = "x", .argument = argument });
}

Test(options, an_argument_in_brackets_is_in_the_same_word)
{
	cr_assert(takes_word("N"));
	cr_assert_not(takes_word("[=S]"));
	cr_assert_not(takes_word(NULL));
}

Test(options, rows_are_found_by_their_whole_name)
{
	cr_assert_eq(option_find(&verb, "size"), &rows[0]);
	cr_assert_null(option_find(&verb, "siz"));
	cr_assert_null(option_find(&(struct verb){ .name = "none" }, "size"));
}

Test(options, value_that_may_be_left_out_is_never_the_next_word)
{
	cr_assert_eq(PARSE(1, "--again", "word"), 1);
	one_set('a', NULL);
	cr_assert_str_eq(words[0], "word");
	cr_assert_eq(PARSE(1, "-a", "word"), 1);
	one_set('a', NULL);
	cr_assert_eq(PARSE(0, "--again=2"), 0);
	one_set('a', "2");
	cr_assert_eq(PARSE(0, "--again="), 0);
	one_set('a', "");
	cr_assert_eq(PARSE(0, "-a2"), 0);
	one_set('a', "2");
}

/* --- rows that name a field ------------------------------------------------------------------- */

enum colour { RED, GREEN, BLUE };
struct fields {
	bool quiet, warm, cold;
	enum colour colour;
	const char *text;
	uint64_t bytes, wait_ns, pause_ns;
	unsigned int nr;
};

static const struct option_row field_rows[] = {
	{ "quiet", 'q', NULL, "", OPTION_TRUE(struct fields, quiet) },
	{ "warm", 0, "on|off", "", OPTION_FIRST_WORD(struct fields, warm) },
	{ "heating", 0, "on|off", "", OPTION_SECOND_WORD(struct fields, cold) },
	{ "colour", 0, "red|green|blue", "", OPTION_WORD(struct fields, colour) },
	{ "text", 0, "TEXT", "", OPTION_STRING(struct fields, text) },
	{ "size", 0, "SIZE", "", OPTION_SIZE(struct fields, bytes) },
	{ "nr", 0, "N", "", OPTION_NUMBER(struct fields, nr, 2, 4294967295) },
	{ "wait", 0, "S", "", OPTION_SECONDS(struct fields, wait_ns) },
	{ "pause", 0, "S", "", OPTION_SECONDS_OR_0(struct fields, pause_ns) },
	{ 0 }
};
static const struct verb field_verb = { "try", "", "", field_rows, NULL };
static struct fields fields;

static int store(const char *word)
{
	const char *argv[] = { "try", word, NULL };

	return options_parse(&field_verb, 2, (char **)(uintptr_t)argv, &fields, NULL, 0);
}

Test(options, rows_store_what_their_fields_hold)
{
	fields = (struct fields){ .cold = true };
	cr_assert_eq(store("--quiet"), 0);
	cr_assert(fields.quiet && !fields.warm);
	cr_assert_eq(store("--warm=on"), 0);
	cr_assert_eq(store("--heating=on"), 0);
	cr_assert(fields.warm && !fields.cold);
	cr_assert_eq(store("--warm=off"), 0);
	cr_assert_eq(store("--heating=off"), 0);
	cr_assert(!fields.warm && fields.cold);
	cr_assert_eq(store("--colour=blue"), 0);
	cr_assert_eq(fields.colour, BLUE);
	cr_assert_eq(store("--colour=red"), 0);
	cr_assert_eq(fields.colour, RED);
	cr_assert_eq(store("--text=a b"), 0);
	cr_assert_str_eq(fields.text, "a b");
	cr_assert_eq(store("--size=1.5G"), 0);
	cr_assert_eq(fields.bytes, 1536 * MiB);
	cr_assert_eq(store("--nr=2"), 0);
	cr_assert_eq(fields.nr, 2);
	cr_assert_eq(store("--nr=4294967295"), 0);
	cr_assert_eq(fields.nr, UINT32_MAX);
	cr_assert_eq(store("--wait=2.5"), 0);
	cr_assert_eq(fields.wait_ns, 5 * NS_PER_S / 2);
	cr_assert_eq(store("--pause=0"), 0);
	cr_assert_eq(fields.pause_ns, 0);
}

Test(options, what_a_field_does_not_hold_is_refused_and_changes_nothing)
{
	static const struct {
		const char *word, *said;
	} cases[] = {
		{ "--warm=", "--warm: '' is neither on nor off" },
		{ "--heating=o", "--heating: 'o' is neither on nor off" },
		{ "--heating=on|off", "--heating: 'on|off' is neither on nor off" },
		{ "--colour=pink", "--colour: 'pink' is none of red, green, blue" },
		{ "--colour=gree", "--colour: 'gree' is none of red, green, blue" },
		{ "--size=5X", "--size: '5X' is not a size; write for example 512M or 8G" },
		{ "--nr=1", "--nr: '1' is not a number from 2 to 4294967295" },
		{ "--nr=4294967296", "--nr: '4294967296' is not a number from 2 to 4294967295" },
		{ "--nr=3 ", "--nr: '3 ' is not a number from 2 to 4294967295" },
		{ "--wait=0", "--wait: '0' is not a number of seconds above 0" },
		{ "--pause=-1", "--pause: '-1' is not a number of seconds" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fields before;
		char line[128];

		memset(&fields, 0, sizeof(fields));
		before = fields;
		snprintf(line, sizeof(line), "ebb: error: %s\n", cases[i].said);
		stderr_keep();
		cr_expect_eq(store(cases[i].word), -EINVAL, "%s", cases[i].word);
		cr_expect_str_eq(stderr_text(), line);
		cr_expect_eq(memcmp(&fields, &before, sizeof(fields)), 0, "%s", cases[i].word);
	}
}

Test(options, which_of_the_words_it_is)
{
	cr_assert_eq(options_word("--x", "on|off|auto", "on"), 0);
	cr_assert_eq(options_word("--x", "on|off|auto", "auto"), 2);
	stderr_keep();
	cr_expect_eq(options_word("--x", "a|unix:PATH|none", "unix:PAT"), -EINVAL);
	cr_assert_str_eq(stderr_text(),
			 "ebb: error: --x: 'unix:PAT' is none of a, unix:PATH, none\n");
}
