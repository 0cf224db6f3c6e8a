/* SPDX-License-Identifier: Apache-2.0 */
/* violations.c - what the machine does about accesses to memory that a guest gave back. */
#include "vmm/machine/violations.h"

#include <errno.h>
#include <sys/epoll.h>

#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/monitor.h"

#define TICK_NS NS_PER_S
/* A guest under attack by itself takes no more of the loop than one look in so long. */
#define LOOK_NS (50 * NS_PER_MS)
/*
 * The access that stopped the VM was answered, but not made: the vCPU makes it when it goes on, by
 * then perhaps without an answer again. So long after `cont` violations are contained only.
 */
#define LENIENT_NS NS_PER_S

#define UNGUARDED "memory that was given back can't be guarded any more"
static const char unguarded[] = UNGUARDED;

/* --- trouble ----------------------------------------------------------------------------------- */

static void stop_for(struct machine *m, const char *trouble)
{
	if (m->guarding.trouble == trouble && m->state != MACHINE_RUNNING)
		return;
	m->guarding.trouble = trouble;
	log_error("guard: %s; the VM is paused", trouble);
	machine_pause(m);
	commands_guard_error(m, trouble);
}

/* Needs all vCPUs out of the guest: only then can nobody slip in between. */
static void reclaim_tables(struct machine *m)
{
	bool running = m->state == MACHINE_RUNNING;
	bool parked = !running || vcpus_pause(m->vcpus);

	if (parked && guard_reclaim_tables(m->guarding.guard)) {
		m->guarding.broken = true;
		stop_for(m, unguarded);
		return;
	}
	m->guarding.nr_reclaims += parked;
	if (running)
		vcpus_resume(m->vcpus);
}

/* --- violations -------------------------------------------------------------------------------- */

/* True when the machine has had to stop. */
static bool punish(struct machine *m, const char *id, uint64_t new_violations)
{
	switch (m->guarding.policy) {
	case VIOLATION_CONTAIN:
		log_guest("the guest used memory of %s that it gave back: %llu accesses contained",
			  id, (unsigned long long)new_violations);
		return false;
	case VIOLATION_PAUSE:
		if (loop_now(m->loop) < m->guarding.lenient_until_ns)
			return false;
		stop_for(m, "the guest used memory that it gave back (--violation=pause)");
		return true;
	default:
		log_error("the guest used memory of %s that it gave back; the VM ends "
			  "(--violation=kill)", id);
		machine_end(m, EXIT_VIOLATION, true, "guest-panic");
		return true;
	}
}

static void look_at_violations(struct machine *m)
{
	for (unsigned int i = 0; i < m->nr_elastic; i++) {
		struct guard_info info = guard_info(m->elastic[i].elastic.guarded);
		uint64_t all = guard_violations(&info.counts);
		uint64_t new_violations = all - m->guarding.seen[i];

		if (!new_violations)
			continue;
		m->guarding.seen[i] = all;
		m->guarding.check_ledger = true;
		commands_violation(m, &m->elastic[i], &info);
		if (punish(m, m->cfg->elastic[i].id, new_violations))
			return;
	}
}

static void look(struct machine *m)
{
	struct guard_news news = guard_news(m->guarding.guard);

	m->guarding.looked_ns = loop_now(m->loop);
	if (news.broken) {
		m->guarding.broken = true;
		stop_for(m, unguarded);
		return;
	}
	if (news.error) {
		stop_for(m, "the host has no memory to answer an access to memory that was given "
			    "back");
		return;
	}
	if (news.nr_tables > GUARD_TABLES_MAX)
		reclaim_tables(m);
	look_at_violations(m);
}

/* The first news at once, those after it together. */
static void on_news(void *ctx, uint32_t events)
{
	struct machine *m = ctx;
	uint64_t next = m->guarding.looked_ns + LOOK_NS;

	(void)events;
	if (!event_taken(m->guarding.news_fd))
		return;
	if (loop_now(m->loop) >= next)
		look(m);
	else
		loop_timer_set(m->loop, &m->guarding.later, next);
}

