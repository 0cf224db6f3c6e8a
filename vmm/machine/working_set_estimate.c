/* SPDX-License-Identifier: Apache-2.0 */
/* working_set_estimate.c - the host's own estimate of the guest's working set. */
#include "vmm/machine/working_set_estimate.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"

/* Of one turn of the loop, and the rest after it in units of what it took: a tenth of the time. */
#define TURN_NS	    (2 * NS_PER_MS)
#define REST_FACTOR 10

bool estimate_runs(const struct estimate *t) { return t->state != ESTIMATE_IDLE; }

static void end(struct estimate *t, const char *error)
{
	struct working_set_record record = { .source = WORKING_SET_HOST };

	t->state = ESTIMATE_IDLE;
	loop_timer_cancel(t->env.loop, &t->timer);
	access_scan_close(&t->touched);
	if (error)
		snprintf(record.error, sizeof(record.error), "%s", error);
	else
		record.ws = t->ws;
	working_set_store_put(t->env.store, &record);
}

void estimate_end(struct estimate *t, const char *why)
{
	if (estimate_runs(t))
		end(t, why);
}

static void add_bin(struct estimate *t, uint64_t idle_ms, uint64_t bytes)
{
	t->ws.bins[t->ws.nr_bins].idle_ms = idle_ms;
	t->ws.bins[t->ws.nr_bins].anon_bytes = bytes;
	t->ws.nr_bins++;
}

/* From sums to bins of their own; what went back to the host meanwhile is in none. */
static int finish(struct estimate *t)
{
	uint64_t total, before = 0;
	int r = vm_memory_resident(t->env.memory, &total);

	if (r)
		return r;
	add_bin(t, UINT64_MAX, total);
	for (unsigned int i = 0; i < t->ws.nr_bins; i++) {
		uint64_t sum = max_u64(t->ws.bins[i].anon_bytes, before);

		t->ws.bins[i].anon_bytes = sum - before;
		before = sum;
	}
	end(t, NULL);
	return 0;
}

/*
 * The page tables are read so long after they were emptied, each at its turn. With much memory a
 * short time may be over before the sweep is: then it is longer.
 */
static void count_next(struct estimate *t, uint64_t now)
{
	uint64_t late_ms = (now - t->begin_ns) / NS_PER_MS + 1;

	t->state = ESTIMATE_COUNT;
	t->time_ms = max_u64(t->times_ms[t->at], late_ms);
	loop_timer_set(t->env.loop, &t->timer, t->begin_ns + t->time_ms * NS_PER_MS);
}

static int counted(struct estimate *t, uint64_t now)
{
	add_bin(t, t->time_ms, t->touched.bytes);
	if (++t->at == t->nr_times)
		return finish(t);
	count_next(t, now);
	return 0;
}

static void on_timer(void *ctx)
{
	struct estimate *t = ctx;
	uint64_t start_ns = loop_now(t->env.loop), now;
	int r = t->state == ESTIMATE_FORGET ? access_scan_forget(&t->touched, TURN_NS)
					    : access_scan_count(&t->touched, TURN_NS);

	now = loop_now(t->env.loop);
	if (r > 0)
		loop_timer_set(t->env.loop, &t->timer, now + REST_FACTOR * (now - start_ns));
	else if (!r && t->state == ESTIMATE_FORGET)
		count_next(t, now);
	else if (!r)
		r = counted(t, now);
	if (r < 0)
		end(t, strerror(-r));
}

void estimate_open(struct estimate *t, const struct estimate_env *env)
{
	*t = (struct estimate){ .env = *env };
}

int estimate_start(struct estimate *t, const uint32_t *times_ms, unsigned int nr)
{
	int r;

	assert(nr && nr <= ESTIMATE_MAX_TIMES);
	if (estimate_runs(t) || t->env.must_wait(t->env.ctx))
		return -EBUSY;
	*t = (struct estimate){ .env = t->env, .nr_times = nr,
				.timer = { .fn = on_timer, .ctx = t } };
	memcpy(t->times_ms, times_ms, nr * sizeof(*times_ms));
	r = access_scan_open(&t->touched, &t->env.memory->gm);
	if (r)
		return r;
	t->state = ESTIMATE_FORGET;
	t->begin_ns = loop_now(t->env.loop);
	loop_timer_set(t->env.loop, &t->timer, t->begin_ns);
	return 0;
}
