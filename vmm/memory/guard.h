/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.h - keeps guests out of memory they gave back.
 * Armed memory is registered with userfaultfd, exactly and nothing else is, so that lawful memory
 * costs nothing. An access to it raises an event; the guard's thread answers with a chunk of zeros
 * that is write-protected and taken away again: at most CHUNK_RING_SIZE chunks at a time, each at
 * most GUARD_EXPIRY_NS old. So
 *   - violations hold at most CHUNK_RING_BYTES of host memory, and page tables up to
 *     GUARD_TABLES_MAX (guard_reclaim_tables());
 *   - what a guest writes there it may read back for GUARD_EXPIRY_NS, never later, never in memory
 *     that is given to it later, and no device ever sees it;
 *   - violations are answered at most every 0.1 ms on average: an attack costs the host and the
 *     guest's other vCPUs little;
 *   - at least one event is counted per chunk read and per page written in a chunk's lifetime, and
 *     no more than accesses, but for those whose vCPU does not run between the answer and its end:
 *     they come again.
 *
 * Why khugepaged matters: on Linux 6.1 it fills a partly populated huge page of a registered range
 * with zeros, and no access there raises an event again. So armed memory is MADV_NOHUGEPAGE from
 * before its discard until it is given again.
 *
 * Threads: those of one range of a region are serialised by its owner (elastic.h); counters and
 * its status may be asked from any thread. Locks: all state is under one mutex, a leaf: whoever holds it
 * takes no other lock and makes no KVM ioctl, since a vCPU that waits for an answer holds KVM's.
 */
#ifndef EBB_MEMORY_GUARD_H
#define EBB_MEMORY_GUARD_H

#include "vmm/base/clock.h"
#include "vmm/memory/chunk_ring.h"
#include "vmm/memory/ram.h"

#define GUARD_EXPIRY_NS (50 * NS_PER_MS)
/* Page tables of 4 KiB that violations may leave behind before they are to be reclaimed. */
#define GUARD_TABLES_MAX 256u

struct guard;
struct guard_region;

/*
 * Opens userfaultfd, so after the last fork. STATUS_FD: an eventfd of the caller, raised after
 * something happened that guard_take_status() tells. Errors of uffd_open().
 */
int must_check guard_new(struct guard **out, int *status_fd);
/* The same, from the device UFFD_PATH (see uffd_open()). */
int must_check guard_new_from(struct guard **out, const char *uffd_path, int *status_fd);
/*
 * Puts all of RAM under guard, armed. RAM outlives the guard. Before guard_start().
 * 0 or -errno, logged.
 */
int must_check guard_add(struct guard *g, struct guard_region **out, struct ram *ram);
/* Starts the thread. */
int must_check guard_start(struct guard *g);
/*
 * Ends the thread and closes userfaultfd: whoever waits goes on, from then on nothing is guarded.
 * No vCPU may enter the guest any more.
 */
void guard_stop(struct guard *g);
/* Stops it first if need be. NULL is fine. */
void guard_free(struct guard *g);

/*
 * Arms a range of whole RAM_HUGE_BYTES that is not: accesses to what is missing there are
 * violations. The caller discards the range next, before it calls it given back. -ENOMEM and other
 * errors of the host, logged at a limited rate: nothing has changed.
 */
int must_check guard_arm(struct guard_region *r, uint64_t offset, uint64_t bytes);
/*
 * The reverse: takes away what violations left in the range, all of it when DISCARD, and makes it
 * lawful memory that can be mapped by huge pages again. Parts that are not armed stay as they are.
 * On error (logged at a limited rate) it is armed as before.
 */
int must_check guard_disarm(struct guard_region *r, uint64_t offset, uint64_t bytes, bool discard);
/* What is armed and what is given back are not the same any more: guard_take_status() says broken. */
void guard_give_up(struct guard *g);
/* Reads of armed memory are lawful (no VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE): counted apart. */
void guard_set_reads_lawful(struct guard_region *r, bool lawful);
/* An access to armed memory that the guard's userfaultfd did not see: it never reached memory. */
void guard_refused(struct guard_region *r, uint64_t offset, bool is_write);

/*
 * Frees the page tables that violations left behind, and all chunks. No vCPU may run meanwhile.
 * -errno (logged): the guard is broken, no vCPU may run any more.
 */
int must_check guard_reclaim_tables(struct guard *g);

struct guard_counts {
	uint64_t reads, writes;			/* violations that were contained */
	uint64_t refused_reads, refused_writes; /* violations that reached no memory: exact */
	uint64_t lawful_reads;
};
static inline uint64_t guard_violations(const struct guard_counts *c)
{
	return c->reads + c->writes + c->refused_reads + c->refused_writes;
}

struct guard_info {
	struct guard_counts counts;
	uint64_t last_offset; /* of the latest violation */
	uint32_t last_tid;    /* of the thread that made it; 0 when refused */
	bool reads_lawful;
};
struct guard_info guard_info(struct guard_region *r);
/* Violations in a range of whole RAM_HUGE_BYTES, contained and refused. */
void guard_range_counts(struct guard_region *r, uint64_t offset, uint64_t bytes, uint64_t *reads,
			uint64_t *writes);

struct guard_status {
	int error;  /* -errno: the guard can't answer at the moment */
	int broken; /* -errno: some memory is not guarded as it should be, for good */
	unsigned int nr_chunks, nr_tables;
	unsigned int nr_splits; /* borders between armed and lawful memory: so many mappings more */
	uint64_t nr_answers, busy_ns; /* events answered, and time spent on them */
};
/* A snapshot. */
struct guard_status guard_peek(struct guard *g);
/* The same, and the next happening raises the eventfd again. */
struct guard_status guard_take_status(struct guard *g);
/* True when an access has waited from the call before this one (at least a second ago) to this one:
 * the thread is dead or does not run. */
bool guard_is_stuck(struct guard *g, uint64_t now_ns);

#endif
