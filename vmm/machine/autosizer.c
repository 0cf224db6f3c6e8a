/* SPDX-License-Identifier: Apache-2.0 */
/* autosizer.c - the guest's agent and the policy in their machine. */
#include "vmm/machine/autosizer.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#include "vmm/base/log.h"
#include "vmm/config/config_autosize.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/autosize.h"
#include "vmm/monitor/working_set.h"

static uint64_t now_ns(const struct machine *m) { return run_clock_ns(&m->autosizing.clock); }

/* --- what is decided is done ------------------------------------------------------------------- */

static void resize_reserve(struct machine *m, uint64_t reserve_bytes)
{
	struct balloon *b = m->ballooning.balloon;
	uint64_t target = m->cfg->boot_bytes - reserve_bytes;
	struct balloon_info info;

	if (!b || !m->cfg->autosize.reserve_bytes)
		return;
	balloon_info(b, &info);
	if (info.target_bytes != target)
		balloon_resize(b, target, 0);
}

static void resize_elastic(struct machine *m, uint64_t bytes)
{
	uint64_t shares[CONFIG_MAX_ELASTIC];

	config_shares(m->cfg, bytes, shares);
	for (unsigned int i = 0; i < m->nr_elastic; i++) {
		struct vmem *v = m->elastic[i].vmem;
		struct vmem_info info;
		int r = 0;

		vmem_info(v, &info);
		if (info.requested_bytes != shares[i])
			r = vmem_resize(v, shares[i], 0);
		assert(!r);
	}
}

uint64_t autosizing_size_bytes(const struct machine *m)
{
	uint64_t bytes = m->cfg->boot_bytes;

	if (!m->autosizing.suspended_by)
		return m->autosizing.policy.decision.size_bytes;
	for (unsigned int i = 0; i < m->nr_elastic; i++) {
		struct vmem_info info;

		vmem_info(m->elastic[i].vmem, &info);
		bytes += info.requested_bytes;
	}
	return bytes;
}

static void tell_agent(struct machine *m)
{
	struct autosizing *a = &m->autosizing;
	struct agent_config c = { .interval_ms = AGENT_INTERVAL_MS,
				  .min_bytes = a->policy.limits.min_bytes,
				  .max_bytes = a->policy.limits.max_bytes,
				  .size_bytes = autosizing_size_bytes(m),
				  .cache_age_s = a->cache_age_s };

	agent_session_configure(&a->port.session, &c);
	agent_port_wake(&a->port);
}

/* What it said before is of no use any more. */
static void ask_status(struct machine *m)
{
	struct agent_session *s = &m->autosizing.port.session;
	char line[AGENT_HOST_LINE_BYTES];

	if (!agent_session_can(s, AGENT_CAN_STATUS))
		return;
	agent_ask_status_line(line);
	agent_session_send(s, line);
	agent_port_wake(&m->autosizing.port);
}

/* When a reclaim counts no more, monotonic; 0: none does; UINT64_MAX: it is under way. */
static uint64_t reclaim_over_ns(const struct reclaim *r)
{
	uint64_t over_ns = r->ended_ns + AUTOSIZING_RECLAIM_NS;

	if (r->state == RECLAIM_RUNNING)
		return UINT64_MAX;
	return r->ended_ns && clock_ns() < over_ns ? over_ns : 0;
}

/* *AGAIN_NS: when they will be others by themselves; 0: never. */
static struct autosize_facts facts(const struct machine *m, uint64_t *again_ns)
{
	struct autosize_facts f = { .ram_bytes = m->cfg->boot_bytes };
	struct balloon_info info;
	uint64_t over_ns;

	*again_ns = 0;
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		f.ram_bytes += blocks_plugged_bytes(&m->elastic[i].elastic.blocks);
	if (!m->ballooning.balloon)
		return f;
	balloon_info(m->ballooning.balloon, &info);
	/* What somebody else has ballooned is no reserve. */
	f.reserve_bytes = min_u64(m->cfg->boot_bytes - info.size_bytes,
				  m->cfg->autosize.reserve_bytes);
	over_ns = reclaim_over_ns(&info.reclaim);
	f.hinting = over_ns;
	*again_ns = over_ns == UINT64_MAX ? 0 : over_ns;
	return f;
}

