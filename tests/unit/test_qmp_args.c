/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp_args.c - the schema string and what it accepts. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "vmm/json/schema.h"

static int check(const char *schema, const char *text, struct qmp_error *err)
{
	struct json_object *args = json_tokener_parse(text);
	int r;

	cr_assert(args, "the test's own JSON: %s", text);
	*err = (struct qmp_error){ 0 };
	r = qmp_args_check(schema, args, err);
	json_object_put(args);
	return r;
}

static void accept(const char *schema, const char *text)
{
	struct qmp_error err;

	cr_expect_eq(check(schema, text, &err), 0, "%s refused %s: %s", schema, text, err.desc);
}

static void refuse(const char *schema, const char *text, const char *words)
{
	struct qmp_error err;

	cr_expect_lt(check(schema, text, &err), 0, "%s accepted %s", schema, text);
	cr_expect(strstr(err.desc, words), "%s: '%s' does not say '%s'", text, err.desc, words);
}

Test(qmp_args, schema_parts_are_found_in_order)
{
	const char *rest = "path:s  vcpu?:u(0..63) action:reset|power-off list?:[i(-1..1)] "
			   "value:any";
	static const struct {
		const char *name, *type;
		bool optional;
	} want[] = { { "path", "s", false }, { "vcpu", "u(0..63)", true },
		     { "action", "reset|power-off", false }, { "list", "[i(-1..1)]", true },
		     { "value", "any", false } };
	struct qmp_arg arg;

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		cr_assert(qmp_arg_next(&rest, &arg));
		cr_expect_eq(arg.name_len, strlen(want[i].name));
		cr_expect_eq(strncmp(arg.name, want[i].name, arg.name_len), 0);
		cr_expect_eq(arg.type_len, strlen(want[i].type), "%s", want[i].type);
		cr_expect_eq(strncmp(arg.type, want[i].type, arg.type_len), 0);
		cr_expect_eq(arg.optional, want[i].optional);
	}
	cr_expect_not(qmp_arg_next(&rest, &arg));
	rest = NULL;
	cr_expect_not(qmp_arg_next(&rest, &arg));
	rest = "  ";
	cr_expect_not(qmp_arg_next(&rest, &arg));
}

