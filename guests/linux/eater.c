/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eater.c - in a Linux guest: takes so much memory at so many MiB a second (0: as fast as it gets
 * it), holds it for a while and ends.
 *
 * eater MIB RATE SECONDS    prints "eater: N MiB in MS ms, longest wait MS ms" when it has it all
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB  (1UL << 20)
#define PAGE 4096

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
	uint64_t mib, rate, start, before, longest = 0;
	char *memory;

	if (argc != 4) {
		fprintf(stderr, "usage: eater MIB RATE SECONDS\n");
		return 2;
	}
	mib = strtoull(argv[1], NULL, 0);
	rate = strtoull(argv[2], NULL, 0);
	memory = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED) {
		perror("eater: mmap");
		return 1;
	}
	start = now_us();
	for (uint64_t i = 0; i < mib; i++) {
		uint64_t due = rate ? start + i * 1000000 / rate : 0;

		before = now_us();
		if (before < due) {
			usleep((useconds_t)(due - before));
			before = now_us();
		}
		for (uint64_t at = 0; at < MIB; at += PAGE)
			memory[i * MIB + at] = 1;
		if (now_us() - before > longest)
			longest = now_us() - before;
	}
	printf("eater: %llu MiB in %llu ms, longest wait %llu ms\n", (unsigned long long)mib,
	       (unsigned long long)(now_us() - start) / 1000, (unsigned long long)longest / 1000);
	fflush(stdout);
	sleep((unsigned int)strtoul(argv[3], NULL, 0));
	return 0;
}
