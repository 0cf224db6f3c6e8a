/* SPDX-License-Identifier: Apache-2.0 */
/*
 * protect.c - the other way to know which hinted memory was written since a run of hints began:
 * userfaultfd write-protects all of it, a thread notes the unit of 2 MiB of each first write and
 * opens it. 1 GiB of shared memory is named by 4 MiB; what nobody wrote is discarded at once; a unit
 * that was written is protected once more, looked at for zeros, and discarded then. In the end the
 * memory is mapped anew, so that it can be mapped by huge pages again.
 * What a VM adds (its faults in the second stage, the queue, the guest) is left out.
 *
 * protect ROUNDS    a line for each round, ns: with 4 KiB pages, and cleared before it is named as
 *                   kernels with init_on_alloc do; the two with huge pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/memory/ram.h"

#define REGION_BYTES GiB
#define HINT_BYTES   (4 * MiB)
#define UNIT_BYTES   RAM_HUGE_BYTES

static struct ram ram;
static int uffd;
static bool written[REGION_BYTES / UNIT_BYTES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "protect: %s: %s\n", what, strerror(errno));
	exit(1);
}

static char *host(uint64_t offset) { return (char *)ram.host + offset; }

static void protect(uint64_t offset, uint64_t bytes, bool on)
{
	struct uffdio_writeprotect w = { .range = { (uintptr_t)host(offset), bytes },
					 .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };

	must(!ioctl(uffd, UFFDIO_WRITEPROTECT, &w), "UFFDIO_WRITEPROTECT");
}

static void *note_writes(void *arg)
{
	struct uffd_msg msg;

	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		uint64_t at = (uintptr_t)msg.arg.pagefault.address - (uintptr_t)ram.host;

		pthread_mutex_lock(&lock);
		written[at / UNIT_BYTES] = true;
		protect(align_down(at, UNIT_BYTES), UNIT_BYTES, false);
		pthread_mutex_unlock(&lock);
	}
	return arg;
}

static void start(void)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP |
					      UFFD_FEATURE_WP_HUGETLBFS_SHMEM };
	struct uffdio_register r = { .range = { (uintptr_t)ram.host, REGION_BYTES },
				     .mode = UFFDIO_REGISTER_MODE_WP };

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	must(uffd >= 0, "userfaultfd");
	must(!ioctl(uffd, UFFDIO_API, &api), "UFFDIO_API");
	must(!ioctl(uffd, UFFDIO_REGISTER, &r), "UFFDIO_REGISTER");
	protect(0, REGION_BYTES, true);
	memset(written, 0, sizeof(written));
}

static bool is_zero(const char *at)
{
	return !at[0] && !memcmp(at, at + 1, UNIT_BYTES - 1);
}

/* The mutex stands for the answer that a writer waits for: nobody writes between look and discard. */
static void take(uint64_t offset)
{
	uint64_t unit = offset / UNIT_BYTES;
	bool goes;

	pthread_mutex_lock(&lock);
	goes = !written[unit];
	if (!goes) {
		protect(offset, UNIT_BYTES, true);
		goes = is_zero(host(offset));
	}
	must(!goes || !ram_discard(&ram, offset, UNIT_BYTES), "discard");
	pthread_mutex_unlock(&lock);
}

static void end(pthread_t thread)
{
	struct uffdio_range range = { (uintptr_t)ram.host, REGION_BYTES };

	must(!ioctl(uffd, UFFDIO_UNREGISTER, &range), "UFFDIO_UNREGISTER");
	must(!ram_remap(&ram, 0, REGION_BYTES, true), "mmap");
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	close(uffd);
}

static uint64_t run(bool huge, bool clear)
{
	uint64_t start_ns, left;
	pthread_t thread;

	must(!ram_create(&ram, "bench", REGION_BYTES), "memory");
	must(!ram_allow_huge(&ram, 0, REGION_BYTES, huge), "madvise");
	must(!huge || !ram_collapse(&ram, 0, REGION_BYTES), "MADV_COLLAPSE");
	memset(ram.host, 1, REGION_BYTES);
	start_ns = clock_ns();
	start();
	must(!pthread_create(&thread, NULL, note_writes, NULL), "thread");
	for (uint64_t at = 0; at < REGION_BYTES; at += HINT_BYTES) {
		if (clear)
			memset(host(at), 0, HINT_BYTES);
		for (uint64_t unit = at; unit < at + HINT_BYTES; unit += UNIT_BYTES)
			take(unit);
	}
	end(thread);
	start_ns = clock_ns() - start_ns;
	must(!ram_resident(&ram, &left) && !left, "memory is left");
	ram_destroy(&ram);
	return start_ns;
}

int main(int argc, char **argv)
{
	int rounds = argc == 2 ? atoi(argv[1]) : 0;

	if (rounds < 1) {
		fprintf(stderr, "usage: protect ROUNDS\n");
		return 2;
	}
	while (rounds--) {
		for (int how = 0; how < 4; how++)
			printf("%llu%c", (unsigned long long)run(how & 2, how & 1),
			       how < 3 ? ' ' : '\n');
		fflush(stdout);
	}
	return 0;
}
