/* SPDX-License-Identifier: Apache-2.0 */
/* disk_lock.c - keeps two VMs from writing one disk. */
#include "devices/disk_lock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/log.h"

static bool is_number(const char *text) { return isdigit((unsigned char)*text); }

/* Has the descriptor NAME of process PID a lock? The kernel says so in fdinfo alone. */
static bool has_lock(const char *pid, const char *name)
{
	char path[64], line[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.16s/fdinfo/%.16s", pid, name);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "lock:", 5);
	if (f)
		fclose(f);
	return found;
}

static bool process_has(const char *pid, const struct stat *disk)
{
	bool found = false;
	char path[64];
	struct dirent *entry;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	fds = opendir(path);
	while (fds && !found && (entry = readdir(fds))) {
		struct stat st;

		found = is_number(entry->d_name) && !fstatat(dirfd(fds), entry->d_name, &st, 0) &&
			st.st_dev == disk->st_dev && st.st_ino == disk->st_ino &&
			has_lock(pid, entry->d_name);
	}
	if (fds)
		closedir(fds);
	return found;
}

/* The process that holds the lock, among those that we may look at; 0: not seen. */
static int holder_of(int fd)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	struct stat disk;
	int pid = 0;

	while (processes && !fstat(fd, &disk) && !pid && (entry = readdir(processes)))
		if (is_number(entry->d_name) && process_has(entry->d_name, &disk))
			pid = atoi(entry->d_name);
	if (processes)
		closedir(processes);
	return pid;
}

static void name_of(int pid, char name[32])
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(name, 32, f))
		snprintf(name, 32, "?");
	name[strcspn(name, "\n")] = 0;
	if (f)
		fclose(f);
}

static void say_who(int fd, const char *path, bool shared)
{
	const char *way_out = shared ? "wait until it ends" :
				       "end it, or share the disk with ,readonly in all of them";
	int pid = holder_of(fd);
	char name[32];

	if (!pid) {
		fail_usage("--disk %s: another process uses it; %s", path, way_out);
		return;
	}
	name_of(pid, name);
	fail_usage("--disk %s: in use by process %d (%s); %s", path, pid, name, way_out);
}

int disk_lock(int fd, const char *path, bool shared)
{
	struct flock lock = { .l_type = shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return fail(-errno, "--disk %s: lock", path);
	say_who(fd, path, shared);
	return -EBUSY;
}
