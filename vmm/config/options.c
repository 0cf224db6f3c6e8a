/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - a command line as a table. */
#include "vmm/config/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/size.h"

static void print_help_text(const char *text)
{
	for (; *text; text++) {
		putchar(*text);
		if (*text == '\n')
			printf("%27s", "");
	}
	putchar('\n');
}

void options_help(const struct verb *verb)
{
	printf("Usage: ebb %s %s\n\n%s\n\nOptions:\n", verb->name, verb->usage, verb->summary);
	for (const struct option_row *row = verb->options; row && row->name; row++) {
		char left[64];

		snprintf(left, sizeof(left), "%c%c%c --%s%s%s", row->letter ? '-' : ' ',
			 row->letter ? row->letter : ' ', row->letter ? ',' : ' ', row->name,
			 option_takes_word(row) ? " " : "",
			 row->argument ? row->argument : "");
		if (strlen(left) > 23)
			printf("  %s\n%27s", left, "");
		else
			printf("  %-25s", left);
		print_help_text(row->help);
	}
	printf("  %-25s%s\n", "-h, --help", "this text");
}

/* The row that WORD (with its dashes) names; *INLINE_VALUE: what follows '='. */
static const struct option_row *find(const struct verb *verb, const char *word,
				     const char **inline_value)
{
	bool is_long = word[1] == '-';
	const char *name = word + (is_long ? 2 : 1);
	size_t length = is_long ? strcspn(name, "=") : 1;

	*inline_value = NULL;
	if (is_long && name[length])
		*inline_value = name + length + 1;
	else if (!is_long && name[1])
		*inline_value = name + 1; /* -m512M */
	for (const struct option_row *row = verb->options; row && row->name; row++) {
		if (is_long ? strlen(row->name) == length && !strncmp(row->name, name, length) :
			      row->letter == *name)
			return row;
	}
	return NULL;
}

int options_walk(const struct verb *verb, int argc, char **argv, option_fn fn, void *ctx,
		 const char **positional, int max)
{
	bool only_words = false;
	int nr = 0;

	for (int i = 1; i < argc; i++) {
		const char *word = argv[i], *value;
		const struct option_row *row;
		int r;

		if (!only_words && !strcmp(word, "--")) {
			only_words = true;
			continue;
		}
		/* "-1G" is a size, not an option. */
		if (only_words || word[0] != '-' || !word[1] ||
		    (word[1] >= '0' && word[1] <= '9')) {
			if (nr == max)
				return fail_usage("%s: one word too many: '%s'; see ebb %s --help",
						  verb->name, word, verb->name);
			positional[nr++] = word;
			continue;
		}
		if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
			options_help(verb);
			return OPTIONS_HELP;
		}
		row = find(verb, word, &value);
		if (!row)
			return fail_usage("%s: unknown option %s; see ebb %s --help", verb->name,
					  word, verb->name);
		if (option_takes_word(row) && !value) {
			if (++i == argc)
				return fail_usage("%s: --%s needs %s", verb->name, row->name,
						  row->argument);
			value = argv[i];
		} else if (!row->argument && value) {
			return fail_usage("%s: --%s takes no value", verb->name, row->name);
		}
		r = fn(ctx, row, value);
		if (r)
			return r;
	}
	return nr;
}

static int set(void *target, const struct option_row *row, const char *value)
{
	return option_set(row, target, value);
}

int options_parse(const struct verb *verb, int argc, char **argv, void *target,
		  const char **positional, int max)
{
	return options_walk(verb, argc, argv, set, target, positional, max);
}

enum option_kind option_kind(const struct option_row *row)
{
	if (!row->argument)
		return OPTION_SWITCH;
	if (!strcmp(row->argument, "on|off"))
		return OPTION_ON_OFF;
	if (!strcmp(row->argument, "N") || !strcmp(row->argument, "S"))
		return OPTION_NUMBER;
	return strstr(row->argument, ",KEY=VALUE") ? OPTION_OBJECT : OPTION_TEXT;
}

bool option_repeats(const struct option_row *row)
{
	size_t n = row->argument ? strlen(row->argument) : 0;

	return n > 3 && !strcmp(row->argument + n - 3, "...");
}

/* Does an alternative of ARGUMENT begin with NAME? */
static bool has_alternative(const char *argument, const char *name)
{
	for (; argument; argument = strchr(argument, '|')) {
		argument += *argument == '|';
		if (!strncmp(argument, name, strlen(name)))
			return true;
	}
	return false;
}

bool argument_is_file(const char *argument)
{
	return has_alternative(argument, "FILE") || has_alternative(argument, "PATH");
}

