/* SPDX-License-Identifier: Apache-2.0 */
/* shortage.c - when the guest asks for memory, and for how much. */
#include "guests/agent/shortage.h"

/* What should be available at least: this, or a part of all there is. */
#define FLOOR_BYTES   (32 * MiB)
#define FLOOR_DIVISOR 16
#define NEED_BYTES    (32 * MiB)

/* Use that comes out of nothing is noticed before half of what is available is gone, up to half a
 * GiB a second; what is faster is left to the stalls. */
#define FASTEST_RATE GiB
#define PERIOD_MS    20
/* A rate is measured over this at least, and forgotten within the other. */
#define RATE_MS	  40
#define FORGET_MS 500

#define HORIZON_MS     500 /* until one was measured */
#define HORIZON_MIN_MS 100
#define HORIZON_MAX_MS 3000
/* So much more is something that has come. */
#define ARRIVED_BYTES (8 * MiB)

#define NEED_MS	    100
#define NEED_MAX_MS 5000

/* An offer is worth a message, after so long without a need, and so often. */
#define SPARE_BYTES   (64 * MiB)
#define SPARE_CALM_MS 3000
#define SPARE_MS      2000
#define SPARE_RATE    MiB /* the use may grow by so much a second */

void shortage_init(struct shortage *s)
{
	*s = (struct shortage){ .horizon_ms = HORIZON_MS, .wait_ms = NEED_MS };
}

static uint64_t floor_bytes(const struct memory *m)
{
	return max_u64(FLOOR_BYTES, m->total / FLOOR_DIVISOR);
}

static void measure(struct shortage *s, const struct memory *m, uint64_t now)
{
	uint64_t span = now - s->at_ms, faded = s->rate * min_u64(span, FORGET_MS) / FORGET_MS;

	if (s->at_ms && span < RATE_MS)
		return;
	if (s->at_ms)
		s->rate = max_u64(over(m->used, s->used) * 1000 / span, s->rate - faded);
	s->at_ms = now;
	s->used = m->used;
}

static void arrival(struct shortage *s, const struct memory *m, uint64_t now)
{
	uint64_t took = now - s->asked_ms;

	if (!s->asked_ms || m->total < s->asked_total + ARRIVED_BYTES)
		return;
	/* It may take longer than last time, and a slow one is not forgotten at once. */
	s->horizon_ms = max_u64(took + took / 2, s->horizon_ms - s->horizon_ms / 8);
	s->horizon_ms = min_u64(max_u64(s->horizon_ms, HORIZON_MIN_MS), HORIZON_MAX_MS);
	s->asked_ms = 0;
	s->wait_ms = NEED_MS;
}

uint64_t shortage_look(struct shortage *s, const struct memory *m, bool stalled, uint64_t now)
{
	uint64_t least = floor_bytes(m), ahead;

	measure(s, m, now);
	arrival(s, m, now);
	if (now < s->next_need_ms)
		return 0;
	ahead = s->rate * s->horizon_ms / 1000;
	/* Stalls while much is available are not for want of memory: disks, limits of cgroups. */
	if (m->available >= least + ahead && !(stalled && m->available < 4 * least))
		return 0;
	return max_u64(NEED_BYTES, over(least + 2 * ahead, m->available));
}

void shortage_asked(struct shortage *s, const struct memory *m, uint64_t now)
{
	if (!s->asked_ms) {
		s->asked_ms = now;
		s->asked_total = m->total;
	}
	s->need_ms = now;
	s->next_need_ms = now + s->wait_ms;
}

void shortage_answered(struct shortage *s, uint64_t granted, bool soon, uint64_t now)
{
	if (granted || soon)
		s->wait_ms = NEED_MS;
	else
		s->wait_ms = min_u64(2 * s->wait_ms, NEED_MAX_MS);
	if (!granted)
		s->asked_ms = 0; /* nothing is on its way whose time could be taken */
	s->next_need_ms = now + s->wait_ms;
}

uint64_t shortage_spare(struct shortage *s, const struct memory *m, uint64_t now)
{
	uint64_t spare = over(min_u64(m->free, m->available), 2 * floor_bytes(m));

	if (spare < SPARE_BYTES || s->rate > SPARE_RATE || now < s->need_ms + SPARE_CALM_MS ||
	    now < s->spare_ms + SPARE_MS)
		return 0;
	s->spare_ms = now;
	return spare;
}

uint64_t shortage_period(const struct shortage *s, const struct memory *m, uint64_t limit)
{
	uint64_t period = m->available * 1000 / FASTEST_RATE;

	if (s->rate)
		period = min_u64(period, m->available * 1000 / s->rate / 8);
	return min_u64(max_u64(period, PERIOD_MS), limit);
}
