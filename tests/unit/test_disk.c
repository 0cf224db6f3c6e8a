/* SPDX-License-Identifier: Apache-2.0 */
/* test_disk.c - which files serve as disks, what is said of the others, and who may share one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "devices/disk.h"
#include "tests/unit/stderr_text.h"

static char folder[] = "/tmp/ebb-disk-XXXXXX";
static char path[64];
static struct disk disk;

static void up(void)
{
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a.img", folder);
}

static void down(void)
{
	unlink(path);
	rmdir(folder);
}

TestSuite(disk, .init = up, .fini = down, .timeout = 240);

static void make(uint64_t bytes)
{
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
}

/* It is not taken, with RESULT, and the line in the log has all of the words. */
static void refused(const char *at, bool read_only, int result, const char *const words[])
{
	const char *text;

	stderr_keep();
	cr_expect_eq(disk_open(&disk, at, read_only), result, "%s", at);
	text = stderr_text();
	for (; *words; words++)
		cr_expect(strstr(text, *words), "'%s' in: %s", *words, text);
	cr_expect_eq(disk.fd, -1);
}
#define REFUSED(at, read_only, result, ...)                                                        \
	refused(at, read_only, result, (const char *const[]){ __VA_ARGS__, NULL })

Test(disk, file_of_whole_sectors_is_taken)
{
	make(3 * DISK_SECTOR_BYTES);
	for (int read_only = 0; read_only < 2; read_only++) {
		cr_assert_eq(disk_open(&disk, path, read_only), 0);
		cr_expect_eq(disk.bytes, 3 * DISK_SECTOR_BYTES);
		cr_expect_eq(disk.physical_bytes, 4096);
		cr_expect_eq(disk.is_read_only, (bool)read_only);
		cr_expect_eq(!!(fcntl(disk.fd, F_GETFD) & FD_CLOEXEC), 1);
		disk_close(&disk);
		disk_close(&disk);
	}
}

Test(disk, others_are_refused_with_the_way_out)
{
	REFUSED(path, false, -ENOENT, path, "no such file", "truncate -s");
	REFUSED(folder, false, -EISDIR, folder, "a directory", "raw image");
	REFUSED("/dev/null", false, -EINVAL, "neither a file nor a disk");
	REFUSED("/tmp/x/y/z/\xff", true, -ENOENT, "no such file");
	REFUSED("/dev/null/x", false, -ENOTDIR, "Not a directory");
	make(0);
	REFUSED(path, false, -EINVAL, "it is empty", "truncate -s");
	make(511);
	REFUSED(path, false, -EINVAL, "511 bytes", "multiple of 512", "truncate -s %512");
	make(MiB + 1);
	REFUSED(path, true, -EINVAL, "1048577 bytes", "multiple of 512");
}

Test(disk, fifo_is_not_waited_for)
{
	cr_assert_eq(mkfifo(path, 0600), 0);
	REFUSED(path, true, -EINVAL, "neither a file nor a disk");
}

/* As somebody who is not root. */
Test(disk, file_that_can_not_be_written_is_refused_unless_read_only)
{
	pid_t child;
	int status;

	make(MiB);
	cr_assert_eq(chmod(path, 0444), 0);
	cr_assert_eq(chmod(folder, 0755), 0);
	child = fork();
	cr_assert_geq(child, 0);
	if (!child) {
		char text[512] = "";
		bool good;

		if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(9);
		stderr_keep();
		good = disk_open(&disk, path, false) == -EACCES;
		snprintf(text, sizeof(text), "%s", stderr_text());
		good = good && strstr(text, "can't be written") && strstr(text, ",readonly");
		_exit(good && !disk_open(&disk, path, true) ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFEXITED(status));
	cr_expect_eq(WEXITSTATUS(status), 0);
}

/* --- locks --------------------------------------------------------------------------------------- */

Test(disk, one_writer_or_many_readers)
{
	struct disk other, third;

	make(MiB);
	cr_assert_eq(disk_open(&other, path, true), 0);
	cr_assert_eq(disk_open(&third, path, true), 0);
	REFUSED(path, false, -EBUSY, path, "in use by process", "readonly");
	disk_close(&other);
	disk_close(&third);
	cr_assert_eq(disk_open(&other, path, false), 0);
	REFUSED(path, false, -EBUSY, path, "in use by process");
	REFUSED(path, true, -EBUSY, path, "in use by process");
	disk_close(&other);
	cr_assert_eq(disk_open(&disk, path, false), 0);
	disk_close(&disk);
}

/* The other one is named; when it is killed its lock is gone. */
Test(disk, holder_is_named_and_its_end_is_the_locks)
{
	char words[64];
	int ready[2];
	pid_t child;
	char byte;

	make(MiB);
	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	cr_assert_geq(child, 0);
	if (!child) {
		if (!disk_open(&disk, path, false) && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	snprintf(words, sizeof(words), "in use by process %d (", (int)child);
	REFUSED(path, true, -EBUSY, words, "wait until it ends");
	cr_assert_eq(kill(child, SIGKILL), 0);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	cr_assert_eq(disk_open(&disk, path, false), 0);
	disk_close(&disk);
	close(ready[0]);
	close(ready[1]);
}

/* --- size ---------------------------------------------------------------------------------------- */

Test(disk, grows_and_never_shrinks)
{
	struct stat st;

	make(MiB);
	cr_assert_eq(disk_open(&disk, path, false), 0);
	cr_expect_eq(disk_set_size(&disk, 2 * MiB), 0);
	cr_expect_eq(disk.bytes, 2 * MiB);
	cr_assert_eq(fstat(disk.fd, &st), 0);
	cr_expect_eq(st.st_size, 2 * MiB);
	cr_expect_eq(disk_set_size(&disk, MiB), -ERANGE);
	cr_expect_eq(disk_set_size(&disk, 2 * MiB + 511), -EINVAL);
	cr_expect_eq(disk_set_size(&disk, UINT64_MAX - 511), -EINVAL, "beyond any file");
	cr_expect_eq(disk.bytes, 2 * MiB);
	disk_close(&disk);
}

/* Grown by somebody else: the disk follows when it is told to. */
Test(disk, read_only_disk_follows_its_file)
{
	make(MiB);
	cr_assert_eq(disk_open(&disk, path, true), 0);
	cr_expect_eq(disk_set_size(&disk, 2 * MiB), -ENOSPC);
	make(2 * MiB);
	cr_expect_eq(disk.bytes, MiB);
	cr_expect_eq(disk_set_size(&disk, 2 * MiB), 0);
	cr_expect_eq(disk.bytes, 2 * MiB);
	disk_close(&disk);
}
