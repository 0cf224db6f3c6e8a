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

/* In the order in which Linux has them, so that one pass finds them all. What the kernel doesn't
 * have is 0. */
static const struct {
	const char *key;
	size_t field;
} lines[] = {
	{ "MemTotal:", offsetof(struct memory, total) },
	{ "MemFree:", offsetof(struct memory, free) },
	{ "MemAvailable:", offsetof(struct memory, available) },
	{ "Active(file):", offsetof(struct memory, file) },
	{ "Inactive(file):", offsetof(struct memory, cold_file) },
	{ "SwapTotal:", offsetof(struct memory, swap_total) },
	{ "SwapFree:", offsetof(struct memory, swap_free) },
	{ "AnonPages:", offsetof(struct memory, used) },
	{ "Shmem:", offsetof(struct memory, used) },
	{ "SUnreclaim:", offsetof(struct memory, used) },
	{ "KernelStack:", offsetof(struct memory, used) },
	{ "PageTables:", offsetof(struct memory, used) },
	{ "VmallocUsed:", offsetof(struct memory, used) },
	{ "Hugetlb:", offsetof(struct memory, used) },
};

int memory_read(const struct memory_files *f, struct memory *m)
{
	struct memory now = { .refault = m->refault,
			      .reclaimed = m->reclaimed,
			      .oom_kills = m->oom_kills };
	/* It is one record, which comes as a whole: no second read to see its end. */
	ssize_t n = pread(f->meminfo, text, sizeof text - 1, 0);
	const char *at = text;

	if (n < 0)
		return -errno;
	text[n] = '\0';
	for (unsigned int i = 0; i < ARRAY_SIZE(lines); i++) {
		uint64_t value;
		const char *end = parse_value(at, lines[i].key, &value);

		if (!end)
			end = parse_value(text, lines[i].key, &value);
		if (!end && lines[i].field == offsetof(struct memory, available))
			return -ENODATA;
		if (!end)
			continue;
		*(uint64_t *)((char *)&now + lines[i].field) += value * KiB;
		at = end;
	}
	now.file += now.cold_file;
	*m = now;
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
