/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_message.c - every line of a guest's agent, what is refused of them, and the host's. */
#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "vmm/agent/message.h"

static struct agent_message m;
static struct qmp_error err;

static int parse(const char *line)
{
	err = (struct qmp_error){ 0 };
	return agent_message_parse(&m, line, strlen(line), &err);
}

static void accept(const char *line, enum agent_kind kind)
{
	cr_assert_eq(parse(line), 0, "%s: %s", line, err.desc);
	cr_assert_eq(m.kind, kind, "%s: %d", line, m.kind);
}

static void refuse(const char *line, const char *words)
{
	cr_expect_eq(parse(line), -EINVAL, "accepted %s", line);
	cr_expect(strstr(err.desc, words), "%s: '%s' does not say '%s'", line, err.desc, words);
}

Test(agent_message, hello)
{
	accept("{\"msg\":\"hello\",\"version\":1}", AGENT_HELLO);
	cr_expect_eq(m.hello.version, 1);
	cr_expect_eq(m.hello.can, 0);
	cr_expect_str_eq(m.hello.agent, "");
	accept(" {\"msg\":\"hello\", \"version\": 7, \"agent\":\"a 1\",\"kernel\":\"6.1\","
	       "\"can\":[\"cache-age\",\"fly\",\"status\"], \"later\":{\"a\":[[1]]}} \r",
	       AGENT_HELLO);
	cr_expect_eq(m.hello.version, AGENT_VERSION, "the lower one counts");
	cr_expect_eq(m.hello.can, AGENT_CAN_STATUS | AGENT_CAN_CACHE_AGE);
	cr_expect_str_eq(m.hello.agent, "a 1");
	cr_expect_str_eq(m.hello.kernel, "6.1");
	refuse("{\"msg\":\"hello\"}", "'version' is missing");
	refuse("{\"msg\":\"hello\",\"version\":0}", "out of range");
	refuse("{\"msg\":\"hello\",\"version\":1,\"can\":[1]}", "'can' must be a string");
	refuse("{\"msg\":\"hello\",\"version\":1,\"agent\":\"\\u0007\"}", "printable");
	refuse("{\"msg\":\"hello\",\"version\":1,\"agent\":\"\xc3\xa9\"}", "printable");
	refuse("{\"msg\":\"hello\",\"version\":1,\"agent\":\"a\\u0000b\"}", "'agent' must be");
}

Test(agent_message, names_of_63_bytes_and_no_more)
{
	char line[256], name[65];

	memset(name, 'n', 64);
	name[63] = 0;
	snprintf(line, sizeof(line), "{\"msg\":\"hello\",\"version\":1,\"kernel\":\"%s\"}", name);
	accept(line, AGENT_HELLO);
	cr_expect_str_eq(m.hello.kernel, name);
	name[63] = 'n';
	name[64] = 0;
	snprintf(line, sizeof(line), "{\"msg\":\"hello\",\"version\":1,\"kernel\":\"%s\"}", name);
	refuse(line, "'kernel' has more than 63");
}

Test(agent_message, status)
{
	accept("{\"msg\":\"status\",\"total\":1,\"available\":2,\"free\":3,\"file\":4,"
	       "\"swap-free\":5,\"some-us\":6,\"full-us\":7,\"refault\":8,\"evicted\":9,"
	       "\"oom-kills\":10}", AGENT_STATUS);
	cr_expect_eq(m.status.total_bytes, 1);
	cr_expect_eq(m.status.available_bytes, 2);
	cr_expect_eq(m.status.free_bytes, 3);
	cr_expect_eq(m.status.file_bytes, 4);
	cr_expect_eq(m.swap_free_bytes, 5);
	cr_expect_eq(m.status.some_us, 6);
	cr_expect_eq(m.status.full_us, 7);
	cr_expect_eq(m.status.refault_bytes, 8);
	cr_expect_eq(m.status.evicted_bytes, 9);
	cr_expect_eq(m.status.oom_kills, 10);
	accept("{\"msg\":\"status\",\"total\":0,\"available\":9223372036854775807}", AGENT_STATUS);
	cr_expect_eq(m.status.available_bytes, INT64_MAX);
	cr_expect_eq(m.status.free_bytes, UINT64_MAX, "not said");
	cr_expect_eq(m.swap_free_bytes, UINT64_MAX);
	refuse("{\"msg\":\"status\",\"total\":1}", "'available' is missing");
	refuse("{\"msg\":\"status\",\"total\":1,\"available\":9223372036854775808}", "out of range");
	refuse("{\"msg\":\"status\",\"total\":1,\"available\":99999999999999999999}", "out of");
	refuse("{\"msg\":\"status\",\"total\":-1,\"available\":2}", "out of range");
	refuse("{\"msg\":\"status\",\"total\":1.0,\"available\":2}", "must be an integer");
	refuse("{\"msg\":\"status\",\"total\":1,\"available\":null}", "must be an integer");
	refuse("{\"msg\":\"status\",\"total\":1,\"available\":2,\"free\":\"3\"}", "must be an");
}

