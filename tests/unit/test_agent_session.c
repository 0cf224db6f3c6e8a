/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_session.c - lines out of bytes, faults, silence, the pace, and who does not read. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/agent_rig.h"

#define HELLO "{\"msg\":\"hello\",\"version\":1,\"can\":[\"status\"]}\n"
#define STATUS "{\"msg\":\"status\",\"total\":2,\"available\":1}\n"

static struct agent_rig rig;

static void setup(void) { agent_rig_init(&rig); }
TestSuite(agent_session, .init = setup);

static void connect(void)
{
	agent_rig_open(&rig, true);
	agent_rig_say_text(&rig, HELLO);
	cr_assert_eq(rig.s.state, AGENT_CONNECTED);
}

static unsigned int lines_got(const char *msg)
{
	char start[32];
	unsigned int nr = 0;

	snprintf(start, sizeof(start), "{\"msg\":\"%s\"", msg);
	for (const char *at = rig.got; (at = strstr(at, start)); at++)
		nr++;
	return nr;
}

Test(agent_session, says_nothing_before_hello_and_config_after_it)
{
	agent_rig_open(&rig, true);
	agent_session_send(&rig.s, "{\"msg\":\"ask\"}\n");
	agent_rig_pass(&rig, NS_PER_S);
	cr_expect_eq(rig.nr_got, 0);
	cr_expect_eq(rig.nr_states, 0);
	agent_rig_say_text(&rig, STATUS);
	cr_expect_eq(rig.nr_heard, 0, "before hello it is nothing");
	agent_rig_say_text(&rig, HELLO);
	cr_expect_eq(rig.nr_states, 1);
	cr_expect_eq(rig.states[0], AGENT_CONNECTED);
	cr_expect_eq(lines_got("config"), 1);
	cr_expect(strstr(rig.got, "\"interval-ms\":1000"));
	agent_rig_say_text(&rig, STATUS);
	cr_expect_eq(rig.nr_heard, 1);
	cr_expect_eq(rig.last.status.available_bytes, 1);
}

Test(agent_session, lines_come_in_any_pieces)
{
	static const char text[] = "\n\n" HELLO STATUS "{\"msg\":\"later\"}\n" STATUS;

	agent_rig_open(&rig, true);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		agent_rig_say(&rig, text + i, 1);
	cr_expect_eq(rig.nr_heard, 2);
	cr_expect_eq(rig.s.nr_lines, 6);
	cr_expect_eq(rig.s.nr_faults_ever, 0, "an empty line is nothing");
}

Test(agent_session, what_an_earlier_opening_left_does_no_harm)
{
	connect();
	agent_rig_say_text(&rig, "{\"msg\":\"sta");
	agent_rig_open(&rig, false);
	cr_expect_eq(rig.states[1], AGENT_GONE);
	agent_rig_open(&rig, true);
	agent_rig_say_text(&rig, "tus\",\"total\":1}\n[\n" HELLO);
	cr_expect_eq(rig.s.state, AGENT_CONNECTED);
	cr_expect_eq(rig.s.nr_faults, 0);
	cr_expect_eq(rig.nr_states, 3);
}

Test(agent_session, a_closing_and_an_opening_in_one_turn_are_told_apart)
{
	connect();
	agent_session_opened(&rig.s, false);
	agent_session_opened(&rig.s, true);
	agent_session_put(&rig.s, (const uint8_t *)HELLO, strlen(HELLO));
	agent_session_run(&rig.s, rig.now_ns);
	cr_assert_eq(rig.nr_states, 3);
	cr_expect_eq(rig.states[1], AGENT_GONE);
	cr_expect_eq(rig.states[2], AGENT_CONNECTED);
	cr_expect_eq(lines_got("config"), 2);
}

