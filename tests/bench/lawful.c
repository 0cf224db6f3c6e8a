/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lawful.c - what the guard costs lawful memory, in the product's own code, without a VM: threads
 * of this process play the vCPUs.
 *
 * lawful ROUNDS   a line for each round: GUARDED BARE ALONE BESIDE CPU EVENTS
 *
 * Every second block of a region is plugged, so that there are as many borders as can be.
 * GUARDED, BARE: ns for the first touch of a 4 KiB page there, with the guard and without it.
 * ALONE, BESIDE: ps for a random read and write of such memory, alone and while another thread
 * reads and writes the blocks between. CPU: of the guard's thread meanwhile, in 1/1000 of one
 * processor; EVENTS: what it answered in a second.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/no_slots.h"
#include "vmm/base/event.h"
#include "vmm/memory/elastic.h"
#include "vmm/memory/guard_state.h"

#define REGION_BYTES (256 * MiB)
#define NR_BLOCKS ((uint32_t)(REGION_BYTES / RAM_HUGE_BYTES))
#define PAGE_BYTES (4 * KiB)
#define NR_PAGES (REGION_BYTES / 2 / PAGE_BYTES)
#define WORK_NS (300 * NS_PER_MS)
#define WORK_STEP 4096

static void die(const char *what)
{
	fprintf(stderr, "lawful: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void region_init(struct elastic *e, struct guard *guard)
{
	struct elastic_cfg cfg = { .name = "lawful",
				   .base = GPA(4 * GiB),
				   .bytes = REGION_BYTES,
				   .block_bytes = RAM_HUGE_BYTES,
				   .guard = guard,
				   .huge = HUGE_NEVER,
				   .slot_ops = NO_SLOTS,
				   .segment_bytes = REGION_BYTES };

	if (elastic_init(e, &cfg))
		die("elastic memory");
}

static void plug_every_second(struct elastic *e)
{
	for (uint32_t i = 0; i < NR_BLOCKS; i += 2)
		if (elastic_plug(e, i, 1))
			die("plug");
}

static void unplug_every_second(struct elastic *e)
{
	for (uint32_t i = 0; i < NR_BLOCKS; i += 2) {
		elastic_close(e, i, 1);
		if (elastic_give_back(e, i, 1))
			die("unplug");
	}
}

/* The Nth page of the plugged blocks. */
static volatile uint64_t *plugged_page(const struct elastic *e, uint64_t n)
{
	uint64_t offset = n * PAGE_BYTES;

	offset += align_down(offset, RAM_HUGE_BYTES);
	return (volatile uint64_t *)((char *)e->ram.host + offset);
}

static uint64_t first_touch(const struct elastic *e)
{
	uint64_t start = clock_ns();

	for (uint64_t n = 0; n < NR_PAGES; n++)
		*plugged_page(e, n) = n;
	return (clock_ns() - start) / NR_PAGES;
}

/* ps for one random read and write. */
static uint64_t work(const struct elastic *e)
{
	uint64_t start = clock_ns(), random = 88172645463325252, nr = 0, ns;

	do {
		for (unsigned int i = 0; i < WORK_STEP; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			*plugged_page(e, random % NR_PAGES) += random;
		}
		nr += WORK_STEP;
		ns = clock_ns() - start;
	} while (ns < WORK_NS);
	return ns * 1000 / nr;
}

struct attack {
	pthread_t thread;
	const struct elastic *e;
	bool over;
};

/* Reads, then writes, each page of the blocks between the plugged ones, again and again. */
static void *attack_main(void *arg)
{
	struct attack *a = arg;

	for (uint64_t n = 0; !__atomic_load_n(&a->over, __ATOMIC_RELAXED); n = (n + 1) % NR_PAGES) {
		volatile uint64_t *word = plugged_page(a->e, n) + RAM_HUGE_BYTES / sizeof(*word);

		(void)*word;
		*word = n;
	}
	return NULL;
}

static uint64_t thread_cpu_ns(pthread_t thread)
{
	struct timespec t;
	clockid_t clock;

	if (pthread_getcpuclockid(thread, &clock) || clock_gettime(clock, &t))
		die("clock of a thread");
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ps as of work(); per mille of a processor that the guard took; answers in a second. */
static void work_beside(const struct elastic *e, struct guard *g, uint64_t *ps, uint64_t *cpu,
			uint64_t *events)
{
	struct attack a = { .e = e };
	uint64_t start = clock_ns(), cpu_ns = thread_cpu_ns(g->thread), ns;
	uint64_t answers = guard_peek(g).nr_answers;

	if (pthread_create(&a.thread, NULL, attack_main, &a))
		die("thread");
	*ps = work(e);
	ns = clock_ns() - start;
	*cpu = (thread_cpu_ns(g->thread) - cpu_ns) * 1000 / ns;
	*events = (guard_peek(g).nr_answers - answers) * NS_PER_S / ns;
	__atomic_store_n(&a.over, true, __ATOMIC_RELAXED);
	pthread_join(a.thread, NULL);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 10, status_fd;
	struct elastic guarded, bare;
	struct guard *guard;

	if (event_new(&status_fd) || guard_new(&guard, &status_fd))
		die("guard");
	region_init(&guarded, guard);
	region_init(&bare, NULL);
	if (guard_start(guard))
		die("guard");
	for (int i = 0; i < rounds; i++) {
		uint64_t ns[2], ps[2] = { 0 }, cpu = 0, events = 0;

		plug_every_second(&guarded);
		plug_every_second(&bare);
		/* Changing places, so that neither always comes second. */
		for (int k = 0; k < 2; k++) {
			bool second = (k + i) % 2;

			ns[second] = first_touch(second ? &bare : &guarded);
		}
		for (int k = 0; k < 2; k++) {
			if ((k + i) % 2)
				work_beside(&guarded, guard, &ps[1], &cpu, &events);
			else
				ps[0] = work(&guarded);
		}
		unplug_every_second(&guarded);
		unplug_every_second(&bare);
		printf("%llu %llu %llu %llu %llu %llu\n", (unsigned long long)ns[0],
		       (unsigned long long)ns[1], (unsigned long long)ps[0],
		       (unsigned long long)ps[1], (unsigned long long)cpu,
		       (unsigned long long)events);
	}
	guard_free(guard);
	elastic_destroy(&guarded);
	elastic_destroy(&bare);
	return 0;
}
