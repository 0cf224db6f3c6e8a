/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp_server.c - greeting, negotiation, requests, replies, and input that is none. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/qmp_rig.h"

static struct qmp_rig rig;
static struct wire wire;

static void start(void)
{
	rig_start(&rig);
	wire_open(&wire, rig.path);
}

static void stop(void)
{
	/* Whatever the test did, the session and the server still answer. */
	wire_expect(&wire, "\n{\"execute\":\"echo\",\"arguments\":{\"value\":\"alive\"}}",
		    "{\"return\":{\"value\":\"alive\"}}");
	wire_close(&wire);
	rig_stop(&rig);
	rig_clean(&rig);
}

TestSuite(qmp, .init = start, .fini = stop, .timeout = 240);

static void expect(const char *request, const char *reply) { wire_expect(&wire, request, reply); }
static void expect_error(const char *request, const char *words)
{
	wire_expect_error(&wire, request, "GenericError", words);
}

/* ---- greeting and negotiation ---- */

Test(qmp, greeting_is_exact)
{
	struct wire w = { .fd = -1 };
	int pair[2];
	struct qmp_rig other;
	size_t bytes;
	char *line;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	rig_start_fd(&other, pair[1]);
	w.fd = pair[0];
	line = wire_read_line(&w, &bytes);
	cr_expect_str_eq(line, "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, "
			       "\"micro\": 0}, \"package\": \"ebb 0.1 (QMP subset, not QEMU)\"}, "
			       "\"capabilities\": []}}");
	free(line);
	wire_expect(&w, "{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}");
	wire_close(&w);
	rig_stop(&other);
}

Test(qmp, nothing_works_before_the_negotiation)
{
	struct wire w;

	wire_connect(&w, rig.path);
	wire_expect_error(&w, "{\"execute\":\"count\"}", "CommandNotFound", "qmp_capabilities");
	wire_expect_error(&w, "{\"execute\":\"nosuch\"}", "CommandNotFound", "qmp_capabilities");
	wire_expect_error(&w, "{\"execute\":\"query-version\"}", "CommandNotFound", "negotiation");
	wire_expect(&w, "{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}");
	wire_expect(&w, "{\"execute\":\"count\"}", "{\"return\":1}");
	wire_close(&w);
}

Test(qmp, negotiation_comes_once)
{
	wire_expect_error(&wire, "{\"execute\":\"qmp_capabilities\"}", "CommandNotFound",
			  "already");
}

Test(qmp, capability_that_was_not_offered_is_refused)
{
	struct wire w;

	wire_connect(&w, rig.path);
	wire_expect_error(&w, "{'execute':'qmp_capabilities','arguments':{'enable':['oob']}}",
			  "GenericError", "'oob'");
	wire_expect_error(&w, "{\"execute\":\"count\"}", "CommandNotFound", "negotiation");
	wire_expect(&w, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}",
		    "{\"return\":{}}");
	wire_close(&w);
}

Test(qmp, each_client_negotiates_for_itself)
{
	struct wire w;

	wire_connect(&w, rig.path);
	expect("{\"execute\":\"count\"}", "{\"return\":1}");
	wire_expect_error(&w, "{\"execute\":\"count\"}", "CommandNotFound", "negotiation");
	wire_close(&w);
}

/* ---- the server's own rows ---- */

Test(qmp, query_commands_lists_every_row_of_both_tables)
{
	expect("{\"execute\":\"query-commands\"}",
	       "{\"return\":[{\"name\":\"qmp_capabilities\"},{\"name\":\"query-commands\"},"
	       "{\"name\":\"query-version\"},{\"name\":\"query-qmp-schema\"},{\"name\":\"getfd\"},"
	       "{\"name\":\"closefd\"},{\"name\":\"__org.ebb_help\"},{\"name\":\"echo\"},"
	       "{\"name\":\"take\"},{\"name\":\"big\"},{\"name\":\"fail\"},{\"name\":\"raise\"},"
	       "{\"name\":\"count\"},{\"name\":\"later\"},{\"name\":\"finish\"},"
	       "{\"name\":\"read-fd\"},{\"name\":\"quit\"}]}");
}

