/* SPDX-License-Identifier: Apache-2.0 */
/* autosizer.c - the guest's agent and the policy in their machine. */
#include "vmm/machine/autosizer.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#include "vmm/base/log.h"
#include "vmm/config/config_autosize.h"

uint64_t autosizer_now_ns(const struct autosizer *a)
{
	return run_clock_ns(&a->clock, loop_now(a->env.loop));
}

/* --- what is decided is done ------------------------------------------------------------------- */

static void resize_reserve(struct autosizer *a, uint64_t reserve_bytes)
{
	struct balloon *b = a->env.balloon->balloon;
	uint64_t target = a->env.cfg->boot_bytes - reserve_bytes;
	struct balloon_info info;

	if (!b || !a->env.cfg->autosize.reserve_bytes)
		return;
	balloon_info(b, &info);
	if (info.target_bytes != target)
		balloon_resize(b, target, 0);
}

static void resize_elastic(struct autosizer *a, uint64_t bytes)
{
	uint64_t shares[CONFIG_MAX_ELASTIC];

	config_shares(a->env.cfg, bytes, shares);
	for (unsigned int i = 0; i < a->env.memory->nr_elastic; i++) {
		struct vmem *v = a->env.memory->elastic[i].vmem;
		struct vmem_info info;
		int r = 0;

		vmem_info(v, &info);
		if (info.requested_bytes != shares[i])
			r = vmem_resize(v, shares[i], 0);
		assert(!r);
	}
}

uint64_t autosizer_size_bytes(const struct autosizer *a)
{
	if (!a->suspended_by)
		return a->policy.decision.size_bytes;
	return a->env.cfg->boot_bytes + vm_memory_requested(a->env.memory);
}

static void tell_agent(struct autosizer *a)
{
	struct agent_config c = { .interval_ms = AGENT_INTERVAL_MS,
				  .min_bytes = a->policy.limits.min_bytes,
				  .max_bytes = a->policy.limits.max_bytes,
				  .size_bytes = autosizer_size_bytes(a),
				  .cache_age_s = a->cache_age_s };

	agent_session_configure(&a->port.session, &c);
	agent_port_wake(&a->port);
}

/* What it said before is of no use any more. */
static void ask_status(struct autosizer *a)
{
	struct agent_session *s = &a->port.session;
	char line[AGENT_HOST_LINE_BYTES];

	if (!agent_session_can(s, AGENT_CAN_STATUS))
		return;
	agent_ask_status_line(line);
	agent_session_send(s, line);
	agent_port_wake(&a->port);
}

/* When a reclaim counts no more, monotonic; 0: none does; UINT64_MAX: it is under way. */
static uint64_t reclaim_over_ns(const struct reclaim *r, uint64_t now_ns)
{
	uint64_t over_ns = r->ended_ns + AUTOSIZER_RECLAIM_NS;

	if (r->state == RECLAIM_RUNNING)
		return UINT64_MAX;
	return r->ended_ns && now_ns < over_ns ? over_ns : 0;
}

/* *AGAIN_NS: when they will be others by themselves; 0: never. */
static struct autosize_facts facts(const struct autosizer *a, uint64_t *again_ns)
{
	struct autosize_facts f = {
		.ram_bytes = a->env.cfg->boot_bytes + vm_memory_plugged(a->env.memory),
	};
	struct balloon_info info;
	uint64_t over_ns;

	*again_ns = 0;
	if (!a->env.balloon->balloon)
		return f;
	balloon_info(a->env.balloon->balloon, &info);
	/* What somebody else has ballooned is no reserve. */
	f.reserve_bytes = min_u64(a->env.cfg->boot_bytes - info.size_bytes,
				  a->env.cfg->autosize.reserve_bytes);
	over_ns = reclaim_over_ns(&info.reclaim, loop_now(a->env.loop));
	f.hinting = over_ns;
	*again_ns = over_ns == UINT64_MAX ? 0 : over_ns;
	return f;
}

