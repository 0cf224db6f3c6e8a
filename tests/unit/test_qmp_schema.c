/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp_schema.c - schema strings as SchemaInfo: every type once, all names resolve. */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/control/qmp_schema.h"

static const char *text_of(struct json_object *list)
{
	return json_object_to_json_string_ext(list,
					      JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

Test(qmp_schema, command_without_arguments_takes_and_returns_the_empty_object)
{
	struct qmp_schema s = { 0 };

	qmp_schema_command(&s, "stop", NULL, NULL);
	qmp_schema_event(&s, "STOP", NULL);
	cr_expect_str_eq(text_of(s.list),
			 "[{\"name\":\"0\",\"meta-type\":\"object\",\"members\":[]},"
			 "{\"name\":\"stop\",\"meta-type\":\"command\",\"arg-type\":\"0\","
			 "\"ret-type\":\"0\",\"allow-oob\":false},"
			 "{\"name\":\"STOP\",\"meta-type\":\"event\",\"arg-type\":\"0\"}]");
	json_object_put(s.list);
}

Test(qmp_schema, every_kind_of_type_has_its_form)
{
	struct qmp_schema s = { 0 };

	qmp_schema_command(&s, "x", "a?:u(0..9) e:on|off", "[{n:n}]");
	cr_expect_str_eq(
		text_of(s.list),
		"[{\"name\":\"0\",\"meta-type\":\"object\",\"members\":["
		"{\"name\":\"a\",\"type\":\"int\",\"default\":null},{\"name\":\"e\",\"type\":\"1\"}]},"
		"{\"name\":\"int\",\"meta-type\":\"builtin\",\"json-type\":\"int\"},"
		"{\"name\":\"1\",\"meta-type\":\"enum\",\"members\":[{\"name\":\"on\"},"
		"{\"name\":\"off\"}],\"values\":[\"on\",\"off\"]},"
		"{\"name\":\"3\",\"meta-type\":\"object\",\"members\":["
		"{\"name\":\"n\",\"type\":\"number\"}]},"
		"{\"name\":\"number\",\"meta-type\":\"builtin\",\"json-type\":\"number\"},"
		"{\"name\":\"2\",\"meta-type\":\"array\",\"element-type\":\"3\"},"
		"{\"name\":\"x\",\"meta-type\":\"command\",\"arg-type\":\"0\",\"ret-type\":\"2\","
		"\"allow-oob\":false}]");
	json_object_put(s.list);
}

Test(qmp_schema, a_type_is_described_once)
{
	struct qmp_schema s = { 0 };
	size_t nr;

	qmp_schema_command(&s, "a", "i:i u:u o:o v:any l:[{s:s}]", "{e:on|off l:[{s:s}]}");
	nr = json_object_array_length(s.list);
	qmp_schema_command(&s, "b", "i:i u:u o:o v:any l:[{s:s}]", "{e:on|off l:[{s:s}]}");
	qmp_schema_event(&s, "E", "i:i u:u o:o v:any l:[{s:s}]");
	cr_expect_eq(json_object_array_length(s.list), nr + 2, "%s", text_of(s.list));
	/* i and u are one built-in type, o and any another. */
	cr_expect(strstr(text_of(s.list), "\"int\",\"meta-type\""));
	for (size_t i = 0; i < nr; i++)
		for (size_t j = 0; j < i; j++)
			cr_expect_str_neq(
				json_object_get_string(json_object_object_get(
					json_object_array_get_idx(s.list, i), "name")),
				json_object_get_string(json_object_object_get(
					json_object_array_get_idx(s.list, j), "name")));
	json_object_put(s.list);
}
