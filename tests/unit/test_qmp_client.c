/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp_client.c - the client of the verbs, against our server and against false ones. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/qmp_rig.h"
#include "vmm/base/clock.h"
#include "vmm/control/qmp_client.h"
#include "vmm/rundir/vm_socket.h"

#define HANG_MS 60000

static struct qmp_rig rig;

static void start(void) { rig_start(&rig); }

static void stop(void)
{
	rig_stop(&rig);
	rig_clean(&rig);
}

TestSuite(qmp_client, .init = start, .fini = stop, .timeout = 240);

static struct json_object *args(const char *text)
{
	struct json_object *o = json_tokener_parse(text);

	cr_assert(o);
	return o;
}

Test(qmp_client, reaches_a_vm_by_name_and_by_path)
{
	struct qmp_client *c;
	struct json_object *ret;

	cr_assert_eq(qmp_client_open(&c, "vm", HANG_MS), 0);
	cr_assert_eq(qmp_client_run(c, "count", NULL, &ret, NULL), 0);
	cr_expect_eq(json_object_get_int(ret), 1);
	json_object_put(ret);
	qmp_client_close(c);
	cr_assert_eq(qmp_client_open(&c, rig.path, HANG_MS), 0);
	cr_assert_eq(qmp_client_run(c, "echo", args("{\"value\":[1,{}]}"), &ret, NULL), 0);
	cr_expect_str_eq(json_object_to_json_string_ext(ret, 0), "{\"value\":[1,{}]}");
	json_object_put(ret);
	cr_assert_eq(qmp_client_run(c, "count", NULL, NULL, NULL), 0);
	qmp_client_close(c);
}

Test(qmp_client, refusal_carries_class_and_text)
{
	struct qmp_error err;
	struct qmp_client *c;

	cr_assert_eq(qmp_client_open(&c, "vm", HANG_MS), 0);
	cr_expect_eq(qmp_client_run(c, "fail", args("{\"kind\":\"DeviceNotActive\"}"), NULL, &err),
		     -EREMOTEIO);
	cr_expect_eq(err.class, QMP_DEVICE_NOT_ACTIVE);
	cr_expect_str_eq(err.desc, "no ? such /dev/ice");
	cr_expect_eq(qmp_client_run(c, "nosuch", NULL, NULL, NULL), -EREMOTEIO);
	cr_expect_eq(qmp_client_run(c, "count", NULL, NULL, NULL), 0);
	qmp_client_close(c);
}

Test(qmp_client, missing_vm_dead_vm_and_bad_name_are_told_apart)
{
	struct qmp_client *c;
	char path[VM_PATH_SIZE];
	struct vm_socket s;

	cr_expect_eq(qmp_client_open(&c, "nosuch", HANG_MS), -ENOENT);
	cr_expect_eq(qmp_client_open(&c, "a b", HANG_MS), -EINVAL);
	cr_assert_eq(vm_path(path, "dead"), 0);
	cr_assert_eq(vm_socket_listen(&s, path), 0);
	close(s.fd);
	cr_expect_eq(qmp_client_open(&c, "dead", HANG_MS), -ECONNREFUSED);
	unlink(path);
}

Test(qmp_client, events_during_a_command_are_kept_for_later)
{
	struct qmp_client *c;
	struct json_object *event, *data, *ask;

	cr_assert_eq(qmp_client_open(&c, "vm", HANG_MS), 0);
	ask = args("{\"name\":\"A\",\"count\":2}");
	cr_assert_eq(qmp_client_run(c, "raise", ask, NULL, NULL), 0);
	ask = args("{\"name\":\"B\",\"count\":1}");
	cr_assert_eq(qmp_client_run(c, "raise", ask, NULL, NULL), 0);
	cr_assert_eq(qmp_client_event(c, NULL, HANG_MS, &event), 0);
	cr_expect_str_eq(qmp_get_str(event, "event", ""), "A");
	cr_assert(json_object_object_get_ex(event, "data", &data));
	cr_expect_eq(qmp_get_u64(data, "n", 0), 1);
	json_object_put(event);
	cr_assert_eq(qmp_client_event(c, "B", HANG_MS, &event), 0);
	cr_expect_str_eq(qmp_get_str(event, "event", ""), "B");
	json_object_put(event);
	qmp_client_close(c);
}

