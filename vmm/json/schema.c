/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - the schema string: its parser, the checks made from it, and typed access. */
#include "vmm/json/schema.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define QUOTE_MAX 64 /* of a client's name in an error */

static bool is_name_char(char c) { return isalnum((unsigned char)c) || c == '-' || c == '_'; }

static size_t object_span(const char *s);

/* Bytes of the type at S, 0 when it is none. Spells the grammar of the header. */
static size_t type_span(const char *s)
{
	size_t n = 0;

	if (*s == '[') {
		n = type_span(s + 1);
		return n && s[n + 1] == ']' ? n + 2 : 0;
	}
	if (*s == '{')
		return object_span(s);
	while (is_name_char(s[n]) || (n && s[n] == '|' && is_name_char(s[n + 1])))
		n++;
	if (memchr(s, '|', n) || (n == 3 && !memcmp(s, "any", 3)))
		return n;
	if (n != 1 || !strchr("sbiuno", *s))
		return 0;
	if (s[n] == '(') {
		int end = 0;

		if (*s == 'i')
			sscanf(s + n, "(%*d..%*d)%n", &end);
		else if (*s == 'u')
			sscanf(s + n, "(%*u..%*u)%n", &end);
		n = end ? n + (size_t)end : 0;
	}
	return n;
}

bool qmp_arg_next(const char **schema, struct qmp_arg *arg)
{
	const char *p = *schema;

	while (p && *p == ' ')
		p++;
	if (!p || !*p || *p == '}' || *p == '.')
		return false;
	arg->name = p;
	while (is_name_char(*p))
		p++;
	arg->name_len = (size_t)(p - arg->name);
	arg->optional = *p == '?';
	if (arg->optional)
		p++;
	assert(arg->name_len && *p == ':');
	arg->type = p + 1;
	arg->type_len = type_span(arg->type);
	assert(arg->type_len);
	p = arg->type + arg->type_len;
	assert(!*p || *p == ' ' || *p == '}');
	*schema = p;
	return true;
}

/* Behind the arguments of a schema at S: passes "..." over, if it is there. */
static bool takes_others(const char **s)
{
	while (*s && **s == ' ')
		(*s)++;
	if (!*s || strncmp(*s, "...", 3) != 0)
		return false;
	*s += 3;
	return true;
}

static size_t object_span(const char *s)
{
	const char *p = s + 1;
	struct qmp_arg arg;

	while (qmp_arg_next(&p, &arg))
		;
	(void)takes_others(&p);
	return *p == '}' ? (size_t)(p + 1 - s) : 0;
}

int qmp_to_u64(struct json_object *value, const char *what, uint64_t low, uint64_t high,
	       uint64_t *out, struct qmp_error *err)
{
	if (!json_object_is_type(value, json_type_int))
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"'%.*s' must be an integer: a plain number%s", QUOTE_MAX, what,
				json_object_is_type(value, json_type_string) ?
					", not a string (1G is 1073741824)" : "");
	/* json_object_get_uint64() makes 0 of a negative number. */
	*out = json_object_get_uint64(value);
	if (json_object_get_int64(value) < 0 || *out < low || *out > high || *out == UINT64_MAX)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"'%.*s' is out of range: %" PRIu64 " to %" PRIu64, QUOTE_MAX, what,
				low, high == UINT64_MAX ? high - 1 : high);
	return 0;
}

int qmp_to_i64(struct json_object *value, const char *what, int64_t low, int64_t high, int64_t *out,
	       struct qmp_error *err)
{
	uint64_t u;

	if (!json_object_is_type(value, json_type_int)) /* for its message */
		return qmp_to_u64(value, what, 0, 0, &u, err);
	*out = json_object_get_int64(value);
	u = json_object_get_uint64(value);
	if (*out < low || *out > high || *out == INT64_MIN || u > INT64_MAX)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"'%.*s' is out of range: %" PRId64 " to %" PRId64, QUOTE_MAX, what,
				low == INT64_MIN ? low + 1 : low, high);
	return 0;
}

static int check_integer(const char *type, size_t len, struct json_object *value, const char *what,
			 struct qmp_error *err)
{
	if (*type == 'u') {
		uint64_t low = 0, high = UINT64_MAX, v;

		if (len > 1)
			sscanf(type, "u(%" SCNu64 "..%" SCNu64 ")", &low, &high);
		return qmp_to_u64(value, what, low, high, &v, err);
	} else {
		int64_t low = INT64_MIN, high = INT64_MAX, v;

		if (len > 1)
			sscanf(type, "i(%" SCNd64 "..%" SCNd64 ")", &low, &high);
		return qmp_to_i64(value, what, low, high, &v, err);
	}
}

/* A string as C sees it: an escaped NUL would hide what follows. */
static bool is_plain_string(struct json_object *value)
{
	return json_object_is_type(value, json_type_string) &&
	       strlen(json_object_get_string(value)) ==
		       (size_t)json_object_get_string_len(value);
}