static void settle(void *ctx)
{
	struct machine *m = ctx;
	struct autosizing *a = &m->autosizing;
	uint64_t again, at;
	struct autosize_facts f = facts(m, &again);
	struct autosize_decision d;

	if (a->hinting && !f.hinting)
		ask_status(m);
	a->hinting = f.hinting;
	autosize_facts(&a->policy, &f, now_ns(m));
	d = autosize_tick(&a->policy, now_ns(m));
	if (!a->suspended_by) {
		resize_reserve(m, d.reserve_bytes); /* first: it needs no memory in the guest */
		resize_elastic(m, d.size_bytes - m->cfg->boot_bytes);
	}
	if (d.size_bytes != a->told.size_bytes || d.reserve_bytes != a->told.reserve_bytes)
		commands_autosize_changed(m);
	a->told = d;
	tell_agent(m);
	at = autosize_next_ns(&a->policy);
	at = at ? run_clock_monotonic_ns(&a->clock, at) : UINT64_MAX;
	at = min_u64(at, again ? again : UINT64_MAX);
	if (at != UINT64_MAX && !a->clock.stopped_at_ns)
		loop_timer_set(m->loop, &a->timer, at);
	else
		loop_timer_cancel(m->loop, &a->timer);
}

/* Later in this turn of the loop: whoever calls may be in the middle of something. */
static void settle_soon(struct machine *m)
{
	loop_timer_set(m->loop, &m->autosizing.timer, 1);
}

void autosizing_facts_changed(struct machine *m)
{
	if (m->autosizing.on)
		settle_soon(m);
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
	struct machine *m = ctx;
	struct autosizing *a = &m->autosizing;

	if (state == AGENT_GONE)
		a->report.at_ns = a->before.at_ns = 0;
	autosize_agent(&a->policy, agents[state], now_ns(m));
	commands_agent_changed(m, state);
	settle_soon(m);
}

static void take_report(struct machine *m, const struct agent_message *msg)
{
	struct autosizing *a = &m->autosizing;

	if (msg->status.available_bytes == UINT64_MAX)
		return;
	a->before = a->report;
	a->report = (struct agent_report){ .at_ns = now_ns(m),
					   .at_s = (uint64_t)time(NULL),
					   .status = msg->status,
					   .swap_free_bytes = msg->swap_free_bytes };
}

static void need(struct machine *m, const struct agent_message *msg)
{
	struct autosizing *a = &m->autosizing;
	struct autosize_answer answer =
		autosize_need(&a->policy, msg->bytes, &msg->status, now_ns(m));
	char line[AGENT_HOST_LINE_BYTES];

	a->nr_needs++;
	agent_answer_line(line, &answer, autosizing_size_bytes(m));
	agent_session_send(&a->port.session, line);
	if (msg->why == AGENT_NEED_STALL || msg->why == AGENT_NEED_LOW)
		commands_guest_low(m, msg, &answer);
}

static void heard(void *ctx, const struct agent_message *msg)
{
	struct machine *m = ctx;
	struct autosizing *a = &m->autosizing;

	switch (msg->kind) {
	case AGENT_STATUS:
		take_report(m, msg);
		autosize_status(&a->policy, &msg->status, now_ns(m));
		break;
	case AGENT_NEED:
		take_report(m, msg);
		need(m, msg);
		break;
	case AGENT_SPARE:
		autosize_spare(&a->policy, msg->bytes, now_ns(m));
		break;
	case AGENT_WORKING_SET:
		commands_working_set(m, &msg->working_set);
		break;
	default:
		break;
	}
	settle_soon(m);
}

int autosizing_ask_working_set(struct machine *m, int node)
{
	struct autosizing *a = &m->autosizing;
	char line[AGENT_HOST_LINE_BYTES];

	if (!a->on || !agent_session_can(&a->port.session, AGENT_CAN_WORKING_SET))
		return -ENODEV;
	agent_ask_working_set_line(line, node);
	agent_session_send(&a->port.session, line);
	agent_port_wake(&a->port);
	return 0;
}

