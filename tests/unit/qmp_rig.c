/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_rig.c - the server under test and the bytes that go to it. */
#include "tests/unit/qmp_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmm/base/clock.h"
#include "vmm/json/schema.h"

#define HANG_S 60

/* ---- commands ---- */

static int run_echo(struct qmp_call *call)
{
	call->ret = json_object_get(call->args);
	return 0;
}

static int run_big(struct qmp_call *call)
{
	size_t n = qmp_arg_u64(call->args, "bytes", 0);
	char *text = malloc(n + 1);

	memset(text, 'x', n);
	call->ret = json_object_new_string_len(text, (int)n);
	free(text);
	return 0;
}

static int run_fail(struct qmp_call *call)
{
	const char *kind = qmp_arg_str(call->args, "kind", "");

	call->ret = json_object_new_object(); /* a handler that fails late */
	if (!strcmp(kind, "errno"))
		return -ENODEV;
	return qmp_fail(call->err, qmp_class_parse(kind), "no \xff such /dev/ice");
}

static int run_raise(struct qmp_call *call)
{
	struct qmp_rig *rig = call->ctx;

	for (uint64_t i = 1; i <= qmp_arg_u64(call->args, "count", 1); i++) {
		struct json_object *data = json_object_new_object();

		json_object_object_add(data, "n", json_object_new_uint64(i));
		if (qmp_arg_bool(call->args, "limited", false))
			qmp_event_limited(rig->server, qmp_arg_str(call->args, "name", ""),
					  qmp_arg_str(call->args, "key", NULL), data);
		else
			qmp_event(rig->server, qmp_arg_str(call->args, "name", ""), data);
	}
	if (qmp_arg_u64(call->args, "count", 1) == 0)
		qmp_event(rig->server, qmp_arg_str(call->args, "name", ""), NULL);
	return 0;
}

static int run_count(struct qmp_call *call)
{
	struct qmp_rig *rig = call->ctx;

	call->ret = json_object_new_int(++rig->nr_counted);
	return 0;
}

static int run_later(struct qmp_call *call)
{
	struct qmp_rig *rig = call->ctx;

	if (rig->later)
		return -EBUSY;
	rig->later = qmp_defer(rig->server);
	return QMP_DEFERRED;
}

static int run_finish(struct qmp_call *call)
{
	struct qmp_rig *rig = call->ctx;
	struct qmp_session *later = rig->later;

	rig->later = NULL;
	if (!later)
		return -ENOENT;
	if (qmp_arg_bool(call->args, "fail", false)) {
		struct qmp_error why = { 0 };

		qmp_reply(later, qmp_fail(&why, QMP_GENERIC_ERROR, "it came to nothing"), NULL,
			  &why);
	} else {
		qmp_reply(later, 0, json_object_new_string("done"), NULL);
	}
	return 0;
}

static int run_read_fd(struct qmp_call *call)
{
	struct qmp_rig *rig = call->ctx;
	int fd = qmp_take_fd(rig->server, qmp_arg_str(call->args, "fdname", ""), call->err);
	char text[64];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text));
	close(fd);
	call->ret = json_object_new_string_len(text, n > 0 ? (int)n : 0);
	return 0;
}

static int run_quit(struct qmp_call *call)
{
	struct qmp_rig *rig = call->ctx;

	loop_stop(rig->loop);
	return 0;
}

static const struct qmp_command commands[] = {
	{ "echo", "value:any", "{value:any}", "Returns its arguments.", run_echo },
	{ "take", "size:u(1..1000) step?:i(-5..5) mode?:on|off list?:[s] flag?:b",
	  "{size:u step?:i mode?:on|off list?:[s] flag?:b}", "Returns them.", run_echo },
	{ "big", "bytes:u", "s", "Returns a long string.", run_big },
	{ "fail", "kind:GenericError|DeviceNotFound|DeviceNotActive|errno", NULL, "Fails.",
	  run_fail },
	{ "raise", "name:s count:u key?:s limited?:b", NULL, "Raises events.", run_raise },
	{ "count", NULL, "i", "Counts.", run_count },
	{ "later", NULL, "s", "Is answered when `finish` runs.", run_later },
	{ "finish", "fail?:b", NULL, "Answers `later`.", run_finish },
	{ "read-fd", "fdname:s", "s", "Reads from a descriptor, takes and closes it.",
	  run_read_fd },
	{ "quit", NULL, NULL, "Ends the loop.", run_quit },
};

static const struct qmp_event_type event_types[] = { { "RAISED", "n:u" }, { "EMPTY", NULL } };

static const struct qmp_table table = { commands, ARRAY_SIZE(commands), event_types,
					ARRAY_SIZE(event_types) };

/* ---- server ---- */

static uint64_t now(struct loop_clock *clock)
{
	struct qmp_rig *rig = container_of(clock, struct qmp_rig, clock);

	return __atomic_load_n(&rig->now_ns, __ATOMIC_RELAXED);
}

