/* SPDX-License-Identifier: Apache-2.0 */
/* autosize.c - the agent and the policy as control clients see them. */
#include "vmm/monitor/autosize.h"

#include <stdio.h>

#include "vmm/config/config_autosize.h"
#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/machine/autosizer.h"
#include "vmm/monitor/context.h"

#define EXPLANATION_BYTES 256

static int not_there(struct qmp_error *err)
{
	return qmp_fail(err, QMP_DEVICE_NOT_ACTIVE,
			"the VM has no port for an agent; start it with --max SIZE or --agent=on");
}

/* --- the agent --------------------------------------------------------------------------------- */

/* What was said; UINT64_MAX is what was not. */
void monitor_add_said(struct json_object *o, const char *key, uint64_t value)
{
	if (value != UINT64_MAX)
		add_u64(o, key, value);
}

/* A stall time's part of the time between two reports. */
static void add_percent(struct json_object *o, const char *key, uint64_t before_us, uint64_t now_us,
			uint64_t ns)
{
	if (before_us == UINT64_MAX || now_us == UINT64_MAX || now_us < before_us || !ns)
		return;
	json_object_object_add(o, key,
			       json_object_new_double((double)(now_us - before_us) * 1000 * 100 /
						      (double)ns));
}

static struct json_object *status_object(const struct autosizer *a)
{
	const struct agent_report *r = &a->report, *b = &a->before;
	const struct autosize_status *s = &r->status;
	struct json_object *o = json_object_new_object();

	add_u64(o, "seconds", r->at_s);
	add_u64(o, "age-ms", (autosizer_now_ns(a) - r->at_ns) / NS_PER_MS);
	monitor_add_said(o, "total", s->total_bytes);
	monitor_add_said(o, "available", s->available_bytes);
	monitor_add_said(o, "free", s->free_bytes);
	monitor_add_said(o, "file", s->file_bytes);
	monitor_add_said(o, "swap-free", r->swap_free_bytes);
	monitor_add_said(o, "some-us", s->some_us);
	monitor_add_said(o, "full-us", s->full_us);
	monitor_add_said(o, "refault", s->refault_bytes);
	monitor_add_said(o, "evicted", s->evicted_bytes);
	monitor_add_said(o, "oom-kills", s->oom_kills);
	if (b->at_ns) {
		add_percent(o, "some-percent", b->status.some_us, s->some_us, r->at_ns - b->at_ns);
		add_percent(o, "full-percent", b->status.full_us, s->full_us, r->at_ns - b->at_ns);
	}
	return o;
}

void monitor_add_hello(struct json_object *o, const struct agent_hello *h)
{
	struct json_object *can = json_object_new_array();

	add_u64(o, "version", h->version);
	if (h->agent[0])
		add_str(o, "agent", h->agent);
	if (h->kernel[0])
		add_str(o, "kernel", h->kernel);
	for (unsigned int i = 0; i < AGENT_NR_CANS; i++)
		if (h->can >> i & 1)
			json_object_array_add(can, json_object_new_string(agent_cans[i]));
	json_object_object_add(o, "can", can);
}

static struct json_object *agent_object(const struct autosizer *a)
{
	const struct agent_session *s = &a->port.session;
	struct json_object *o = json_object_new_object();

	add_str(o, "state", agent_state_name(s->state));
	if (s->state != AGENT_GONE)
		monitor_add_hello(o, &s->hello);
	add_u64(o, "lines", s->nr_lines);
	add_u64(o, "faults", s->nr_faults_ever);
	if (s->fault[0])
		add_str(o, "last-fault", s->fault);
	add_u64(o, "unread", s->nr_lost);
	add_u64(o, "needs", a->nr_needs);
	if (a->report.at_ns)
		json_object_object_add(o, "status", status_object(a));
	return o;
}

int monitor_query_agent(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	if (!mon->vm->autosizer->on)
		return not_there(call->err);
	call->ret = agent_object(mon->vm->autosizer);
	return 0;
}