static bool is_word_of(const char *words, size_t len, const char *word)
{
	const char *end = words + len;
	size_t n = strlen(word);

	for (const char *p = words; p < end; p++) {
		const char *bar = memchr(p, '|', (size_t)(end - p));
		const char *stop = bar ? bar : end;

		if ((size_t)(stop - p) == n && !memcmp(p, word, n))
			return true;
		p = stop;
	}
	return false;
}

static int check_value(const char *type, size_t len, struct json_object *value, const char *what,
		       struct qmp_error *err)
{
	static const struct {
		char type;
		enum json_type json;
		const char *name;
	} simple[] = {
		{ 's', json_type_string, "a string" },
		{ 'b', json_type_boolean, "true or false" },
		{ 'o', json_type_object, "an object" },
		{ 'n', json_type_double, "a number" },
	};

	if (*type == '[') {
		if (!json_object_is_type(value, json_type_array))
			return qmp_fail(err, QMP_GENERIC_ERROR, "'%.*s' must be an array",
					QUOTE_MAX, what);
		for (size_t i = 0; i < json_object_array_length(value); i++) {
			int r = check_value(type + 1, len - 2, json_object_array_get_idx(value, i),
					    what, err);

			if (r)
				return r;
		}
		return 0;
	}
	if (*type == '{') {
		if (!json_object_is_type(value, json_type_object))
			return qmp_fail(err, QMP_GENERIC_ERROR, "'%.*s' must be an object",
					QUOTE_MAX, what);
		return qmp_args_check(type + 1, value, err);
	}
	if (memchr(type, '|', len)) {
		if (is_plain_string(value) && is_word_of(type, len, json_object_get_string(value)))
			return 0;
		return qmp_fail(err, QMP_GENERIC_ERROR, "'%.*s' must be one of %.*s", QUOTE_MAX,
				what, (int)len, type);
	}
	if (*type == 'a')
		return 0;
	if (*type == 'u' || *type == 'i')
		return check_integer(type, len, value, what, err);
	for (size_t i = 0; i < ARRAY_SIZE(simple); i++) {
		if (*type != simple[i].type)
			continue;
		if (*type == 's' ? is_plain_string(value) :
		    json_object_is_type(value, simple[i].json) ||
			    (*type == 'n' && json_object_is_type(value, json_type_int)))
			return 0;
		return qmp_fail(err, QMP_GENERIC_ERROR, "'%.*s' must be %s", QUOTE_MAX, what,
				simple[i].name);
	}
	assert(false); /* type_span() let something through */
	return -EINVAL;
}

static int refuse_unknown(const char *schema, const char *name, struct qmp_error *err)
{
	char list[256] = "";
	size_t used = 0;
	struct qmp_arg arg;

	while (qmp_arg_next(&schema, &arg) && used < sizeof(list))
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%.*s",
					 used ? ", " : "", (int)arg.name_len, arg.name);
	return qmp_fail(err, QMP_GENERIC_ERROR, "argument '%.*s' is unknown; this command takes %s",
			QUOTE_MAX, name, used ? list : "none");
}

int qmp_args_check(const char *schema, struct json_object *args, struct qmp_error *err)
{
	const char *rest = schema;
	struct qmp_arg arg;
	int nr_found = 0;

	while (qmp_arg_next(&rest, &arg)) {
		struct json_object *value;
		char name[QUOTE_MAX];
		int r;

		snprintf(name, sizeof(name), "%.*s", (int)arg.name_len, arg.name);
		if (!json_object_object_get_ex(args, name, &value)) {
			if (arg.optional)
				continue;
			return qmp_fail(err, QMP_GENERIC_ERROR, "argument '%s' is missing", name);
		}
		nr_found++;
		r = check_value(arg.type, arg.type_len, value, name, err);
		if (r)
			return r;
	}
	if (!args || json_object_object_length(args) == nr_found || takes_others(&rest))
		return 0;
	json_object_object_foreach(args, key, unused)
	{
		bool known = false;

		(void)unused;
		for (rest = schema; !known && qmp_arg_next(&rest, &arg);)
			known = strlen(key) == arg.name_len && !memcmp(key, arg.name, arg.name_len);
		if (!known)
			return refuse_unknown(schema, key, err);
	}
	return 0;
}

struct json_object *qmp_arg(struct json_object *args, const char *name)
{
	return args ? json_object_object_get(args, name) : NULL;
}

const char *qmp_arg_str(struct json_object *args, const char *name, const char *fallback)
{
	struct json_object *value = qmp_arg(args, name);

	return value ? json_object_get_string(value) : fallback;
}

bool qmp_arg_bool(struct json_object *args, const char *name, bool fallback)
{
	struct json_object *value = qmp_arg(args, name);

	return value ? json_object_get_boolean(value) : fallback;
}

uint64_t qmp_arg_u64(struct json_object *args, const char *name, uint64_t fallback)
{
	struct json_object *value = qmp_arg(args, name);

	return value ? json_object_get_uint64(value) : fallback;
}

int64_t qmp_arg_i64(struct json_object *args, const char *name, int64_t fallback)
{
	struct json_object *value = qmp_arg(args, name);

	return value ? json_object_get_int64(value) : fallback;
}
