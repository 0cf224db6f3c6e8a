/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shortage.h - when the guest asks for memory, and for how much. Pure: figures and the monotonic
 * time go in.
 *
 * A guest without page cache and swap is out of memory at the first stall, or before. So what is
 * available is watched, the more often the less there is, and memory is asked for when what is left
 * would be used before more could arrive, at the rate at which it is being used.
 */
#ifndef EBB_AGENT_SHORTAGE_H
#define EBB_AGENT_SHORTAGE_H

#include "guests/agent/memory.h"

struct shortage {
	uint64_t at_ms;			 /* the last look that counted; 0: none yet */
	uint64_t used, total, available; /* as they were then */
	uint64_t rate;			 /* bytes a second by which the use grows */
	uint64_t horizon_ms; /* from a need to memory that can be used, as it was lately */

	uint64_t asked_ms, asked_total; /* the need that nothing has come of yet; 0: none */
	uint64_t next_need_ms;		/* not before */
	uint64_t wait_ms;		/* between needs; grows while the host gives nothing */
	uint64_t need_ms;		/* the last need */

	uint64_t spare_ms; /* the last time that something was offered */
};

void shortage_init(struct shortage *s);
/* How it stands. STALLED: something waited for memory just now. The bytes that are needed, at least
 * 32 MiB, or 0. */
uint64_t shortage_look(struct shortage *s, const struct memory *m, bool stalled, uint64_t now);
/* The need was said to the host; its answer: GRANTED bytes, SOON: it is worth asking again soon. */
void shortage_asked(struct shortage *s, const struct memory *m, uint64_t now);
void shortage_answered(struct shortage *s, uint64_t granted, bool soon, uint64_t now);
/* The bytes to offer, or 0. */
uint64_t shortage_spare(struct shortage *s, const struct memory *m, uint64_t now);
/* The time until the next look, in ms, at most LIMIT. */
uint64_t shortage_period(const struct shortage *s, const struct memory *m, uint64_t limit);

#endif
