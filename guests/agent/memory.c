/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - how the guest's memory stands. */
#include "guests/agent/memory.h"

#include "guests/agent/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char text[16 << 10];

int memory_open(struct memory_files *f, const char *root)
{
	f->meminfo = file_open(root, "/proc/meminfo", O_RDONLY);
	f->vmstat = file_open(root, "/proc/vmstat", O_RDONLY);
	return f->meminfo < 0 ? f->meminfo : 0;
}

static uint64_t kib(const char *key)
{
	uint64_t value = 0;

	return parse_value(text, key, &value) ? value * KiB : 0;
}

static const char *const uses[] = { "AnonPages:",   "Shmem:",	    "SUnreclaim:", "PageTables:",
				    "KernelStack:", "VmallocUsed:", "Hugetlb:" };

int memory_read(const struct memory_files *f, struct memory *m)
{
	uint64_t available;
	/* It is one record, which comes as a whole: no second read to see its end. */
	ssize_t n = pread(f->meminfo, text, sizeof text - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (!parse_value(text, "MemAvailable:", &available))
		return -ENODATA;
	m->available = available * KiB;
	m->total = kib("MemTotal:");
	m->free = kib("MemFree:");
	m->cold_file = kib("Inactive(file):");
	m->file = kib("Active(file):") + m->cold_file;
	m->swap_total = kib("SwapTotal:");
	m->swap_free = kib("SwapFree:");
	m->used = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(uses); i++)
		m->used += kib(uses[i]);
	return 0;
}

static uint64_t events(const char *key)
{
	uint64_t value = 0;

	parse_value(text, key, &value);
	return value;
}

void memory_read_events(const struct memory_files *f, struct memory *m)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (f->vmstat < 0 || file_read(f->vmstat, text, sizeof text) < 0)
		return;
	m->refault = events("workingset_refault_file ") * page;
	m->reclaimed = events("pgsteal_file ") * page;
	m->oom_kills = events("oom_kill ");
}
