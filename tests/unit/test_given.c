/* SPDX-License-Identifier: Apache-2.0 */
/* test_given.c - descriptors that the starter of this process has left open for it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/stderr_text.h"
#include "vmm/base/inherited_fds.h"

Test(given, a_number_is_told_from_a_path)
{
	cr_assert(inherited_fds_is_fd("fd:3"));
	cr_assert(inherited_fds_is_fd("fd:"));
	cr_assert_not(inherited_fds_is_fd("/fd:3"));
	cr_assert_not(inherited_fds_is_fd("fd"));
	cr_assert_not(inherited_fds_is_fd(""));
}

Test(given, an_open_descriptor_becomes_close_on_exec)
{
	auto_close int fd = open("/dev/null", O_RDONLY);
	char where[GIVEN_TEXT_BYTES];

	snprintf(where, sizeof(where), "fd:%d", fd);
	cr_assert_not(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(inherited_fds_fd("it", where), fd);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

Test(given, what_is_no_descriptor_is_refused)
{
	static const char *const wrong[] = { "fd:", "fd:x", "fd:3x", "fd:+3", "fd: 3", "fd:-3",
					     "fd:4294967299", "fd:18446744073709551619", "fd:0",
					     "fd:1", "fd:2" };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		stderr_keep();
		cr_expect_eq(inherited_fds_fd("--it", wrong[i]), -EINVAL, "%s", wrong[i]);
		cr_expect_not_null(strstr(stderr_text(), "--it"), "%s", wrong[i]);
	}
	stderr_keep();
	cr_expect_eq(inherited_fds_fd("--it", "fd:1000"), -EBADF);
	cr_expect_not_null(strstr(stderr_text(), "--it fd:1000: no such descriptor is open"));
}

/* As systemd sets the environment, for the process PID. */
static void passed(int pid, const char *nr, const char *names)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", nr, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
}

Test(given, nothing_is_passed_on)
{
	struct inherited_fds given;

	cr_assert_eq(inherited_fds_take(&given), 0);
	cr_assert_eq(given.nr, 0);
}

Test(given, names_come_in_the_order_of_numbers)
{
	struct inherited_fds given;

	passed(getpid(), "3", "kvm::qmp");
	cr_assert_eq(inherited_fds_take(&given), 0);
	cr_assert_eq(given.nr, 3);
	cr_assert_str_eq(given.name[0], "kvm");
	cr_assert_str_eq(given.where[0], "fd:3");
	cr_assert_str_eq(given.name[1], "");
	cr_assert_str_eq(given.name[2], "qmp");
	cr_assert_str_eq(given.where[2], "fd:5");
	cr_assert_null(getenv("LISTEN_PID"));
	cr_assert_null(getenv("LISTEN_FDS"));
	cr_assert_null(getenv("LISTEN_FDNAMES"));
}

Test(given, names_may_be_missing)
{
	struct inherited_fds given;

	passed(getpid(), "2", NULL);
	cr_assert_eq(inherited_fds_take(&given), 0);
	cr_assert_eq(given.nr, 2);
	cr_assert_str_eq(given.name[1], "unknown");
	passed(getpid(), "2", "one");
	cr_assert_eq(inherited_fds_take(&given), 0);
	cr_assert_str_eq(given.name[0], "one");
	cr_assert_str_eq(given.name[1], "unknown");
}

Test(given, what_is_for_another_process_stays)
{
	struct inherited_fds given;

	passed(getpid() + 1, "1", NULL);
	cr_assert_eq(inherited_fds_take(&given), 0);
	cr_assert_eq(given.nr, 0);
	cr_assert_str_eq(getenv("LISTEN_FDS"), "1");
}

Test(given, too_many_or_no_number)
{
	struct inherited_fds given;

	passed(getpid(), "9", NULL);
	stderr_keep();
	cr_assert_eq(inherited_fds_take(&given), -EINVAL);
	cr_assert_not_null(strstr(stderr_text(), "LISTEN_FDS: 9 descriptors"));
	passed(getpid(), "1x", NULL);
	cr_assert_eq(inherited_fds_take(&given), 0);
	cr_assert_eq(given.nr, 0);
}