Test(agent_message, need_and_spare)
{
	accept("{\"msg\":\"need\",\"bytes\":4096}", AGENT_NEED);
	cr_expect_eq(m.bytes, 4096);
	cr_expect_eq(m.why, AGENT_NEED_UNSAID);
	cr_expect_eq(m.status.available_bytes, UINT64_MAX);
	accept("{\"msg\":\"need\",\"bytes\":1,\"why\":\"stall\",\"available\":3}", AGENT_NEED);
	cr_expect_eq(m.why, AGENT_NEED_STALL);
	cr_expect_eq(m.status.available_bytes, 3);
	accept("{\"msg\":\"need\",\"bytes\":1,\"why\":\"low\"}", AGENT_NEED);
	cr_expect_str_eq(agent_need_name(m.why), "low");
	accept("{\"msg\":\"need\",\"bytes\":1,\"why\":\"request\"}", AGENT_NEED);
	cr_expect_eq(m.why, AGENT_NEED_REQUEST);
	accept("{\"msg\":\"spare\",\"bytes\":0}", AGENT_SPARE);
	cr_expect_eq(m.bytes, 0);
	refuse("{\"msg\":\"need\"}", "'bytes' is missing");
	refuse("{\"msg\":\"need\",\"bytes\":1,\"why\":\"greed\"}", "'why' must be one of");
	refuse("{\"msg\":\"spare\",\"bytes\":true}", "must be an integer");
}

#define WS "{\"msg\":\"working-set\",\"node\":3,\"source\":\"mglru\",\"bins\":"

Test(agent_message, working_set)
{
	const struct working_set *ws = &m.working_set.ws;

	accept(WS "[{\"idle-ms\":5,\"anon\":1,\"file\":2},{\"idle-ms\":6},{\"file\":4}]}",
	       AGENT_WORKING_SET);
	cr_expect_eq(m.working_set.source, WORKING_SET_MGLRU);
	cr_expect_eq(ws->node, 3);
	cr_expect_eq(ws->nr_bins, 3);
	cr_expect_eq(ws->bins[0].idle_ms, 5);
	cr_expect_eq(ws->bins[0].anon_bytes, 1);
	cr_expect_eq(ws->bins[0].file_bytes, 2);
	cr_expect_eq(ws->bins[1].anon_bytes, 0);
	cr_expect_eq(ws->bins[2].idle_ms, UINT64_MAX);
	cr_expect_eq(ws->bins[2].file_bytes, 4);
	accept("{\"msg\":\"working-set\",\"node\":0,\"source\":\"lru\",\"bins\":[],"
	       "\"error\":\"no\"}", AGENT_WORKING_SET);
	cr_expect_eq(m.working_set.source, WORKING_SET_LRU);
	cr_expect_str_eq(m.working_set.error, "no");
	refuse(WS "[]}", "neither");
	refuse(WS "[{\"idle-ms\":5},{\"idle-ms\":5},{}]}", "does not rise");
	refuse(WS "[{\"idle-ms\":0},{}]}", "does not rise");
	refuse(WS "[{\"idle-ms\":5}]}", "does not rise");
	refuse(WS "[{},{}]}", "does not rise");
	refuse(WS "[{\"anon\":-1}]}", "out of range");
	refuse(WS "[7]}", "must be an object");
	refuse(WS "7}", "must be an array");
	refuse("{\"msg\":\"working-set\",\"node\":65536,\"source\":\"lru\",\"bins\":[{}]}", "range");
	refuse("{\"msg\":\"working-set\",\"node\":1,\"source\":\"host\",\"bins\":[{}]}", "one of");
	refuse("{\"msg\":\"working-set\",\"node\":1,\"bins\":[{}]}", "'source' is missing");
}

Test(agent_message, bins_up_to_32)
{
	char line[AGENT_LINE_BYTES + 1];

	for (unsigned int nr = 32; nr <= 33; nr++) {
		int n = snprintf(line, sizeof(line), WS "[");

		for (unsigned int i = 1; i < nr; i++)
			n += snprintf(line + n, sizeof(line) - (size_t)n, "{\"idle-ms\":%u},", i);
		snprintf(line + n, sizeof(line) - (size_t)n, "{}]}");
		if (nr == 32)
			accept(line, AGENT_WORKING_SET);
		else
			refuse(line, "more than 32");
	}
	cr_expect_eq(parse(WS "[{}]}"), 0);
}