static bool is_word(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)text[i]) && text[i] != '-')
			return false;
	return n > 0;
}

const char *argument_words(const char *argument, char separator, char words[ARGUMENT_WORDS_BYTES])
{
	size_t used = 0;

	*words = 0;
	for (; *argument; argument += *argument == '|') {
		size_t n = strcspn(argument, "|");

		if (is_word(argument, n) && used + n + 2 < ARGUMENT_WORDS_BYTES) {
			if (used)
				words[used++] = separator;
			memcpy(words + used, argument, n);
			used += n;
			words[used] = 0;
		}
		argument += n;
	}
	return words;
}

const struct option_row *option_find(const struct verb *verb, const char *name)
{
	for (const struct option_row *row = verb->options; row && row->name; row++)
		if (!strcmp(row->name, name))
			return row;
	return NULL;
}

int options_size(const char *option, const char *text, uint64_t *bytes)
{
	if (size_parse(text, bytes))
		return fail_usage("%s: '%s' is not a size; write for example 512M or 8G", option,
				  text);
	return 0;
}

int options_seconds(const char *text, uint64_t *ns)
{
	char *rest;
	double seconds = strtod(text, &rest);

	if (rest == text || *rest || !isfinite(seconds) || seconds < 0 || seconds > 1e9)
		return -EINVAL;
	*ns = (uint64_t)(seconds * (double)NS_PER_S);
	return 0;
}

int options_number(const char *text, unsigned int least, unsigned int most, unsigned int *number)
{
	char *rest;
	unsigned long n = strtoul(text, &rest, 10);

	if (!isdigit((unsigned char)*text) || *rest || n < least || n > most)
		return -EINVAL;
	*number = (unsigned int)n;
	return 0;
}

/* --- words ------------------------------------------------------------------------------------ */

int options_refuse_word(const char *option, const char *words, const char *text)
{
	const char *bar = strchr(words, '|');
	char list[ARGUMENT_WORDS_BYTES];
	size_t used = 0;

	if (bar && !strchr(bar + 1, '|'))
		return fail_usage("%s: '%s' is neither %.*s nor %s", option, text,
				  (int)(bar - words), words, bar + 1);
	for (; *words && used + 3 < sizeof(list); words++) {
		list[used++] = *words == '|' ? ',' : *words;
		if (*words == '|')
			list[used++] = ' ';
	}
	list[used] = 0;
	return fail_usage("%s: '%s' is none of %s", option, text, list);
}

int options_word(const char *option, const char *words, const char *text)
{
	const char *word = words;

	for (int i = 0; *word; i++) {
		size_t n = strcspn(word, "|");

		if (strlen(text) == n && !strncmp(word, text, n))
			return i;
		word += n;
		word += *word == '|';
	}
	return options_refuse_word(option, words, text);
}

/* --- what a row stores ------------------------------------------------------------------------ */

static int store_word(const struct option_row *row, const char *option, void *field,
		      const char *value)
{
	int i = options_word(option, row->argument, value);

	if (i < 0)
		return i;
	if (row->store == STORE_WORD)
		*(unsigned int *)field = (unsigned int)i;
	else
		*(bool *)field = i == (row->store == STORE_SECOND_WORD);
	return 0;
}

static int store_number(const struct option_row *row, const char *option, void *field,
			const char *value)
{
	if (options_number(value, row->least, row->most, field))
		return fail_usage("%s: '%s' is not a number from %u to %u", option, value,
				  row->least, row->most);
	return 0;
}

static int store_seconds(const struct option_row *row, const char *option, void *field,
			 const char *value)
{
	uint64_t ns;

	if (options_seconds(value, &ns) || ns < row->least)
		return fail_usage("%s: '%s' is not a number of seconds%s", option, value,
				  row->least ? " above 0" : "");
	*(uint64_t *)field = ns;
	return 0;
}

int option_set(const struct option_row *row, void *target, const char *value)
{
	void *field = (char *)target + row->at;
	char option[64];

	snprintf(option, sizeof(option), "--%s", row->name);
	switch (row->store) {
	case STORE_BY_SET:
		return row->set(target, value);
	case STORE_TRUE:
		*(bool *)field = true;
		return 0;
	case STORE_FIRST_WORD:
	case STORE_SECOND_WORD:
	case STORE_WORD:
		return store_word(row, option, field, value);
	case STORE_STRING:
		*(const char **)field = value;
		return 0;
	case STORE_SIZE:
		return options_size(option, value, field);
	case STORE_NUMBER:
		return store_number(row, option, field, value);
	case STORE_SECONDS:
		return store_seconds(row, option, field, value);
	}
	return -EINVAL;
}
