/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_schema.c - schema strings to SchemaInfo objects, each type once. */
#include "vmm/control/qmp_schema.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "vmm/json/schema.h"

/* Of a type that is one letter, or "any". */
static const struct {
	char letter;
	const char *name, *json;
} builtins[] = {
	{ 's', "str", "string" }, { 'b', "bool", "boolean" }, { 'i', "int", "int" },
	{ 'u', "int", "int" },	  { 'n', "number", "number" }, { 'o', "any", "value" },
	{ 'a', "any", "value" },
};

static void put(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static struct json_object *add(struct qmp_schema *s, const char *name, const char *meta_type)
{
	struct json_object *o = json_object_new_object();

	put(o, "name", name);
	put(o, "meta-type", meta_type);
	if (!s->list)
		s->list = json_object_new_array();
	json_object_array_add(s->list, o);
	return o;
}

static const char *builtin_name(struct qmp_schema *s, char letter)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(builtins); i++) {
		if (builtins[i].letter != letter)
			continue;
		for (unsigned int j = 0; j < i; j++) /* two letters may stand for one type */
			if (!strcmp(builtins[j].name, builtins[i].name))
				return builtin_name(s, builtins[j].letter);
		if (!(s->builtins & 1u << i))
			put(add(s, builtins[i].name, "builtin"), "json-type", builtins[i].json);
		s->builtins |= 1u << i;
		return builtins[i].name;
	}
	assert(false); /* qmp_arg_next() let something through */
	return NULL;
}

#define NAME_BYTES 16

static void name_type(struct qmp_schema *s, const char *type, size_t len, char name[NAME_BYTES]);

static void add_members(struct qmp_schema *s, struct json_object *o, const char *schema)
{
	struct json_object *members = json_object_new_array();
	struct qmp_arg arg;

	while (qmp_arg_next(&schema, &arg)) {
		struct json_object *member = json_object_new_object();
		char type[NAME_BYTES];

		name_type(s, arg.type, arg.type_len, type);
		json_object_object_add(member, "name",
				       json_object_new_string_len(arg.name, (int)arg.name_len));
		put(member, "type", type);
		if (arg.optional)
			json_object_object_add(member, "default", NULL);
		json_object_array_add(members, member);
	}
	json_object_object_add(o, "members", members);
}

static void add_values(struct json_object *o, const char *words, size_t len)
{
	struct json_object *members = json_object_new_array(), *values = json_object_new_array();
	const char *end = words + len;

	for (const char *p = words; p < end;) {
		const char *bar = memchr(p, '|', (size_t)(end - p));
		const char *stop = bar ? bar : end;
		struct json_object *word = json_object_new_string_len(p, (int)(stop - p));
		struct json_object *member = json_object_new_object();

		json_object_object_add(member, "name", word);
		json_object_array_add(members, member);
		json_object_array_add(values, json_object_get(word));
		p = stop + 1;
	}
	json_object_object_add(o, "members", members);
	json_object_object_add(o, "values", values);
}

/* The name of a type that is not built in; describes it when it is new. */
static void name_type(struct qmp_schema *s, const char *type, size_t len, char name[NAME_BYTES])
{
	bool is_array = *type == '[', is_object = *type == '{';
	unsigned int i = 0;

	if (!is_array && !is_object && !memchr(type, '|', len)) {
		snprintf(name, NAME_BYTES, "%s", builtin_name(s, *type));
		return;
	}
	while (i < s->nr_types &&
	       (s->types[i].len != len || memcmp(s->types[i].text, type, len)))
		i++;
	snprintf(name, NAME_BYTES, "%u", i);
	if (i < s->nr_types)
		return;
	assert(i < QMP_SCHEMA_MAX_TYPES);
	s->types[s->nr_types].text = type;
	s->types[s->nr_types++].len = len;
	if (is_array) {
		char element[NAME_BYTES];

		name_type(s, type + 1, len - 2, element);
		put(add(s, name, "array"), "element-type", element);
	} else if (is_object) {
		add_members(s, add(s, name, "object"), type + 1);
	} else {
		add_values(add(s, name, "enum"), type, len);
	}
}

/* A schema as the type of its object: the strings are constants, so their braces are left out. */
static void name_object(struct qmp_schema *s, const char *schema, char name[NAME_BYTES])
{
	unsigned int i = 0;

	if (!schema)
		schema = "";
	while (i < s->nr_types && strcmp(s->types[i].text, schema))
		i++;
	snprintf(name, NAME_BYTES, "%u", i);
	if (i < s->nr_types)
		return;
	assert(i < QMP_SCHEMA_MAX_TYPES);
	s->types[s->nr_types].text = schema;
	s->types[s->nr_types++].len = strlen(schema);
	add_members(s, add(s, name, "object"), schema);
}

void qmp_schema_command(struct qmp_schema *s, const char *name, const char *args,
			const char *returns)
{
	char arg_type[NAME_BYTES], ret_type[NAME_BYTES];
	struct json_object *o;

	name_object(s, args, arg_type);
	if (returns)
		name_type(s, returns, strlen(returns), ret_type);
	else
		name_object(s, NULL, ret_type);
	o = add(s, name, "command");
	put(o, "arg-type", arg_type);
	put(o, "ret-type", ret_type);
	json_object_object_add(o, "allow-oob", json_object_new_boolean(false));
}

void qmp_schema_event(struct qmp_schema *s, const char *name, const char *data)
{
	char type[NAME_BYTES];

	name_object(s, data, type);
	put(add(s, name, "event"), "arg-type", type);
}