Test(qmp_client, events_kept_are_bounded_and_the_newest_stay)
{
	struct qmp_client *c;
	struct json_object *event, *data;

	cr_assert_eq(qmp_client_open(&c, "vm", HANG_MS), 0);
	/* Few at a time: the server drops events for a client that does not read. */
	for (int i = 0; i < 30; i++)
		cr_assert_eq(qmp_client_run(c, "raise", args("{\"name\":\"A\",\"count\":10}"), NULL,
					    NULL), 0);
	for (int i = 0; i < QMP_CLIENT_MAX_EVENTS; i++) {
		cr_assert_eq(qmp_client_event(c, "A", 0, &event), 0);
		cr_assert(json_object_object_get_ex(event, "data", &data));
		cr_expect_eq(qmp_get_u64(data, "n", 0), (uint64_t)(4 + i) % 10 + 1);
		json_object_put(event);
	}
	cr_expect_eq(qmp_client_event(c, "A", 50, &event), -ETIMEDOUT);
	qmp_client_close(c);
}

Test(qmp_client, wait_for_an_event_ends_in_time)
{
	struct qmp_client *c;
	struct json_object *event;
	uint64_t start_ns;

	cr_assert_eq(qmp_client_open(&c, "vm", HANG_MS), 0);
	start_ns = clock_ns();
	cr_expect_eq(qmp_client_event(c, "SHUTDOWN", 200, &event), -ETIMEDOUT);
	cr_expect_geq(clock_ns() - start_ns, 200 * NS_PER_MS);
	qmp_client_close(c);
}

Test(qmp_client_end, end_of_the_vm_is_seen_after_its_reply, .timeout = 240)
{
	struct qmp_client *c;
	struct json_object *event;

	rig_start(&rig);
	cr_assert_eq(qmp_client_open(&c, "vm", HANG_MS), 0);
	cr_expect_eq(qmp_client_run(c, "quit", NULL, NULL, NULL), 0);
	rig_join(&rig);
	cr_expect_eq(qmp_client_event(c, "SHUTDOWN", HANG_MS, &event), -ECONNRESET);
	cr_expect_eq(qmp_client_run(c, "count", NULL, NULL, NULL), -ECONNRESET);
	qmp_client_close(c);
	rig_clean(&rig);
}

/* A server that says TEXT and nothing more. */
static int open_against(const char *text, bool close_after, int timeout_ms)
{
	struct qmp_client *c;
	int pair[2], r;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_eq(write(pair[1], text, strlen(text)), (ssize_t)strlen(text));
	if (close_after)
		shutdown(pair[1], SHUT_WR);
	r = qmp_client_open_fd(&c, pair[0], "false", timeout_ms);
	if (!r)
		qmp_client_close(c);
	else
		cr_expect_eq(close(pair[0]), 0, "the descriptor stays the caller's");
	close(pair[1]);
	return r;
}

Test(qmp_client_false, false_servers_are_found_out, .timeout = 240)
{
	cr_expect_eq(open_against("", false, 100), -ETIMEDOUT);
	cr_expect_eq(open_against("", true, HANG_MS), -ECONNRESET);
	cr_expect_eq(open_against("HTTP/1.1 400 Bad Request\r\n", false, HANG_MS), -EPROTO);
	cr_expect_eq(open_against("{\"hello\":1}\r\n", false, HANG_MS), -EPROTO);
	cr_expect_eq(open_against("[1]\r\n", false, HANG_MS), -EPROTO);
	cr_expect_eq(open_against("{\"QMP\":{}}\r\n", false, 100), -ETIMEDOUT);
	cr_expect_eq(open_against("{\"QMP\":{}}\r\n", true, HANG_MS), -ECONNRESET);
	cr_expect_eq(open_against("{\"QMP\":{}}\r\n{\"id\":1}\r\n", false, HANG_MS), -EPROTO);
	cr_expect_eq(open_against("{\"QMP\":{}}{\"error\":{},\"id\":1}\n", false, HANG_MS),
		     -EREMOTEIO);
	cr_expect_eq(open_against("{\"error\":{\"desc\":\"64 clients\"}}\r\n", true, HANG_MS),
		     -EREMOTEIO);
	/* A reply to something else is passed over. */
	cr_expect_eq(open_against("{\"QMP\":{}}{\"error\":{},\"id\":7}{\"event\":\"X\"}"
				  "{\"return\":{},\"id\":1}", false, HANG_MS), 0);
}

Test(qmp_client_false, members_of_a_reply_are_read_with_care)
{
	struct json_object *o = args("{\"u\":5,\"n\":-5,\"s\":\"x\",\"b\":true,\"z\":null}");

	cr_expect_eq(qmp_get_u64(o, "u", 9), 5);
	cr_expect_eq(qmp_get_u64(o, "n", 9), 9);
	cr_expect_eq(qmp_get_u64(o, "s", 9), 9);
	cr_expect_eq(qmp_get_u64(NULL, "u", 9), 9);
	cr_expect_str_eq(qmp_get_str(o, "s", "y"), "x");
	cr_expect_str_eq(qmp_get_str(o, "z", "y"), "y");
	cr_expect(qmp_get_bool(o, "b", false));
	cr_expect(qmp_get_bool(o, "s", true));
	json_object_put(o);
}