/* --- what the operator says -------------------------------------------------------------------- */

void autosizing_set(struct machine *m, const struct autosize_limits *limits, uint32_t cache_age_s,
		    const char *suspended_by)
{
	struct autosizing *a = &m->autosizing;
	struct autosize_limits l = *limits;
	uint64_t again;
	struct autosize_facts f = facts(m, &again);

	l.suspended = suspended_by;
	a->suspended_by = suspended_by;
	a->cache_age_s = cache_age_s;
	/* What was done meanwhile is where it goes on from. */
	autosize_facts(&a->policy, &f, now_ns(m));
	autosize_set_limits(&a->policy, &l, now_ns(m));
	commands_autosize_changed(m);
	settle_soon(m);
}

void autosizing_overridden(struct machine *m, const char *by)
{
	struct autosizing *a = &m->autosizing;

	if (a->on && !a->suspended_by) {
		log_warn("autosize is suspended: %s", by);
		autosizing_set(m, &a->policy.limits, a->cache_age_s, by);
	}
	autosizing_facts_changed(m);
}

/* --- from start to end ------------------------------------------------------------------------- */

static uint64_t requested_bytes(const struct machine *m)
{
	uint64_t bytes = m->cfg->boot_bytes;

	for (unsigned int i = 0; i < m->nr_elastic; i++)
		bytes += m->cfg->elastic[i].requested_bytes;
	return bytes;
}

static void start_policy(struct machine *m)
{
	const struct config_autosize *c = &m->cfg->autosize;
	struct autosizing *a = &m->autosizing;
	uint64_t block = config_elastic_block(m->cfg);
	struct autosize_cfg cfg = { .boot_bytes = m->cfg->boot_bytes,
				    .block_bytes = block,
				    .memory_block_bytes = max_u64(block, GUEST_MEMORY_BLOCK),
				    .reserve_bytes = c->reserve_bytes,
				    .burst_mib = c->rate_mib };
	struct autosize_limits limits = { .min_bytes = m->cfg->boot_bytes,
					  .max_bytes = config_total_bytes(m->cfg),
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
	autosize_init(&a->policy, &cfg, &limits, requested_bytes(m), now_ns(m));
	a->told = a->policy.decision;
}

int autosizing_open(struct machine *m)
{
	struct agent_session_env env = { .state_changed = state_changed,
					 .heard = heard,
					 .ctx = m };
	struct agent_config unknown = { .interval_ms = AGENT_INTERVAL_MS };
	struct autosizing *a = &m->autosizing;
	struct guest_end guest;
	struct host_end host;
	int r;

	if (!m->cfg->agent)
		return 0;
	guest = ports_agent_end(m);
	a->timer = (struct loop_timer){ .fn = settle, .ctx = m };
	start_policy(m);
	r = agent_port_open(&a->port, m->loop, guest, &a->clock, &env, &unknown);
	if (r)
		return r;
	a->on = true;
	tell_agent(m);
	host = agent_port_host_end(&a->port);
	ports_connect_agent(m, &host);
	return 0;
}

void autosizing_hold(struct machine *m, bool hold)
{
	struct autosizing *a = &m->autosizing;

	if (!a->on)
		return;
	if (hold) {
		run_clock_stop(&a->clock);
		loop_timer_cancel(m->loop, &a->timer);
	} else {
		run_clock_go(&a->clock);
		ask_status(m);
		settle_soon(m);
	}
	agent_port_wake(&a->port);
}

void autosizing_reset(struct machine *m)
{
	if (!m->autosizing.on)
		return;
	autosize_reset(&m->autosizing.policy, now_ns(m));
	settle(m);
}

void autosizing_close(struct machine *m)
{
	struct autosizing *a = &m->autosizing;

	if (!a->on)
		return;
	loop_timer_cancel(m->loop, &a->timer);
	agent_port_close(&a->port);
	a->on = false;
}
