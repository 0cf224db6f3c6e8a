/* SPDX-License-Identifier: Apache-2.0 */
/* violations.c - what the machine does about accesses to memory that a guest gave back. */
#include "vmm/machine/violations.h"

#include <errno.h>
#include <sys/epoll.h>

#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"

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

static bool is_running(const struct violations *v)
{
	return v->env.run.is_running(v->env.run.ctx);
}

static void stop_for(struct violations *v, const char *trouble)
{
	struct vm_event event = { .kind = VM_GUARD_STOP, .text = trouble };

	if (v->trouble == trouble && !is_running(v))
		return;
	v->trouble = trouble;
	log_error("guard: %s; the VM is paused", trouble);
	v->env.run.pause(v->env.run.ctx);
	vm_tell(v->env.sinks, &event);
}

/* Needs all vCPUs out of the guest: only then can nobody slip in between. */
static void reclaim_tables(struct violations *v)
{
	struct run_control *run = &v->env.run;
	bool parked = !is_running(v) || run->park(run->ctx);

	if (parked && guard_reclaim_tables(v->env.memory->guard)) {
		v->broken = true;
		stop_for(v, unguarded);
		return;
	}
	v->nr_reclaims += parked;
	run->unpark(run->ctx);
}

/* --- violations -------------------------------------------------------------------------------- */

/* True when the machine has had to stop. */
static bool punish(struct violations *v, const char *id, uint64_t new_violations)
{
	switch (v->policy) {
	case VIOLATION_CONTAIN:
		log_guest("the guest used memory of %s that it gave back: %llu accesses contained",
			  id, (unsigned long long)new_violations);
		return false;
	case VIOLATION_PAUSE:
		if (loop_now(v->env.loop) < v->lenient_until_ns)
			return false;
		stop_for(v, "the guest used memory that it gave back (--violation=pause)");
		return true;
	default:
		log_error("the guest used memory of %s that it gave back; the VM ends "
			  "(--violation=kill)", id);
		v->env.run.end(v->env.run.ctx, EXIT_VIOLATION, true, "guest-panic");
		return true;
	}
}

static void look_at_violations(struct violations *v)
{
	struct vm_memory *mem = v->env.memory;

	for (unsigned int i = 0; i < mem->nr_elastic; i++) {
		struct guard_info info = guard_info(mem->elastic[i].elastic.guarded);
		struct vm_event event = { .kind = VM_VIOLATION, .violation = { i, &info } };
		uint64_t all = guard_violations(&info.counts);
		uint64_t new_violations = all - v->seen[i];

		if (!new_violations)
			continue;
		v->seen[i] = all;
		v->check_ledger = true;
		vm_tell(v->env.sinks, &event);
		if (punish(v, mem->elastic[i].id, new_violations))
			return;
	}
}

static void look(struct violations *v)
{
	struct guard_status status = guard_take_status(v->env.memory->guard);

	v->looked_ns = loop_now(v->env.loop);
	if (status.broken) {
		v->broken = true;
		stop_for(v, unguarded);
		return;
	}
	if (status.error) {
		stop_for(v, "the host has no memory to answer an access to memory that was given "
			    "back");
		return;
	}
	if (status.nr_tables > GUARD_TABLES_MAX)
		reclaim_tables(v);
	look_at_violations(v);
}

/* The first news at once, those after it together. */
static void on_news(void *ctx, uint32_t events)
{
	struct violations *v = ctx;
	uint64_t next = v->looked_ns + LOOK_NS;

	(void)events;
	if (!event_taken(v->env.memory->guard_fd))
		return;
	if (loop_now(v->env.loop) >= next)
		look(v);
	else
		loop_timer_set(v->env.loop, &v->later, next);
}

static void on_later(void *ctx) { look(ctx); }

/* --- upkeep ------------------------------------------------------------------------------------ */

/* Counted run by run while violations go on: what moves may count twice, but not every time. */
#define LEDGER_LOOKS 3

/* The host is asked, not believed. */
static void check_ledger(struct violations *v)
{
	uint64_t bytes = 0;

	v->check_ledger = false;
	for (unsigned int i = 0; i < LEDGER_LOOKS; i++) {
		bytes = vm_memory_overhang(v->env.memory);
		if (bytes <= CHUNK_RING_BYTES)
			return;
	}
	v->check_ledger = true;
	if (!v->nr_ledger_errors++)
		log_error("guard: the host holds %llu KiB behind memory that was given back, more "
			  "than %llu", (unsigned long long)(bytes / KiB),
			  (unsigned long long)(CHUNK_RING_BYTES / KiB));
}

static void on_tick(void *ctx)
{
	struct violations *v = ctx;
	uint64_t now = loop_now(v->env.loop);

	loop_timer_set(v->env.loop, &v->tick, now + TICK_NS);
	if (guard_is_stuck(v->env.memory->guard, now))
		stop_for(v, "the guard's thread does not run");
	for (unsigned int i = 0; i < v->env.memory->nr_elastic; i++)
		elastic_tick(&v->env.memory->elastic[i].elastic, now);
	if (v->check_ledger)
		check_ledger(v);
}

/* --- from start to end ------------------------------------------------------------------------- */

int violations_open(struct violations *v, const struct violations_env *env,
		    enum config_violation policy)
{
	struct vm_memory *mem = env->memory;
	int r;

	*v = (struct violations){ .env = *env,
				  .policy = policy,
				  .tick = { .fn = on_tick, .ctx = v },
				  .later = { .fn = on_later, .ctx = v } };
	if (!mem->guard)
		return 0;
	r = loop_add(env->loop, mem->guard_fd, EPOLLIN, on_news, v);
	if (!r)
		r = guard_start(mem->guard);
	if (!r)
		loop_timer_set(env->loop, &v->tick, loop_now(env->loop) + TICK_NS);
	return r;
}

void violations_stop(struct violations *v)
{
	if (!v->env.memory || !v->env.memory->guard)
		return;
	v->broken = true;
	guard_stop(v->env.memory->guard);
}

void violations_close(struct violations *v)
{
	if (!v->env.memory || !v->env.memory->guard)
		return;
	violations_stop(v);
	loop_remove(v->env.loop, v->env.memory->guard_fd);
	loop_timer_cancel(v->env.loop, &v->tick);
	loop_timer_cancel(v->env.loop, &v->later);
}

int violations_reset(struct violations *v)
{
	if (!v->env.memory->guard)
		return 0;
	if (v->broken)
		return fail(-EIO, "%s", unguarded);
	v->trouble = NULL;
	return guard_reclaim_tables(v->env.memory->guard);
}

void violations_set_policy(struct violations *v, enum config_violation policy)
{
	v->policy = policy;
}

const char *violations_forbid(const struct violations *v)
{
	return v->broken ? UNGUARDED "; quit is left" : NULL;
}

void violations_resumed(struct violations *v)
{
	if (v->trouble)
		v->lenient_until_ns = loop_now(v->env.loop) + LENIENT_NS;
	v->trouble = NULL;
}
