/* SPDX-License-Identifier: Apache-2.0 */
/*
 * working_sets.h - the last working set of each of a guest's nodes, by its own word, and beside them
 * what the host sees of the whole from outside. Pure.
 */
#ifndef EBB_MEMORY_WORKING_SETS_H
#define EBB_MEMORY_WORKING_SETS_H

#include "vmm/base/types.h"

#define WORKING_SET_BINS 32
#define WORKING_SETS_MAX_NODES 8
#define WORKING_SET_ERROR_BYTES 64 /* with a NUL */

/* How much of a node's memory lay idle for how long. */
struct working_set {
	uint32_t node;
	uint32_t error; /* errno of a request that failed; 0 */
	unsigned int nr_bins;
	struct {
		uint64_t idle_ms; /* idle for less; the last one UINT64_MAX */
		uint64_t anon_bytes, file_bytes; /* of this bin alone */
	} bins[WORKING_SET_BINS];
};

/* Who says so. */
enum working_set_source {
	WORKING_SET_BALLOON, /* the guest's kernel, by the queues proposed for the balloon */
	WORKING_SET_MGLRU,   /* its agent, from the kernel's generations */
	WORKING_SET_LRU,     /* its agent, which knows no ages: active and inactive pages */
	WORKING_SET_HOST,    /* estimated from outside */
	WORKING_SET_NR_SOURCES,
};
#define WORKING_SET_SOURCES "balloon|mglru|lru|host"
const char *working_set_source_name(enum working_set_source source);

struct working_set_record {
	uint64_t at_s; /* when it came, time of day, seconds; 0: there is none */
	enum working_set_source source;
	char error[WORKING_SET_ERROR_BYTES]; /* why it has no bins, in words; "": it has */
	struct working_set ws;
};

/* Zeroed memory: none are known. */
struct working_sets {
	struct working_set_record node[WORKING_SETS_MAX_NODES];
	struct working_set_record host; /* of all nodes */
};

/*
 * Takes the place of what was known of that node or, of the host's, from outside. Where it is kept;
 * NULL: nodes of such numbers are not.
 */
const struct working_set_record *working_sets_put(struct working_sets *w,
						  const struct working_set_record *record,
						  uint64_t at_s);

#endif
