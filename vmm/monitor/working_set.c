/* SPDX-License-Identifier: Apache-2.0 */
/* working_set.c - working sets as control clients see them. */
#include "vmm/monitor/working_set.h"

#include <errno.h>
#include <string.h>

#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/machine/autosizer.h"
#include "vmm/machine/working_set_estimate.h"
#include "vmm/monitor/context.h"

struct json_object *monitor_working_set_object(const struct working_set_record *w)
{
	struct json_object *o = json_object_new_object(), *bins = json_object_new_array();

	add_u64(o, "node", w->ws.node);
	add_str(o, "source", working_set_source_name(w->source));
	add_u64(o, "seconds", w->at_s);
	if (w->error[0])
		add_str(o, "error", w->error);
	for (unsigned int i = 0; i < w->ws.nr_bins; i++) {
		struct json_object *bin = json_object_new_object();

		/* The last one has no end. */
		if (w->ws.bins[i].idle_ms != UINT64_MAX)
			add_u64(bin, "idle-ms", w->ws.bins[i].idle_ms);
		add_u64(bin, "anon", w->ws.bins[i].anon_bytes);
		add_u64(bin, "file", w->ws.bins[i].file_bytes);
		json_object_array_add(bins, bin);
	}
	json_object_object_add(o, "bins", bins);
	return o;
}

struct json_object *monitor_working_set_list(const struct monitor *mon)
{
	const struct working_sets *sets = &mon->vm->working_sets->sets;
	struct json_object *list = json_object_new_array();

	for (unsigned int i = 0; i < WORKING_SETS_MAX_NODES; i++)
		if (sets->node[i].at_s)
			json_object_array_add(list, monitor_working_set_object(&sets->node[i]));
	if (sets->host.at_s)
		json_object_array_add(list, monitor_working_set_object(&sets->host));
	return list;
}

int monitor_query_working_set(struct qmp_call *call)
{
	call->ret = monitor_working_set_list(call->ctx);
	return 0;
}

/* --- asking ------------------------------------------------------------------------------------ */

static int no_source(struct qmp_error *err)
{
	return qmp_fail(err, QMP_DEVICE_NOT_ACTIVE,
			"nobody in the guest can tell: neither an agent with working sets (--agent) "
			"nor a virtio-balloon driver with working set queues (--working-set=on); "
			"\"source\": \"host\" asks the host instead");
}

static int configure(struct monitor *mon, struct json_object *args, struct json_object *ages,
		     struct qmp_error *err)
{
	struct working_set_config cfg = {
		.node = (uint16_t)qmp_arg_u64(args, "node", 0),
		.report_threshold_ms = (uint32_t)qmp_arg_u64(args, "report-threshold-ms", 1000),
		.refresh_interval_ms = (uint32_t)qmp_arg_u64(args, "refresh-interval-ms", 1000),
		.nr_ages = (unsigned int)min_u64(json_object_array_length(ages), BALLOON_WS_BINS),
	};
	int r;

	for (unsigned int i = 0; i < cfg.nr_ages; i++)
		cfg.age_ms[i] = (uint32_t)json_object_get_int64(json_object_array_get_idx(ages, i));
	r = balloon_configure_working_set(mon->vm->balloon->balloon, &cfg);
	if (r == -EINVAL)
		return qmp_fail(err, QMP_GENERIC_ERROR, "ages-ms: 1 to 31 numbers that rise");
	return r;
}

#define HOST_MAX_MS 3600000

static int estimate(struct monitor *mon, struct json_object *ages, struct qmp_error *err)
{
	uint32_t times_ms[ESTIMATE_MAX_TIMES] = { 1000, 10000, 60000 };
	size_t nr = ages ? json_object_array_length(ages) : 3;
	bool valid = nr && nr <= ESTIMATE_MAX_TIMES;
	int r;

	for (size_t i = 0; valid && ages && i < nr; i++) {
		times_ms[i] = (uint32_t)json_object_get_int64(json_object_array_get_idx(ages, i));
		valid = times_ms[i] <= HOST_MAX_MS && (!i || times_ms[i] > times_ms[i - 1]);
	}
	if (!valid)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"ages-ms: 1 to %d numbers that rise, up to %d", ESTIMATE_MAX_TIMES,
				HOST_MAX_MS);
	r = estimate_start(mon->vm->estimate, times_ms, (unsigned int)nr);
	if (r == -EBUSY)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"not now: an estimate or a reclaim is under way, or the VM is paused");
	return r;
}

int monitor_ask_working_set(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	struct json_object *ages = qmp_arg(call->args, "ages-ms");
	int node = qmp_arg(call->args, "node") ? (int)qmp_arg_u64(call->args, "node", 0) : -1, r;

	if (!strcmp(qmp_arg_str(call->args, "source", "guest"), "host"))
		return estimate(mon, ages, call->err);
	/* The borders of an agent's bins are those of its kernel. */
	if (!ages && !autosizer_ask_working_set(mon->vm->autosizer, node))
		return 0;
	if (!mon->vm->balloon->balloon)
		return no_source(call->err);
	r = ages ? configure(mon, call->args, ages, call->err)
		 : balloon_ask_working_set(mon->vm->balloon->balloon,
					   (uint16_t)(node < 0 ? 0 : node));
	if (r == -ENODEV)
		return no_source(call->err);
	if (r == -EBUSY)
		return qmp_fail(call->err, QMP_GENERIC_ERROR,
				"the guest has not taken the last request yet");
	return r;
}
