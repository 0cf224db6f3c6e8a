/* SPDX-License-Identifier: Apache-2.0 */
/* huge_scan.c - huge pages for all of the machine's memory. */
#include "vmm/machine/huge_scan.h"

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

#define PERIOD_MIN_NS NS_PER_S
#define PERIOD_MAX_NS (10 * NS_PER_S)
/* Of one turn of the loop, and the rest after it: in units of what it took, and at least. */
#define TURN_NS (2 * NS_PER_MS)
#define REST_FACTOR 10
#define REST_MIN_NS (10 * NS_PER_MS)

static struct huge *region(struct huge_scan *s, unsigned int i)
{
	struct vm_memory *mem = s->env.memory;

	return i ? &mem->elastic[i - 1].elastic.huge : &mem->boot_huge;
}

static uint64_t nr_made(struct huge_scan *s)
{
	uint64_t nr = 0;

	for (unsigned int i = 0; i <= s->env.memory->nr_elastic; i++)
		nr += region(s, i)->nr_scan_made;
	return nr;
}

/* When the next pass begins, after one that has ended. */
static uint64_t end_pass(struct huge_scan *s)
{
	uint64_t made = nr_made(s);

	s->period_ns = made != s->nr_made_before ? PERIOD_MIN_NS :
						   min_u64(2 * s->period_ns, PERIOD_MAX_NS);
	s->nr_made_before = made;
	s->region = 0;
	return s->period_ns;
}

static void on_timer(void *ctx)
{
	struct huge_scan *s = ctx;
	uint64_t start_ns = loop_now(s->env.loop), now = start_ns, rest_ns;

	if (s->env.must_wait(s->env.ctx)) {
		loop_timer_set(s->env.loop, &s->timer, now + PERIOD_MAX_NS);
		return;
	}
	/* What the guest uses again may be huge again. */
	if (!s->region)
		(void)page_ledger_look(s->env.returned, TURN_NS / 2);
	while (s->region <= s->env.memory->nr_elastic && now - start_ns < TURN_NS) {
		if (!huge_scan(region(s, s->region)))
			s->region++;
		now = loop_now(s->env.loop);
	}
	rest_ns = max_u64(REST_FACTOR * (now - start_ns), REST_MIN_NS);
	if (s->region > s->env.memory->nr_elastic)
		rest_ns = max_u64(rest_ns, end_pass(s));
	loop_timer_set(s->env.loop, &s->timer, now + rest_ns);
}

void huge_scan_open(struct huge_scan *s, const struct huge_scan_env *env)
{
	struct vm_memory *mem = env->memory;
	enum huge_mode wanted = mem->env.cfg->huge;

	*s = (struct huge_scan){ .env = *env,
				 .timer = { .fn = on_timer, .ctx = s },
				 .period_ns = PERIOD_MIN_NS };
	if (mem->boot_huge.mode != wanted)
		log_info("--huge=%s: this kernel can't make huge pages, Linux 6.1 can",
			 huge_mode_name(wanted));
	huge_given(&mem->boot_huge, 0, mem->boot.bytes);
	if (mem->boot_huge.mode != HUGE_NEVER)
		loop_timer_set(env->loop, &s->timer, loop_now(env->loop) + PERIOD_MIN_NS);
}

void huge_scan_close(struct huge_scan *s)
{
	if (s->env.loop)
		loop_timer_cancel(s->env.loop, &s->timer);
}

void huge_scan_reset(struct huge_scan *s)
{
	struct vm_memory *mem = s->env.memory;

	huge_discarded(&mem->boot_huge, 0, mem->boot.bytes);
	huge_given(&mem->boot_huge, 0, min_u64(mem->boot.bytes, HUGE_AT_ONCE_BYTES));
	huge_scan_wake(s);
}

void huge_scan_wake(struct huge_scan *s)
{
	uint64_t next = loop_now(s->env.loop) + PERIOD_MIN_NS;

	s->period_ns = PERIOD_MIN_NS;
	if (s->timer.at_ns > next)
		loop_timer_set(s->env.loop, &s->timer, next);
}