static void settle(void *ctx)
{
	struct autosizer *a = ctx;
	uint64_t again, at;
	struct autosize_facts f = facts(a, &again);
	struct autosize_decision d;

	if (a->hinting && !f.hinting)
		ask_status(a);
	a->hinting = f.hinting;
	autosize_facts(&a->policy, &f, autosizer_now_ns(a));
	d = autosize_tick(&a->policy, autosizer_now_ns(a));
	if (!a->suspended_by) {
		resize_reserve(a, d.reserve_bytes); /* first: it needs no memory in the guest */
		resize_elastic(a, d.size_bytes - a->env.cfg->boot_bytes);
	}
	if (d.size_bytes != a->told.size_bytes || d.reserve_bytes != a->told.reserve_bytes)
		vm_tell_kind(a->env.sinks, VM_AUTOSIZE);
	a->told = d;
	tell_agent(a);
	at = autosize_next_ns(&a->policy);
	at = at ? run_clock_monotonic_ns(&a->clock, at) : UINT64_MAX;
	at = min_u64(at, again ? again : UINT64_MAX);
	if (at != UINT64_MAX && !a->clock.stopped_at_ns)
		loop_timer_set(a->env.loop, &a->timer, at);
	else
		loop_timer_cancel(a->env.loop, &a->timer);
}

/* Later in this turn of the loop: whoever calls may be in the middle of something. */
static void settle_soon(struct autosizer *a)
{
	loop_timer_set(a->env.loop, &a->timer, 1);
}

void autosizer_facts_changed(struct autosizer *a)
{
	if (a->on)
		settle_soon(a);
}

/* --- what the guest says ----------------------------------------------------------------------- */

static void state_changed(void *ctx, enum agent_state state)
{
	static const enum autosize_agent agents[] = {
		[AGENT_GONE] = AUTOSIZE_NO_AGENT,
		[AGENT_CONNECTED] = AUTOSIZE_AGENT,
		[AGENT_SILENT] = AUTOSIZE_AGENT_SILENT,
		[AGENT_BROKEN] = AUTOSIZE_AGENT_SILENT,
	};
	struct vm_event event = { .kind = VM_AGENT, .agent = state };
	struct autosizer *a = ctx;

	if (state == AGENT_GONE)
		a->report.at_ns = a->before.at_ns = 0;
	autosize_agent(&a->policy, agents[state], autosizer_now_ns(a));
	vm_tell(a->env.sinks, &event);
	settle_soon(a);
}

static void take_report(struct autosizer *a, const struct agent_message *msg)
{
	if (msg->status.available_bytes == UINT64_MAX)
		return;
	a->before = a->report;
	a->report = (struct agent_report){ .at_ns = autosizer_now_ns(a),
					   .at_s = (uint64_t)time(NULL),
					   .status = msg->status,
					   .swap_free_bytes = msg->swap_free_bytes };
}

static void need(struct autosizer *a, const struct agent_message *msg)
{
	struct autosize_answer answer =
		autosize_need(&a->policy, msg->bytes, &msg->status, autosizer_now_ns(a));
	struct vm_event low = { .kind = VM_GUEST_LOW, .low = { msg, &answer } };
	char line[AGENT_HOST_LINE_BYTES];

	a->nr_needs++;
	agent_answer_line(line, &answer, autosizer_size_bytes(a));
	agent_session_send(&a->port.session, line);
	if (msg->why == AGENT_NEED_STALL || msg->why == AGENT_NEED_LOW)
		vm_tell(a->env.sinks, &low);
}

static void heard(void *ctx, const struct agent_message *msg)
{
	struct autosizer *a = ctx;

	switch (msg->kind) {
	case AGENT_STATUS:
		take_report(a, msg);
		autosize_status(&a->policy, &msg->status, autosizer_now_ns(a));
		break;
	case AGENT_NEED:
		take_report(a, msg);
		need(a, msg);
		break;
	case AGENT_SPARE:
		autosize_spare(&a->policy, msg->bytes, autosizer_now_ns(a));
		break;
	case AGENT_WORKING_SET:
		working_set_store_put(a->env.store, &msg->working_set);
		break;
	default:
		break;
	}
	settle_soon(a);
}

