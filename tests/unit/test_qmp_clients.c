/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp_clients.c - clients that are many, deaf, dying, or send descriptors. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit/qmp_rig.h"
#include "vmm/base/clock.h"

static struct qmp_rig rig;

static void start(void) { rig_start(&rig); }

static void stop(void)
{
	rig_stop(&rig);
	rig_clean(&rig);
}

TestSuite(qmp_clients, .init = start, .fini = stop, .timeout = 240);

static unsigned int nr_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void wait_for_clients(unsigned int nr)
{
	rig_settle(&rig);
	cr_assert_eq(rig_stats(&rig).nr_clients, nr, "%u clients, not %u",
		     rig_stats(&rig).nr_clients, nr);
}

Test(qmp_clients, sixty_four_clients_are_served_and_the_next_is_refused)
{
	static struct wire w[64];
	struct wire more = { .fd = -1 };
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		wire_open(&w[i], rig.path);
	strcpy(a.sun_path, rig.path);
	for (int i = 0; i < 36; i++) {
		more.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		cr_assert_eq(connect(more.fd, (struct sockaddr *)&a, sizeof(a)), 0);
		wire_next_error(&more, "GenericError", "64 clients");
		cr_expect_null(wire_read(&more));
		wire_close(&more);
	}
	cr_expect_eq(rig_stats(&rig).nr_clients_refused, 36);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		wire_send(&w[i], "{\"execute\":\"echo\",\"arguments\":{\"value\":1}}");
	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		wire_expect(&w[i], "", "{\"return\":{\"value\":1}}");
	wire_close(&w[5]);
	wait_for_clients(63);
	wire_open(&more, rig.path);
	wire_close(&more);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		if (i != 5)
			wire_close(&w[i]);
	wait_for_clients(0);
}

Test(qmp_clients, deaf_client_loses_events_and_nobody_waits)
{
	struct wire deaf, wire;
	struct json_object *o;
	int64_t last = 0;
	unsigned int nr_got = 0;

	wire_open(&deaf, rig.path);
	wire_open(&wire, rig.path);
	for (int i = 0; i < 100; i++) {
		wire_send(&wire, "{'execute':'raise','arguments':{'name':'E','count':100}}");
		for (int n = 1; n <= 100; n++)
			json_object_put(wire_read(&wire));
		wire_expect(&wire, "", "{\"return\":{}}");
	}
	cr_expect_gt(rig_stats(&rig).nr_events_dropped, 0);
	/* What it does read later is whole lines in order, then the reply. */
	wire_send(&deaf, "{\"execute\":\"echo\",\"arguments\":{\"value\":\"late\"}}");
	for (;;) {
		struct json_object *value;

		o = wire_read(&deaf);
		if (!json_object_object_get_ex(o, "event", NULL))
			break;
		cr_assert(json_object_object_get_ex(o, "data", &value));
		last = json_object_get_int64(json_object_object_get(value, "n"));
		nr_got++;
		json_object_put(o);
	}
	cr_expect_str_eq(json_object_to_json_string_ext(o, 0), "{\"return\":{\"value\":\"late\"}}");
	json_object_put(o);
	cr_expect_gt(last, 0);
	cr_expect_eq(nr_got + rig_stats(&rig).nr_events_dropped, 10000, "%u got", nr_got);
	wire_close(&deaf);
	wire_close(&wire);
}

Test(qmp_clients, client_that_asks_and_never_reads_is_held_back_and_gets_every_reply)
{
	static const char ask[] = "{\"execute\":\"big\",\"arguments\":{\"bytes\":30000}}";
	struct wire deaf, wire;
	unsigned int nr_sent = 0;
	size_t rest = 0, backlog;

	wire_open(&deaf, rig.path);
	wire_open(&wire, rig.path);
	/* Until its own sends do not fit any more: the server has stopped to read. */
	for (bool at_rest = false;;) {
		ssize_t n = send(deaf.fd, ask + rest, sizeof(ask) - 1 - rest,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0) {
			cr_assert_eq(errno, EAGAIN);
			if (at_rest)
				break;
			rig_settle(&rig);
			at_rest = true;
			continue;
		}
		at_rest = false;
		rest += (size_t)n;
		if (rest == sizeof(ask) - 1) {
			rest = 0;
			nr_sent++;
		}
		cr_assert_lt(nr_sent, 1000000, "the server reads without end");
	}
	/* Waiting costs no time, as the loop has come to rest, and bounded memory. */
	backlog = rig_stats(&rig).backlog_bytes;
	cr_expect_geq(backlog, QMP_MAX_BACKLOG);
	cr_expect_lt(backlog, QMP_MAX_BACKLOG + QMP_MAX_REPLY, "%zu", backlog);
	/* Meanwhile the others are served. */
	wire_expect(&wire, "{\"execute\":\"count\"}", "{\"return\":1}");
	/* And when it reads at last, nothing is missing. */
	for (unsigned int i = 0; i < nr_sent; i++) {
		size_t bytes;
		char *line = wire_read_line(&deaf, &bytes);

		cr_assert_eq(bytes, 30000 + 15, "reply %u of %u: %s", i, nr_sent, line);
		free(line);
	}
	wire_send(&deaf, ask + rest);
	wire_close(&deaf);
	wire_close(&wire);
}

