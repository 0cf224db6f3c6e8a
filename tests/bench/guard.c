/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.c - what the guard costs, in the product's own code, without a VM: a thread of this process
 * plays the vCPU.
 *
 * guard ROUNDS    a line for each round, ns: UNPLUG BARE_PUNCH PLUG READ BARE_READ WRITE BARE_WRITE
 *
 * UNPLUG, PLUG: one block of 2 MiB, written and collapsed into a huge page before (outside the
 * clock); BARE_PUNCH: fallocate on the same kind of block. READ: the first read in each of 256
 * chunks that were given back, per access; WRITE: likewise of writes. BARE: the same against the
 * least a handler can do, one UFFDIO_COPY and one punch of the oldest of 16 chunks, with a fixed
 * answer, no books, no locks. Both include the kernel's fault and two thread switches.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/no_slots.h"
#include "vmm/base/event.h"
#include "vmm/memory/elastic.h"
#include "vmm/memory/uffd.h"

#define REGION_BYTES (128 * MiB)
#define NR_CHUNKS 256
#define BURST 8
#define REST_US 2000
#define EXIT_SKIP 77

static void die(const char *what)
{
	fprintf(stderr, "guard: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void make_huge(struct ram *ram, uint64_t offset)
{
	memset((char *)ram->host + offset, 0x5a, RAM_HUGE_BYTES);
	if (ram_collapse(ram, offset, RAM_HUGE_BYTES)) {
		fprintf(stderr, "guard: no huge pages: %s\n", strerror(errno));
		exit(EXIT_SKIP);
	}
}

/*
 * Reads or writes one byte in each of NR_CHUNKS chunks from AT on: ns for each. A few at a time, with
 * rests between them: the guard lets an attacker sleep who does more (guard_thread.c).
 */
static uint64_t touch(char *at, bool write)
{
	uint64_t ns = 0;

	for (unsigned int i = 0; i < NR_CHUNKS; i += BURST) {
		uint64_t start;

		usleep(REST_US);
		start = clock_ns();
		for (unsigned int k = i; k < i + BURST; k++) {
			volatile char *p = at + k * CHUNK_BYTES;

			if (write)
				*p = 1;
			else
				(void)*p;
		}
		ns += clock_ns() - start;
	}
	return ns / NR_CHUNKS;
}

struct bare {
	struct ram ram;
	int uffd, stop_fd;
	pthread_t thread;
	void *zeros;
};

static void punch(const struct ram *ram, uint64_t offset, uint64_t bytes)
{
	if (fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)bytes))
		die("fallocate");
}

static void *bare_main(void *arg)
{
	struct bare *b = arg;
	uint64_t ring[CHUNK_RING_SIZE], nr = 0, copied;
	struct pollfd fds[] = { { .fd = b->stop_fd, .events = POLLIN },
				{ .fd = b->uffd, .events = POLLIN } };

	while (poll(fds, 2, -1) > 0 && !fds[0].revents) {
		struct uffd_event e;
		char *chunk;

		if (uffd_read(b->uffd, &e, 1) != 1)
			continue;
		chunk = (char *)align_down((uintptr_t)e.at, CHUNK_BYTES);
		if (nr >= CHUNK_RING_SIZE)
			punch(&b->ram, ring[nr % CHUNK_RING_SIZE], CHUNK_BYTES);
		ring[nr++ % CHUNK_RING_SIZE] = (uint64_t)(chunk - (char *)b->ram.host);
		if (uffd_copy(b->uffd, chunk, b->zeros, CHUNK_BYTES, true, &copied) ||
		    (e.is_write && uffd_unprotect(b->uffd, e.at, 4096)) ||
		    uffd_wake(b->uffd, chunk, CHUNK_BYTES))
			die("bare answer");
	}
	return NULL;
}

static void bare_start(struct bare *b)
{
	if (ram_create(&b->ram, "bare", REGION_BYTES) || uffd_open(&b->uffd, NULL) ||
	    event_new(&b->stop_fd) || uffd_register(b->uffd, b->ram.host, REGION_BYTES) ||
	    ram_allow_huge(&b->ram, 0, REGION_BYTES, false))
		die("bare guard");
	b->zeros = aligned_alloc(CHUNK_BYTES, CHUNK_BYTES);
	if (!b->zeros)
		die("memory");
	memset(b->zeros, 0, CHUNK_BYTES);
	if (pthread_create(&b->thread, NULL, bare_main, b))
		die("thread");
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 20, status_fd;
	struct elastic_cfg cfg = { .name = "guarded",
				   .base = GPA(4 * GiB),
				   .bytes = REGION_BYTES,
				   .block_bytes = RAM_HUGE_BYTES,
				   .slot_ops = NO_SLOTS,
				   .segment_bytes = REGION_BYTES };
	struct elastic e;
	struct bare bare;
	struct ram plain;

	if (event_new(&status_fd) || guard_new(&cfg.guard, &status_fd) || elastic_init(&e, &cfg) ||
	    guard_start(cfg.guard) || ram_create(&plain, "plain", RAM_HUGE_BYTES))
		die("guard");
	bare_start(&bare);
	for (int i = 0; i < rounds; i++) {
		uint64_t start, ns[7];

		if (elastic_plug(&e, 0, 1))
			die("plug");
		make_huge(&e.ram, 0);
		make_huge(&plain, 0);
		for (int k = 0; k < 2; k++) {
			bool ours = (k + i) % 2;

			start = clock_ns();
			if (!ours) {
				punch(&plain, 0, RAM_HUGE_BYTES);
			} else {
				elastic_close(&e, 0, 1);
				if (elastic_give_back(&e, 0, 1))
					die("unplug");
			}
			ns[!ours] = clock_ns() - start;
		}
		start = clock_ns();
		if (elastic_plug(&e, 0, 1))
			die("plug");
		ns[2] = clock_ns() - start;
		elastic_close(&e, 0, 1);
		if (elastic_give_back(&e, 0, 1))
			die("unplug");
		/* Changing places, so that neither always comes second. */
		for (int k = 0; k < 4; k++) {
			bool write = k / 2, ours = (k + i) % 2;
			char *at = (char *)(ours ? e.ram.host : bare.ram.host) +
				   (i % 2 ? REGION_BYTES / 2 : 0);

			ns[3 + 2 * write + !ours] = touch(at + (write ? 32 * MiB : 0), write);
		}
		for (int k = 0; k < 7; k++)
			printf("%llu%c", (unsigned long long)ns[k], k < 6 ? ' ' : '\n');
	}
	event_raise(&bare.stop_fd);
	pthread_join(bare.thread, NULL);
	guard_free(cfg.guard);
	elastic_destroy(&e);
	return 0;
}
