/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - how the guest's memory stands: /proc/meminfo, /proc/vmstat. */
#ifndef EBB_AGENT_MEMORY_H
#define EBB_AGENT_MEMORY_H

#include "guests/agent/base.h"

/* In bytes; 0 where the kernel doesn't say. */
struct memory {
	uint64_t total, available, free;
	uint64_t file, cold_file; /* page cache; its inactive part */
	uint64_t swap_total, swap_free;
	/* What programs and the kernel use for themselves. Not all that isn't free: memory that is
	 * being added, removed, ballooned or hinted is neither available nor in use. */
	uint64_t used;
	/* Since boot, from vmstat. */
	uint64_t refault;   /* page cache that came back after it had been evicted */
	uint64_t reclaimed; /* page cache that was evicted, by whomever */
	uint64_t oom_kills;
};

struct memory_files {
	int meminfo, vmstat;
};

/* 0, or -errno: there is no /proc/meminfo. Without vmstat its figures stay 0. */
int memory_open(struct memory_files *f, const char *root);
/* What is cheap and changes fast; the other figures stay. -errno when the kernel has no
 * MemAvailable. */
int memory_read(const struct memory_files *f, struct memory *m);
/* The others. */
void memory_read_events(const struct memory_files *f, struct memory *m);

#endif
