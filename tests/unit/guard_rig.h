/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard_rig.h - the real guard over real memory; threads of the test play the vCPUs, which to
 * userfaultfd is all the same. How long things take is up to the machine: each wait is for something
 * to happen, and ends without it only when it hangs.
 */
#ifndef EBB_TESTS_GUARD_RIG_H
#define EBB_TESTS_GUARD_RIG_H

#include <pthread.h>

#include "vmm/memory/guard_state.h"

#define PAGE  (4 * KiB)
#define CHUNK CHUNK_BYTES
#define UNIT  UNIT_BYTES

struct guard_rig {
	int status_fd;
	struct guard *g;
	struct ram ram;
	struct guard_region *r;
};

/* A region of BYTES, all armed, and a guard that runs. */
void guard_rig_init(struct guard_rig *rig, uint64_t bytes);
/* Twice is fine. */
void guard_rig_destroy(struct guard_rig *rig);
uint64_t guard_rig_violations(const struct guard_rig *rig);
/* Gives memory to the guest and takes it, as plug and unplug do; must succeed. */
void guard_rig_disarm(struct guard_rig *rig, uint64_t offset, uint64_t bytes);
void guard_rig_arm(struct guard_rig *rig, uint64_t offset, uint64_t bytes);

/* As a vCPU does, past every check of ours. */
static inline uint64_t vcpu_read(const struct ram *ram, uint64_t offset)
{
	return *(volatile uint64_t *)((char *)ram->host + offset);
}
static inline void vcpu_write(const struct ram *ram, uint64_t offset, uint64_t value)
{
	*(volatile uint64_t *)((char *)ram->host + offset) = value;
}

uint64_t resident(const struct ram *ram);
/* Whether nothing is left of RAM (of the guard's chunks) in the end. */
bool becomes_empty(const struct ram *ram);
void sleep_ms(unsigned int ms);
/* Whether *FLAG (atomic) becomes that in the end. */
bool becomes_true(const bool *flag);
bool becomes_false(const bool *flag);
/* Whether the guard comes to have an error, or none, in the end. */
bool guard_rig_has_error(const struct guard_rig *rig, bool wanted);
/* Mappings of this process that lie in RAM's. */
unsigned int nr_mappings(const struct ram *ram);
/* Whether this kernel makes huge pages of shared memory when asked. */
bool can_collapse(void);

/* Whether an access comes to wait for the guard's thread in the end; the test holds the
 * lock. */
bool access_waits(const struct guard_rig *rig);

/* From now on every discard fails (the descriptor can't be written to): what to restore. */
int host_refuses(struct ram *ram);
void host_obeys(struct ram *ram, int restore);

/* A thread that uses random pages of a range until it is told to stop. */
struct hammer {
	const struct ram *ram;
	uint64_t offset, bytes;
	bool reads; /* else it writes: 1, 2, 3 ... */
	unsigned int seed;
	pthread_t thread;
	bool stop;	   /* atomic */
	uint64_t nr_done;  /* accesses that are over; atomic */
	uint64_t nr_wrong; /* words read that no thread can have written */
};

void hammer_start(struct hammer *h);
uint64_t hammer_done(const struct hammer *h);
/* Whether it gets anything done in the end. */
bool hammer_gets_on(const struct hammer *h);
/* False: it hangs. */
bool hammer_stop(struct hammer *h);

/* A thread that makes one access; DONE (atomic) is set afterwards. */
struct access {
	const struct ram *ram;
	uint64_t offset, value; /* written, or what was read */
	bool is_write, done;
	pthread_barrier_t *barrier; /* first, if not NULL */
	pthread_t thread;
};

void access_start(struct access *a);
/* False: it hangs. */
bool access_end(struct access *a);

#endif
