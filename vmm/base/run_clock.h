/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_clock.h - the monotonic time without the pauses of a VM: nobody is late, or was calm for long,
 * because his VM stood. NOW_NS is the monotonic time. Pure.
 */
#ifndef EBB_BASE_RUN_CLOCK_H
#define EBB_BASE_RUN_CLOCK_H

#include "vmm/base/types.h"

/* Zeroed memory goes. */
struct run_clock {
	uint64_t stood_ns;	/* in all pauses that are over */
	uint64_t stopped_at_ns; /* monotonic; 0: it goes */
};

static inline uint64_t run_clock_ns(const struct run_clock *c, uint64_t now_ns)
{
	return (c->stopped_at_ns ? c->stopped_at_ns : now_ns) - c->stood_ns;
}

/* The monotonic time at which a clock that goes on says AT_NS. */
static inline uint64_t run_clock_monotonic_ns(const struct run_clock *c, uint64_t at_ns)
{
	return at_ns + c->stood_ns;
}

static inline void run_clock_stop(struct run_clock *c, uint64_t now_ns)
{
	if (!c->stopped_at_ns)
		c->stopped_at_ns = now_ns;
}

static inline void run_clock_go(struct run_clock *c, uint64_t now_ns)
{
	if (c->stopped_at_ns)
		c->stood_ns += now_ns - c->stopped_at_ns;
	c->stopped_at_ns = 0;
}

#endif