/* --- the policy -------------------------------------------------------------------------------- */

struct json_object *monitor_autosize_object(const struct monitor *mon)
{
	const struct autosizer *a = mon->vm->autosizer;
	const struct autosize *p = &a->policy;
	const struct autosize_limits *l = &p->limits;
	struct json_object *o = json_object_new_object();
	uint64_t now = autosizer_now_ns(a);
	char text[EXPLANATION_BYTES];

	add_bool(o, "enabled", !a->suspended_by);
	if (a->suspended_by)
		add_str(o, "suspended-by", a->suspended_by);
	add_u64(o, "min", l->min_bytes);
	add_u64(o, "max", l->max_bytes);
	if (l->ceiling_bytes < l->max_bytes)
		add_u64(o, "ceiling", l->ceiling_bytes);
	add_u64(o, "rate", l->rate_mib * MiB);
	add_u64(o, "cache-age", a->cache_age_s);
	add_u64(o, "size", autosizer_size_bytes(mon->vm->autosizer));
	add_u64(o, "ram", p->facts.ram_bytes);
	add_u64(o, "reserve", p->decision.reserve_bytes);
	add_u64(o, "reserve-max", p->cfg.reserve_bytes);
	add_u64(o, "ballooned", p->facts.reserve_bytes);
	add_u64(o, "level", token_bucket_level(&p->bucket, now) * MiB);
	add_str(o, "explanation", autosize_explain(p, now, text, sizeof(text)));
	return o;
}

int monitor_query_autosize(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	if (!mon->vm->autosizer->on)
		return not_there(call->err);
	call->ret = monitor_autosize_object(mon);
	json_object_object_add(call->ret, "agent", agent_object(mon->vm->autosizer));
	return 0;
}

static int check_limits(const struct monitor *mon, const struct autosize_limits *l,
			struct qmp_error *err)
{
	uint64_t most = config_total_bytes(mon->vm->cfg);

	if (l->min_bytes < mon->vm->cfg->boot_bytes)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"min %#llx is below the boot memory (%#llx), which stays",
				(unsigned long long)l->min_bytes,
				(unsigned long long)mon->vm->cfg->boot_bytes);
	if (l->max_bytes > most)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"max %#llx is above boot and elastic memory together (%#llx)",
				(unsigned long long)l->max_bytes, (unsigned long long)most);
	if (l->min_bytes > l->max_bytes)
		return qmp_fail(err, QMP_GENERIC_ERROR, "min %#llx is above max (%#llx)",
				(unsigned long long)l->min_bytes,
				(unsigned long long)l->max_bytes);
	return 0;
}

int monitor_set_autosize(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	struct autosizer *a = mon->vm->autosizer;
	struct autosize_limits l = a->policy.limits;
	const char *suspended_by = a->suspended_by;
	int r;

	if (!a->on)
		return not_there(call->err);
	l.min_bytes = qmp_arg_u64(call->args, "min", l.min_bytes);
	l.max_bytes = qmp_arg_u64(call->args, "max", l.max_bytes);
	l.ceiling_bytes = qmp_arg_u64(call->args, "ceiling", l.ceiling_bytes);
	l.rate_mib = (uint32_t)(qmp_arg_u64(call->args, "rate", l.rate_mib * MiB) / MiB);
	r = check_limits(mon, &l, call->err);
	if (r)
		return r;
	if (qmp_arg(call->args, "enabled"))
		suspended_by = qmp_arg_bool(call->args, "enabled", true) ? NULL : "a client";
	autosizer_set(a, &l, (uint32_t)qmp_arg_u64(call->args, "cache-age", a->cache_age_s),
		      suspended_by);
	call->ret = monitor_autosize_object(mon);
	return 0;
}

void monitor_add_autosize(struct json_object *o, const struct monitor *mon)
{
	if (!mon->vm->autosizer->on)
		return;
	json_object_object_add(o, "agent", agent_object(mon->vm->autosizer));
	json_object_object_add(o, "autosize", monitor_autosize_object(mon));
}