Test(qmp_clients, client_that_dies_mid_reply_costs_nothing)
{
	unsigned int fds_before;
	struct wire w;

	wire_open(&w, rig.path);
	fds_before = nr_fds();
	for (int i = 0; i < 100; i++) {
		struct wire dying;

		wire_open(&dying, rig.path);
		for (int n = 0; n < 20; n++)
			wire_send(&dying, "{\"execute\":\"big\",\"arguments\":{\"bytes\":60000}}");
		wire_close(&dying);
	}
	wait_for_clients(1);
	cr_expect_eq(nr_fds(), fds_before);
	wire_expect(&w, "{\"execute\":\"count\"}", "{\"return\":1}");
	wire_close(&w);
}

Test(qmp_clients, client_that_leaves_while_held_back_is_noticed)
{
	struct wire w, deaf;

	wire_open(&w, rig.path);
	wire_open(&deaf, rig.path);
	for (int n = 0; n < 40; n++)
		wire_send(&deaf, "{\"execute\":\"big\",\"arguments\":{\"bytes\":60000}}");
	rig_settle(&rig);
	wire_close(&deaf);
	wait_for_clients(1);
	wire_close(&w);
}

Test(qmp_clients, requests_of_a_client_that_has_left_are_carried_out)
{
	struct wire w, hasty;

	wire_open(&w, rig.path);
	wire_open(&hasty, rig.path);
	wire_send(&hasty, "{\"execute\":\"count\"}{\"execute\":\"count\"}{\"execute\":\"count\"}");
	wire_close(&hasty);
	wait_for_clients(1);
	wire_expect(&w, "{\"execute\":\"count\"}", "{\"return\":4}");
	wire_close(&w);
}

Test(qmp_clients, half_closed_client_still_gets_its_replies)
{
	struct wire w;

	wire_open(&w, rig.path);
	for (int i = 0; i < 10; i++)
		wire_send(&w, "{\"execute\":\"big\",\"arguments\":{\"bytes\":60000}}");
	wire_send(&w, "{\"execute\":\"count\"}");
	shutdown(w.fd, SHUT_WR);
	rig_settle(&rig);
	for (int i = 0; i < 10; i++)
		json_object_put(wire_read(&w));
	wire_expect(&w, "", "{\"return\":1}");
	cr_expect_null(wire_read(&w));
	wire_close(&w);
	wait_for_clients(0);
}

Test(qmp_clients, of_descriptors_that_come_along_one_is_kept_until_the_client_goes)
{
	static const char text[] = "{\"execute\":\"count\"}";
	static const size_t amounts[] = { 0, 1, 253, 253, 0, 2 };
	int fds[WIRE_MAX_FDS], fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	unsigned int fds_before;
	bool any = false;
	struct wire w, other;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = fd;
	wire_open(&other, rig.path);
	fds_before = nr_fds();
	wire_open(&w, rig.path);
	for (size_t i = 0; i < ARRAY_SIZE(amounts); i++) {
		char reply[32];

		any = any || amounts[i];
		wire_send_fds(&w, text, fds, amounts[i]);
		snprintf(reply, sizeof(reply), "{\"return\":%zu}", i + 1);
		wire_expect(&w, "", reply);
		cr_expect_eq(nr_fds(), fds_before + 2 + any, "after %zu descriptors", amounts[i]);
	}
	wire_close(&w);
	wait_for_clients(1);
	cr_expect_eq(nr_fds(), fds_before);
	wire_close(&other);
	close(fd);
}

