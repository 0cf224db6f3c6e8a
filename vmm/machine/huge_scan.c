/* SPDX-License-Identifier: Apache-2.0 */
/* huge_scan.c - huge pages for all of the machine's memory. */
#include "vmm/machine/huge_scan.h"

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/machine/machine.h"

#define PERIOD_MIN_NS NS_PER_S
#define PERIOD_MAX_NS (10 * NS_PER_S)
/* Of one turn of the loop, and the rest after it: in units of what it took, and at least. */
#define TURN_NS (2 * NS_PER_MS)
#define REST_FACTOR 10
#define REST_MIN_NS (10 * NS_PER_MS)

static struct huge *region(struct machine *m, unsigned int i)
{
	return i ? &m->elastic[i - 1].elastic.huge : &m->huging.boot;
}

static uint64_t nr_made(struct machine *m)
{
	uint64_t nr = 0;

	for (unsigned int i = 0; i <= m->nr_elastic; i++)
		nr += region(m, i)->nr_scan_made;
	return nr;
}

/* When the next pass begins, after one that has ended. */
static uint64_t end_pass(struct machine *m)
{
	struct huging *g = &m->huging;
	uint64_t made = nr_made(m);

	g->period_ns = made != g->nr_made_before ? PERIOD_MIN_NS :
						   min_u64(2 * g->period_ns, PERIOD_MAX_NS);
	g->nr_made_before = made;
	g->region = 0;
	return g->period_ns;
}

static void on_timer(void *ctx)
{
	struct machine *m = ctx;
	struct huging *g = &m->huging;
	uint64_t start_ns = clock_ns(), now = start_ns, rest_ns;

	/* To make a unit huge is to touch it. */
	if (touching_runs(m)) {
		loop_timer_set(m->loop, &g->timer, now + PERIOD_MAX_NS);
		return;
	}
	/* What the guest uses again may be huge again. */
	if (!g->region)
		(void)returned_look(&m->ballooning.returned, TURN_NS / 2);
	while (g->region <= m->nr_elastic && now - start_ns < TURN_NS) {
		if (!huge_scan(region(m, g->region)))
			g->region++;
		now = clock_ns();
	}
	rest_ns = max_u64(REST_FACTOR * (now - start_ns), REST_MIN_NS);
	if (g->region > m->nr_elastic)
		rest_ns = max_u64(rest_ns, end_pass(m));
	loop_timer_set(m->loop, &g->timer, now + rest_ns);
}

int huging_start(struct machine *m)
{
	struct huging *g = &m->huging;
	int r = huge_init(&g->boot, m->cfg->huge, &m->boot_ram, NULL);

	if (r)
		return r;
	if (g->boot.mode != m->cfg->huge)
		log_info("--huge=%s: this kernel can't make huge pages, Linux 6.1 can",
			 huge_mode_name(m->cfg->huge));
	g->timer = (struct loop_timer){ .fn = on_timer, .ctx = m };
	huge_given(&g->boot, 0, m->boot_ram.bytes);
	g->period_ns = PERIOD_MIN_NS;
	if (g->boot.mode != HUGE_NEVER)
		loop_timer_set(m->loop, &g->timer, clock_ns() + PERIOD_MIN_NS);
	return 0;
}

void huging_close(struct machine *m) { huge_destroy(&m->huging.boot); }

void huging_reset(struct machine *m)
{
	struct huging *g = &m->huging;

	huge_discarded(&g->boot, 0, m->boot_ram.bytes);
	huge_given(&g->boot, 0, min_u64(m->boot_ram.bytes, HUGE_AT_ONCE_BYTES));
	huging_wake(m);
}

void huging_wake(struct machine *m)
{
	struct huging *g = &m->huging;
	uint64_t next = clock_ns() + PERIOD_MIN_NS;

	g->period_ns = PERIOD_MIN_NS;
	if (g->timer.at_ns > next)
		loop_timer_set(m->loop, &g->timer, next);
}