Test(qmp, query_version_repeats_the_greeting)
{
	expect("{\"execute\":\"query-version\"}",
	       "{\"return\":{\"qemu\":{\"major\":7,\"minor\":2,\"micro\":0},"
	       "\"package\":\"ebb 0.1 (QMP subset, not QEMU)\"}}");
}

Test(qmp, help_comes_from_the_table)
{
	expect("{\"execute\":\"__org.ebb_help\",\"arguments\":{\"command\":\"big\"}}",
	       "{\"return\":[{\"name\":\"big\",\"arguments\":[{\"name\":\"bytes\",\"type\":\"u\","
	       "\"optional\":false}],\"help\":\"Returns a long string.\"}]}");
	wire_expect_error(&wire,
			  "{\"execute\":\"__org.ebb_help\",\"arguments\":{\"command\":\"nosuch\"}}",
			  "CommandNotFound", "'nosuch'");
	wire_send(&wire, "{\"execute\":\"__org.ebb_help\"}");
	{
		struct json_object *reply = wire_read(&wire), *list;

		cr_assert(json_object_object_get_ex(reply, "return", &list));
		cr_expect_eq(json_object_array_length(list), 17);
		json_object_put(reply);
	}
}

/* ---- the four traps ---- */

Test(qmp, request_needs_no_newline)
{
	expect("{\"execute\":\"count\"}", "{\"return\":1}");
	expect("  \r\n\t {\"execute\":\"count\"}", "{\"return\":2}");
}

Test(qmp, single_quotes_are_accepted)
{
	expect("{'execute': 'query-version'}",
	       "{\"return\":{\"qemu\":{\"major\":7,\"minor\":2,\"micro\":0},"
	       "\"package\":\"ebb 0.1 (QMP subset, not QEMU)\"}}");
}

Test(qmp, every_line_ends_in_crlf_events_and_errors_too)
{
	/* wire_read_line() asserts CRLF on each. */
	wire_send(&wire, "{\"execute\":\"raise\",\"arguments\":{\"name\":\"X\",\"count\":1}} !\n");
	json_object_put(wire_read(&wire));
	json_object_put(wire_read(&wire));
	wire_next_error(&wire, "GenericError", "JSON");
}

Test(qmp, reply_stays_below_64_kib_or_says_so)
{
	size_t bytes;
	char *line;

	/* {"return":"..."} and CRLF are 15 bytes around the string. */
	wire_send(&wire, "{\"execute\":\"big\",\"arguments\":{\"bytes\":65520}}");
	line = wire_read_line(&wire, &bytes);
	cr_expect_eq(bytes, 65535, "%zu", bytes);
	free(line);
	expect_error("{\"execute\":\"big\",\"arguments\":{\"bytes\":65521}}", "65534 bytes long");
	expect_error("{\"execute\":\"big\",\"arguments\":{\"bytes\":5000000}}", "long");
}

/* ---- framing ---- */

Test(qmp, several_requests_in_one_write_are_answered_in_order)
{
	expect("{\"execute\":\"count\"}{\"execute\":\"count\",\"id\":2}\n\n{\"execute\":\"count\"}",
	       "{\"return\":1}");
	expect("", "{\"return\":2,\"id\":2}");
	expect("", "{\"return\":3}");
}

Test(qmp, request_may_come_byte_by_byte)
{
	static const char text[] = "{\"execute\":\"echo\",\"arguments\":{\"value\":"
				   "\"\xc3\xa9\\u00e9"
				   "\xf0\x9f\x98\x80\"},\"id\":-12.5}";

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		wire_send_bytes(&wire, text + i, 1);
		rig_settle(&rig);
	}
	expect("", "{\"return\":{\"value\":\"\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80\"},\"id\":-12.5}");
}

