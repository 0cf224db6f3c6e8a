/* SPDX-License-Identifier: Apache-2.0 */
/* resize_job.c - a resize job as control clients see it. */
#include "vmm/monitor/resize_job.h"

#include "vmm/base/clock.h"
#include "vmm/json/members.h"
#include "vmm/json/schema.h"

struct json_object *monitor_resize_object(const char *device, const struct resize_status *s,
				  uint64_t size_bytes)
{
	struct json_object *o = json_object_new_object();
	char text[256];

	add_str(o, "device", device);
	add_u64(o, "id", s->id);
	add_str(o, "state", resize_state_name(s->state));
	add_u64(o, "start", s->start_bytes);
	add_u64(o, "target", s->target_bytes);
	add_u64(o, "size", size_bytes);
	add_u64(o, "elapsed-ms", s->elapsed_ns / NS_PER_MS);
	if (s->left_ns != UINT64_MAX)
		add_u64(o, "left-ms", s->left_ns / NS_PER_MS);
	add_u64(o, "interrupts", s->nr_raises);
	add_u64(o, "requests", s->nr_requests);
	if (s->reason != RESIZE_UNHINDERED) {
		add_str(o, "reason", resize_reason_name(s->reason));
		add_str(o, "explanation", resize_explain(s, text, sizeof(text)));
	}
	return o;
}

struct json_object *monitor_job_object(const struct vm_elastic *e)
{
	struct resize_status s = vmem_job(e->vmem);

	return monitor_resize_object(e->id, &s, blocks_plugged_bytes(&e->elastic.blocks));
}

uint64_t monitor_deadline_arg(struct json_object *args, uint64_t now_ns)
{
	struct json_object *timeout = qmp_arg(args, "timeout");
	double s = timeout ? json_object_get_double(timeout) : 0;

	if (!(s > 0))
		return 0;
	return now_ns + (uint64_t)((s < 1e9 ? s : 1e9) * (double)NS_PER_S);
}
