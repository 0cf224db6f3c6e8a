/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reclaim.h - a run of free page hinting as a job: the host publishes a command id, the guest takes
 * its free memory into its hands, names it block by block, and holds it until the host says DONE
 * (virtio, Traditional Memory Balloon Device / Free Page Hinting). Pure: the monotonic time is an
 * argument, the caller shows the driver ->cmd_id and acts.
 */
#ifndef EBB_DEVICES_RECLAIM_H
#define EBB_DEVICES_RECLAIM_H

#include "vmm/base/clock.h"
#include "vmm/base/types.h"

enum reclaim_state { RECLAIM_NONE, RECLAIM_RUNNING, RECLAIM_DONE, RECLAIM_SHORT, RECLAIM_CANCELLED };
enum reclaim_reason {
	RECLAIM_UNHINDERED,
	RECLAIM_NO_DRIVER, /* it went, or was reset, during the run */
	RECLAIM_SILENT,	   /* the guest has not begun */
	RECLAIM_DEADLINE,  /* the guest was still naming memory */
	RECLAIM_HOST,	   /* the host could not tell what was written meanwhile */
};

struct reclaim {
	uint32_t id; /* of the latest run, from 1 on; 0: none yet */
	enum reclaim_state state;
	enum reclaim_reason reason; /* of a run that ended short */
	uint32_t cmd_id;   /* what the driver reads */
	uint32_t last_run; /* the last command id of a run */
	uint32_t guest_id; /* the last one that the driver sent; 0: STOP, or none */
	uint64_t started_ns, ended_ns, deadline_ns;
	uint64_t hinted_bytes, freed_bytes, written_bytes; /* of this run */
	uint64_t nr_batches;
};

/* DEADLINE_NS: monotonic. Not while one is running. */
void reclaim_start(struct reclaim *r, uint64_t deadline_ns, uint64_t now_ns);
/* The driver sent an id. True: with it the run is over (it has named all it has). */
bool must_check reclaim_guest_id(struct reclaim *r, uint32_t id, uint64_t now_ns);
/* Whether memory that the driver names now belongs to the run. */
bool reclaim_takes(const struct reclaim *r);
/* Ends a running run; nothing otherwise. The driver is to let go of its memory (DONE). */
void reclaim_end(struct reclaim *r, enum reclaim_state state, enum reclaim_reason reason,
		 uint64_t now_ns);
/* At the deadline, or later: ends the run. */
void reclaim_expire(struct reclaim *r, uint64_t now_ns);
/* The driver or the device was reset. */
void reclaim_driver_gone(struct reclaim *r, uint64_t now_ns);

/* "none", "running", "done", "short", "cancelled". */
const char *reclaim_state_name(enum reclaim_state state);
/* A word for programs, NULL for RECLAIM_UNHINDERED; and a sentence for people, "" then. */
const char *reclaim_reason_name(enum reclaim_reason reason);
const char *reclaim_explain(enum reclaim_reason reason);

#endif