#define MALFORMED(name, schema)                                                                    \
	Test(qmp_args, malformed_schema_##name##_is_our_bug, .signal = SIGABRT)                    \
	{                                                                                          \
		const char *rest = schema;                                                         \
		struct qmp_arg arg;                                                                \
                                                                                                   \
		while (qmp_arg_next(&rest, &arg))                                                  \
			;                                                                          \
	}
MALFORMED(without_type, "a")
MALFORMED(of_unknown_type, "a:q")
MALFORMED(of_a_longer_word, "a:string")
MALFORMED(with_half_a_range, "a:u(1..)")
MALFORMED(with_an_open_array, "a:[s")
MALFORMED(with_range_on_a_string, "a:s(1..2)")
MALFORMED(with_a_trailing_bar, "a:x|")
MALFORMED(without_a_name, ":s")
MALFORMED(with_an_open_object, "a:{b:s")
MALFORMED(with_a_bad_member, "a:[{b:q}]")

Test(qmp_args, object_with_members_is_checked_member_by_member)
{
	static const char schema[] = "name?:s at:{x:u(0..9) y?:[{z:on|off}] } more:{}";
	const char *rest = schema;
	struct qmp_arg arg;

	cr_assert(qmp_arg_next(&rest, &arg));
	cr_assert(qmp_arg_next(&rest, &arg));
	cr_expect_eq(arg.type_len, strlen("{x:u(0..9) y?:[{z:on|off}] }"));
	cr_assert(qmp_arg_next(&rest, &arg));
	cr_expect_eq(strncmp(arg.name, "more", arg.name_len), 0);
	cr_expect_not(qmp_arg_next(&rest, &arg));
	accept(schema, "{\"at\":{\"x\":9},\"more\":{}}");
	accept(schema, "{\"at\":{\"x\":0,\"y\":[{\"z\":\"on\"},{\"z\":\"off\"}]},\"more\":{}}");
	refuse(schema, "{\"at\":1,\"more\":{}}", "'at' must be an object");
	refuse(schema, "{\"at\":[],\"more\":{}}", "'at' must be an object");
	refuse(schema, "{\"at\":{\"x\":10},\"more\":{}}", "0 to 9");
	refuse(schema, "{\"at\":{},\"more\":{}}", "'x' is missing");
	refuse(schema, "{\"at\":{\"x\":1,\"w\":1},\"more\":{}}", "'w' is unknown; this command takes x, y");
	refuse(schema, "{\"at\":{\"x\":1,\"y\":[{\"z\":1}]},\"more\":{}}", "one of on|off");
	refuse(schema, "{\"at\":{\"x\":1},\"more\":{\"v\":1}}", "'v' is unknown");
}

Test(qmp_args, missing_argument_is_named)
{
	struct qmp_error err = { 0 };

	refuse("path:s property:s", "{\"path\":\"a\"}", "'property' is missing");
	cr_expect_lt(qmp_args_check("path:s", NULL, &err), 0);
	cr_expect(strstr(err.desc, "'path' is missing"));
	cr_expect_eq(qmp_args_check("path?:s", NULL, &err), 0);
	cr_expect_eq(qmp_args_check(NULL, NULL, &err), 0);
}

Test(qmp_args, unknown_argument_is_named_with_those_there_are)
{
	refuse("path:s value?:any", "{\"path\":\"a\",\"vlaue\":1}", "'vlaue' is unknown");
	refuse("path:s value?:any", "{\"path\":\"a\",\"vlaue\":1}", "path, value");
	refuse("path:s", "{\"path\":\"a\",\"pat\":1}", "'pat' is unknown");
	refuse("path:s", "{\"path\":\"a\",\"path2\":1}", "'path2' is unknown");
	refuse(NULL, "{\"x\":1}", "takes none");
	accept(NULL, "{}");
}

Test(qmp_args, each_type_takes_its_own_values_only)
{
	static const struct {
		const char *type, *good, *says;
	} types[] = {
		{ "a:s", "'s'", "a string" },	 { "a:b", "true", "true or false" },
		{ "a:u", "7", "an integer" },	 { "a:i", "7", "an integer" },
		{ "a:n", "7 1.5", "a number" },	 { "a:o", "{}", "an object" },
		{ "a:[s]", "[]", "an array" },	 { "a:on|s", "'s'", "one of on|s" },
	};
	static const char *const values[] = { "'s'", "true", "7", "1.5", "{}", "[]", "null" };

	for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
		for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
			char text[32];

			snprintf(text, sizeof(text), "{\"a\":%s}", values[v]);
			if (strstr(types[t].good, values[v]))
				accept(types[t].type, text);
			else
				refuse(types[t].type, text, types[t].says);
		}
	}
	for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
		char text[32];

		snprintf(text, sizeof(text), "{\"a\":%s}", values[v]);
		accept("a:any", text);
	}
}

Test(qmp_args, unsigned_range_is_exact)
{
	accept("a:u(1..64)", "{\"a\":1}");
	accept("a:u(1..64)", "{\"a\":64}");
	refuse("a:u(1..64)", "{\"a\":0}", "'a' is out of range: 1 to 64");
	refuse("a:u(1..64)", "{\"a\":65}", "1 to 64");
	refuse("a:u(0..64)", "{\"a\":-1}", "0 to 64");
	refuse("a:u", "{\"a\":-1}", "out of range");
	accept("a:u", "{\"a\":9223372036854775808}");
	accept("a:u", "{\"a\":18446744073709551614}");
	refuse("a:u(0..9223372036854775807)", "{\"a\":9223372036854775808}", "out of range");
}

Test(qmp_args, integers_beyond_64_bits_are_refused_not_saturated)
{
	refuse("a:u", "{\"a\":18446744073709551616}", "0 to 18446744073709551614");
	refuse("a:u", "{\"a\":99999999999999999999}", "out of range");
	refuse("a:u", "{\"a\":-99999999999999999999}", "out of range");
	refuse("a:i", "{\"a\":99999999999999999999}", "out of range");
	refuse("a:i", "{\"a\":-99999999999999999999}", "out of range");
	refuse("a:u", "{\"a\":1e400}", "an integer");
}

