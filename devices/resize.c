/* SPDX-License-Identifier: Apache-2.0 */
/* resize.c - a resize as a job. */
#include "devices/resize.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const state_name[] = {
	[RESIZE_NONE] = "none",	  [RESIZE_RUNNING] = "running",	    [RESIZE_DONE] = "done",
	[RESIZE_SHORT] = "short", [RESIZE_CANCELLED] = "cancelled",
};

static const char *const reason_name[] = {
	[RESIZE_UNHINDERED] = NULL,	[RESIZE_NO_DRIVER] = "no-driver",
	[RESIZE_REFUSED] = "refused",	[RESIZE_BUSY] = "busy",
	[RESIZE_NACK] = "nack",		[RESIZE_USABLE_REGION] = "usable-region",
	[RESIZE_SILENT] = "silent",	[RESIZE_STOPPED] = "stopped",
	[RESIZE_DEADLINE] = "deadline",
};

const char *resize_state_name(enum resize_state state) { return state_name[state]; }
const char *resize_reason_name(enum resize_reason reason) { return reason_name[reason]; }

static uint64_t distance(const struct resize *r, uint64_t plugged_bytes)
{
	return plugged_bytes > r->target_bytes ? plugged_bytes - r->target_bytes
					       : r->target_bytes - plugged_bytes;
}

static void end(struct resize *r, enum resize_state state, uint64_t now)
{
	r->state = state;
	r->ended_ns = now;
}

/* The next interrupt is due after the shortest pause again. */
static void soon(struct resize *r, uint64_t now)
{
	r->raise_interval_ns = RESIZE_RAISE_MIN_NS;
	r->raise_ns = now + r->raise_interval_ns;
}

void resize_start(struct resize *r, uint64_t target_bytes, uint64_t plugged_bytes,
		  uint64_t limit_bytes, uint64_t deadline_ns, uint64_t now)
{
	*r = (struct resize){
		.kind = r->kind,
		.id = r->id + 1,
		.state = RESIZE_RUNNING,
		.start_bytes = plugged_bytes,
		.target_bytes = target_bytes,
		.plugged_bytes = plugged_bytes,
		.limit_bytes = limit_bytes,
		.deadline_ns = deadline_ns,
		.started_ns = now,
		.progress_ns = now,
		.nr_raises = r->driver_ready,
		.nr_ignored = r->driver_ready,
		.driver_ready = r->driver_ready,
		/* A driver that gave up stays so; other answers, to an older job, say nothing. */
		.last_answer = r->last_answer == RESIZE_ERROR ? RESIZE_ERROR : RESIZE_ACCEPTED,
	};
	soon(r, now);
	if (plugged_bytes == target_bytes)
		end(r, RESIZE_DONE, now);
}

void resize_cancel(struct resize *r, uint64_t now)
{
	if (r->state == RESIZE_RUNNING)
		end(r, RESIZE_CANCELLED, now);
}

void resize_driver(struct resize *r, bool ready, uint64_t now)
{
	if (ready == r->driver_ready)
		return;
	r->driver_ready = ready;
	r->last_answer = RESIZE_ACCEPTED;
	r->nr_ignored = 0;
	/* A new driver reads the target by itself first. */
	soon(r, now);
}

void resize_answered(struct resize *r, enum resize_answer answer, const char *put_off_text)
{
	r->nr_requests++;
	r->nr_ignored = 0;
	r->last_answer = answer;
	r->put_off_text = put_off_text;
}

void resize_plugged(struct resize *r, uint64_t plugged_bytes, uint64_t limit_bytes, uint64_t now)
{
	uint64_t before = distance(r, r->plugged_bytes), after = distance(r, plugged_bytes);

	if (r->state != RESIZE_RUNNING)
		return;
	r->plugged_bytes = plugged_bytes;
	r->limit_bytes = limit_bytes;
	if (after < before) {
		r->moved_bytes += before - after;
		r->progress_ns = now;
		soon(r, now);
	}
	if (!after)
		end(r, RESIZE_DONE, now);
}

void resize_system_reset(struct resize *r, uint64_t plugged_bytes, uint64_t limit_bytes,
			 uint64_t now)
{
	resize_driver(r, false, now);
	if (r->state != RESIZE_RUNNING)
		return;
	r->plugged_bytes = plugged_bytes;
	r->limit_bytes = limit_bytes;
	r->moved_bytes = 0;
	r->nr_requests = 0;
	r->progress_ns = now;
	if (plugged_bytes == r->target_bytes)
		end(r, RESIZE_DONE, now);
}

static enum resize_reason reason_now(const struct resize *r)
{
	if (!r->driver_ready)
		return RESIZE_NO_DRIVER;
	if (r->last_answer == RESIZE_ERROR)
		return RESIZE_REFUSED;
	if (r->last_answer == RESIZE_PUT_OFF)
		return RESIZE_BUSY;
	if (r->last_answer == RESIZE_TOO_MUCH)
		return RESIZE_NACK;
	if (r->target_bytes > r->limit_bytes && r->plugged_bytes >= r->limit_bytes)
		return RESIZE_USABLE_REGION;
	return r->nr_requests ? RESIZE_STOPPED : RESIZE_SILENT;
}

static bool is_slow(const struct resize *r, uint64_t now)
{
	return now - r->progress_ns >= RESIZE_SLOW_NS;
}