static void on_later(void *ctx) { look(ctx); }

/* --- upkeep ------------------------------------------------------------------------------------ */

/* Counted run by run while violations go on: what moves may count twice, but not every time. */
#define LEDGER_LOOKS 3

static uint64_t overhang(const struct machine *m)
{
	uint64_t sum = 0, bytes;

	for (unsigned int i = 0; i < m->nr_elastic; i++)
		if (!elastic_overhang(&m->elastic[i].elastic, &bytes))
			sum += bytes;
	return sum;
}

/* The host is asked, not believed. */
static void check_ledger(struct machine *m)
{
	uint64_t bytes = 0;

	m->guarding.check_ledger = false;
	for (unsigned int i = 0; i < LEDGER_LOOKS; i++) {
		bytes = overhang(m);
		if (bytes <= CHUNK_RING_BYTES)
			return;
	}
	m->guarding.check_ledger = true;
	if (!m->guarding.nr_ledger_errors++)
		log_error("guard: the host holds %llu KiB behind memory that was given back, more "
			  "than %llu", (unsigned long long)(bytes / KiB),
			  (unsigned long long)(CHUNK_RING_BYTES / KiB));
}

static void on_tick(void *ctx)
{
	struct machine *m = ctx;
	uint64_t now = loop_now(m->loop);

	loop_timer_set(m->loop, &m->guarding.tick, now + TICK_NS);
	if (guard_is_stuck(m->guarding.guard, now))
		stop_for(m, "the guard's thread does not run");
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		elastic_tick(&m->elastic[i].elastic, now);
	if (m->guarding.check_ledger)
		check_ledger(m);
}

/* --- from start to end ------------------------------------------------------------------------- */

int guarding_open(struct machine *m)
{
	m->guarding.policy = m->cfg->violation;
	if (m->cfg->guard_off || !m->cfg->nr_elastic)
		return 0;
	return guard_new_from(&m->guarding.guard, m->cfg->uffd_path, &m->guarding.news_fd);
}

int guarding_start(struct machine *m)
{
	struct guarding *g = &m->guarding;
	int r;

	g->tick = (struct loop_timer){ .fn = on_tick, .ctx = m };
	g->later = (struct loop_timer){ .fn = on_later, .ctx = m };
	if (!g->guard)
		return 0;
	r = event_new(&g->news_fd);
	if (!r)
		r = loop_add(m->loop, g->news_fd, EPOLLIN, on_news, m);
	if (!r)
		r = guard_start(g->guard);
	if (!r)
		loop_timer_set(m->loop, &g->tick, loop_now(m->loop) + TICK_NS);
	return r;
}

void guarding_stop(struct machine *m)
{
	if (!m->guarding.guard)
		return;
	m->guarding.broken = true;
	guard_stop(m->guarding.guard);
}

void guarding_close(struct machine *m)
{
	guard_free(m->guarding.guard);
	auto_close_fn(&m->guarding.news_fd);
}

int guarding_reset(struct machine *m)
{
	struct guarding *g = &m->guarding;

	if (!g->guard)
		return 0;
	if (g->broken)
		return fail(-EIO, "%s", unguarded);
	g->trouble = NULL;
	return guard_reclaim_tables(g->guard);
}

void guarding_set_policy(struct machine *m, enum config_violation policy)
{
	m->guarding.policy = policy;
}

const char *guarding_forbids(const struct machine *m)
{
	return m->guarding.broken ? UNGUARDED "; quit is left" : NULL;
}

void guarding_resumed(struct machine *m)
{
	if (m->guarding.trouble)
		m->guarding.lenient_until_ns = loop_now(m->loop) + LENIENT_NS;
	m->guarding.trouble = NULL;
}

void guarding_access(void *ctx, struct bus_access *access)
{
	if (!access->is_write)
		access->value = 0;
	elastic_refused(ctx, access->offset, access->is_write);
}
