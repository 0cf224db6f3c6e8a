/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp_socket.c - names, paths, stale sockets and two VMs of one name. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit/qmp_rig.h"
#include "vmm/rundir/vm_list.h"
#include "vmm/rundir/vm_socket.h"

static const struct qmp_table nothing;
static char dir[64], path[VM_PATH_SIZE];

static void start(void)
{
	strcpy(dir, "/tmp/ebb-vm-XXXXXX");
	cr_assert(mkdtemp(dir));
	setenv("EBB_RUN_DIR", dir, 1);
	cr_assert_eq(vm_path(path, "vm"), 0);
}

static void stop(void) { cr_assert_eq(rmdir(dir), 0, "%s: %s", dir, strerror(errno)); }

TestSuite(qmp_socket, .init = start, .fini = stop, .timeout = 240);

/* A socket at PATH as a killed VM leaves it. */
static void leave_stale(const char *where)
{
	struct vm_socket s;
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (vm_socket_listen(&s, where))
			_exit(1);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_eq(access(where, F_OK), 0);
}

Test(qmp_socket, names_are_checked)
{
	static const char *const good[] = { "a", "vm-1", "0.x_Y", "debian12" };
	static const char *const bad[] = { "", ".", "..", ".a", "-a", "_a", "a/b", "a b", "a\n",
					   "a:b", "\xc3\xa9", "a\x7f" };
	char name[VM_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		cr_expect_eq(vm_name_check("VM name", good[i]), 0, "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(vm_name_check("VM name", bad[i]), -EINVAL, "%s", bad[i]);
	memset(name, 'n', sizeof(name));
	name[VM_NAME_MAX + 1] = 0;
	cr_expect_eq(vm_name_check("VM name", name), -EINVAL);
	name[VM_NAME_MAX] = 0;
	cr_expect_eq(vm_name_check("VM name", name), 0);
}

Test(qmp_socket, run_directory_follows_the_environment)
{
	char p[VM_PATH_SIZE], want[VM_PATH_SIZE];

	snprintf(want, sizeof(want), "%s/vm.sock", dir);
	cr_expect_str_eq(path, want);
	unsetenv("EBB_RUN_DIR");
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	cr_assert_eq(vm_path(p, "vm"), 0);
	cr_expect_str_eq(p, geteuid() ? "/run/user/7/ebb/vm.sock" : "/run/ebb/vm.sock");
	unsetenv("XDG_RUNTIME_DIR");
	cr_assert_eq(vm_path(p, "vm"), 0);
	cr_expect_str_eq(p, "/run/ebb/vm.sock");
	setenv("EBB_RUN_DIR", "", 1);
	cr_assert_eq(vm_path(p, "vm"), 0);
	cr_expect_str_eq(p, "/run/ebb/vm.sock");
	cr_assert_eq(vm_path(p, "./any where"), 0);
	cr_expect_str_eq(p, "./any where");
	cr_expect_eq(vm_path(p, "a b"), -EINVAL);
}

Test(qmp_socket, console_is_beside_the_control_socket)
{
	char p[VM_PATH_SIZE], longer[VM_PATH_SIZE] = "/";

	cr_assert_eq(vm_beside_path(p, "/run/ebb/vm.sock", "console"), 0);
	cr_expect_str_eq(p, "/run/ebb/vm.console");
	cr_assert_eq(vm_beside_path(p, "some/where", "console"), 0);
	cr_expect_str_eq(p, "some/where.console");
	cr_assert_eq(vm_beside_path(p, ".sock", "console"), 0);
	cr_expect_str_eq(p, ".sock.console");
	memset(longer + 1, 'd', VM_PATH_SIZE - 2);
	cr_expect_eq(vm_beside_path(p, longer, "console"), -ENAMETOOLONG);
}

Test(qmp_socket, path_longer_than_a_socket_address_is_refused)
{
	char p[VM_PATH_SIZE], longer[200] = "/";
	struct vm_socket s;

	memset(longer + 1, 'd', 107);
	cr_expect_eq(vm_path(p, longer), -ENAMETOOLONG);
	cr_expect_eq(vm_socket_listen(&s, longer), -ENAMETOOLONG);
	cr_expect_eq(vm_socket_listen(&s, ""), -ENAMETOOLONG);
	longer[107] = 0;
	cr_expect_eq(vm_path(p, longer), 0);
	setenv("EBB_RUN_DIR", longer, 1);
	cr_expect_eq(vm_path(p, "vm"), -ENAMETOOLONG);
}

Test(qmp_socket, socket_is_for_its_owner_only_whatever_the_umask)
{
	struct vm_socket s;
	struct stat st;
	mode_t old = umask(0);

	cr_assert_eq(vm_socket_listen(&s, path), 0);
	umask(old);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600, "%o", st.st_mode);
	vm_socket_close(&s);
	cr_expect_eq(access(path, F_OK), -1);
}

Test(qmp_socket, run_directory_is_made_when_it_is_missing)
{
	char sub[VM_PATH_SIZE];
	struct vm_socket s;
	struct stat st;

	snprintf(sub, sizeof(sub), "%s/run", dir);
	setenv("EBB_RUN_DIR", sub, 1);
	cr_assert_eq(vm_path(path, "vm"), 0);
	cr_assert_eq(vm_socket_listen(&s, path), 0);
	cr_assert_eq(stat(sub, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0700);
	vm_socket_close(&s);
	cr_assert_eq(rmdir(sub), 0);
	/* Another directory is not made. */
	snprintf(path, sizeof(path), "%s/other/vm.sock", dir);
	cr_expect_eq(vm_socket_listen(&s, path), -ENOENT);
}

Test(qmp_socket, socket_of_a_dead_vm_is_replaced)
{
	struct vm_socket s;

	leave_stale(path);
	cr_expect_not(vm_socket_is_live(path));
	cr_assert_eq(vm_socket_listen(&s, path), 0);
	cr_expect(vm_socket_is_live(path));
	vm_socket_close(&s);
}

Test(qmp_socket, second_vm_of_one_name_is_refused_and_the_first_unharmed)
{
	struct vm_socket first, second;

	cr_assert_eq(vm_socket_listen(&first, path), 0);
	cr_expect_eq(vm_socket_listen(&second, path), -EADDRINUSE);
	cr_expect_eq(second.fd, -1);
	vm_socket_close(&second);
	cr_expect(vm_socket_is_live(path));
	vm_socket_close(&first);
	cr_assert_eq(vm_socket_listen(&second, path), 0);
	vm_socket_close(&second);
}

Test(qmp_socket, live_vm_with_a_full_backlog_counts_as_live)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct vm_socket s;

	strcpy(a.sun_path, path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(fd, 0), 0);
	cr_assert_eq(vm_socket_connect(path, 0, &client), 0);
	cr_expect_eq(vm_socket_connect(path, 0, &(int){ -1 }), -ETIMEDOUT);
	cr_expect(vm_socket_is_live(path));
	cr_expect_eq(vm_socket_listen(&s, path), -EADDRINUSE);
	close(client);
	close(fd);
	unlink(path);
}

static void *compete(void *ctx)
{
	struct vm_socket *s = ctx;

	return (void *)(intptr_t)vm_socket_listen(s, path);
}

Test(qmp_socket, of_many_that_start_at_once_over_a_stale_socket_one_wins)
{
	for (int round = 0; round < 20; round++) {
		struct vm_socket s[8];
		pthread_t t[8];
		int nr_winners = 0;

		leave_stale(path);
		for (size_t i = 0; i < ARRAY_SIZE(t); i++)
			pthread_create(&t[i], NULL, compete, &s[i]);
		for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
			void *r;

			pthread_join(t[i], &r);
			if (!r)
				nr_winners++;
			else
				cr_expect_eq((intptr_t)r, -EADDRINUSE);
		}
		cr_expect_eq(nr_winners, 1);
		cr_expect(vm_socket_is_live(path));
		for (size_t i = 0; i < ARRAY_SIZE(t); i++)
			vm_socket_close(&s[i]);
	}
}

