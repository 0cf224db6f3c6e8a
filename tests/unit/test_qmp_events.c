/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp_events.c - who gets an event, what is in it, and how often. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/unit/qmp_rig.h"
#include "vmm/base/clock.h"

static struct qmp_rig rig;
static struct wire wire;

static void start(void)
{
	rig_start(&rig);
	wire_open(&wire, rig.path);
}

static void stop(void)
{
	wire_close(&wire);
	rig_stop(&rig);
	rig_clean(&rig);
}

TestSuite(qmp_events, .init = start, .fini = stop, .timeout = 240);

/* Reads an event called NAME; its data.n, or -1. */
static int64_t read_event(struct wire *w, const char *name)
{
	struct json_object *event = wire_read(w), *value, *n = NULL, *data;
	int64_t result;

	cr_assert(json_object_object_get_ex(event, "event", &value), "%s",
		  json_object_to_json_string(event));
	cr_assert_str_eq(json_object_get_string(value), name);
	cr_assert(json_object_object_get_ex(event, "data", &data));
	cr_assert(json_object_is_type(data, json_type_object));
	result = json_object_object_get_ex(data, "n", &n) ? json_object_get_int64(n) : -1;
	json_object_put(event);
	return result;
}

Test(qmp_events, event_has_a_timestamp_and_data_even_when_empty)
{
	struct json_object *event, *stamp, *value;
	int64_t before = time(NULL);

	wire_send(&wire, "{\"execute\":\"raise\",\"arguments\":{\"name\":\"STOP\",\"count\":0}}");
	event = wire_read(&wire);
	cr_assert(json_object_object_get_ex(event, "event", &value));
	cr_expect_str_eq(json_object_get_string(value), "STOP");
	cr_assert(json_object_object_get_ex(event, "data", &value));
	cr_expect_eq(json_object_object_length(value), 0);
	cr_assert(json_object_object_get_ex(event, "timestamp", &stamp));
	cr_assert(json_object_object_get_ex(stamp, "seconds", &value));
	cr_expect_geq(json_object_get_int64(value), before);
	cr_expect_leq(json_object_get_int64(value), time(NULL));
	cr_assert(json_object_object_get_ex(stamp, "microseconds", &value));
	cr_expect_lt(json_object_get_int64(value), 1000000);
	json_object_put(event);
	wire_expect(&wire, "", "{\"return\":{}}");
}

Test(qmp_events, every_negotiated_client_gets_it_and_no_other)
{
	struct wire watcher, stranger;

	wire_open(&watcher, rig.path);
	wire_connect(&stranger, rig.path);
	wire_send(&wire, "{\"execute\":\"raise\",\"arguments\":{\"name\":\"RESET\",\"count\":2}}");
	for (int64_t n = 1; n <= 2; n++) {
		cr_expect_eq(read_event(&wire, "RESET"), n);
		cr_expect_eq(read_event(&watcher, "RESET"), n);
	}
	wire_expect(&wire, "", "{\"return\":{}}");
	wire_silent(&rig, &stranger);
	wire_silent(&rig, &watcher);
	wire_close(&watcher);
	wire_close(&stranger);
}

static void raise_limited(const char *name, const char *key, int count)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"execute\":\"raise\",\"arguments\":{\"name\":\"%s\",\"key\":\"%s\","
		 "\"count\":%d,\"limited\":true}}", name, key, count);
	wire_send(&wire, text);
}

Test(qmp_events, limited_event_comes_at_once_and_then_the_last_one_after_a_second)
{
	raise_limited("MEMORY_DEVICE_SIZE_CHANGE", "vm0", 2000);
	cr_expect_eq(read_event(&wire, "MEMORY_DEVICE_SIZE_CHANGE"), 1);
	wire_expect(&wire, "", "{\"return\":{}}");
	rig_advance(&rig, NS_PER_S - 1);
	wire_silent(&rig, &wire);
	rig_advance(&rig, 1);
	cr_expect_eq(read_event(&wire, "MEMORY_DEVICE_SIZE_CHANGE"), 2000);
	/* The one that was held back opens an interval too. */
	raise_limited("MEMORY_DEVICE_SIZE_CHANGE", "vm0", 7);
	wire_expect(&wire, "", "{\"return\":{}}");
	rig_advance(&rig, NS_PER_S - 1);
	wire_silent(&rig, &wire);
	rig_advance(&rig, 1);
	cr_expect_eq(read_event(&wire, "MEMORY_DEVICE_SIZE_CHANGE"), 7);
	rig_advance(&rig, NS_PER_S);
	wire_silent(&rig, &wire);
	/* After a quiet interval nothing is held back. */
	raise_limited("MEMORY_DEVICE_SIZE_CHANGE", "vm0", 1);
	cr_expect_eq(read_event(&wire, "MEMORY_DEVICE_SIZE_CHANGE"), 1);
	wire_expect(&wire, "", "{\"return\":{}}");
}

Test(qmp_events, limits_are_per_name_and_key)
{
	raise_limited("A", "x", 1);
	cr_expect_eq(read_event(&wire, "A"), 1);
	wire_expect(&wire, "", "{\"return\":{}}");
	raise_limited("A", "y", 1);
	cr_expect_eq(read_event(&wire, "A"), 1);
	wire_expect(&wire, "", "{\"return\":{}}");
	raise_limited("B", "x", 1);
	cr_expect_eq(read_event(&wire, "B"), 1);
	wire_expect(&wire, "", "{\"return\":{}}");
	raise_limited("A", "x", 2);
	wire_expect(&wire, "", "{\"return\":{}}");
	wire_silent(&rig, &wire);
	rig_advance(&rig, NS_PER_S);
	cr_expect_eq(read_event(&wire, "A"), 2);
}

Test(qmp_events, server_that_ends_with_an_event_held_back_leaks_nothing)
{
	raise_limited("A", "x", 3);
	cr_expect_eq(read_event(&wire, "A"), 1);
	wire_expect(&wire, "", "{\"return\":{}}");
}

Test(qmp_events, no_server_swallows_events)
{
	qmp_event(NULL, "STOP", NULL);
	qmp_event(NULL, "STOP", json_object_new_object());
	qmp_event_limited(NULL, "STOP", "x", json_object_new_object());
}
