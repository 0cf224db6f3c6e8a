/* SPDX-License-Identifier: Apache-2.0 */
/* guard_state.h - what guard.c and guard_thread.c stand on; nobody else includes it. */
#ifndef EBB_MEMORY_GUARD_STATE_H
#define EBB_MEMORY_GUARD_STATE_H

#include <pthread.h>

#include "vmm/memory/guard.h"

/* The unit of everything below: one huge page, one page table. */
#define UNIT_BYTES RAM_HUGE_BYTES
/*
 * Registered as a whole when borders become too many: the lawful units in it raise events as well,
 * and get their memory by them.
 */
#define GROUP_BYTES (128 * MiB)

enum unit_flag {
	UNIT_ARMED = 1,
	UNIT_REGISTERED = 2, /* with userfaultfd; without ARMED: lawful, in a group as above */
	UNIT_TABLE = 4,	     /* violations have left a page table */
};

struct guard_region {
	struct guard *guard;
	struct ram *ram;
	uint32_t nr_units;
	uint8_t *flags;
	struct unit_count {
		uint32_t reads, writes;
	} *counts;
	struct guard_info info;
	struct guard_region *next;
};

struct guard {
	int uffd, stop_fd;
	int *status_fd;
	pthread_t thread;
	bool has_thread;
	void *zeros; /* CHUNK_BYTES */
	unsigned int max_splits;
	struct guard_region *regions; /* complete before the thread starts */
	uint64_t nr_turns;	      /* of the thread's loop; atomic */
	bool answering;		      /* the thread has taken events; atomic */
	uint64_t due_ns;	      /* the thread's: when it answers the next violation */
	/* For guard_is_stuck(). */
	uint64_t seen_turns, waiting_since_ns;

	/* Guards all below and everything in the regions but ram. A leaf (guard.h). */
	pthread_mutex_t lock;
	struct chunk_ring ring;
	bool news_told;
	struct guard_status status;
};

/* Under the lock. */
static inline uint32_t unit_at(uint64_t offset) { return (uint32_t)(offset / UNIT_BYTES); }
void guard_tell(struct guard *g);
/* Remembers ERROR (0: all is well again) and tells. */
void guard_fail(struct guard *g, int error);
/* Some memory is not guarded as the books say, for good; tells. */
void guard_break(struct guard *g, int error);
/* Takes the oldest chunk's memory away. On error the chunk is still in the ring. */
int must_check guard_drop_oldest(struct guard *g);

#endif
