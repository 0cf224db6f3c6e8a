/* SPDX-License-Identifier: Apache-2.0 */
/* reclaim.c - the steps of a run of free page hinting. */
#include "devices/reclaim.h"

#include <assert.h>
#include <linux/virtio_balloon.h>

/* Of runs: far from the two that have a meaning of their own. */
#define FIRST_CMD_ID 0x80000000u

static const char *const state_name[] = {
	[RECLAIM_NONE] = "none",	[RECLAIM_RUNNING] = "running", [RECLAIM_DONE] = "done",
	[RECLAIM_SHORT] = "short",	[RECLAIM_CANCELLED] = "cancelled",
};

static const struct {
	const char *name, *text;
} reasons[] = {
	[RECLAIM_UNHINDERED] = { NULL, "" },
	[RECLAIM_NO_DRIVER] = { "no-driver", "the guest's balloon driver went away meanwhile" },
	[RECLAIM_SILENT] = { "silent", "the guest's balloon driver has not begun to name free "
				       "memory; it may lack free page hinting, or hang" },
	[RECLAIM_DEADLINE] = { "deadline", "the guest was still naming free memory when the time "
					   "was up" },
	[RECLAIM_HOST] = { "host", "the host could not tell what was written meanwhile; see its "
				   "log" },
};

const char *reclaim_state_name(enum reclaim_state state) { return state_name[state]; }
const char *reclaim_reason_name(enum reclaim_reason reason) { return reasons[reason].name; }
const char *reclaim_explain(enum reclaim_reason reason) { return reasons[reason].text; }

void reclaim_start(struct reclaim *r, uint64_t deadline_ns, uint64_t now)
{
	uint32_t cmd_id = r->last_run >= FIRST_CMD_ID && r->last_run < UINT32_MAX ? r->last_run + 1
										   : FIRST_CMD_ID;

	assert(r->state != RECLAIM_RUNNING);
	*r = (struct reclaim){ .id = r->id + 1,
			       .state = RECLAIM_RUNNING,
			       .cmd_id = cmd_id,
			       .last_run = cmd_id,
			       .guest_id = r->guest_id,
			       .started_ns = now,
			       .deadline_ns = deadline_ns };
}

bool reclaim_guest_id(struct reclaim *r, uint32_t id, uint64_t now)
{
	bool over = reclaim_takes(r) && id == VIRTIO_BALLOON_CMD_ID_STOP;

	if (over)
		reclaim_end(r, RECLAIM_DONE, RECLAIM_UNHINDERED, now);
	r->guest_id = id;
	return over;
}

bool reclaim_takes(const struct reclaim *r)
{
	return r->state == RECLAIM_RUNNING && r->guest_id == r->cmd_id;
}

void reclaim_end(struct reclaim *r, enum reclaim_state state, enum reclaim_reason reason,
		 uint64_t now)
{
	if (r->state != RECLAIM_RUNNING)
		return;
	r->state = state;
	r->reason = reason;
	r->ended_ns = now;
	r->cmd_id = VIRTIO_BALLOON_CMD_ID_DONE;
}

void reclaim_expire(struct reclaim *r, uint64_t now)
{
	if (now >= r->deadline_ns)
		reclaim_end(r, RECLAIM_SHORT,
			    reclaim_takes(r) ? RECLAIM_DEADLINE : RECLAIM_SILENT, now);
}

void reclaim_driver_gone(struct reclaim *r, uint64_t now)
{
	reclaim_end(r, RECLAIM_SHORT, RECLAIM_NO_DRIVER, now);
	r->guest_id = VIRTIO_BALLOON_CMD_ID_STOP;
	r->cmd_id = VIRTIO_BALLOON_CMD_ID_STOP;
}
