/* SPDX-License-Identifier: Apache-2.0 */
/*
 * huge.c - what huge pages of our own making cost and save: 1 GiB of elastic memory is plugged, in
 * requests of 128 MiB as Linux sends them, and touched, a word in every 4 KiB, as a guest would;
 * then it is unplugged at once. The product's own code, unguarded, without a VM.
 *
 * huge ROUNDS    a line for each round, ns: take and release with --huge=always, with
 *                --huge=never, and of bare memory whose huge pages the kernel makes at the first
 *                touch, as for a memfd under shmem_enabled=advise (a tmpfs of our own, so that the
 *                host's setting stays as it is); 0 0 where that can't be had.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/bench/no_slots.h"
#include "vmm/base/clock.h"
#include "vmm/memory/elastic.h"

#define REGION_BYTES GiB
#define REQUEST_BYTES (128 * MiB)
#define EXIT_SKIP 77

static void die(int code, const char *what)
{
	fprintf(stderr, "huge: %s: %s\n", what, strerror(errno));
	exit(code);
}

static void touch(char *host)
{
	for (uint64_t at = 0; at < REGION_BYTES; at += 4 * KiB)
		*(volatile uint64_t *)(host + at) = at;
}

static void must_hold(int fd, uint64_t bytes)
{
	struct stat st;

	if (fstat(fd, &st) || (uint64_t)st.st_blocks * 512 != bytes)
		die(1, "the memory is not what it should be");
}

static void ours(enum huge_mode mode, uint64_t ns[2])
{
	struct elastic_cfg cfg = { .name = "bench",
				   .base = GPA(4 * GiB),
				   .bytes = REGION_BYTES,
				   .block_bytes = RAM_HUGE_BYTES,
				   .huge = mode,
				   .slot_ops = NO_SLOTS,
				   .segment_bytes = REGION_BYTES };
	uint32_t nr = (uint32_t)(REQUEST_BYTES / RAM_HUGE_BYTES);
	struct elastic e;
	uint64_t start;

	if (elastic_init(&e, &cfg))
		exit(1);
	start = clock_ns();
	for (uint32_t at = 0; at < e.blocks.nr; at += nr)
		if (elastic_plug(&e, at, nr))
			exit(1);
	touch(e.ram.host);
	ns[0] = clock_ns() - start;
	must_hold(e.ram.fd, REGION_BYTES);
	if (mode == HUGE_ALWAYS && huge_bytes(&e.huge) != REGION_BYTES)
		die(EXIT_SKIP, "MADV_COLLAPSE");
	start = clock_ns();
	elastic_close(&e, 0, e.blocks.nr);
	if (elastic_give_back(&e, 0, e.blocks.nr))
		exit(1);
	ns[1] = clock_ns() - start;
	must_hold(e.ram.fd, 0);
	elastic_destroy(&e);
}

/* A file of a tmpfs that nobody else sees; -1: not here. */
static int advised_file(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("bench", "/mnt", "tmpfs", 0, "huge=advise,size=2g"))
		return -1;
	return open("/mnt", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static void kernels(int fd, uint64_t ns[2])
{
	char *window, *host;
	uint64_t start;

	if (fd < 0 || ftruncate(fd, (off_t)REGION_BYTES))
		return;
	window = mmap(NULL, REGION_BYTES + RAM_HUGE_BYTES, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	host = (char *)align_up((uintptr_t)window, RAM_HUGE_BYTES);
	if (window == MAP_FAILED ||
	    mmap(host, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		    MAP_FAILED ||
	    madvise(host, REGION_BYTES, MADV_HUGEPAGE))
		die(1, "mapping");
	start = clock_ns();
	touch(host);
	ns[0] = clock_ns() - start;
	must_hold(fd, REGION_BYTES);
	start = clock_ns();
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)REGION_BYTES))
		die(1, "fallocate");
	ns[1] = clock_ns() - start;
	munmap(window, REGION_BYTES + RAM_HUGE_BYTES);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 10, fd = advised_file();

	for (int i = -1; i < rounds; i++) { /* the first round warms up */
		uint64_t ns[6] = { 0 };

		for (int k = 0; k < 3; k++) {
			/* Each of the outer two comes as often after the small pages. */
			int way = i % 2 ? k : 2 - k;

			if (way == 2)
				kernels(fd, &ns[4]);
			else
				ours(way ? HUGE_NEVER : HUGE_ALWAYS, &ns[2 * way]);
		}
		for (int k = 0; k < 6 && i >= 0; k++)
			printf("%llu%c", (unsigned long long)ns[k], k < 5 ? ' ' : '\n');
	}
	return 0;
}