Test(qmp, id_comes_back_whatever_it_is)
{
	static const char *const ids[] = { "1", "\"libvirt-7\"", "{\"a\":[1,2.5,null]}", "null",
					   "true", "18446744073709551615", "\"a/b\"", "1e400",
					   "[]" };

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		char request[128], reply[128], words[64];
		struct json_object *o;

		snprintf(request, sizeof(request), "{\"execute\":\"count\",\"id\":%s}", ids[i]);
		snprintf(reply, sizeof(reply), "{\"return\":%zu,\"id\":%s}", i + 1, ids[i]);
		expect(request, reply);
		/* In errors too: of a command, and of a request that is wrong. */
		snprintf(words, sizeof(words), "\"id\":%s}", ids[i]);
		for (int wrong = 0; wrong < 3; wrong++) {
			static const char *const parts[] = {
				"\"execute\":\"nosuch\"", "\"exec\":1",
				"\"execute\":\"count\",\"arguments\":[]"
			};

			snprintf(request, sizeof(request), "{%s,\"id\":%s}", parts[wrong], ids[i]);
			wire_send(&wire, request);
			o = wire_read(&wire);
			cr_expect(json_object_object_get_ex(o, "error", NULL));
			cr_expect(strstr(json_object_to_json_string_ext(
						 o, JSON_C_TO_STRING_NOSLASHESCAPE), words),
				  "%s not in %s", words, json_object_to_json_string(o));
			json_object_put(o);
		}
	}
}

Test(qmp, reply_without_id_has_none)
{
	expect("{\"execute\":\"count\"}", "{\"return\":1}");
}

/* ---- requests that are wrong ---- */

Test(qmp, unknown_command_is_of_class_CommandNotFound)
{
	wire_expect_error(&wire, "{\"execute\":\"nosuch\"}", "CommandNotFound", "'nosuch'");
	wire_expect_error(&wire, "{\"execute\":\"count\\u0000x\"}", "CommandNotFound", "NUL");
	wire_expect_error(&wire, "{\"execute\":\"\"}", "CommandNotFound", "''");
}

Test(qmp, request_of_the_wrong_shape_is_refused_by_name)
{
	expect_error("[1]", "object");
	expect_error("12 ", "object");
	expect_error("null\n", "object");
	expect_error("\"x\"\n", "object");
	expect_error("{}", "'execute' is missing");
	expect_error("{\"execute\":1}", "'execute' must be a string");
	expect_error("{\"execute\":null}", "'execute' must be a string");
	expect_error("{\"execute\":\"count\",\"bogus\":1}", "'bogus' is unknown");
	expect_error("{\"exec-oob\":\"count\"}", "'exec-oob' is unknown");
	expect_error("{\"execute\":\"count\",\"arguments\":[]}", "'arguments' must be an object");
	expect_error("{\"execute\":\"count\",\"arguments\":null}", "'arguments' must be an object");
	expect("{\"execute\":\"count\",\"arguments\":{}}", "{\"return\":1}");
}

Test(qmp, arguments_are_checked_before_the_command_runs)
{
	expect_error("{\"execute\":\"take\"}", "'size' is missing");
	expect_error("{\"execute\":\"take\",\"arguments\":{\"size\":0}}", "1 to 1000");
	expect_error("{\"execute\":\"take\",\"arguments\":{\"size\":99999999999999999999}}",
		     "1 to 1000");
	expect_error("{\"execute\":\"take\",\"arguments\":{\"size\":-1}}", "1 to 1000");
	expect_error("{\"execute\":\"take\",\"arguments\":{\"size\":1e400}}", "an integer");
	expect_error("{\"execute\":\"take\",\"arguments\":{\"size\":\"1G\"}}", "not a string");
	expect_error("{\"execute\":\"take\",\"arguments\":{\"size\":1,\"step\":-6}}", "-5 to 5");
	expect_error("{\"execute\":\"take\",\"arguments\":{\"size\":1,\"sizes\":1}}", "'sizes'");
	expect_error("{\"execute\":\"count\",\"arguments\":{\"x\":1}}", "takes none");
	expect("{\"execute\":\"take\",\"arguments\":{\"size\":1000,\"step\":-5,\"mode\":\"off\","
	       "\"list\":[\"a\"],\"flag\":false}}",
	       "{\"return\":{\"size\":1000,\"step\":-5,\"mode\":\"off\",\"list\":[\"a\"],"
	       "\"flag\":false}}");
	expect("{\"execute\":\"count\"}", "{\"return\":1}");
}