/* No timer ends it but those that the test has made due. */
static int wait(struct loop_clock *clock, int epoll_fd, struct epoll_event *events, int nr,
		uint64_t until_ns)
{
	struct qmp_rig *rig = container_of(clock, struct qmp_rig, clock);
	int found = epoll_wait(epoll_fd, events, nr, 0);

	if (found || until_ns <= now(clock))
		return found;
	pthread_mutex_lock(&rig->lock);
	rig->at_rest = rig->woken;
	pthread_cond_broadcast(&rig->rests);
	pthread_mutex_unlock(&rig->lock);
	return epoll_wait(epoll_fd, events, nr, -1);
}

static void on_wake(void *ctx, uint32_t events)
{
	struct qmp_rig *rig = ctx;
	eventfd_t nr;

	(void)events;
	cr_assert_eq(eventfd_read(rig->wake_fd, &nr), 0);
	pthread_mutex_lock(&rig->lock);
	rig->woken = rig->asked;
	if (rig->stops)
		loop_stop(rig->loop);
	pthread_mutex_unlock(&rig->lock);
}

/* Returns the number of the call. */
static unsigned int wake(struct qmp_rig *rig, bool stop)
{
	unsigned int nr;

	pthread_mutex_lock(&rig->lock);
	nr = ++rig->asked;
	rig->stops = stop;
	pthread_mutex_unlock(&rig->lock);
	cr_assert_eq(eventfd_write(rig->wake_fd, 1), 0);
	return nr;
}

void rig_settle(struct qmp_rig *rig)
{
	unsigned int nr = wake(rig, false);
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += HANG_S;
	pthread_mutex_lock(&rig->lock);
	while (rig->at_rest < nr && !r)
		r = pthread_cond_timedwait(&rig->rests, &rig->lock, &until);
	pthread_mutex_unlock(&rig->lock);
	cr_assert_eq(r, 0, "the loop does not come to rest");
}

void rig_advance(struct qmp_rig *rig, uint64_t ns)
{
	__atomic_fetch_add(&rig->now_ns, ns, __ATOMIC_RELAXED);
	rig_settle(rig);
}

static void *loop_thread(void *ctx)
{
	struct qmp_rig *rig = ctx;

	return (void *)(intptr_t)loop_run(rig->loop);
}

static void new_loop(struct qmp_rig *rig)
{
	pthread_mutex_init(&rig->lock, NULL);
	pthread_cond_init(&rig->rests, NULL);
	rig->clock = (struct loop_clock){ now, wait };
	rig->now_ns = 1000 * NS_PER_S;
	cr_assert_eq(loop_new(&rig->loop), 0);
	loop_use_clock(rig->loop, &rig->clock);
}

static void start_loop(struct qmp_rig *rig)
{
	signal(SIGPIPE, SIG_DFL); /* as in the real process */
	rig->wake_fd = eventfd(0, EFD_CLOEXEC);
	cr_assert_geq(rig->wake_fd, 0);
	cr_assert_eq(loop_add(rig->loop, rig->wake_fd, EPOLLIN, on_wake, rig), 0);
	cr_assert_eq(pthread_create(&rig->thread, NULL, loop_thread, rig), 0);
}

void rig_start(struct qmp_rig *rig)
{
	*rig = (struct qmp_rig){ .dir = "/tmp/ebb-qmp-XXXXXX" };
	cr_assert(mkdtemp(rig->dir));
	setenv("EBB_RUN_DIR", rig->dir, 1);
	snprintf(rig->path, sizeof(rig->path), "%s/vm.sock", rig->dir);
	new_loop(rig);
	cr_assert_eq(qmp_server_new(&rig->server, rig->loop, rig->path, &table, rig), 0);
	start_loop(rig);
}

void rig_start_fd(struct qmp_rig *rig, int fd)
{
	*rig = (struct qmp_rig){ 0 };
	new_loop(rig);
	cr_assert_eq(qmp_server_new_fd(&rig->server, rig->loop, fd, &table, rig), 0);
	start_loop(rig);
}

void rig_wait_end(struct qmp_rig *rig)
{
	void *result;

	cr_assert_eq(pthread_join(rig->thread, &result), 0);
	cr_assert_null(result);
	rig->ended = true;
}

void rig_join(struct qmp_rig *rig)
{
	if (!rig->ended)
		rig_wait_end(rig);
	qmp_server_free(rig->server);
	loop_free(rig->loop);
	close(rig->wake_fd);
}

void rig_stop(struct qmp_rig *rig)
{
	wake(rig, true);
	rig_join(rig);
}

void rig_clean(struct qmp_rig *rig)
{
	cr_assert_eq(rmdir(rig->dir), 0, "%s: %s", rig->dir, strerror(errno));
}

struct qmp_server_stats rig_stats(struct qmp_rig *rig)
{
	struct qmp_server_stats stats;

	loop_lock(rig->loop);
	stats = qmp_server_stats(rig->server);
	loop_unlock(rig->loop);
	return stats;
}

/* ---- clients ---- */