Test(qmp_socket, what_is_not_a_socket_is_left_alone)
{
	struct vm_socket s;
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	close(fd);
	cr_expect_eq(vm_socket_listen(&s, path), -EEXIST);
	cr_expect_eq(access(path, F_OK), 0);
	unlink(path);
	cr_assert_eq(symlink("/nowhere", path), 0);
	cr_expect_eq(vm_socket_listen(&s, path), -EEXIST);
	unlink(path);
}

Test(qmp_socket, directory_locked_for_ever_is_an_error_not_a_hang)
{
	struct vm_socket s;
	int lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cr_assert_eq(flock(lock, LOCK_EX), 0);
	cr_expect_eq(vm_socket_listen(&s, path), -EBUSY);
	close(lock);
}

Test(qmp_socket, close_removes_no_file_of_another)
{
	struct vm_socket mine, other;

	cr_assert_eq(vm_socket_listen(&mine, path), 0);
	unlink(path);
	cr_assert_eq(vm_socket_listen(&other, path), 0);
	vm_socket_close(&mine);
	cr_expect(vm_socket_is_live(path));
	vm_socket_close(&other);
}

Test(qmp_socket, list_tells_the_live_from_the_dead)
{
	char dead[VM_PATH_SIZE], extra[VM_PATH_SIZE];
	struct vm_entry *list;
	struct vm_socket s;
	size_t nr;
	int fd;

	cr_assert_eq(vm_list(&list, &nr), 0);
	cr_expect_eq(nr, 0);
	free(list);
	cr_assert_eq(vm_path(dead, "a-dead-one"), 0);
	leave_stale(dead);
	cr_assert_eq(vm_socket_listen(&s, path), 0);
	snprintf(extra, sizeof(extra), "%s/notes.txt", dir);
	fd = open(extra, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	cr_assert_eq(vm_list(&list, &nr), 0);
	cr_assert_eq(nr, 2);
	cr_expect_str_eq(list[0].name, "a-dead-one");
	cr_expect_not(list[0].is_live);
	cr_expect_str_eq(list[1].name, "vm");
	cr_expect(list[1].is_live);
	free(list);
	vm_socket_close(&s);
	unlink(dead);
	unlink(extra);
	setenv("EBB_RUN_DIR", "/nonexistent/dir", 1);
	cr_assert_eq(vm_list(&list, &nr), 0);
	cr_expect_eq(nr, 0);
}

Test(qmp_socket, server_of_the_same_name_is_refused_and_leaves_nothing)
{
	struct qmp_server *first, *second = NULL;
	struct loop *loop;

	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(qmp_server_new(&first, loop, path, &nothing, NULL), 0);
	cr_expect_eq(qmp_server_new(&second, loop, path, &nothing, NULL), -EADDRINUSE);
	cr_expect_null(second);
	cr_expect(vm_socket_is_live(path));
	qmp_server_free(first);
	qmp_server_free(NULL);
	cr_expect_eq(access(path, F_OK), -1);
	loop_free(loop);
}

Test(qmp_socket, inherited_listening_socket_is_served_and_its_file_kept)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct qmp_rig rig;
	struct wire w;

	strcpy(a.sun_path, path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(fd, 8), 0);
	rig_start_fd(&rig, fd);
	wire_open(&w, path);
	wire_expect(&w, "{\"execute\":\"count\"}", "{\"return\":1}");
	wire_close(&w);
	rig_stop(&rig);
	cr_expect_eq(access(path, F_OK), 0);
	unlink(path);
}