Test(qmp, handler_errors_keep_their_class)
{
	wire_expect_error(&wire, "{'execute':'fail','arguments':{'kind':'DeviceNotFound'}}",
			  "DeviceNotFound", "no ? such /dev/ice");
	wire_expect_error(&wire, "{'execute':'fail','arguments':{'kind':'DeviceNotActive'}}",
			  "DeviceNotActive", "no ? such");
	expect_error("{\"execute\":\"fail\",\"arguments\":{\"kind\":\"errno\"}}", "No such device");
}

/* ---- input that is not JSON ---- */

Test(qmp, syntax_error_gets_one_answer_and_the_next_request_its_own)
{
	static const char *const broken[] = {
		"{\"execute\": foo}",
		"{\"execute\": foo, \"x\": {\"execute\":\"quit\"}}",
		"{]",
		"{,}",
		"{\"execute\" \"count\"}",
		"{\"a\":1.2.3, \"b\":[\"}\"]}",
		"{execute:\"count\"}",
		"{\"execute\":\"count\"/* comment */}",
		"{\"execute\":NaN}",
		"{\"execute\":\"count\",\"id\":Infinity}",
		"{\"execute\":\"c\xff\"}",
		"{\"execute\":\"\xc0\xaf\"}",
		"{\"execute\":\"\xed\xa0\x80\"}",
		"{\"execute\":\"c\x01\"}",
		"{\"execute\":\"count\",\"id\":1,\"id\":2}",
		"{\"execute\":\"count\",\"execute\":\"quit\"}",
		"{\"execute\":\"echo\",\"arguments\":{\"value\":[{\"a\":1,\"a\":1}]}}",
		"hello ",
		"}",
		"!! don't ",
	};
	int nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		char text[256], reply[32];

		/* Without a newline, then on a line of its own. */
		for (int newline = 0; newline < 2; newline++) {
			snprintf(text, sizeof(text), "%s%s{\"execute\":\"count\"}", broken[i],
				 newline ? "\r\n" : "");
			expect_error(text, "JSON parse error");
			snprintf(reply, sizeof(reply), "{\"return\":%d}", ++nr);
			expect("", reply);
		}
	}
}

Test(qmp, nul_bytes_are_an_error_and_no_end)
{
	static const char text[] = "\0{\"execute\":\"count\"}{\"exe\0cute\":\"count\"}\n"
				   "{\"execute\":\"count\"}";

	wire_send_bytes(&wire, text, sizeof(text) - 1);
	wire_next_error(&wire, "GenericError", "unexpected byte");
	expect("", "{\"return\":1}");
	wire_next_error(&wire, "GenericError", "unexpected byte");
	expect("", "{\"return\":2}");
}

Test(qmp, value_that_never_ends_is_given_up_at_the_end_of_its_line)
{
	expect_error("{\"execute\": foo, \"arguments\": {\"a\": \"b\n", "JSON parse error");
	expect("{\"execute\":\"count\"}", "{\"return\":1}");
}

static char *nested(char *text, int depth)
{
	char *p = text + sprintf(text, "{\"execute\":\"echo\",\"arguments\":{\"value\":");

	memset(p, '[', (size_t)depth - 2);
	p += depth - 2;
	memset(p, ']', (size_t)depth - 2);
	strcpy(p + depth - 2, "}}");
	return text;
}

Test(qmp, depth_of_32_is_fine_and_33_is_not)
{
	char text[256], reply[256] = "{\"return\":{\"value\":";

	memset(reply + strlen(reply), '[', 30);
	memset(reply + strlen(reply), ']', 30);
	strcat(reply, "}}");
	expect(nested(text, 32), reply);
	expect_error(nested(text, 33), "32 deep");
	expect("{\"execute\":\"count\"}", "{\"return\":1}");
}