/* A pipe that holds TEXT and then ends; its read end. */
static int pipe_with(const char *text)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
	close(ends[1]);
	return ends[0];
}

static void send_pipe(struct wire *w, const char *request, const char *text)
{
	int fd = pipe_with(text);

	wire_send_fds(w, request, &fd, 1);
	close(fd);
}

#define GETFD(name) "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"" name "\"}}"
#define CLOSEFD(name) "{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"" name "\"}}"
#define READFD(name) "{\"execute\":\"read-fd\",\"arguments\":{\"fdname\":\"" name "\"}}"

Test(qmp_clients, getfd_names_the_descriptor_that_came_and_a_command_takes_it)
{
	unsigned int fds_before;
	struct wire w, other;

	wire_open(&w, rig.path);
	wire_open(&other, rig.path);
	fds_before = nr_fds();
	wire_expect_error(&w, GETFD("a"), "GenericError", "No file descriptor supplied");
	send_pipe(&w, GETFD("a"), "first");
	wire_expect(&w, "", "{\"return\":{}}");
	/* Pipelined, and ahead of the request as some clients send it. */
	send_pipe(&w, GETFD("b"), "second");
	send_pipe(&w, " ", "third");
	wire_send(&w, GETFD("c"));
	wire_expect(&w, "", "{\"return\":{}}");
	wire_expect(&w, "", "{\"return\":{}}");
	cr_expect_eq(nr_fds(), fds_before + 3);
	wire_expect_error(&w, GETFD("d"), "GenericError", "No file descriptor supplied");
	/* Names are the client's own. */
	wire_expect_error(&other, READFD("a"), "GenericError", "'a' not found");
	wire_expect(&w, READFD("b"), "{\"return\":\"second\"}");
	wire_expect_error(&w, READFD("b"), "GenericError", "'b' not found");
	wire_expect(&w, READFD("c"), "{\"return\":\"third\"}");
	/* The same name again replaces. */
	send_pipe(&w, GETFD("a"), "newer");
	wire_expect(&w, "", "{\"return\":{}}");
	cr_expect_eq(nr_fds(), fds_before + 1);
	wire_expect(&w, READFD("a"), "{\"return\":\"newer\"}");
	cr_expect_eq(nr_fds(), fds_before);
	send_pipe(&w, GETFD("e"), "x");
	wire_expect(&w, "", "{\"return\":{}}");
	wire_expect(&w, CLOSEFD("e"), "{\"return\":{}}");
	wire_expect_error(&w, CLOSEFD("e"), "GenericError", "'e' not found");
	cr_expect_eq(nr_fds(), fds_before);
	wire_close(&w);
	wire_close(&other);
}

Test(qmp_clients, named_descriptors_are_bounded_and_go_with_their_client)
{
	unsigned int fds_before;
	char request[128];
	struct wire w, other;
	int i;

	wire_open(&other, rig.path);
	fds_before = nr_fds();
	wire_open(&w, rig.path);
	send_pipe(&w, GETFD("1a"), "x");
	wire_next_error(&w, "GenericError", "not starting with a digit");
	wire_expect_error(&w, GETFD(""), "GenericError", "a name");
	for (i = 0; i < 100; i++) {
		snprintf(request, sizeof(request),
			 "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"f%d\"}}", i);
		send_pipe(&w, request, "x");
		if (i == 16)
			break;
		wire_expect(&w, "", "{\"return\":{}}");
	}
	wire_next_error(&w, "GenericError", "16 descriptors have names");
	cr_expect_eq(nr_fds(), fds_before + 2 + 16 + 1);
	/* What has a name can still be replaced. */
	wire_expect(&w, GETFD("f3"), "{\"return\":{}}");
	cr_expect_eq(nr_fds(), fds_before + 2 + 16);
	wire_close(&w);
	wait_for_clients(1);
	cr_expect_eq(nr_fds(), fds_before);
	wire_close(&other);
}

/* ---- a command that is answered later ---- */

