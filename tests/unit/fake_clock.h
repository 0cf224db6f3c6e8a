/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_clock.h - a loop's time in the hand of a test. It stands while the test does something, and
 * where a loop would sleep until its next timer, time is there at once. So a verdict hangs on no
 * machine's speed. Not for loops that wait for a worker's thread: they would not wait for it.
 */
#ifndef EBB_TESTS_FAKE_CLOCK_H
#define EBB_TESTS_FAKE_CLOCK_H

#include "vmm/base/clock.h"
#include "vmm/base/loop.h"

struct fake_clock {
	struct loop_clock clock;
	uint64_t now_ns;
	uint64_t look_ns;      /* passes each time that somebody looks; 0 at first */
	unsigned int nr_waits; /* for a descriptor or the next timer */
};

/* From now on LOOP goes by CLOCK, which shows some time long after the host's start. */
void fake_clock_init(struct fake_clock *clock, struct loop *loop);
/* Runs LOOP for NS of its time: all that is due within it is done, in order. */
void fake_clock_run(struct fake_clock *clock, struct loop *loop, uint64_t ns);

#endif
