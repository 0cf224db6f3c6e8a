/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stall.c - fills a Linux guest's memory until something stalls for want of it, and takes the time
 * from then until there is more.
 *
 *	stall PORT FILE [AGENT]
 *
 * Reads words from PORT, one a line, and answers each there with one line:
 *
 *	eat	touches pages until the kernel begins to reclaim, which is what memory pressure
 *		(/proc/pressure/memory) counts as a stall; "stalled" at once. Touches nothing more
 *		before there is memory that was not there, then a page: "relief US told US free KIB
 *		usable KIB pressure US": the time from the last moment without a stall, and of that
 *		the time until the word was out; what was free at its begin, and what was free or
 *		could be made so; by how much the stall time rose
 *	ask N	the same, but it is a need of N MiB, said on AGENT (guests/agent/PROTOCOL.md), and
 *		no "stalled"
 *	brim	touches pages until no more is free than no process is given, and 512 KiB, and
 *		nothing can be made free; "brim". Then as above, from then on
 *	free N	gives N MiB back, and what is cached of FILE; "freed"
 *
 * Nothing is touched while it waits: the next page might be the one that brings the OOM killer.
 * FILE is read before each eat, 4 MiB of it: when kswapd finds nothing to reclaim it gives up, and
 * then nothing stalls before the OOM killer comes.
 *
 * The begin of a stall is seen in /proc/vmstat. Who reads the stall time itself more than once a
 * tick loses of it: Linux weighs each interval by its ticks, of which that has none.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define PAGE	    4096ul
#define ROOM	    (4ul << 30)
#define BATCH	    4
#define FAR_BATCH   128
#define FAR_KIB	    8192
#define CACHE_BYTES (4ul << 20)
#define CALM_US	    50000
#define MARGIN_KIB  512

static char *memory; /* [0, touched) is in use */
static unsigned long touched;
static int port, agent, file, pressure, vmstat, meminfo, zoneinfo;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static const char *whole(int fd)
{
	static char text[16384];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		die("read /proc");
	text[n] = 0;
	return text;
}

static unsigned long after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	if (!at) {
		fprintf(stderr, "stall: no %s\n", key);
		exit(1);
	}
	return strtoul(at + strlen(key), NULL, 10);
}

static unsigned long pressure_us(void) { return after(whole(pressure), "total="); }

/* How often somebody began to reclaim: kswapd, or who wanted a page. */
static unsigned long stalls(void)
{
	const char *text = whole(vmstat);

	return after(text, "pageoutrun ") + after(text, "allocstall_dma ") +
	       after(text, "allocstall_dma32 ") + after(text, "allocstall_normal ") +
	       after(text, "allocstall_movable ");
}

static unsigned long free_kib(void)
{
	struct sysinfo info;

	sysinfo(&info);
	return info.freeram * info.mem_unit / 1024;
}

/* Free, or the kernel can make it so by itself: more of it is memory that was not there. */
static unsigned long usable_kib(void)
{
	const char *text = whole(meminfo);

	return after(text, "MemFree:") + after(text, "Active(file):") +
	       after(text, "Inactive(file):") + after(text, "SReclaimable:");
}

/* What is never given to a process: below the lowest watermarks, and what zones keep for others. */
static unsigned long kept_kib(void)
{
	static const char min[] = "\n        min ", protection[] = "\n        protection: (";
	unsigned long sum = 0, most, nr;

	for (const char *at = whole(zoneinfo); (at = strstr(at, min)); at++) {
		char *list = strstr(at, protection);

		sum += strtoul(at + strlen(min), NULL, 10);
		if (!list)
			continue;
		for (list += strlen(protection) - 1, most = 0; *list != ')';) {
			nr = strtoul(list + 1, &list, 10);
			most = nr > most ? nr : most;
		}
		sum += most;
	}
	return sum * PAGE / 1024;
}

static void touch(unsigned int pages)
{
	for (unsigned int i = 0; i < pages; i++, touched += PAGE)
		*(volatile char *)(memory + touched) = 1;
}

static void rest(void) { nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL); }

static void read_file(void)
{
	static char piece[65536];

	posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	for (unsigned long at = 0; at < CACHE_BYTES; at += sizeof(piece))
		if (pread(file, piece, sizeof(piece), (off_t)at) != sizeof(piece))
			die("read the file");
}

