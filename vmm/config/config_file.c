/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_file.c - options from JSON files and the command line together.
 * Whatever the source, an option becomes the text that the command line would have; these are kept
 * in one object, by name: {"NAME": {"from": FILE or null, "values": [TEXT or null, ...]}}.
 */
#include "vmm/config/config_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/json/members.h"

#define FILE_BYTES_MAX (1 * MiB)
#define FILE_DEPTH_MAX 4

/* --- what was given -------------------------------------------------------------------------- */

/* VALUES, a list, are those of the option from now on. Takes VALUES. */
static void give(struct json_object *given, const char *name, const char *from,
		 struct json_object *values)
{
	struct json_object *entry = json_object_new_object();

	json_object_object_add(entry, "from", from ? json_object_new_string(from) : NULL);
	json_object_object_add(entry, "values", values);
	json_object_object_add(given, name, entry);
}

static struct json_object *values_of(struct json_object *given, const char *name)
{
	struct json_object *entry = NULL, *values = NULL;

	json_object_object_get_ex(given, name, &entry);
	json_object_object_get_ex(entry, "values", &values);
	return values;
}

static struct json_object *text_or_null(const char *text)
{
	return text ? json_object_new_string(text) : NULL;
}

/* From the command line: once more is another value of a list, or else the one that counts. */
static int give_option(void *ctx, const struct option_row *row, const char *value)
{
	struct json_object *given = ctx, *values = values_of(given, row->name);

	if (!values || !option_repeats(row)) {
		values = json_object_new_array();
		give(given, row->name, NULL, values);
	}
	json_object_array_add(values, text_or_null(value));
	return 0;
}

/* --- one file -------------------------------------------------------------------------------- */

static int read_text(const char *path, char **text, size_t *bytes)
{
	FILE *f = fopen(path, "re");
	size_t n;
	int r = 0;

	if (!f)
		return fail(-errno, "configuration %s", path);
	*text = malloc(FILE_BYTES_MAX + 1);
	n = *text ? fread(*text, 1, FILE_BYTES_MAX + 1, f) : 0;
	if (!*text)
		r = fail(-ENOMEM, "configuration %s", path);
	else if (ferror(f))
		r = fail(-errno, "configuration %s", path);
	else if (n > FILE_BYTES_MAX)
		r = fail_usage("configuration %s: larger than 1 MiB", path);
	else
		(*text)[n] = 0;
	*bytes = n;
	fclose(f);
	return r;
}

static int parse_text(const char *path, const char *text, size_t bytes, struct json_object **out)
{
	struct json_tokener *tokener = json_tokener_new_ex(FILE_DEPTH_MAX);
	enum json_tokener_error error;
	unsigned int line = 1;
	size_t end;

	if (!tokener)
		return fail(-ENOMEM, "configuration %s", path);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	/* With its NUL: a value at the very end is over only then. */
	*out = json_tokener_parse_ex(tokener, text, (int)bytes + 1);
	error = json_tokener_get_error(tokener);
	end = min_u64(json_tokener_get_parse_end(tokener), bytes);
	json_tokener_free(tokener);
	for (size_t i = 0; i < end; i++)
		line += text[i] == '\n';
	if (error != json_tokener_success)
		return fail_usage("%s:%u: not JSON: %s", path, line, json_tokener_error_desc(error));
	if (!json_object_is_type(*out, json_type_object))
		return fail_usage("%s: not a JSON object of options, {\"kernel\": \"FILE\", ...}",
				  path);
	return 0;
}

/* The string at TEXT, with its quotes; *BYTES of it. */
static struct json_object *string_at(const char *text, size_t *bytes)
{
	struct json_tokener *tokener;
	struct json_object *string;
	size_t n = 1;

	while (text[n] != '"')
		n += text[n] == '\\' ? 2 : 1;
	*bytes = n + 1;
	tokener = json_tokener_new();
	string = json_tokener_parse_ex(tokener, text, (int)n + 1);
	json_tokener_free(tokener);
	return string;
}

/* json-c keeps the last of two members of one name. TEXT is JSON, FILE_DEPTH_MAX deep at most. */
static int check_duplicates(const char *path, const char *text)
{
	struct json_object *seen[FILE_DEPTH_MAX + 1] = { NULL };
	unsigned int depth = 0;
	int r = 0;

	for (const char *p = text; *p && !r; p++) {
		if (*p == '{' || *p == '[') {
			seen[++depth] = *p == '{' ? json_object_new_object() : NULL;
		} else if (*p == '}' || *p == ']') {
			json_object_put(seen[depth]);
			seen[depth--] = NULL;
		} else if (*p == '"') {
			size_t bytes;
			struct json_object *string = string_at(p, &bytes);
			const char *key = json_object_get_string(string);

			p += bytes - 1;
			if (p[1 + strspn(p + 1, " \t\r\n")] == ':') {
				if (json_object_object_get_ex(seen[depth], key, NULL))
					r = fail_usage("%s: key '%s' is there twice", path, key);
				json_object_object_add(seen[depth], key, NULL);
			}
			json_object_put(string);
		}
	}
	while (depth)
		json_object_put(seen[depth--]);
	return r;
}

