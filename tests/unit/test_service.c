/* SPDX-License-Identifier: Apache-2.0 */
/* test_service.c - descriptors taken over, a pid file, readiness and signs of life. */
#include "vmm/process/service.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/fake_clock.h"
#include "tests/unit/stderr_text.h"

static struct loop *loop;
static struct fake_clock ticks;
static struct service s;
static char dir[] = "/tmp/ebb-service-XXXXXX", pid_path[64];

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(pid_path, sizeof(pid_path), "%s/pid", dir);
	cr_assert_eq(loop_new(&loop), 0);
	fake_clock_init(&ticks, loop);
}

static void teardown(void)
{
	service_close(&s);
	loop_free(loop);
	unlink(pid_path);
	rmdir(dir);
}

TestSuite(service, .init = setup, .fini = teardown, .timeout = 240);

/* --- what was passed on ------------------------------------------------------------------------ */

static struct config cfg;
static struct inherited_fds taken;

/* As systemd sets the environment for this process. */
static void passed(const char *nr, const char *names)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", nr, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

Test(service, nothing_passed_on_changes_nothing)
{
	unsetenv("LISTEN_FDS");
	cr_assert_eq(service_inherit(&cfg, &taken), 0);
	cr_expect_null(cfg.kvm_path);
	cr_expect_null(cfg.uffd_path);
	cr_expect_null(cfg.qmp_path);
}

Test(service, names_say_what_is_what_and_any_other_is_the_control_socket)
{
	passed("3", "kvm:control:userfaultfd");
	cr_assert_eq(service_inherit(&cfg, &taken), 0);
	cr_expect_str_eq(cfg.kvm_path, "fd:3");
	cr_expect_str_eq(cfg.qmp_path, "fd:4");
	cr_expect_str_eq(cfg.uffd_path, "fd:5");
	cr_expect_null(getenv("LISTEN_FDS"), "it is for nobody else");
}

Test(service, what_an_option_names_stays)
{
	cfg.kvm_path = "/a";
	cfg.uffd_path = "/b";
	cfg.qmp_path = "/c";
	passed("3", "kvm:userfaultfd:x");
	cr_assert_eq(service_inherit(&cfg, &taken), 0);
	cr_expect_str_eq(cfg.kvm_path, "/a");
	cr_expect_str_eq(cfg.uffd_path, "/b");
	cr_expect_str_eq(cfg.qmp_path, "/c");
}

Test(service, of_two_with_the_same_name_the_first_is_taken)
{
	passed("4", "kvm:kvm:userfaultfd:userfaultfd");
	cr_assert_eq(service_inherit(&cfg, &taken), 0);
	cr_expect_str_eq(cfg.kvm_path, "fd:3");
	cr_expect_str_eq(cfg.uffd_path, "fd:5");
}

Test(service, a_second_control_socket_is_refused_by_its_name)
{
	passed("2", "one:two");
	stderr_keep();
	cr_expect_eq(service_inherit(&cfg, &taken), -EINVAL);
	cr_expect_not_null(strstr(stderr_text(), "two is a second control socket"));
}

Test(service, more_than_make_sense_are_refused)
{
	passed("9", "");
	stderr_keep();
	cr_expect_eq(service_inherit(&cfg, &taken), -EINVAL);
	cr_expect_not_null(strstr(stderr_text(), "LISTEN_FDS: 9 descriptors"));
	cr_expect_null(cfg.qmp_path);
}

/* --- the pid file ------------------------------------------------------------------------------ */

Test(service, a_pid_file_is_there_while_it_is_open)
{
	char text[32] = "", want[32];
	int fd;

	cr_assert_eq(service_open(&s, loop, pid_path), 0);
	snprintf(want, sizeof(want), "%d\n", (int)getpid());
	fd = open(pid_path, O_RDONLY | O_CLOEXEC);
	cr_assert_gt(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	cr_expect_str_eq(text, want);
	service_close(&s);
	cr_expect_neq(access(pid_path, F_OK), 0);
	service_close(&s);
}

Test(service, none_is_written_that_was_not_asked_for)
{
	cr_assert_eq(service_open(&s, loop, NULL), 0);
	cr_expect_neq(access(pid_path, F_OK), 0);
}

/* A lock belongs to an open file, so another one in this process is as good as another process. */
Test(service, a_pid_file_that_somebody_holds_is_refused_and_left_alone)
{
	int fd = open(pid_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert(fd >= 0 && !flock(fd, LOCK_EX));
	stderr_keep();
	cr_expect_eq(service_open(&s, loop, pid_path), -EBUSY);
	cr_expect_not_null(strstr(stderr_text(), "in use by a VM that is running"));
	service_close(&s);
	cr_expect_eq(access(pid_path, F_OK), 0);
	close(fd);
}

Test(service, a_pid_file_in_a_folder_that_is_missing_is_an_error)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/none/pid", dir);
	stderr_keep();
	cr_expect_eq(service_open(&s, loop, path), -ENOENT);
	cr_expect_not_null(strstr(stderr_text(), path));
}

/* --- what the manager hears -------------------------------------------------------------------- */

static int manager;

/* An abstract name: nothing is left behind. */
static void manage(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char name[64];
	int n = snprintf(name, sizeof(name), "@ebb-test-%d", (int)getpid());

	memcpy(a.sun_path, name, (size_t)n);
	a.sun_path[0] = 0;
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_geq(manager, 0);
	cr_assert_eq(bind(manager, (struct sockaddr *)&a,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)),
		     0);
	setenv("NOTIFY_SOCKET", name, 1);
}

