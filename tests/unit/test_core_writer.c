/* SPDX-License-Identifier: Apache-2.0 */
/* test_core_writer.c - what reaches the file, also when memory goes or the reader is slow. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/dump/core_writer.h"

#define BLOCK (2 * MiB)
#define LOW_BYTES (4 * MiB)
#define ELASTIC (64 * MiB)
#define NR_BLOCKS 4

static struct ram low, elastic;
static struct blocks blocks;
static struct guest_mem gm;
static struct core_writer w;
static int fd;

/* Memory with something in it: boot memory, blocks 1 and 2; block 2 only at its end. */
static void setup(void)
{
	char path[] = "/tmp/ebb-core-XXXXXX";

	gm = (struct guest_mem){ .nr_regions = 0 };
	cr_assert_eq(ram_create(&low, "low", LOW_BYTES), 0);
	cr_assert_eq(ram_create(&elastic, "elastic", NR_BLOCKS * BLOCK), 0);
	cr_assert_eq(blocks_init(&blocks, BLOCK, NR_BLOCKS), 0);
	cr_assert_eq(gm_add(&gm, GPA(0), LOW_BYTES, &low, 0, NULL), 0);
	cr_assert_eq(gm_add(&gm, GPA(ELASTIC), NR_BLOCKS * BLOCK, &elastic, 0, &blocks), 0);
	blocks_set(&blocks, 1, 2, BLOCK_PLUGGED);
	memset(low.host, 'l', MiB);
	memset((char *)elastic.host + BLOCK, 'e', BLOCK);
	memset((char *)elastic.host + 3 * BLOCK - 4096, 'f', 4096);
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	unlink(path);
}

static void teardown(void)
{
	close(fd);
	core_writer_free(&w);
	ram_destroy(&low);
	ram_destroy(&elastic);
	blocks_destroy(&blocks);
}

TestSuite(core_writer, .init = setup, .fini = teardown, .timeout = 240);

static void begin(int to)
{
	struct core_file core;

	cr_assert_eq(core_file_new(&core, &gm, EM_X86_64, "notes", 6), 0);
	cr_assert_eq(core_writer_init(&w, &core, to), 0);
	cr_expect_null(core.head);
}

static int write_all(void)
{
	int r;

	do
		r = core_write_some(&w, &gm);
	while (r > 0);
	return r;
}

/* All of a core, from the start of its head; LOST: the blocks unplugged meanwhile. */
static void expect_content(const char *p, bool lost)
{
	const char *memory = p + w.core.head_bytes;

	cr_expect_eq(memcmp(p, w.core.head, w.core.head_bytes), 0);
	cr_expect_eq(memcmp(memory, low.host, LOW_BYTES), 0);
	memory += LOW_BYTES;
	for (size_t i = 0; i < 2 * BLOCK; i++) {
		char want = lost ? 0 : i < BLOCK ? 'e' : i >= 2 * BLOCK - 4096 ? 'f' : 0;

		cr_assert_eq(memory[i], want, "%zu: %c", i, memory[i]);
	}
}

static char *read_back(uint64_t at, size_t bytes)
{
	char *p = malloc(bytes);

	cr_assert_eq(pread(fd, p, bytes, (off_t)at), (ssize_t)bytes);
	return p;
}

Test(core_writer, a_file_has_all_of_it_and_holes_where_the_host_holds_nothing)
{
	uint64_t low_before, elastic_before, after;
	struct stat st;
	char *p;

	cr_assert_eq(ram_resident(&low, &low_before), 0);
	cr_assert_eq(ram_resident(&elastic, &elastic_before), 0);
	begin(fd);
	cr_assert_eq(write_all(), 0);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_expect_eq((uint64_t)st.st_size, w.core.bytes);
	cr_expect_leq((uint64_t)st.st_blocks * 512, low_before + elastic_before + 64 * KiB);
	/* Reading it has made nothing of the rest. */
	cr_assert_eq(ram_resident(&low, &after), 0);
	cr_expect_eq(after, low_before);
	cr_assert_eq(ram_resident(&elastic, &after), 0);
	cr_expect_eq(after, elastic_before);
	p = read_back(0, w.core.bytes);
	expect_content(p, false);
	free(p);
}