void wire_adopt(struct wire *w, int fd)
{
	struct json_object *greeting;

	*w = (struct wire){ .fd = fd };
	greeting = wire_read(w);
	cr_assert(json_object_object_get_ex(greeting, "QMP", NULL));
	json_object_put(greeting);
}

static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0, "%s", strerror(errno));
	return fd;
}

void wire_connect(struct wire *w, const char *path) { wire_adopt(w, connect_to(path)); }

void wire_connect_silently(struct wire *w, const char *path)
{
	*w = (struct wire){ .fd = connect_to(path) };
}

void wire_open(struct wire *w, const char *path)
{
	wire_connect(w, path);
	wire_expect(w, "{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}");
}

void wire_close(struct wire *w)
{
	close(w->fd);
	free(w->buf);
	*w = (struct wire){ .fd = -1 };
}

void wire_send_bytes(struct wire *w, const void *p, size_t bytes)
{
	while (bytes) {
		ssize_t n = send(w->fd, p, bytes, MSG_NOSIGNAL);

		cr_assert_gt(n, 0, "send: %s", strerror(errno));
		p = (const char *)p + n;
		bytes -= (size_t)n;
	}
}

void wire_send_fds(struct wire *w, const char *text, const int *fds, size_t nr)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(WIRE_MAX_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(nr * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	cr_assert_leq(nr, WIRE_MAX_FDS);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nr * sizeof(int));
	if (nr)
		memcpy(CMSG_DATA(c), fds, nr * sizeof(int));
	cr_assert_eq(sendmsg(w->fd, &msg, MSG_NOSIGNAL), (ssize_t)iov.iov_len, "%s",
		     strerror(errno));
}

void wire_send(struct wire *w, const char *text) { wire_send_bytes(w, text, strlen(text)); }

char *wire_read_line(struct wire *w, size_t *bytes)
{
	for (;;) {
		char *lf = w->len ? memchr(w->buf, '\n', w->len) : NULL;
		struct pollfd p = { .fd = w->fd, .events = POLLIN };
		ssize_t n;

		if (lf) {
			char *line = strndup(w->buf, (size_t)(lf - w->buf) - 1);

			cr_assert_eq(lf[-1], '\r', "a line without CRLF: %.*s", (int)(lf - w->buf),
				     w->buf);
			*bytes = (size_t)(lf - w->buf) + 1;
			w->len -= *bytes;
			memmove(w->buf, lf + 1, w->len);
			return line;
		}
		if (w->len == w->cap) {
			w->cap = w->cap ? 2 * w->cap : 4096;
			w->buf = realloc(w->buf, w->cap);
		}
		cr_assert_eq(poll(&p, 1, HANG_S * 1000), 1, "no reply");
		n = recv(w->fd, w->buf + w->len, w->cap - w->len, 0);
		if (n <= 0) {
			cr_assert_eq(w->len, 0, "connection ended inside a line");
			return NULL;
		}
		w->len += (size_t)n;
	}
}

struct json_object *wire_read(struct wire *w)
{
	struct json_tokener *t;
	struct json_object *o;
	size_t bytes;
	char *line = wire_read_line(w, &bytes);

	if (!line)
		return NULL;
	t = json_tokener_new_ex(64);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, line, (int)strlen(line));
	cr_assert_eq(json_tokener_get_error(t), json_tokener_success, "not JSON: %s", line);
	json_tokener_free(t);
	free(line);
	return o;
}

void wire_silent(struct qmp_rig *rig, struct wire *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };

	cr_assert_eq(w->len, 0, "unexpected: %.*s", (int)w->len, w->buf);
	rig_settle(rig);
	cr_assert_eq(poll(&p, 1, 0), 0, "something came");
}

void wire_expect(struct wire *w, const char *request, const char *reply)
{
	size_t bytes;
	char *line;

	wire_send(w, request);
	line = wire_read_line(w, &bytes);
	cr_assert(line, "connection ended after %s", request);
	cr_assert_str_eq(line, reply, "%s\n  gave %s\n  not  %s", request, line, reply);
	free(line);
}

void wire_next_error(struct wire *w, const char *class, const char *words)
{
	struct json_object *reply = wire_read(w), *error = NULL, *c = NULL, *desc = NULL;

	cr_assert(reply, "connection ended");
	cr_assert(json_object_object_get_ex(reply, "error", &error), "not an error: %s",
		  json_object_to_json_string(reply));
	cr_assert(json_object_object_get_ex(error, "class", &c));
	cr_assert(json_object_object_get_ex(error, "desc", &desc));
	cr_assert_str_eq(json_object_get_string(c), class, "%s",
			 json_object_to_json_string(reply));
	cr_assert(strstr(json_object_get_string(desc), words), "'%s' does not say '%s'",
		  json_object_get_string(desc), words);
	json_object_put(reply);
}

void wire_expect_error(struct wire *w, const char *request, const char *class, const char *words)
{
	wire_send(w, request);
	wire_next_error(w, class, words);
}
