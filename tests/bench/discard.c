/* SPDX-License-Identifier: Apache-2.0 */
/*
 * discard.c - time inside ram_discard(), as virtio-mem calls it for a run of 64 blocks of 2 MiB,
 * against a bare fallocate(PUNCH_HOLE) on a memfd of the same kind.
 *
 * discard ROUNDS 4k|2M    the size of the pages behind both memfds
 *
 * One process, alternating, the order and the two memfds changing places each round. Before each
 * call the run is filled in the same way, outside the clock: written from end to end, then, for
 * 2M, collapsed (MADV_COLLAPSE). The bare side is timed twice: one call for the run, and one for
 * each block. Prints a line for each round: EBB_NS BARE_RUN_NS BARE_BLOCKS_NS. Exit code 77: this
 * host makes no such pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/clock.h"
#include "vmm/base/uapi_compat.h"
#include "vmm/memory/ram.h"

#define BLOCK_BYTES (2 * MiB)
#define RUN_BYTES (64 * BLOCK_BYTES)
#define EXIT_SKIP 77

static void die(int code, const char *what)
{
	fprintf(stderr, "discard: %s: %s\n", what, strerror(errno));
	exit(code);
}

static void fill(const struct ram *ram, bool huge)
{
	uint64_t bytes;

	memset(ram->host, 0x5a, RUN_BYTES);
	if (huge && madvise(ram->host, RUN_BYTES, MADV_COLLAPSE))
		die(EXIT_SKIP, "MADV_COLLAPSE");
	if (ram_resident(ram, &bytes) || bytes != RUN_BYTES)
		die(1, "not all of the run is resident");
}

static void must_be_empty(const struct ram *ram)
{
	uint64_t bytes;

	if (ram_resident(ram, &bytes) || bytes)
		die(1, "the discard left memory behind");
}

static void punch(const struct ram *ram, uint64_t offset, uint64_t bytes)
{
	if (fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)bytes))
		die(1, "fallocate");
}

enum way { EBB, BARE_RUN, BARE_BLOCKS, NR_WAYS };

static uint64_t discard_ns(struct ram *ram, enum way way)
{
	uint64_t start_ns = clock_ns();

	if (way == EBB) {
		if (ram_discard(ram, 0, RUN_BYTES))
			die(1, "ram_discard");
	} else {
		uint64_t step = way == BARE_RUN ? RUN_BYTES : BLOCK_BYTES;

		for (uint64_t at = 0; at < RUN_BYTES; at += step)
			punch(ram, at, step);
	}
	return clock_ns() - start_ns;
}

int main(int argc, char **argv)
{
	int runs = argc == 3 ? atoi(argv[1]) : 0;
	const char *pages = argc == 3 ? argv[2] : "";
	bool huge = !strcmp(pages, "2M");
	struct ram ram[2];

	if (runs <= 0 || (!huge && strcmp(pages, "4k") != 0)) {
		fprintf(stderr, "usage: discard RUNS 4k|2M\n");
		return 2;
	}
	/* The same pages and the same mapping for all: only the way to discard differs. */
	for (int i = 0; i < 2; i++) {
		if (ram_create(&ram[i], i ? "bench-b" : "bench-a", RUN_BYTES))
			return 1;
		if (!huge && madvise(ram[i].host, RUN_BYTES, MADV_NOHUGEPAGE))
			die(1, "MADV_NOHUGEPAGE");
	}
	for (int i = -1; i < runs; i++) { /* the first round warms up */
		uint64_t ns[NR_WAYS];

		for (int k = 0; k < NR_WAYS; k++) {
			enum way way = (enum way)((k + i + NR_WAYS) % NR_WAYS);
			struct ram *r = &ram[(way == EBB) ^ (i & 1)];

			fill(r, huge);
			ns[way] = discard_ns(r, way);
			must_be_empty(r);
		}
		if (i >= 0)
			printf("%llu %llu %llu\n", (unsigned long long)ns[EBB],
			       (unsigned long long)ns[BARE_RUN],
			       (unsigned long long)ns[BARE_BLOCKS]);
	}
	ram_destroy(&ram[0]);
	ram_destroy(&ram[1]);
	return 0;
}
