/* SPDX-License-Identifier: Apache-2.0 */
/* balloon.c - the balloon as control clients see it. */
#include "vmm/monitor/balloon.h"

#include <errno.h>
#include <stdio.h>

#include "vmm/base/clock.h"
#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/machine/autosizer.h"
#include "vmm/machine/balloon_host.h"
#include "vmm/monitor/context.h"
#include "vmm/monitor/resize_job.h"

#define LOOK_NS (5 * NS_PER_MS)
/* For a sample of statistics. */
#define STATS_PATIENCE_NS NS_PER_S
#define RECLAIM_TIMEOUT_S 60

/* QEMU's meaning: a command for a device that is not there. */
static int no_balloon(struct qmp_error *err)
{
	return qmp_fail(err, QMP_DEVICE_NOT_ACTIVE, "No balloon device has been activated");
}

static struct balloon *balloon_in(const void *ctx)
{
	return ((const struct monitor *)ctx)->vm->balloon->balloon;
}

/* --- its size ---------------------------------------------------------------------------------- */

struct json_object *monitor_balloon_job_object(const struct monitor *mon)
{
	struct resize_status s = balloon_job(balloon_in(mon));
	struct balloon_info info;

	balloon_info(balloon_in(mon), &info);
	return monitor_resize_object(BALLOON_ID, &s, info.size_bytes);
}

int monitor_balloon(struct qmp_call *call)
{
	int64_t value = qmp_arg_i64(call->args, "value", 0);

	if (!balloon_in(call->ctx))
		return no_balloon(call->err);
	if (value < 0)
		return qmp_fail(call->err, QMP_GENERIC_ERROR, "Parameter 'target' expects a size");
	if (!value)
		return 0;
	balloon_resize(balloon_in(call->ctx), (uint64_t)value, 0);
	autosizer_overridden(((struct monitor *)call->ctx)->vm->autosizer, "the balloon was set");
	return 0;
}

struct json_object *monitor_balloon_actual_object(const struct monitor *mon)
{
	struct json_object *o = json_object_new_object();
	struct balloon_info info;

	balloon_info(balloon_in(mon), &info);
	add_u64(o, "actual", info.size_bytes);
	return o;
}

int monitor_query_balloon(struct qmp_call *call)
{
	if (!balloon_in(call->ctx))
		return no_balloon(call->err);
	call->ret = monitor_balloon_actual_object(call->ctx);
	return 0;
}

/* --- statistics -------------------------------------------------------------------------------- */

struct json_object *monitor_guest_stats_object(const struct monitor *mon)
{
	struct json_object *o = json_object_new_object(), *stats = json_object_new_object();
	struct balloon_info info;

	balloon_info(balloon_in(mon), &info);
	for (unsigned int i = 0; i < BALLOON_NR_STATS; i++)
		add_u64(stats, balloon_stat_name(i), info.stats.value[i]);
	json_object_object_add(o, "stats", stats);
	add_u64(o, "last-update", info.stats_s);
	return o;
}

static void answer(struct qmp_session *client, const struct monitor *mon, bool fresh)
{
	struct qmp_error err = { 0 };

	if (fresh)
		qmp_reply(client, 0, monitor_guest_stats_object(mon), &err);
	else
		qmp_reply(client, qmp_fail(&err, QMP_GENERIC_ERROR,
					   "the guest has sent no statistics for a second; qom-get "
					   "guest-stats has those before"), NULL, &err);
}

static void answer_all(struct monitor *mon, bool fresh)
{
	unsigned int nr = mon->nr_waiting;

	mon->nr_waiting = 0;
	loop_timer_cancel(mon->loop, &mon->patience);
	for (unsigned int i = 0; i < nr; i++)
		answer(mon->waiting[i], mon, fresh);
}

void monitor_guest_stats_arrived(struct monitor *mon) { answer_all(mon, true); }
static void on_patience(void *ctx) { answer_all(ctx, false); }

static int wait_for_stats(struct monitor *mon)
{
	int r;

	if (mon->nr_waiting == MONITOR_MAX_WAITING)
		return -EBUSY;
	r = balloon_ask_stats(balloon_in(mon));
	if (r)
		return r;
	if (!mon->nr_waiting) {
		mon->patience = (struct loop_timer){ .fn = on_patience, .ctx = mon };
		loop_timer_set(mon->loop, &mon->patience, loop_now(mon->loop) + STATS_PATIENCE_NS);
	}
	mon->waiting[mon->nr_waiting++] = qmp_defer(mon->qmp);
	return 0;
}

int monitor_query_guest_stats(struct qmp_call *call)
{
	int r;

	if (!balloon_in(call->ctx))
		return no_balloon(call->err);
	r = wait_for_stats(call->ctx);
	if (r == -EBUSY)
		return qmp_fail(call->err, QMP_GENERIC_ERROR,
				"too many clients wait for statistics");
	if (r)
		return qmp_fail(call->err, QMP_DEVICE_NOT_ACTIVE,
				"no virtio-balloon driver with statistics is ready in the guest");
	return QMP_DEFERRED;
}

