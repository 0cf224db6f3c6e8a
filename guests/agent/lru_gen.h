/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lru_gen.h - the multi-gen LRU by its file in debugfs (Linux,
 * Documentation/admin-guide/mm/multigen_lru.rst): generations of pages with their ages, new ones on
 * command, eviction of old ones on command.
 */
#ifndef EBB_AGENT_LRU_GEN_H
#define EBB_AGENT_LRU_GEN_H

#include "guests/agent/base.h"

/* The kernel has at most this many, and evicts none of the two youngest. */
#define LRU_GENS       4
#define LRU_GENS_YOUNG 2

struct lru_gen {
	int read, write; /* -1: there is none */
};

/* The generations of one cgroup on one node, oldest first. */
struct lru_list {
	uint64_t cgroup, node;
	unsigned int nr;
	struct {
		uint64_t seq, age_ms; /* its number; since it began */
		uint64_t anon_pages, file_pages;
	} gen[LRU_GENS];
};

/* Switches the multi-gen LRU on where it is off, mounts debugfs for this process where it isn't.
 * False: the kernel has none, or keeps it from us. */
bool lru_gen_open(struct lru_gen *l, const char *root);

/* Each list, as of now; -errno. FN may call the two below. */
int lru_gen_each(const struct lru_gen *l, void (*fn)(void *ctx, const struct lru_list *list),
		 void *ctx);
/* Begins a new generation; whatever was used since the last one is young. Walks page tables. 0 or
 * -errno. */
int lru_gen_age(const struct lru_gen *l, const struct lru_list *list);
/* Evicts clean page cache of generation SEQ and older ones, at most PAGES. 0 or -errno, also when
 * nothing went. */
int lru_gen_evict(const struct lru_gen *l, const struct lru_list *list, uint64_t seq,
		  uint64_t pages);

/* Pages of page cache that can be evicted: they are in no young generation. */
uint64_t lru_list_cold(const struct lru_list *list);

#endif