int autosizer_ask_working_set(struct autosizer *a, int node)
{
	char line[AGENT_HOST_LINE_BYTES];

	if (!a->on || !agent_session_can(&a->port.session, AGENT_CAN_WORKING_SET))
		return -ENODEV;
	agent_ask_working_set_line(line, node);
	agent_session_send(&a->port.session, line);
	agent_port_wake(&a->port);
	return 0;
}

/* --- what the operator says -------------------------------------------------------------------- */

void autosizer_set(struct autosizer *a, const struct autosize_limits *limits, uint32_t cache_age_s,
		   const char *suspended_by)
{
	struct autosize_limits l = *limits;
	uint64_t again;
	struct autosize_facts f = facts(a, &again);

	l.suspended = suspended_by;
	a->suspended_by = suspended_by;
	a->cache_age_s = cache_age_s;
	/* What was done meanwhile is where it goes on from. */
	autosize_facts(&a->policy, &f, autosizer_now_ns(a));
	autosize_set_limits(&a->policy, &l, autosizer_now_ns(a));
	vm_tell_kind(a->env.sinks, VM_AUTOSIZE);
	settle_soon(a);
}

void autosizer_overridden(struct autosizer *a, const char *by)
{
	if (a->on && !a->suspended_by) {
		log_warn("autosize is suspended: %s", by);
		autosizer_set(a, &a->policy.limits, a->cache_age_s, by);
	}
	autosizer_facts_changed(a);
}

/* --- from start to end ------------------------------------------------------------------------- */

static void start_policy(struct autosizer *a)
{
	const struct config_autosize *c = &a->env.cfg->autosize;
	uint64_t block = config_elastic_block(a->env.cfg);
	struct autosize_cfg cfg = { .boot_bytes = a->env.cfg->boot_bytes,
				    .block_bytes = block,
				    .memory_block_bytes = max_u64(block, GUEST_MEMORY_BLOCK),
				    .reserve_bytes = c->reserve_bytes,
				    .burst_mib = c->rate_mib };
	struct autosize_limits limits = { .min_bytes = a->env.cfg->boot_bytes,
					  .max_bytes = config_total_bytes(a->env.cfg),
					  .ceiling_bytes = UINT64_MAX,
					  .rate_mib = c->rate_mib };

	if (c->max_bytes) {
		limits.min_bytes = c->min_bytes;
		limits.max_bytes = c->max_bytes;
	} else {
		a->suspended_by = "the VM has no --max";
		limits.suspended = true;
	}
	a->cache_age_s = c->cache_age_s;
	autosize_init(&a->policy, &cfg, &limits,
		      a->env.cfg->boot_bytes + vm_memory_requested(a->env.memory),
		      autosizer_now_ns(a));
	a->told = a->policy.decision;
}

void autosizer_init(struct autosizer *a, const struct autosizer_env *env)
{
	*a = (struct autosizer){ .env = *env, .timer = { .fn = settle, .ctx = a } };
}

int autosizer_open(struct autosizer *a, struct guest_end guest, struct host_end *host)
{
	struct agent_session_env env = { .state_changed = state_changed,
					 .heard = heard,
					 .ctx = a };
	struct agent_config unknown = { .interval_ms = AGENT_INTERVAL_MS };
	int r;

	start_policy(a);
	r = agent_port_open(&a->port, a->env.loop, guest, &a->clock, &env, &unknown);
	if (r)
		return r;
	a->on = true;
	tell_agent(a);
	*host = agent_port_host_end(&a->port);
	return 0;
}

void autosizer_hold(struct autosizer *a, bool hold)
{
	if (!a->on)
		return;
	if (hold) {
		run_clock_stop(&a->clock, loop_now(a->env.loop));
		loop_timer_cancel(a->env.loop, &a->timer);
	} else {
		run_clock_go(&a->clock, loop_now(a->env.loop));
		ask_status(a);
		settle_soon(a);
	}
	agent_port_wake(&a->port);
}

void autosizer_reset(struct autosizer *a)
{
	if (!a->on)
		return;
	autosize_reset(&a->policy, autosizer_now_ns(a));
	settle(a);
}

void autosizer_close(struct autosizer *a)
{
	if (!a->on)
		return;
	loop_timer_cancel(a->env.loop, &a->timer);
	agent_port_close(&a->port);
	a->on = false;
}
