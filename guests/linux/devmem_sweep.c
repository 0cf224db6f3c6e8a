/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devmem_sweep.c - in a Linux guest, as root: reads or writes one word in every 4 KiB of a range of
 * guest-physical memory that is no RAM of the kernel's (memory that a virtio-mem device has not
 * plugged), through /dev/mem.
 *
 * devmem_sweep ADDRESS BYTES read|write    prints "sweep: N accesses, M other than 0, MS ms"
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define STRIDE 4096

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	uint64_t address, bytes, start, accesses = 0, nonzero = 0;
	volatile char *map;
	int write, fd;

	if (argc != 4) {
		fprintf(stderr, "usage: devmem_sweep ADDRESS BYTES read|write\n");
		return 2;
	}
	address = strtoull(argv[1], NULL, 0);
	bytes = strtoull(argv[2], NULL, 0);
	write = !strcmp(argv[3], "write");
	fd = open("/dev/mem", O_RDWR);
	map = fd < 0 ? MAP_FAILED :
		       mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)address);
	if (map == MAP_FAILED) {
		perror("devmem_sweep");
		return 1;
	}
	start = now_ms();
	for (uint64_t at = 0; at < bytes; at += STRIDE, accesses++) {
		volatile uint64_t *word = (volatile uint64_t *)(map + at);

		if (write)
			*word = at + 1;
		else
			nonzero += *word ? 1 : 0;
	}
	printf("sweep: %llu accesses, %llu other than 0, %llu ms\n", (unsigned long long)accesses,
	       (unsigned long long)nonzero, (unsigned long long)(now_ms() - start));
	return 0;
}