/* No NUL in it: what stood after that would be lost. */
static bool is_text(struct json_object *o)
{
	return json_object_is_type(o, json_type_string) &&
	       strlen(json_object_get_string(o)) == (size_t)json_object_get_string_len(o);
}

static int wrong_type(const char *path, const struct option_row *row, const char *want)
{
	return fail_usage("%s: key '%s': write %s", path, row->name, want);
}

/* What an object begins with on the command line: SIZE[,KEY=VALUE] has the key "size". */
static void leading_key(const struct option_row *row, char key[16])
{
	size_t n = 0;

	for (; n < 15 && isupper((unsigned char)row->argument[n]); n++)
		key[n] = (char)tolower((unsigned char)row->argument[n]);
	key[n] = 0;
}

/* {"size": "1G", "block": "2M"} -> "1G,block=2M"; "readonly": true -> ",readonly" */
static int object_value(const char *path, const struct option_row *row, struct json_object *o,
			struct json_object **value)
{
	char lead[16], text[4096];
	struct json_object *first = NULL;
	int n;

	leading_key(row, lead);
	json_object_object_get_ex(o, lead, &first);
	if (!first)
		return fail_usage("%s: key '%s': an object needs the key '%s'", path, row->name,
				  lead);
	n = snprintf(text, sizeof(text), "%s", json_object_get_string(first));
	json_object_object_foreach(o, key, member) {
		bool is_word = member != first && json_object_is_type(member, json_type_boolean);
		const char *part = is_word ? "" : json_object_get_string(member);

		if (!is_word && !is_text(member))
			return fail_usage("%s: key '%s', '%s': write a text in quotes", path,
					  row->name, key);
		if (strchr(part, ',') || strpbrk(key, ",="))
			return fail_usage("%s: key '%s', '%s': no comma can stand there", path,
					  row->name, key);
		if (member == first || n >= (int)sizeof(text) ||
		    (is_word && !json_object_get_boolean(member)))
			continue;
		n += snprintf(text + n, sizeof(text) - (size_t)n, ",%s%s%s", key,
			      is_word ? "" : "=", part);
	}
	if (n >= (int)sizeof(text))
		return fail_usage("%s: key '%s': too long", path, row->name);
	*value = json_object_new_string(text);
	return 0;
}

/* One JSON value as the text that the command line has. */
static int to_value(const char *path, const struct option_row *row, struct json_object *o,
		    struct json_object **value)
{
	enum json_type type = json_object_get_type(o);

	switch (option_kind(row)) {
	case OPTION_SWITCH:
	case OPTION_ON_OFF:
		if (type != json_type_boolean)
			return wrong_type(path, row, "true or false");
		*value = option_kind(row) == OPTION_SWITCH ?
				 NULL :
				 text_or_null(json_object_get_boolean(o) ? "on" : "off");
		return 0;
	case OPTION_NUMBER:
		if (type != json_type_int && type != json_type_double)
			return wrong_type(path, row, "a number, without quotes");
		*value = json_object_new_string(json_object_to_json_string(o));
		return 0;
	case OPTION_OBJECT:
		if (type != json_type_object)
			return wrong_type(path, row, "an object in braces");
		return object_value(path, row, o, value);
	default:
		if (!is_text(o))
			return wrong_type(path, row, "a text in quotes, as on the command line");
		*value = text_or_null(json_object_get_string(o));
		return 0;
	}
}

/* A list stays one, any other value becomes a list of one. */
static int to_values(const char *path, const struct option_row *row, struct json_object *o,
		     struct json_object *values)
{
	bool list = option_repeats(row);
	size_t nr = 1;

	if (list && !json_object_is_type(o, json_type_array))
		return wrong_type(path, row, "a list in square brackets");
	if (list)
		nr = json_object_array_length(o);
	for (size_t i = 0; i < nr; i++) {
		struct json_object *value = NULL;
		int r = to_value(path, row, list ? json_object_array_get_idx(o, i) : o, &value);

		if (r)
			return r;
		json_object_array_add(values, value);
	}
	return 0;
}

static bool is_about_files(const char *name)
{
	return !strcmp(name, "config") || !strcmp(name, "print-config");
}

