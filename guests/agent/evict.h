/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict.h - page cache that is clean and was not used for longer than the host says goes, while
 * nothing waits for memory. By generations of the multi-gen LRU; without one by memory.reclaim of
 * the root cgroup, out of the inactive list.
 *
 * Every quarter of the age the lists are looked at. What was cold for four quarters goes, in small
 * pieces with pauses between, then a new generation begins. The first step takes little, each one
 * that nobody minded four times as much: Linux knows page cache that is read again and again only
 * by its refaults, so some of it has to go before the rest is kept. When much of what went is read
 * again the amount is halved and the waiting doubles.
 */
#ifndef EBB_AGENT_EVICT_H
#define EBB_AGENT_EVICT_H

#include "guests/agent/cold.h"
#include "guests/agent/lru_gen.h"
#include "guests/agent/memory.h"
#include "guests/agent/psi.h"

#define EVICT_LISTS 64 /* further ones (cgroups times nodes) are left alone */

struct evict_list {
	uint64_t cgroup, node;
	struct cold cold;
	bool seen;
	uint64_t todo;	     /* pages that shall go in this step */
	uint64_t seq, pages; /* asked of this generation, which had so many */
	bool asked;
};

struct evict {
	const struct lru_gen *gens;
	int reclaim;	    /* memory.reclaim; -1: none */
	bool no_swappiness; /* the kernel's memory.reclaim does not know the word */

	uint64_t age_ms;  /* 0: nothing goes */
	uint64_t next_ms; /* when something is to be done; 0: never */
	uint64_t step_ms; /* when the next step begins */
	bool stepping;

	uint64_t window, room;	  /* bytes that may go in a step; still in this one */
	unsigned int pause, wait; /* steps to leave out after the next hurt; now */
	uint64_t evicted;	  /* bytes since the agent's start */
	uint64_t evicted_before;  /* at the last step, as the three below */
	uint64_t refault_before, some_before, at_before;

	unsigned int nr;
	struct evict_list lists[EVICT_LISTS];
};

/* False: the kernel has neither of both. GENS must outlive E. */
bool evict_open(struct evict *e, const struct lru_gen *gens, const char *root);
void evict_age(struct evict *e, uint64_t age_s, uint64_t now);
/* Does what is due; reads M and PSI anew for it. */
void evict_run(struct evict *e, const struct memory_files *files, struct memory *m, struct psi *psi,
	       uint64_t now);

#endif