Test(agent_session, the_longest_line_and_one_byte_more)
{
	static char text[AGENT_LINE_BYTES + 2];
	int n = snprintf(text, sizeof(text), "{\"msg\":\"spare\",\"bytes\":5,\"x\":\"");

	connect();
	memset(text + n, 'x', sizeof(text) - (size_t)n);
	memcpy(text + AGENT_LINE_BYTES - 2, "\"}\n", 3);
	agent_rig_say(&rig, text, AGENT_LINE_BYTES + 1);
	cr_expect_eq(rig.nr_heard, 1);
	cr_expect_eq(rig.last.bytes, 5);
	memcpy(text + AGENT_LINE_BYTES - 2, "x\"}\n", 4);
	agent_rig_say(&rig, text, AGENT_LINE_BYTES + 2);
	cr_expect_eq(rig.s.nr_faults, 1);
	cr_expect(strstr(rig.s.fault, "longer"), "%s", rig.s.fault);
	agent_rig_say_text(&rig, STATUS);
	cr_expect_eq(rig.nr_heard, 2, "the next line counts");
}

Test(agent_session, eight_faults_and_nobody_listens)
{
	connect();
	for (unsigned int i = 1; i < AGENT_FAULTS_MAX; i++)
		agent_rig_say_text(&rig, "no\n");
	cr_expect_eq(rig.s.state, AGENT_CONNECTED);
	agent_rig_say_text(&rig, STATUS);
	agent_rig_say_text(&rig, "no\n" STATUS STATUS);
	cr_expect_eq(rig.s.state, AGENT_BROKEN);
	cr_expect_eq(rig.nr_heard, 1);
	cr_expect_eq(agent_session_room(&rig.s, rig.now_ns), 0);
	agent_session_send(&rig.s, "{\"msg\":\"answer\"}\n");
	agent_rig_pass(&rig, 3600 * NS_PER_S);
	cr_expect_eq(lines_got("answer"), 0);
	cr_expect_eq(rig.nr_states, 2, "told once");
	cr_expect_eq(agent_session_next_ns(&rig.s), 0);
	agent_rig_open(&rig, false);
	rig.nr_waits = 0;
	connect();
	cr_expect_eq(rig.nr_states, 4);
}

Test(agent_session, forty_lines_at_once_and_twenty_a_second)
{
	static char text[200 * sizeof(STATUS)];

	connect();
	agent_rig_pass(&rig, 10 * NS_PER_S); /* the bucket is full again */
	for (unsigned int i = 0; i < 200; i++)
		strcat(text, STATUS);
	agent_rig_say_text(&rig, text);
	cr_expect_eq(rig.nr_heard, AGENT_LINES_BURST);
	cr_expect_gt(rig.nr_waits, 0, "the rest waits in the guest");
	for (unsigned int s = 1; s <= 8; s++) {
		agent_rig_pass(&rig, NS_PER_S);
		cr_expect_eq(rig.nr_heard, AGENT_LINES_BURST + s * AGENT_LINES_PER_S);
	}
	cr_expect_eq(rig.nr_heard, 200);
	cr_expect_eq(rig.nr_waits, 0);
}

Test(agent_session, opening_anew_fills_no_bucket)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		agent_rig_open(&rig, true);
		agent_rig_say_text(&rig, HELLO);
		nr += rig.s.state == AGENT_CONNECTED;
		agent_rig_open(&rig, false);
		rig.nr_waits = 0;
	}
	cr_expect_eq(nr, AGENT_LINES_BURST);
}

Test(agent_session, a_line_without_an_end_costs_as_lines_do)
{
	static char text[1 << 20];

	connect();
	memset(text, 'x', sizeof(text));
	agent_rig_say(&rig, text, sizeof(text));
	cr_expect_leq(sizeof(text) - rig.nr_waits, (AGENT_LINES_BURST + 1) * (AGENT_LINE_BYTES + 1));
	agent_rig_pass(&rig, NS_PER_S);
	cr_expect_leq(sizeof(text) - rig.nr_waits,
		      (AGENT_LINES_BURST + AGENT_LINES_PER_S + 1) * (AGENT_LINE_BYTES + 1));
	cr_expect_eq(rig.s.nr_faults, 1, "it is one line");
}

