/* SPDX-License-Identifier: Apache-2.0 */
/* balloon.h - what control clients see of the balloon: its size, statistics, reclaim. */
#ifndef EBB_MONITOR_BALLOON_H
#define EBB_MONITOR_BALLOON_H

#include "vmm/control/qmp_server.h"
#include "vmm/monitor/resize_job.h"

struct monitor;

/* Types of what is returned (json/schema.h). */
#define RECLAIM_MEMBERS                                                                            \
	"id:u state:none|running|done|short|cancelled elapsed-ms:u left-ms?:u hinted:u freed:u "    \
	"written:u batches:u reason?:no-driver|silent|deadline|host explanation?:s"
/* What the guest gave back page by page, of all memory. */
#define BALLOON_MEMBERS                                                                            \
	"id:s size:u target:u claimed:u ballooned:u waiting:u touched:u reported:u hinted:u "       \
	"reported-total:u hinted-total:u used-again-total:u poisoned-total:u driver:b "             \
	"resize:{" RESIZE_MEMBERS "} reclaim:{" RECLAIM_MEMBERS "}"
#define GUEST_STATS_TYPE "{stats:o last-update:u}"

int monitor_balloon(struct qmp_call *call);
int monitor_query_balloon(struct qmp_call *call);
int monitor_query_guest_stats(struct qmp_call *call);
int monitor_start_reclaim(struct qmp_call *call);
int monitor_query_reclaim(struct qmp_call *call);
int monitor_cancel_reclaim(struct qmp_call *call);

/* Of `__org.ebb_stat`; NULL: no balloon. */
struct json_object *monitor_balloon_object(struct monitor *mon);
/* The balloon's resize job. */
struct json_object *monitor_balloon_job_object(const struct monitor *mon);
/* The property `guest-stats`. */
struct json_object *monitor_guest_stats_object(const struct monitor *mon);

/* The boot memory that is not ballooned; the latest reclaim. There is a balloon. */
struct json_object *monitor_balloon_actual_object(const struct monitor *mon);
struct json_object *monitor_reclaim_object(const struct monitor *mon);
/* The guest has sent statistics: answers all who wait for them. */
void monitor_guest_stats_arrived(struct monitor *mon);

#endif
