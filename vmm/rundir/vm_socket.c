/* SPDX-License-Identifier: Apache-2.0 */
/* vm_socket.c - bind, listen, connect, and the choice between a live socket and a stale one. */
#include "vmm/rundir/vm_socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

#define BACKLOG 128
#define LOCK_WAIT_NS (2 * NS_PER_S)
#define POLL_US 2000

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == VM_PATH_SIZE, "unix(7)");

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int vm_socket_connect(const char *path, uint64_t until_ns, int *out)
{
	struct sockaddr_un a = address_of(path);
	auto_close int fd = new_socket();

	if (fd < 0)
		return fd;
	while (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		if (errno != EAGAIN && errno != EINTR) /* EAGAIN: its backlog is full */
			return -errno;
		if (clock_ns() >= until_ns)
			return -ETIMEDOUT;
		usleep(POLL_US);
	}
	*out = take_fd(&fd);
	return 0;
}

bool vm_socket_is_live(const char *path)
{
	int fd, r = vm_socket_connect(path, 0, &fd);

	if (!r)
		close(fd);
	return !r || r == -ETIMEDOUT;
}

/* The directory of PATH. */
static void parent_of(const char *path, char dir[VM_PATH_SIZE])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	snprintf(dir, VM_PATH_SIZE, "%.*s", (int)n, path);
	if (!n)
		strcpy(dir, slash ? "/" : ".");
}

static int make_run_dir(const char *dir)
{
	char run_dir[VM_PATH_SIZE];
	int r = vm_run_dir(run_dir);

	if (r)
		return r;
	if (strcmp(dir, run_dir))
		return fail(-ENOENT, "directory %s of the socket", dir);
	if (mkdir(dir, 0700) && errno != EEXIST) {
		log_error("create %s: %s; set EBB_RUN_DIR to a directory of yours", dir,
			  strerror(errno));
		return -errno;
	}
	return 0;
}

/* The directory itself is the lock: no file to leave behind. *LOCK is to be closed. */
static int lock_directory(const char *dir, int *lock)
{
	uint64_t until_ns = clock_ns() + LOCK_WAIT_NS;
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		int r = make_run_dir(dir);

		if (r)
			return r;
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return fail(-errno, "directory %s of the socket", dir);
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fail(-errno, "lock %s", dir);
		if (clock_ns() >= until_ns)
			return fail(-EBUSY, "directory %s stays locked by another process", dir);
		usleep(POLL_US);
	}
	*lock = take_fd(&fd);
	return 0;
}

/* Makes PATH free to bind, unless somebody lives there. Under the lock. */
static int remove_stale(const char *path)
{
	struct stat st;
	int fd, r;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : fail(-errno, "socket %s", path);
	if (!S_ISSOCK(st.st_mode)) {
		log_error("socket %s: a file that is no socket is there; remove it or "
			  "choose another path", path);
		return -EEXIST;
	}
	r = vm_socket_connect(path, 0, &fd);
	if (!r)
		close(fd);
	if (!r || r == -ETIMEDOUT) {
		log_error("socket %s is in use: a VM of that name, or somebody else, is there; "
			  "choose another name or path, or stop it first", path);
		return -EADDRINUSE;
	}
	if (r != -ECONNREFUSED)
		return fail(r, "socket %s", path);
	log_info("socket %s: left by a VM that died, replaced", path);
	return unlink(path) && errno != ENOENT ? fail(-errno, "remove %s", path) : 0;
}

/* Remembers which file it is, so that close removes no other. Cleans up behind a failure. */
static int listen_bound(int fd, const char *path, struct vm_socket *s)
{
	struct stat st;

	if (stat(path, &st) || listen(fd, BACKLOG)) {
		int r = fail(-errno, "socket %s", path);

		unlink(path);
		return r;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

int vm_socket_listen(struct vm_socket *s, const char *path)
{
	struct sockaddr_un a = address_of(path);
	char dir[VM_PATH_SIZE];
	auto_close int lock = -1;
	auto_close int fd = -1;
	int r;

	*s = (struct vm_socket){ .fd = -1 };
	if (!*path || strlen(path) >= sizeof(a.sun_path)) {
		log_error("socket '%s': a path has 1 to %zu bytes", path,
			  sizeof(a.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	parent_of(path, dir);
	r = lock_directory(dir, &lock);
	if (!r)
		r = remove_stale(path);
	if (r)
		return r;
	fd = new_socket();
	if (fd < 0)
		return fail(fd, "socket");
	/* Before bind: the file is never open to others, whatever the umask. */
	if (fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&a, sizeof(a)))
		return fail(-errno, "socket %s", path);
	r = listen_bound(fd, path, s);
	if (r)
		return r;
	snprintf(s->path, sizeof(s->path), "%s", path);
	s->fd = take_fd(&fd);
	return 0;
}

int vm_socket_prune(const char *path)
{
	char dir[VM_PATH_SIZE];
	auto_close int lock = -1;
	struct stat st;
	int fd, r;

	parent_of(path, dir);
	/* A VM that starts holds the lock between bind and listen, when it looks dead. */
	r = lock_directory(dir, &lock);
	if (r)
		return r;
	r = vm_socket_connect(path, 0, &fd);
	if (!r)
		close(fd);
	if (r != -ECONNREFUSED || lstat(path, &st) || !S_ISSOCK(st.st_mode))
		return 0;
	return unlink(path) && errno != ENOENT ? fail(-errno, "remove %s", path) : 0;
}

int vm_sockets_prune(const char *vm)
{
	char dir[VM_PATH_SIZE], path[VM_PATH_SIZE];
	size_t n = strlen(vm);
	struct dirent *d;
	DIR *stream;
	int r = vm_run_dir_open(dir, &stream);

	if (!stream)
		return r;
	while (!r && (d = readdir(stream)))
		if (!strncmp(d->d_name, vm, n) && d->d_name[n] == '.' &&
		    snprintf(path, sizeof(path), "%s/%s", dir, d->d_name) < (int)sizeof(path))
			r = vm_socket_prune(path);
	closedir(stream);
	return r;
}

void vm_socket_close(struct vm_socket *s)
{
	struct stat st;

	/* Removed while it still listens: nobody can take it for a stale one and put his there. */
	if (s->path[0] && !lstat(s->path, &st) && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->path);
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct vm_socket){ .fd = -1 };
}