bool resize_tick(struct resize *r, uint64_t now)
{
	if (r->state != RESIZE_RUNNING)
		return false;
	if (r->deadline_ns && now >= r->deadline_ns) {
		r->reason = r->driver_ready && r->moved_bytes && !is_slow(r, now) ? RESIZE_DEADLINE
										  : reason_now(r);
		end(r, RESIZE_SHORT, now);
		return false;
	}
	if (!r->driver_ready || now < r->raise_ns)
		return false;
	r->raise_interval_ns = min_u64(2 * r->raise_interval_ns, RESIZE_RAISE_MAX_NS);
	r->raise_ns = now + r->raise_interval_ns;
	r->nr_raises++;
	r->nr_ignored++;
	return true;
}

uint64_t resize_next_ns(const struct resize *r)
{
	if (r->state != RESIZE_RUNNING)
		return 0;
	if (!r->driver_ready)
		return r->deadline_ns;
	return r->deadline_ns ? min_u64(r->deadline_ns, r->raise_ns) : r->raise_ns;
}

static enum resize_reason shown_reason(const struct resize *r, uint64_t now)
{
	if (r->state == RESIZE_SHORT)
		return r->reason;
	if (r->state != RESIZE_RUNNING)
		return RESIZE_UNHINDERED;
	/* A missing driver is a fact; the rest may just need another moment. */
	return !r->driver_ready || is_slow(r, now) ? reason_now(r) : RESIZE_UNHINDERED;
}

struct resize_status resize_status(const struct resize *r, uint64_t now)
{
	struct resize_status s = {
		.kind = r->kind,
		.id = r->id,
		.state = r->state,
		.reason = shown_reason(r, now),
		.start_bytes = r->start_bytes,
		.target_bytes = r->target_bytes,
		.plugged_bytes = r->plugged_bytes,
		.moved_bytes = r->moved_bytes,
		.left_ns = UINT64_MAX,
		.nr_raises = r->nr_raises,
		.nr_ignored = r->nr_ignored,
		.nr_requests = r->nr_requests,
		.put_off_text = r->put_off_text,
	};

	if (r->state == RESIZE_NONE)
		return s;
	s.elapsed_ns = (r->state == RESIZE_RUNNING ? now : r->ended_ns) - r->started_ns;
	if (r->deadline_ns)
		s.left_ns = r->state == RESIZE_RUNNING && r->deadline_ns > now
				    ? r->deadline_ns - now
				    : 0;
	return s;
}

static const char *const driver_name[] = {
	[RESIZE_VMEM] = "virtio-mem", [RESIZE_BALLOON] = "virtio-balloon",
};

/* Guesses at why a guest does not go on; by kind, shrinking and growing. */
static const char *const may_hang[][2] = {
	[RESIZE_VMEM] = { "it may have no free or movable memory to give, or its driver hangs",
			  "it may lack free memory to manage more, or its driver hangs" },
	[RESIZE_BALLOON] = { "it may have no free memory to give, or its driver hangs",
			     "its driver may hang" },
};
static const char *const may_lack[][2] = {
	[RESIZE_VMEM] = { "it may have no free or movable memory left to give",
			  "it may lack free memory to manage more, or memory it has is not "
			  "online" },
	[RESIZE_BALLOON] = { "it may have no free memory left to give, or took some back in need",
			     "its driver may hang" },
};

const char *resize_explain(const struct resize_status *s, char *buf, size_t bytes)
{
	bool grow = s->target_bytes > s->plugged_bytes;
	uint64_t moved = s->moved_bytes / MiB, missing;

	missing = (grow ? s->target_bytes - s->plugged_bytes : s->plugged_bytes - s->target_bytes) /
		  MiB;
	switch (s->reason) {
	case RESIZE_UNHINDERED:
		snprintf(buf, bytes, "%s", "");
		break;
	case RESIZE_NO_DRIVER:
		snprintf(buf, bytes,
			 "no %s driver is ready in the guest (not loaded, or its device needs a "
			 "reset)", driver_name[s->kind]);
		break;
	case RESIZE_REFUSED:
		snprintf(buf, bytes,
			 "a request of the driver was an error; Linux ignores the device until the "
			 "driver is loaded again");
		break;
	case RESIZE_BUSY:
		snprintf(buf, bytes, "the guest's request was put off: %s", s->put_off_text);
		break;
	case RESIZE_NACK:
		snprintf(buf, bytes,
			 "the guest asks for more at once than the %" PRIu64
			 " MiB left up to the target; its memory blocks may be larger",
			 missing);
		break;
	case RESIZE_USABLE_REGION:
		snprintf(buf, bytes,
			 "the region has no whole memory block left for the guest; the last "
			 "%" PRIu64 " MiB are not reachable",
			 missing);
		break;
	case RESIZE_SILENT:
		snprintf(buf, bytes, "the guest sent no request since %" PRIu32 " interrupts: %s",
			 s->nr_ignored, may_hang[s->kind][grow]);
		break;
	case RESIZE_STOPPED:
		snprintf(buf, bytes,
			 "the guest stopped after %" PRIu64 " MiB, %" PRIu64 " MiB short: %s",
			 moved, missing, may_lack[s->kind][grow]);
		break;
	case RESIZE_DEADLINE:
		snprintf(buf, bytes,
			 "the guest was still moving memory (%" PRIu64 " MiB so far, %" PRIu64
			 " MiB short) when the time was up",
			 moved, missing);
		break;
	}
	return buf;
}