Test(qmp_args, signed_range_is_exact)
{
	accept("a:i(-5..5)", "{\"a\":-5}");
	accept("a:i(-5..5)", "{\"a\":5}");
	refuse("a:i(-5..5)", "{\"a\":-6}", "-5 to 5");
	refuse("a:i(-5..5)", "{\"a\":6}", "-5 to 5");
	accept("a:i", "{\"a\":-9223372036854775807}");
	accept("a:i", "{\"a\":9223372036854775807}");
	refuse("a:i", "{\"a\":9223372036854775808}", "out of range");
}

Test(qmp_args, sizes_with_units_are_refused_with_the_way_out)
{
	refuse("size:u", "{\"size\":\"1G\"}", "a plain number, not a string (1G is 1073741824)");
}

Test(qmp_args, words_match_whole)
{
	accept("a:reset|power-off", "{\"a\":\"power-off\"}");
	refuse("a:reset|power-off", "{\"a\":\"power\"}", "one of reset|power-off");
	refuse("a:reset|power-off", "{\"a\":\"reset|power-off\"}", "one of");
	refuse("a:reset|power-off", "{\"a\":\"\"}", "one of");
}

Test(qmp_args, array_elements_are_checked)
{
	accept("a:[u(1..3)]", "{\"a\":[1,2,3]}");
	refuse("a:[u(1..3)]", "{\"a\":[1,4]}", "1 to 3");
	refuse("a:[[s]]", "{\"a\":[[\"x\"],[1]]}", "a string");
}

Test(qmp_args, string_with_a_hidden_nul_is_refused)
{
	refuse("a:s", "{\"a\":\"ram\\u00000\"}", "a string");
	refuse("a:on|off", "{\"a\":\"on\\u0000\"}", "one of");
}

Test(qmp_args, values_come_out_as_they_went_in)
{
	struct json_object *a = json_tokener_parse(
		"{\"s\":\"x\",\"b\":true,\"u\":18446744073709551614,\"i\":-3,\"o\":{}}");

	cr_expect_str_eq(qmp_arg_str(a, "s", "y"), "x");
	cr_expect_str_eq(qmp_arg_str(a, "none", "y"), "y");
	cr_expect(qmp_arg_bool(a, "b", false));
	cr_expect(qmp_arg_bool(NULL, "b", true));
	cr_expect_eq(qmp_arg_u64(a, "u", 1), UINT64_MAX - 1);
	cr_expect_eq(qmp_arg_u64(a, "none", 9), 9);
	cr_expect_eq(qmp_arg_i64(a, "i", 1), -3);
	cr_expect_eq(qmp_arg_i64(NULL, "i", -9), -9);
	cr_expect_not_null(qmp_arg(a, "o"));
	json_object_put(a);
}

Test(qmp_args, an_open_object_passes_over_what_it_does_not_know)
{
	const char *rest = "a:u ...";
	struct qmp_arg arg;

	accept("a:u ...", "{\"a\":1,\"b\":[]}");
	accept("...", "{\"b\":null}");
	accept("a:{b:u ...} c?:s", "{\"a\":{\"b\":1,\"x\":2}}");
	accept("a:[{b?:u ...}]", "{\"a\":[{\"x\":2},{}]}");
	refuse("a:u ...", "{\"b\":1}", "'a' is missing");
	refuse("a:u ...", "{\"a\":-1,\"b\":1}", "out of range");
	refuse("a:{b:u ...}", "{\"a\":{\"b\":1},\"x\":2}", "'x' is unknown");
	cr_assert(qmp_arg_next(&rest, &arg));
	cr_assert_not(qmp_arg_next(&rest, &arg));
}

Test(qmp_args, error_text_is_utf8_whatever_is_quoted)
{
	struct qmp_error err;
	char name[64 + 2 + 1];

	memset(name, 'n', 63);
	strcpy(name + 63, "\xc3\xa9"); /* the precision of a quote cuts here */
	cr_expect_lt(qmp_fail(&err, QMP_DEVICE_NOT_FOUND, "'%.64s' \xff", name), 0);
	cr_expect_str_eq(err.desc + 64, "?' ?");
	cr_expect_str_eq(qmp_class_name(err.class), "DeviceNotFound");
	cr_expect_eq(qmp_class_parse("DeviceNotActive"), QMP_DEVICE_NOT_ACTIVE);
	cr_expect_eq(qmp_class_parse("Surprise"), QMP_GENERIC_ERROR);
	cr_expect_eq(qmp_class_parse(NULL), QMP_GENERIC_ERROR);
}