static int give_members(const struct verb *verb, const char *path, struct json_object *file,
			struct json_object *given)
{
	json_object_object_foreach(file, key, value) {
		const struct option_row *row = option_find(verb, key);
		struct json_object *values;
		int r;

		if (!row || is_about_files(key))
			return fail_usage("%s: unknown key '%s'; keys are the long options of ebb "
					  "%s --help", path, key, verb->name);
		values = json_object_new_array();
		r = to_values(path, row, value, values);
		if (!r && option_kind(row) == OPTION_SWITCH && !json_object_get_boolean(value)) {
			json_object_object_del(given, key);
			json_object_put(values);
		} else {
			give(given, key, path, values);
		}
		if (r)
			return r;
	}
	return 0;
}

static int give_file(const struct verb *verb, const char *path, struct json_object *given)
{
	struct json_object *file = NULL;
	auto_free char *text = NULL;
	size_t bytes = 0;
	int r = read_text(path, &text, &bytes);

	if (!r)
		r = parse_text(path, text, bytes, &file);
	if (!r)
		r = check_duplicates(path, text);
	if (!r)
		r = give_members(verb, path, file, given);
	json_object_put(file);
	return r;
}

/* --- all together ---------------------------------------------------------------------------- */

static int apply(struct config *cfg, const struct option_row *row, struct json_object *given)
{
	struct json_object *values = values_of(given, row->name), *entry = NULL, *from = NULL;
	int r = 0;

	if (!values)
		return 0;
	json_object_object_get_ex(given, row->name, &entry);
	json_object_object_get_ex(entry, "from", &from);
	log_set_source(json_object_get_string(from));
	for (size_t i = 0; i < json_object_array_length(values) && !r; i++)
		r = option_set(row, cfg,
			       json_object_get_string(json_object_array_get_idx(values, i)));
	log_set_source(NULL);
	return r;
}

int config_read(struct config *cfg, const struct verb *verb, int argc, char **argv,
		struct json_object **given)
{
	struct json_object *typed = json_object_new_object(), *files;
	int r = options_walk(verb, argc, argv, give_option, typed, NULL, 0);

	*given = json_object_new_object();
	files = values_of(typed, "config");
	for (size_t i = 0; files && i < json_object_array_length(files) && !r; i++)
		r = give_file(verb, json_object_get_string(json_object_array_get_idx(files, i)),
			      *given);
	if (!r) {
		json_object_object_foreach(typed, name, entry) {
			json_object_object_add(*given, name, json_object_get(entry));
		}
	}
	for (const struct option_row *row = verb->options; row->name && !r; row++)
		r = apply(cfg, row, *given);
	json_object_put(typed);
	return r;
}

/* --- and back -------------------------------------------------------------------------------- */

/* "1G,block=2M" -> {"size": "1G", "block": "2M"}; a word alone is true. */
static struct json_object *to_object(const struct option_row *row, const char *value)
{
	struct json_object *o = json_object_new_object();
	char lead[16], text[4096], *save = NULL, *word;

	leading_key(row, lead);
	snprintf(text, sizeof(text), "%s", value);
	word = strtok_r(text, ",", &save);
	add_str(o, lead, word ? word : "");
	while ((word = strtok_r(NULL, ",", &save))) {
		char *equals = strchr(word, '=');

		if (!equals) {
			add_bool(o, word, true);
			continue;
		}
		*equals = 0;
		add_str(o, word, equals + 1);
	}
	return o;
}

static struct json_object *to_json(const struct option_row *row, struct json_object *value)
{
	const char *text = json_object_get_string(value);

	switch (option_kind(row)) {
	case OPTION_SWITCH:
		return json_object_new_boolean(true);
	case OPTION_ON_OFF:
		return json_object_new_boolean(!strcmp(text, "on"));
	case OPTION_NUMBER:
		return text[strspn(text, "0123456789")] ?
			       json_object_new_double(strtod(text, NULL)) :
			       json_object_new_int64(strtoll(text, NULL, 10));
	case OPTION_OBJECT:
		return to_object(row, text);
	default:
		return json_object_get(value);
	}
}

void config_print(const struct verb *verb, struct json_object *given)
{
	struct json_object *file = json_object_new_object();

	for (const struct option_row *row = verb->options; row->name; row++) {
		struct json_object *values = values_of(given, row->name), *o;

		if (!values || is_about_files(row->name))
			continue;
		o = option_repeats(row) ? json_object_new_array() : NULL;
		for (size_t i = 0; i < json_object_array_length(values); i++) {
			struct json_object *one =
				to_json(row, json_object_array_get_idx(values, i));

			if (option_repeats(row))
				json_object_array_add(o, one);
			else
				o = one;
		}
		json_object_object_add(file, row->name, o);
	}
	puts(json_object_to_json_string_ext(file, JSON_C_TO_STRING_PRETTY |
							  JSON_C_TO_STRING_SPACED |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(file);
}