/* What was said next, "" when nothing was. */
static const char *heard(void)
{
	static char text[512];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return text;
}

static unsigned int count(const char *want)
{
	unsigned int nr = 0;

	for (const char *text; *(text = heard()); nr++)
		cr_expect_str_eq(text, want);
	return nr;
}

static void watchdog(const char *usec, int pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	setenv("WATCHDOG_USEC", usec, 1);
	setenv("WATCHDOG_PID", text, 1);
}

Test(service, readiness_comes_with_the_pid_and_the_state)
{
	char want[80];

	manage();
	cr_assert_eq(service_open(&s, loop, NULL), 0);
	cr_expect_str_eq(heard(), "", "not before");
	service_ready(&s, MACHINE_PRELAUNCH);
	snprintf(want, sizeof(want), "READY=1\nMAINPID=%d\nSTATUS=prelaunch", (int)getpid());
	cr_expect_str_eq(heard(), want);
	cr_expect_str_eq(heard(), "", "no watchdog was asked for");
	fake_clock_run(&ticks, loop, 3600 * NS_PER_S);
	cr_expect_str_eq(heard(), "");
	close(manager);
}

static void tell_state(enum machine_state state, bool ending)
{
	service_tell(NULL, &(struct vm_event){ .kind = VM_STATE, .run = { state, ending } });
}

Test(service, each_state_is_told_and_the_end)
{
	manage();
	tell_state(MACHINE_RUNNING, false);
	cr_expect_str_eq(heard(), "STATUS=running");
	tell_state(MACHINE_PANICKED, false);
	cr_expect_str_eq(heard(), "STATUS=guest-panicked");
	tell_state(MACHINE_SHUTDOWN, true);
	cr_expect_str_eq(heard(), "STOPPING=1\nSTATUS=shutdown");
	service_tell(NULL, &(struct vm_event){ .kind = VM_STOPPED });
	service_tell(NULL, &(struct vm_event){ .kind = VM_ENDED });
	cr_expect_str_eq(heard(), "", "no other event is for it");
	close(manager);
}

Test(service, a_watchdog_hears_twice_in_its_time_until_it_is_closed)
{
	manage();
	watchdog("10000000", getpid());
	cr_assert_eq(service_open(&s, loop, NULL), 0);
	service_ready(&s, MACHINE_RUNNING);
	cr_expect_eq(strncmp(heard(), "READY=1", 7), 0);
	cr_expect_eq(count("WATCHDOG=1"), 1, "at once");
	fake_clock_run(&ticks, loop, 5 * NS_PER_S - 1);
	cr_expect_eq(count("WATCHDOG=1"), 0);
	fake_clock_run(&ticks, loop, 2);
	cr_expect_eq(count("WATCHDOG=1"), 1);
	fake_clock_run(&ticks, loop, 30 * NS_PER_S);
	cr_expect_eq(count("WATCHDOG=1"), 6);
	service_close(&s);
	fake_clock_run(&ticks, loop, 30 * NS_PER_S);
	cr_expect_eq(count("WATCHDOG=1"), 0);
	close(manager);
}

Test(service, a_watchdog_of_another_process_is_not_ours)
{
	manage();
	watchdog("10000000", getpid() + 1);
	cr_assert_eq(service_open(&s, loop, NULL), 0);
	service_ready(&s, MACHINE_RUNNING);
	cr_expect_eq(strncmp(heard(), "READY=1", 7), 0);
	fake_clock_run(&ticks, loop, 30 * NS_PER_S);
	cr_expect_str_eq(heard(), "");
	close(manager);
}

Test(service, a_manager_that_is_gone_is_complained_of_once)
{
	const char *text, *first;

	manage();
	close(manager);
	stderr_keep();
	cr_assert_eq(service_open(&s, loop, NULL), 0);
	service_ready(&s, MACHINE_RUNNING);
	service_ready(&s, MACHINE_RUNNING);
	text = stderr_text();
	first = strstr(text, "NOTIFY_SOCKET");
	cr_assert_not_null(first, "%s", text);
	cr_expect_null(strstr(first + 1, "NOTIFY_SOCKET"));
}

Test(service, without_a_manager_nothing_is_said)
{
	unsetenv("NOTIFY_SOCKET");
	stderr_keep();
	cr_assert_eq(service_open(&s, loop, NULL), 0);
	service_ready(&s, MACHINE_RUNNING);
	tell_state(MACHINE_PAUSED, false);
	cr_expect_str_eq(stderr_text(), "");
}