Test(qmp, depth_of_10000_costs_one_error)
{
	static char text[20100];

	expect_error(nested(text, 10000), "32 deep");
	expect("{\"execute\":\"count\"}", "{\"return\":1}");
	memset(text, '[', 10000);
	strcpy(text + 10000, "\n{\"execute\":\"count\"}");
	expect_error(text, "32 deep");
	expect("", "{\"return\":2}");
}

Test(qmp, error_after_a_bare_value_is_told_apart_from_it)
{
	char text[64] = "12 ";

	memset(text + 3, '[', 40);
	strcpy(text + 43, "\n");
	expect_error(text, "object");
	wire_next_error(&wire, "GenericError", "32 deep");
}

/* A request of BYTES in all; its id takes up the room. */
static void send_of_size(size_t bytes)
{
	static const char head[] = "{\"execute\":\"take\",\"arguments\":{\"size\":1},\"id\":\"";
	char *text = malloc(bytes + 1);

	memset(text, 'x', bytes);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + bytes - 2, "\"}", 3);
	wire_send(&wire, text);
	free(text);
}

Test(qmp, request_of_64_kib_is_fine_and_one_byte_more_is_not)
{
	struct json_object *reply;

	send_of_size(65536);
	reply = wire_read(&wire);
	cr_expect(json_object_object_get_ex(reply, "return", NULL));
	json_object_put(reply);
	send_of_size(65537);
	wire_next_error(&wire, "GenericError", "65536 bytes");
	send_of_size(300000);
	wire_next_error(&wire, "GenericError", "65536 bytes");
	expect("{\"execute\":\"count\"}", "{\"return\":1}");
}

Test(qmp, many_containers_are_refused)
{
	char *text = malloc(70000), *p = text;

	p += sprintf(p, "{\"execute\":\"echo\",\"arguments\":{\"value\":[");
	for (int i = 0; i < 1021; i++)
		p += sprintf(p, "[],");
	strcpy(p - 1, "]}}");
	wire_send(&wire, text);
	json_object_put(wire_read(&wire));
	strcpy(p - 1, ",[]]}}");
	wire_send(&wire, text);
	wire_next_error(&wire, "GenericError", "1024 objects and arrays");
	free(text);
}

/* Resident set of this process, in KiB. */
static long rss_kib(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	cr_assert_eq(fscanf(f, "%*d %ld", &pages), 1);
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

Test(qmp, half_a_value_for_ever_costs_bounded_memory)
{
	static char chunk[MiB];
	long before;

	memset(chunk, 'x', sizeof(chunk));
	wire_send(&wire, "{\"execute\":\"");
	wire_send_bytes(&wire, chunk, 128 * KiB);
	wire_next_error(&wire, "GenericError", "65536 bytes");
	before = rss_kib();
	/* 1 GiB would be the same loop for longer. */
	for (int i = 0; i < 64; i++)
		wire_send_bytes(&wire, chunk, sizeof(chunk));
	cr_expect_lt(rss_kib() - before, 4096, "grew by %ld KiB", rss_kib() - before);
	wire_silent(&rig, &wire);
	wire_send(&wire, "\"}");
	expect("{\"execute\":\"count\"}", "{\"return\":1}");
}

Test(qmp, random_bytes_leave_the_server_alive)
{
	static const char alphabet[] = "{}[]:,\"'\\ \n0123456789eEtrufalsn"
				       "\x00\xff\x80\xc3/*executeid";
	struct wire w;
	unsigned int seed = 12345;

	for (int round = 0; round < 200; round++) {
		char text[2048];
		char drain[65536];

		wire_open(&w, rig.path);
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = alphabet[(unsigned int)rand_r(&seed) % (sizeof(alphabet) - 1)];
		wire_send_bytes(&w, text, sizeof(text));
		shutdown(w.fd, SHUT_WR);
		while (recv(w.fd, drain, sizeof(drain), 0) > 0)
			;
		wire_close(&w);
	}
	expect("{\"execute\":\"count\"}", "{\"return\":1}");
}
