/* SPDX-License-Identifier: Apache-2.0 */
/* events.c - the machine's events as JSON. */
#include "vmm/monitor/events.h"

#include <stdio.h>

#include "vmm/base/log.h"
#include "vmm/json/members.h"
#include "vmm/machine/autosizer.h"
#include "vmm/machine/violations.h"
#include "vmm/monitor/autosize.h"
#include "vmm/monitor/balloon.h"
#include "vmm/monitor/context.h"
#include "vmm/monitor/dump.h"
#include "vmm/monitor/guard.h"
#include "vmm/monitor/qom.h"
#include "vmm/monitor/resize_job.h"
#include "vmm/monitor/working_set.h"

/* --- the machine as a whole -------------------------------------------------------------------- */

static void caused(struct monitor *mon, const char *name, const struct vm_event *e)
{
	struct json_object *data = json_object_new_object();

	add_bool(data, "guest", e->cause.guest);
	add_str(data, "reason", e->cause.reason);
	qmp_event(mon->qmp, name, data);
}

static struct json_object *one_word(const char *key, const char *word)
{
	struct json_object *data = json_object_new_object();

	add_str(data, key, word);
	return data;
}

static void dump_ended(struct monitor *mon, const char *error)
{
	struct json_object *data = json_object_new_object();

	json_object_object_add(data, "result", monitor_dump_object(mon->vm->dump));
	if (error)
		add_str(data, "error", error);
	qmp_event(mon->qmp, "DUMP_COMPLETED", data);
	monitor_dump_answer(mon, error);
}

/* --- elastic memory ---------------------------------------------------------------------------- */

static void size_changed(struct monitor *mon, const struct vm_elastic *e)
{
	struct json_object *data = json_object_new_object();
	char path[64];

	snprintf(path, sizeof(path), QOM_PERIPHERAL "/%s", e->id);
	add_str(data, "id", e->id);
	add_u64(data, "size", blocks_plugged_bytes(&e->elastic.blocks));
	add_str(data, "qom-path", path);
	qmp_event_limited(mon->qmp, "MEMORY_DEVICE_SIZE_CHANGE", e->id, data);
}

static void violated(struct monitor *mon, const struct vm_elastic *e, const struct guard_info *info)
{
	struct json_object *data = json_object_new_object();

	add_str(data, "device", e->id);
	add_str(data, "action", config_violation_name(mon->vm->violations->policy));
	monitor_add_violations(data, info);
	add_u64(data, "last-address", e->elastic.base.v + info->last_offset);
	if (info->last_tid)
		add_u64(data, "last-thread", info->last_tid);
	qmp_event_limited(mon->qmp, "__org.ebb_VIOLATION", e->id, data);
}

/* --- the guest by its own word ----------------------------------------------------------------- */

static void working_set_came(struct monitor *mon, const struct working_set_record *w)
{
	char key[24];

	snprintf(key, sizeof(key), "%s%u", working_set_source_name(w->source), w->ws.node);
	qmp_event_limited(mon->qmp, "__org.ebb_WORKING_SET", key, monitor_working_set_object(w));
}

/* The event "connected" says who; a state of no agent says so alone. */
static void agent_changed(struct monitor *mon, enum agent_state state)
{
	const struct agent_session *s = &mon->vm->autosizer->port.session;
	struct json_object *data = json_object_new_object();

	if (state == AGENT_BROKEN)
		log_guest("the guest's agent is not listened to any more until it opens its port "
			  "anew: %d lines were no messages, the last one: %s", AGENT_FAULTS_MAX,
			  s->fault);
	if (state == AGENT_SILENT)
		log_guest("the guest's agent has fallen silent");
	add_str(data, "state", agent_state_name(state));
	if (state == AGENT_CONNECTED)
		monitor_add_hello(data, &s->hello);
	qmp_event_limited(mon->qmp, "__org.ebb_AGENT", NULL, data);
}

static void guest_low(struct monitor *mon, const struct agent_message *need,
		      const struct autosize_answer *answer)
{
	struct json_object *data = json_object_new_object();

	add_str(data, "why", agent_need_name(need->why));
	add_u64(data, "bytes", need->bytes);
	add_u64(data, "granted", answer->granted_bytes);
	add_str(data, "answer", autosize_why_name(answer->why));
	monitor_add_said(data, "available", need->status.available_bytes);
	qmp_event_limited(mon->qmp, "__org.ebb_GUEST_LOW", NULL, data);
}

/* --- the table --------------------------------------------------------------------------------- */

/* Those that are told when a memory device or the balloon has changed. */
static void tell_memory(struct monitor *mon, const struct vm_event *e)
{
	const struct vm_elastic *devices = mon->vm->memory->elastic;

	switch (e->kind) {
	case VM_MEMORY_SIZE:
		size_changed(mon, &devices[e->device]);
		break;
	case VM_MEMORY_JOB:
		qmp_event(mon->qmp, "__org.ebb_RESIZE", monitor_job_object(&devices[e->device]));
		break;
	case VM_VIOLATION:
		violated(mon, &devices[e->violation.device], e->violation.info);
		break;
	case VM_GUARD_STOP:
		qmp_event(mon->qmp, "__org.ebb_GUARD_STOP", one_word("reason", e->text));
		break;
	case VM_BALLOON_SIZE:
		qmp_event_limited(mon->qmp, "BALLOON_CHANGE", NULL, monitor_balloon_actual_object(mon));
		break;
	case VM_BALLOON_JOB:
		qmp_event(mon->qmp, "__org.ebb_RESIZE", monitor_balloon_job_object(mon));
		break;
	case VM_BALLOON_STATS:
		monitor_guest_stats_arrived(mon);
		break;
	case VM_RECLAIM:
		qmp_event(mon->qmp, "__org.ebb_RECLAIM", monitor_reclaim_object(mon));
		break;
	default:
		break;
	}
}

static void tell_machine(struct monitor *mon, const struct vm_event *e)
{
	switch (e->kind) {
	case VM_STOPPED:
		qmp_event(mon->qmp, "STOP", NULL);
		break;
	case VM_RESUMED:
		qmp_event(mon->qmp, "RESUME", NULL);
		break;
	case VM_POWER_BUTTON:
		qmp_event(mon->qmp, "POWERDOWN", NULL);
		break;
	case VM_RESET:
		caused(mon, "RESET", e);
		break;
	case VM_ENDED:
		caused(mon, "SHUTDOWN", e);
		break;
	case VM_PANICKED:
		qmp_event(mon->qmp, "GUEST_PANICKED",
			  one_word("action", e->pauses ? "pause" : "poweroff"));
		break;
	case VM_CRASH_KERNEL:
		qmp_event_limited(mon->qmp, "GUEST_CRASHLOADED", "", one_word("action", "run"));
		break;
	case VM_DUMP_ENDED:
		dump_ended(mon, e->text);
		break;
	default:
		break;
	}
}

static void tell_guest(struct monitor *mon, const struct vm_event *e)
{
	switch (e->kind) {
	case VM_WORKING_SET:
		working_set_came(mon, e->working_set);
		break;
	case VM_AGENT:
		agent_changed(mon, e->agent);
		break;
	case VM_AUTOSIZE:
		qmp_event_limited(mon->qmp, "__org.ebb_AUTOSIZE", NULL, monitor_autosize_object(mon));
		break;
	case VM_GUEST_LOW:
		guest_low(mon, e->low.need, e->low.answer);
		break;
	default:
		break;
	}
}

void monitor_tell(void *ctx, const struct vm_event *event)
{
	tell_machine(ctx, event);
	tell_memory(ctx, event);
	tell_guest(ctx, event);
}