/* --- reclaim ----------------------------------------------------------------------------------- */

struct json_object *monitor_reclaim_object(const struct monitor *mon)
{
	struct json_object *o = json_object_new_object();
	const struct reclaim *r;
	struct balloon_info info;
	uint64_t now = loop_now(mon->loop);

	balloon_info(balloon_in(mon), &info);
	r = &info.reclaim;
	add_u64(o, "id", r->id);
	add_str(o, "state", reclaim_state_name(r->state));
	add_u64(o, "elapsed-ms",
		((r->state == RECLAIM_RUNNING ? now : r->ended_ns) - r->started_ns) / NS_PER_MS);
	if (r->state == RECLAIM_RUNNING)
		add_u64(o, "left-ms", (max_u64(r->deadline_ns, now) - now) / NS_PER_MS);
	add_u64(o, "hinted", r->hinted_bytes);
	add_u64(o, "freed", r->freed_bytes);
	add_u64(o, "written", r->written_bytes);
	add_u64(o, "batches", r->nr_batches);
	if (r->reason != RECLAIM_UNHINDERED) {
		add_str(o, "reason", reclaim_reason_name(r->reason));
		add_str(o, "explanation", reclaim_explain(r->reason));
	}
	return o;
}

int monitor_start_reclaim(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	uint64_t now = loop_now(mon->loop), deadline_ns = monitor_deadline_arg(call->args, now);
	int r;

	if (!balloon_in(call->ctx))
		return no_balloon(call->err);
	if (!deadline_ns)
		deadline_ns = now + RECLAIM_TIMEOUT_S * NS_PER_S;
	r = balloon_reclaim(balloon_in(call->ctx), deadline_ns);
	if (r == -EBUSY)
		return qmp_fail(call->err, QMP_GENERIC_ERROR,
				"a reclaim is running; __org.ebb_query-reclaim tells how far it "
				"is");
	if (r == -ENODEV)
		return qmp_fail(call->err, QMP_DEVICE_NOT_ACTIVE,
				"no virtio-balloon driver with free page hinting is ready in the "
				"guest");
	if (r)
		return r;
	call->ret = monitor_reclaim_object(call->ctx);
	return 0;
}

int monitor_query_reclaim(struct qmp_call *call)
{
	if (!balloon_in(call->ctx))
		return no_balloon(call->err);
	call->ret = monitor_reclaim_object(call->ctx);
	return 0;
}

int monitor_cancel_reclaim(struct qmp_call *call)
{
	if (!balloon_in(call->ctx))
		return no_balloon(call->err);
	if (balloon_cancel_reclaim(balloon_in(call->ctx)))
		return qmp_fail(call->err, QMP_GENERIC_ERROR, "no reclaim is running");
	call->ret = monitor_reclaim_object(call->ctx);
	return 0;
}

/* --- ledger ------------------------------------------------------------------------------------ */

struct json_object *monitor_balloon_object(struct monitor *mon)
{
	struct page_ledger *r = &mon->vm->balloon->returned;
	const struct ledger_counters *c = &r->counters;
	struct json_object *o;
	struct balloon_info info;

	if (!balloon_in(mon))
		return NULL;
	/* The host is asked, not believed. */
	(void)page_ledger_look(r, LOOK_NS);
	o = json_object_new_object();
	balloon_info(balloon_in(mon), &info);
	add_str(o, "id", BALLOON_ID);
	add_u64(o, "size", info.size_bytes);
	add_u64(o, "target", info.target_bytes);
	add_u64(o, "claimed", info.claimed_bytes);
	add_u64(o, "ballooned", page_ledger_bytes(r, RETURNED_BALLOONED));
	add_u64(o, "waiting", info.waiting_bytes);
	add_u64(o, "touched", r->touched_bytes);
	add_u64(o, "reported", page_ledger_bytes(r, RETURNED_REPORTED));
	add_u64(o, "hinted", page_ledger_bytes(r, RETURNED_HINTED));
	add_u64(o, "reported-total", c->bytes[RETURNED_REPORTED]);
	add_u64(o, "hinted-total", c->bytes[RETURNED_HINTED]);
	add_u64(o, "used-again-total",
		c->back_bytes[RETURNED_REPORTED] + c->back_bytes[RETURNED_HINTED]);
	add_u64(o, "poisoned-total", info.counters.kept_bytes);
	add_bool(o, "driver", info.driver_ready);
	json_object_object_add(o, "resize", monitor_balloon_job_object(mon));
	json_object_object_add(o, "reclaim", monitor_reclaim_object(mon));
	return o;
}