Test(qmp_clients, a_command_answered_later_holds_up_its_own_client_only)
{
	struct wire w, other;

	wire_open(&w, rig.path);
	wire_open(&other, rig.path);
	wire_send(&w, "{\"execute\":\"later\",\"id\":7}{\"execute\":\"count\"}");
	wire_send(&w, "{\"execute\":\"count\",\"id\":8}");
	wire_expect(&other, "{\"execute\":\"echo\",\"arguments\":{\"value\":1}}",
		    "{\"return\":{\"value\":1}}");
	wire_silent(&rig, &w);
	/* Events still come. */
	wire_send(&other, "{'execute':'raise','arguments':{'name':'RAISED','count':1}}");
	json_object_put(wire_read(&other));
	wire_expect(&other, "", "{\"return\":{}}");
	json_object_put(wire_read(&w));
	wire_expect(&other, "{\"execute\":\"finish\"}", "{\"return\":{}}");
	wire_expect(&w, "", "{\"return\":\"done\",\"id\":7}");
	wire_expect(&w, "", "{\"return\":1}");
	wire_expect(&w, "", "{\"return\":2,\"id\":8}");
	wire_send(&w, "{\"execute\":\"later\",\"id\":null}");
	wire_silent(&rig, &w);
	wire_expect(&other, "{\"execute\":\"finish\",\"arguments\":{\"fail\":true}}",
		    "{\"return\":{}}");
	wire_expect(&w, "",
		    "{\"error\":{\"class\":\"GenericError\",\"desc\":\"it came to nothing\"},"
		    "\"id\":null}");
	wire_close(&w);
	wire_close(&other);
}

/* How a client leaves whose command is under way; what it had asked before is still done. */
static void leave_and_finish(bool half)
{
	unsigned int fds_before;
	struct wire w, other;

	wire_open(&other, rig.path);
	fds_before = nr_fds();
	wire_open(&w, rig.path);
	wire_send(&w, "{\"execute\":\"later\"}{\"execute\":\"count\"}");
	if (half)
		shutdown(w.fd, SHUT_WR);
	else
		wire_close(&w);
	/* It waits without spinning. */
	rig_settle(&rig);
	cr_expect(rig.later);
	cr_expect_eq(rig_stats(&rig).nr_clients, 2);
	wire_expect(&other, "{\"execute\":\"finish\"}", "{\"return\":{}}");
	if (half) {
		wire_expect(&w, "", "{\"return\":\"done\"}");
		wire_expect(&w, "", "{\"return\":1}");
		cr_expect_null(wire_read(&w));
		wire_close(&w);
	}
	wait_for_clients(1);
	cr_expect_eq(nr_fds(), fds_before);
	wire_expect(&other, "{\"execute\":\"count\"}", "{\"return\":2}");
	wire_close(&other);
}

Test(qmp_clients, a_client_that_leaves_before_the_later_answer_costs_nothing)
{
	leave_and_finish(false);
}

Test(qmp_clients, a_half_closed_client_gets_the_later_answer)
{
	leave_and_finish(true);
}

Test(qmp_clients, a_server_ends_while_a_client_waits_for_its_answer)
{
	struct wire w;

	wire_open(&w, rig.path);
	wire_send(&w, "{\"execute\":\"later\",\"id\":{\"a\":1}}");
	rig_settle(&rig);
	cr_expect(rig.later);
	wire_close(&w); /* not seen, perhaps, before the end that stop() makes */
}

Test(qmp_clients, server_out_of_descriptors_waits_without_spinning)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct rlimit limit, low;
	struct wire w;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, rig.path);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 3; /* below what is open: no more, whatever is free */
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	/* It comes to rest, and again after each time that it tries. */
	for (int i = 0; i < 10; i++)
		rig_advance(&rig, NS_PER_S);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	rig_advance(&rig, NS_PER_S);
	wire_adopt(&w, fd);
	wire_close(&w);
}

Test(qmp_clients, other_users_are_turned_away_whatever_the_mode_of_the_file)
{
	int status;
	pid_t pid;

	if (geteuid())
		cr_skip_test("needs root to become another user");
	cr_assert_eq(chmod(rig.dir, 0711), 0);
	cr_assert_eq(chmod(rig.path, 0666), 0);
	pid = fork();
	if (!pid) {
		struct sockaddr_un a = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		char text[512] = "";

		strcpy(a.sun_path, rig.path);
		if (setresuid(65534, 65534, 65534) || connect(fd, (struct sockaddr *)&a, sizeof(a)))
			_exit(1);
		if (read(fd, text, sizeof(text) - 1) <= 0)
			_exit(2);
		_exit(strstr(text, "for the owner of the VM") ? 0 : 3);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "%x", (unsigned int)status);
	cr_expect_eq(rig_stats(&rig).nr_clients, 0);
}
