/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cold.h - how much of a list of pages has been in it for so long. Pages enter at one end and leave
 * at the other; the kernel says how many there are, and nothing about each. What was in the list a
 * while ago and has not left since is at least as old as that. Pure.
 */
#ifndef EBB_AGENT_COLD_H
#define EBB_AGENT_COLD_H

#include "guests/agent/base.h"

#define COLD_STEPS 4 /* of the age that is looked for */

struct cold {
	uint64_t left;			  /* pages that have left at the old end */
	uint64_t entered[COLD_STEPS + 1]; /* pages that had ever entered, at the last steps */
	unsigned int steps;
};

/* A step is over; PAGES are in the list. */
void cold_step(struct cold *c, uint64_t pages);
/* PAGES have left at the old end. */
void cold_left(struct cold *c, uint64_t pages);
/* So many of PAGES, which are in the list now, came COLD_STEPS or more ago. */
uint64_t cold_old(const struct cold *c, uint64_t pages);

#endif