Test(agent_session, silence_is_told_once_and_ends_with_a_word)
{
	uint64_t silence = AGENT_SILENCE_NS + 3 * NS_PER_S;

	connect();
	agent_rig_pass(&rig, silence - 1);
	cr_expect_eq(rig.s.state, AGENT_CONNECTED);
	agent_rig_say_text(&rig, STATUS);
	agent_rig_pass(&rig, silence - 1);
	cr_expect_eq(rig.s.state, AGENT_CONNECTED);
	agent_rig_pass(&rig, 1);
	cr_expect_eq(rig.s.state, AGENT_SILENT);
	agent_rig_pass(&rig, 3600 * NS_PER_S);
	cr_expect_eq(rig.nr_states, 2);
	agent_rig_say_text(&rig, "no\n");
	cr_expect_eq(rig.s.state, AGENT_SILENT, "that is no word");
	agent_rig_say_text(&rig, STATUS);
	cr_expect_eq(rig.s.state, AGENT_CONNECTED);
	cr_expect_eq(rig.nr_states, 3);
}

Test(agent_session, who_can_say_no_status_is_never_silent)
{
	agent_rig_open(&rig, true);
	agent_rig_say_text(&rig, "{\"msg\":\"hello\",\"version\":1}\n");
	cr_expect_eq(agent_session_next_ns(&rig.s), 0);
	agent_rig_pass(&rig, 3600 * NS_PER_S);
	cr_expect_eq(rig.s.state, AGENT_CONNECTED);
	cr_expect_not(agent_session_can(&rig.s, AGENT_CAN_STATUS));
}

Test(agent_session, who_does_not_read_loses_the_oldest_and_never_a_config)
{
	struct agent_config c = rig.s.config;
	char text[AGENT_HOST_LINE_BYTES];

	connect();
	rig.nr_got = 0;
	rig.takes = 3; /* a part of the first one */
	for (unsigned int i = 0; i < 40; i++) {
		snprintf(text, sizeof(text), "{\"msg\":\"answer\",\"granted\":%u}\n", i);
		agent_session_send(&rig.s, text);
		agent_session_run(&rig.s, rig.now_ns);
		c.size_bytes = i;
		agent_session_configure(&rig.s, &c);
	}
	cr_expect_eq(rig.nr_got, 3);
	rig.takes = SIZE_MAX;
	agent_session_run(&rig.s, rig.now_ns);
	cr_expect_eq(lines_got("answer"), 1 + AGENT_QUEUE_LINES);
	cr_expect_eq(rig.s.nr_lost, 39 - AGENT_QUEUE_LINES);
	cr_expect(strstr(rig.got, "{\"msg\":\"answer\",\"granted\":0}\n"), "begun is done");
	cr_expect_not(strstr(rig.got, "\"granted\":23}"));
	cr_expect(strstr(rig.got, "\"granted\":24}"));
	cr_expect_eq(lines_got("config"), 1, "the last one alone");
	cr_expect(strstr(rig.got, "\"size\":39,"), "%s", rig.got);
}

Test(agent_session, a_config_that_is_the_same_is_not_sent)
{
	struct agent_config c = rig.s.config;

	connect();
	agent_session_configure(&rig.s, &c);
	agent_session_run(&rig.s, rig.now_ns);
	cr_expect_eq(lines_got("config"), 1);
	c.cache_age_s++;
	agent_session_configure(&rig.s, &c);
	agent_session_run(&rig.s, rig.now_ns);
	cr_expect_eq(lines_got("config"), 2);
	agent_rig_open(&rig, false);
	connect();
	cr_expect_eq(lines_got("config"), 3, "after each hello");
}

Test(agent_session, a_second_hello_is_a_new_conversation)
{
	connect();
	agent_rig_say_text(&rig, "{\"msg\":\"hello\",\"version\":2,\"agent\":\"other\"}\n");
	cr_expect_eq(lines_got("config"), 2);
	cr_expect_str_eq(rig.s.hello.agent, "other");
	cr_expect_not(agent_session_can(&rig.s, AGENT_CAN_STATUS));
	cr_expect_eq(rig.nr_states, 1, "nobody came, nobody went");
}
