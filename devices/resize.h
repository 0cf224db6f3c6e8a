/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resize.h - a resize as a job: from a target to done, short (with the reason) or cancelled.
 * Of elastic memory (a size is what is plugged) or of a balloon (what is not ballooned).
 * Pure: no I/O, the monotonic time is an argument, the caller (devices/resize_job.h) sets the timer
 * and raises the interrupt. One struct lives as long as its device and runs one job after the
 * other; it is also fed between jobs, so that a new job knows its driver.
 *
 * Linux retries a failed unplug after 50 to 300 s only. While a job is short of its target the
 * configuration interrupt is raised again, which Linux takes as "try now" (the specification
 * allows it, Memory Device / Device configuration layout): 0.25 s after the last progress, then
 * twice as long each time, up to 5 s. When a job has ended nothing is raised any more.
 */
#ifndef EBB_DEVICES_RESIZE_H
#define EBB_DEVICES_RESIZE_H

#include "vmm/base/clock.h"
#include "vmm/base/types.h"

#define RESIZE_RAISE_MIN_NS (NS_PER_S / 4)
#define RESIZE_RAISE_MAX_NS (5 * NS_PER_S)
/* Without progress for this long a running job shows a reason. */
#define RESIZE_SLOW_NS NS_PER_S

enum resize_state { RESIZE_NONE, RESIZE_RUNNING, RESIZE_DONE, RESIZE_SHORT, RESIZE_CANCELLED };

enum resize_kind { RESIZE_VMEM, RESIZE_BALLOON };

/* What the host can see; the guest's side of it is a guess and worded as one. */
enum resize_reason {
	RESIZE_UNHINDERED,
	RESIZE_NO_DRIVER,     /* no driver is ready */
	RESIZE_REFUSED,	      /* its request was an error: Linux gives the device up then */
	RESIZE_BUSY,	      /* its request was put off */
	RESIZE_NACK,	      /* its request was for more than what is left */
	RESIZE_USABLE_REGION, /* what is left of the region is no whole guest memory block */
	RESIZE_SILENT,	      /* no request at all, despite interrupts */
	RESIZE_STOPPED,	      /* requests came, then no more progress */
	RESIZE_DEADLINE,      /* still moving when the time was up */
};

/* What the driver was told about a request of its own, in the words of no device in particular. */
enum resize_answer {
	RESIZE_ACCEPTED,
	RESIZE_PUT_OFF,	 /* for now: the driver may ask for the same again */
	RESIZE_TOO_MUCH, /* more than is left up to the target */
	RESIZE_ERROR,	 /* against the rules: the driver is at fault */
};

struct resize {
	enum resize_kind kind; /* set once, by the owner */
	uint32_t id; /* of the latest job, from 1 on; 0: none yet */
	enum resize_state state;
	enum resize_reason reason; /* of a job that ended short */
	uint64_t start_bytes, target_bytes, plugged_bytes;
	uint64_t limit_bytes; /* what a guest that adds whole memory blocks can reach */
	uint64_t moved_bytes; /* toward the target, by the guest */
	uint64_t started_ns, ended_ns, deadline_ns, progress_ns;
	uint64_t raise_ns, raise_interval_ns;
	uint32_t nr_raises;  /* of this job */
	uint32_t nr_ignored; /* interrupts since the guest's last request */
	uint32_t nr_requests;
	bool driver_ready;
	enum resize_answer last_answer; /* ACCEPTED before the first; kept between jobs */
	const char *put_off_text;	/* see resize_answered() */
};

/*
 * Starts job id + 1 and ends a running one as cancelled. The caller raises the interrupt (not
 * counted when no driver is ready). DEADLINE_NS: monotonic, 0: none. Done at once when
 * PLUGGED_BYTES is the target.
 */
void resize_start(struct resize *r, uint64_t target_bytes, uint64_t plugged_bytes,
		  uint64_t limit_bytes, uint64_t deadline_ns, uint64_t now_ns);
/* Ends a running job as cancelled; without one nothing happens. */
void resize_cancel(struct resize *r, uint64_t now_ns);

/* What happened, between jobs, too. Each may end the job, see ->state. */

/* A driver is there and ready, or not. */
void resize_driver(struct resize *r, bool ready, uint64_t now_ns);
/*
 * The driver's request was answered. PUT_OFF_TEXT, of RESIZE_PUT_OFF only: why, for people, as the
 * end of a sentence ("the guest's request was put off: ..."). It is kept, not copied: a string
 * constant.
 */
void resize_answered(struct resize *r, enum resize_answer answer, const char *put_off_text);
/* The size is PLUGGED_BYTES now, and the guest could reach LIMIT_BYTES (UINT64_MAX: no limit). */
void resize_plugged(struct resize *r, uint64_t plugged_bytes, uint64_t limit_bytes,
		    uint64_t now_ns);
/* The machine was reset and memory unplugged, by no doing of the guest; the job goes on. */
void resize_system_reset(struct resize *r, uint64_t plugged_bytes, uint64_t limit_bytes,
			 uint64_t now_ns);

/* True: raise the interrupt now. Call it at resize_next_ns(); earlier calls do no harm. */
bool must_check resize_tick(struct resize *r, uint64_t now_ns);
/* When resize_tick() has something to do; 0: never, as things are. */
uint64_t resize_next_ns(const struct resize *r);

struct resize_status {
	enum resize_kind kind;
	uint32_t id;
	enum resize_state state;
	enum resize_reason reason; /* of a short job, or of a running one without progress */
	uint64_t start_bytes, target_bytes, plugged_bytes, moved_bytes;
	uint64_t elapsed_ns;
	uint64_t left_ns; /* until the deadline of a running job; UINT64_MAX: it has none */
	uint32_t nr_raises, nr_ignored, nr_requests;
	const char *put_off_text; /* of RESIZE_BUSY: why, for people */
};
/* The latest job as of NOW_NS. */
struct resize_status resize_status(const struct resize *r, uint64_t now_ns);

/* "none", "running", "done", "short", "cancelled". */
const char *resize_state_name(enum resize_state state);
/* A word for programs ("no-driver", "busy", ...); NULL for RESIZE_UNHINDERED. */
const char *resize_reason_name(enum resize_reason reason);
/* The reason as a sentence for people, with its figures; "" for RESIZE_UNHINDERED. Result: BUF. */
const char *resize_explain(const struct resize_status *s, char *buf, size_t bytes);

#endif
