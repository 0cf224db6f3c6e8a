/* SPDX-License-Identifier: Apache-2.0 */
/*
 * working_set.h - how much of the guest's memory lay idle for how long, by node: of the multi-gen
 * LRU's generations, summed over all cgroups, or, without one, of the active and inactive lists.
 */
#ifndef EBB_AGENT_WORKING_SET_H
#define EBB_AGENT_WORKING_SET_H

#include "guests/agent/lru_gen.h"

#define WORKING_SET_NODES 16 /* what further ones have is left out */
/* Idle for less than 1 s, 2 s, 4 s and so on; the last bin has no end. */
#define WORKING_SET_BINS 18

struct working_set {
	bool ages;	      /* false: bin 0 is the active lists, bin 1 the inactive ones */
	uint64_t youngest_ms; /* of the generations */
	unsigned int nr_nodes;
	struct working_set_node {
		uint64_t node;
		unsigned int nr_bins;
		struct {
			uint64_t anon, file; /* bytes */
		} bins[WORKING_SET_BINS];
	} nodes[WORKING_SET_NODES];
};

/* The kernel's /proc/zoneinfo, for kernels without generations; -errno. */
int working_set_open(const char *root);
/* 0, or -errno: the kernel tells neither. */
int working_set_read(struct working_set *w, const struct lru_gen *gens, int zoneinfo);
/* The upper end of a bin; the last one has none. */
uint64_t working_set_idle_ms(unsigned int bin);

#endif