Test(qmp_socket, inherited_descriptor_that_is_no_stream_socket_is_refused)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int datagram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct qmp_server *server;
	struct loop *loop;

	cr_assert_eq(loop_new(&loop), 0);
	cr_expect_eq(qmp_server_new_fd(&server, loop, null, &nothing, NULL), -ENOTSOCK);
	cr_expect_eq(qmp_server_new_fd(&server, loop, datagram, &nothing, NULL), -EPROTOTYPE);
	cr_expect_eq(qmp_server_new_fd(&server, loop, -1, &nothing, NULL), -EBADF);
	cr_expect_eq(close(null), 0);
	cr_expect_eq(close(datagram), 0);
	loop_free(loop);
}

Test(qmp_socket, pruning_removes_what_a_dead_vm_left_and_nothing_else)
{
	struct vm_socket live;
	char other[VM_PATH_SIZE];

	leave_stale(path);
	cr_expect_eq(vm_socket_prune(path), 0);
	cr_expect_eq(access(path, F_OK), -1);
	cr_expect_eq(vm_socket_prune(path), 0, "nothing there is no error");

	cr_assert_eq(vm_socket_listen(&live, path), 0);
	cr_expect_eq(vm_socket_prune(path), 0);
	cr_expect_eq(access(path, F_OK), 0, "a live one stays");
	vm_socket_close(&live);

	cr_assert_eq(vm_path(other, "file"), 0);
	cr_expect_eq(close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	cr_expect_eq(vm_socket_prune(other), 0);
	cr_expect_eq(unlink(other), 0, "no socket: it stays");
}