Test(core_writer, what_a_file_had_before_does_not_show_in_the_holes)
{
	static char old[64 * 1024];
	char *p;

	memset(old, 'o', sizeof(old));
	for (int i = 0; i < 160; i++)
		cr_assert_eq(write(fd, old, sizeof(old)), (ssize_t)sizeof(old));
	/* From where the descriptor stands: what is before stays. */
	cr_assert_eq(lseek(fd, 4096, SEEK_SET), 4096);
	begin(fd);
	cr_assert_eq(write_all(), 0);
	cr_expect_eq((uint64_t)lseek(fd, 0, SEEK_END), 4096 + w.core.bytes);
	p = read_back(0, 4096);
	cr_expect_eq(memcmp(p, old, 4096), 0);
	free(p);
	p = read_back(4096, w.core.bytes);
	expect_content(p, false);
	free(p);
}

Test(core_writer, a_file_that_is_appended_to_is_written_in_full)
{
	char *p;

	cr_assert_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
	begin(fd);
	cr_assert_eq(write_all(), 0);
	p = read_back(0, w.core.bytes);
	expect_content(p, false);
	free(p);
}

Test(core_writer, blocks_unplugged_meanwhile_read_as_zeros_and_stay_with_the_host)
{
	uint64_t resident;
	char *p;

	begin(fd);
	/* Up to the middle of boot memory, then they go; the guard leaves a chunk of its own. */
	while (w.done_bytes < w.core.head_bytes + LOW_BYTES / 8)
		cr_assert_eq(core_write_some(&w, &gm), 1);
	blocks_set(&blocks, 1, 2, BLOCK_UNPLUGGED);
	cr_assert_eq(ram_discard(&elastic, BLOCK, 2 * BLOCK), 0);
	memset((char *)elastic.host + BLOCK, 'g', 64 * KiB);
	cr_assert_eq(write_all(), 0);
	p = read_back(0, w.core.bytes);
	expect_content(p, true);
	free(p);
	cr_assert_eq(ram_resident(&elastic, &resident), 0);
	cr_expect_eq(resident, 64 * KiB);
}

Test(core_writer, one_of_two_blocks_that_goes_takes_nothing_of_the_other)
{
	char *p;

	begin(fd);
	blocks_set(&blocks, 1, 1, BLOCK_UNPLUGGED);
	cr_assert_eq(write_all(), 0);
	p = read_back(w.core.head_bytes + LOW_BYTES, 2 * BLOCK);
	for (size_t i = 0; i < 2 * BLOCK; i++)
		cr_assert_eq(p[i], i >= 2 * BLOCK - 4096 ? 'f' : 0, "%zu", i);
	free(p);
}

Test(core_writer, a_pipe_is_filled_as_it_is_emptied_and_never_waited_for)
{
	char *all, *p;
	int ends[2], r, nr_full = 0;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	begin(ends[1]);
	p = all = malloc(w.core.bytes);
	do {
		r = core_write_some(&w, &gm);
		if (r == -EAGAIN) {
			ssize_t n = read(ends[0], p, w.core.bytes);

			cr_assert_gt(n, 0);
			p += n;
			nr_full++;
		}
	} while (r > 0 || r == -EAGAIN);
	cr_assert_eq(r, 0);
	close(ends[1]);
	for (ssize_t n; (n = read(ends[0], p, w.core.bytes)) > 0;)
		p += n;
	cr_expect_eq((uint64_t)(p - all), w.core.bytes);
	cr_expect_gt(nr_full, 10);
	expect_content(all, false);
	free(all);
	close(ends[0]);
}

Test(core_writer, errors_of_the_file_are_passed_on)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), ends[2];

	begin(full);
	cr_expect_eq(write_all(), -ENOSPC);
	core_writer_free(&w);
	close(full);
	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	begin(ends[1]);
	cr_expect_eq(write_all(), -EPIPE);
	close(ends[1]);
}