Test(agent_message, what_is_no_message)
{
	refuse("", "no end");
	refuse("{", "no end");
	refuse("hello", "no JSON object");
	refuse("[]", "another value");
	refuse("{} {}", "follows");
	refuse("{}x", "follows");
	refuse("{}", "'msg' is missing");
	refuse("{\"msg\":7}", "'msg' must be a string");
	refuse("{'msg':'x'}", "no JSON object");
	refuse("{\"msg\":\"x\",\"a\":NaN}", "can't stand there");
	refuse("{\"msg\":\"x\",\"a\":\"\x01\"}", "can't stand there");
	refuse("{\"msg\":\"x\",\"a\":\"\xff\"}", "can't stand there");
	refuse("{\"msg\":\"x\",/* */\"a\":1}", "can't stand there");
	refuse("{\"msg\":\"x\",}", "no JSON object");
	refuse("{\"msg\":\"x\"]", "no JSON object");
	cr_expect_eq(agent_message_parse(&m, "{\"msg\":\"x\"\0}", 13, &err), -EINVAL);
}

Test(agent_message, four_levels_and_no_more)
{
	accept("{\"msg\":\"x\",\"a\":[[{\"b\":1}]]}", AGENT_UNKNOWN);
	accept("{\"msg\":\"x\",\"a\":[[[1,\"}\"]]]}", AGENT_UNKNOWN);
	refuse("{\"msg\":\"x\",\"a\":[[[[]]]]}", "more than 4 levels");
	refuse("[[[[[", "more than 4 levels");
}

Test(agent_message, of_a_later_version)
{
	accept("{\"msg\":\"sing\",\"version\":\"whatever\"}", AGENT_UNKNOWN);
	accept("{\"msg\":\"spare\",\"bytes\":1,\"unit\":\"none\"}", AGENT_SPARE);
}

/* --- the host's lines -------------------------------------------------------------------------- */

static char line[AGENT_HOST_LINE_BYTES];

static struct json_object *own_line(const char *msg)
{
	struct json_object *o;

	cr_assert_eq(line[strlen(line) - 1], '\n', "%s", line);
	o = json_tokener_parse(line);
	cr_assert(o, "%s", line);
	cr_assert_str_eq(json_object_get_string(json_object_object_get(o, "msg")), msg);
	return o;
}

static uint64_t number(struct json_object *o, const char *key)
{
	return json_object_get_uint64(json_object_object_get(o, key));
}

Test(agent_message, config_fits_whatever_it_holds)
{
	struct agent_config c = { UINT32_MAX, INT64_MAX, INT64_MAX - 1, INT64_MAX - 2,
				  UINT32_MAX - 1 };
	struct json_object *o;

	agent_config_line(line, &c);
	o = own_line("config");
	cr_expect_eq(number(o, "version"), 1);
	cr_expect_eq(number(o, "interval-ms"), UINT32_MAX);
	cr_expect_eq(number(o, "min"), INT64_MAX);
	cr_expect_eq(number(o, "max"), INT64_MAX - 1);
	cr_expect_eq(number(o, "size"), INT64_MAX - 2);
	cr_expect_eq(number(o, "cache-age-s"), UINT32_MAX - 1);
	json_object_put(o);
}

Test(agent_message, answer)
{
	for (enum autosize_why why = AUTOSIZE_GRANTED; why <= AUTOSIZE_SUSPENDED; why++) {
		struct autosize_answer answer = { INT64_MAX, why };
		struct json_object *o;

		agent_answer_line(line, &answer, 5);
		o = own_line("answer");
		cr_expect_eq(number(o, "granted"), INT64_MAX);
		cr_expect_eq(number(o, "size"), 5);
		cr_expect_str_eq(json_object_get_string(json_object_object_get(o, "why")),
				 autosize_why_name(why));
		json_object_put(o);
	}
}

Test(agent_message, ask)
{
	struct json_object *o;

	agent_ask_status_line(line);
	o = own_line("ask");
	cr_expect_str_eq(json_object_get_string(json_object_object_get(o, "what")), "status");
	json_object_put(o);
	agent_ask_working_set_line(line, 65535);
	o = own_line("ask");
	cr_expect_str_eq(json_object_get_string(json_object_object_get(o, "what")), "working-set");
	cr_expect_eq(number(o, "node"), 65535);
	json_object_put(o);
	agent_ask_working_set_line(line, -1);
	o = own_line("ask");
	cr_expect_not(json_object_object_get_ex(o, "node", NULL));
	json_object_put(o);
}