static void calm(void)
{
	unsigned long before = stalls(), now;
	uint64_t since = now_us();

	while (now_us() - since < CALM_US) {
		rest();
		now = stalls();
		if (now != before)
			since = now_us();
		before = now;
	}
}

/* Until there is more than was USABLE, of which FREE was free. */
static void relief(unsigned long usable, unsigned long free, uint64_t since_us,
		   unsigned long pressure_before)
{
	uint64_t told_us = now_us() - since_us, took_us;

	while (free_kib() <= free || usable_kib() <= usable + MARGIN_KIB)
		rest();
	touch(1);
	took_us = now_us() - since_us;
	calm();
	dprintf(port, "relief %lu told %lu free %lu usable %lu pressure %lu\n",
		(unsigned long)took_us, (unsigned long)told_us, free, usable,
		pressure_us() - pressure_before);
}

/* Says LINE on TO when it stalls. */
static void eat(int to, const char *line)
{
	unsigned long pressure_before, before, usable, start = touched;
	uint64_t calm_us;

	read_file();
	calm();
	pressure_before = pressure_us();
	usable = usable_kib();
	before = stalls();
	do {
		calm_us = now_us();
		touch(free_kib() > FAR_KIB ? FAR_BATCH : BATCH);
	} while (stalls() == before);
	before = free_kib();
	dprintf(to, "%s\n", line);
	relief(usable - (touched - start) / 1024, before, calm_us, pressure_before);
}

static void brim(void)
{
	unsigned long stop = kept_kib() + MARGIN_KIB, pressure_before, free, usable;

	posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	while ((free = free_kib()) > stop)
		touch(BATCH);
	pressure_before = pressure_us();
	usable = usable_kib();
	dprintf(port, "brim\n");
	relief(usable, free, now_us(), pressure_before);
}

static void give_back(unsigned long mib)
{
	unsigned long bytes = mib << 20 < touched ? mib << 20 : touched;

	posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	touched -= bytes;
	if (munlock(memory + touched, bytes) || madvise(memory + touched, bytes, MADV_DONTNEED))
		die("give memory back");
	if (mlock2(memory + touched, bytes, MLOCK_ONFAULT))
		die("mlock2");
}

static void ask(unsigned long mib)
{
	char line[128];

	snprintf(line, sizeof(line), "{\"msg\": \"need\", \"bytes\": %lu, \"why\": \"stall\"}",
		 mib << 20);
	eat(agent, line);
	/* The answers are for nobody. */
	while (read(agent, line, sizeof(line)) > 0)
		;
}

static int must_open(const char *path, int how)
{
	int fd = open(path, how);

	if (fd < 0)
		die(path);
	return fd;
}

int main(int argc, char **argv)
{
	FILE *words;
	char line[64];

	if (argc < 3)
		return 2;
	prctl(PR_SET_TIMERSLACK, 1);
	port = must_open(argv[1], O_RDWR);
	file = must_open(argv[2], O_RDONLY);
	pressure = must_open("/proc/pressure/memory", O_RDONLY);
	vmstat = must_open("/proc/vmstat", O_RDONLY);
	meminfo = must_open("/proc/meminfo", O_RDONLY);
	zoneinfo = must_open("/proc/zoneinfo", O_RDONLY);
	words = fdopen(port, "r");
	if (argc > 3) {
		agent = must_open(argv[3], O_RDWR | O_NONBLOCK);
		dprintf(agent, "{\"msg\": \"hello\", \"version\": 1, \"agent\": \"stall\"}\n");
	}
	memory = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!words || memory == MAP_FAILED || mlockall(MCL_CURRENT | MCL_ONFAULT) ||
	    madvise(memory, ROOM, MADV_NOHUGEPAGE))
		die("memory");
	while (fgets(line, sizeof(line), words)) {
		if (!strcmp(line, "eat\n")) {
			eat(port, "stalled");
		} else if (!strncmp(line, "ask ", 4)) {
			ask(strtoul(line + 4, NULL, 10));
		} else if (!strcmp(line, "brim\n")) {
			brim();
		} else if (!strncmp(line, "free ", 5)) {
			give_back(strtoul(line + 5, NULL, 10));
			dprintf(port, "freed\n");
		}
	}
	return 0;
}
