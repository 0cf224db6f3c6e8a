/* SPDX-License-Identifier: Apache-2.0 */
/* working_set_estimate.c - the host's own estimate of the guest's working set. */
#include "vmm/machine/working_set_estimate.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/working_set.h"

/* Of one turn of the loop, and the rest after it in units of what it took: a tenth of the time. */
#define TURN_NS	    (2 * NS_PER_MS)
#define REST_FACTOR 10

bool touching_runs(const struct machine *m) { return m->touching.state != TOUCHING_IDLE; }

static void end(struct machine *m, const char *error)
{
	struct working_set_record record = { .source = WORKING_SET_HOST };
	struct touching *t = &m->touching;

	t->state = TOUCHING_IDLE;
	loop_timer_cancel(m->loop, &t->timer);
	touched_close(&t->touched);
	if (error)
		snprintf(record.error, sizeof(record.error), "%s", error);
	else
		record.ws = t->ws;
	commands_working_set(m, &record);
}

void touching_end(struct machine *m, const char *why)
{
	if (touching_runs(m))
		end(m, why);
}

static void add_bin(struct touching *t, uint64_t idle_ms, uint64_t bytes)
{
	t->ws.bins[t->ws.nr_bins].idle_ms = idle_ms;
	t->ws.bins[t->ws.nr_bins].anon_bytes = bytes;
	t->ws.nr_bins++;
}

static int resident(const struct machine *m, uint64_t *total)
{
	uint64_t bytes;
	int r = ram_resident(&m->boot_ram, total);

	for (unsigned int i = 0; i < m->nr_elastic && !r; i++) {
		r = ram_resident(&m->elastic[i].elastic.ram, &bytes);
		*total += bytes;
	}
	return r;
}

/* From sums to bins of their own; what went back to the host meanwhile is in none. */
static int finish(struct machine *m)
{
	struct touching *t = &m->touching;
	uint64_t total, before = 0;
	int r = resident(m, &total);

	if (r)
		return r;
	add_bin(t, UINT64_MAX, total);
	for (unsigned int i = 0; i < t->ws.nr_bins; i++) {
		uint64_t sum = max_u64(t->ws.bins[i].anon_bytes, before);

		t->ws.bins[i].anon_bytes = sum - before;
		before = sum;
	}
	end(m, NULL);
	return 0;
}

/*
 * The page tables are read so long after they were emptied, each at its turn. With much memory a
 * short time may be over before the sweep is: then it is longer.
 */
static void count_next(struct machine *m, uint64_t now)
{
	struct touching *t = &m->touching;
	uint64_t late_ms = (now - t->begin_ns) / NS_PER_MS + 1;

	t->state = TOUCHING_COUNT;
	t->time_ms = max_u64(t->times_ms[t->at], late_ms);
	loop_timer_set(m->loop, &t->timer, t->begin_ns + t->time_ms * NS_PER_MS);
}

static int counted(struct machine *m, uint64_t now)
{
	struct touching *t = &m->touching;

	add_bin(t, t->time_ms, t->touched.bytes);
	if (++t->at == t->nr_times)
		return finish(m);
	count_next(m, now);
	return 0;
}

static void on_timer(void *ctx)
{
	struct machine *m = ctx;
	struct touching *t = &m->touching;
	uint64_t start_ns = clock_ns(), now;
	int r = t->state == TOUCHING_FORGET ? touched_forget(&t->touched, TURN_NS)
					    : touched_count(&t->touched, TURN_NS);

	now = clock_ns();
	if (r > 0)
		loop_timer_set(m->loop, &t->timer, now + REST_FACTOR * (now - start_ns));
	else if (!r && t->state == TOUCHING_FORGET)
		count_next(m, now);
	else if (!r)
		r = counted(m, now);
	if (r < 0)
		end(m, strerror(-r));
}

static bool reclaim_runs(const struct machine *m)
{
	struct balloon_info info;

	if (!m->ballooning.balloon)
		return false;
	balloon_info(m->ballooning.balloon, &info);
	return info.reclaim.state == RECLAIM_RUNNING;
}

int touching_start(struct machine *m, const uint32_t *times_ms, unsigned int nr)
{
	struct touching *t = &m->touching;
	int r;

	assert(nr && nr <= TOUCHING_MAX_TIMES);
	if (touching_runs(m) || reclaim_runs(m) || m->state != MACHINE_RUNNING)
		return -EBUSY;
	*t = (struct touching){ .nr_times = nr, .timer = { .fn = on_timer, .ctx = m } };
	memcpy(t->times_ms, times_ms, nr * sizeof(*times_ms));
	r = touched_open(&t->touched, &m->gm);
	if (r)
		return r;
	t->state = TOUCHING_FORGET;
	t->begin_ns = clock_ns();
	loop_timer_set(m->loop, &t->timer, t->begin_ns);
	return 0;
}
