/* SPDX-License-Identifier: Apache-2.0 */
/* balloon.h - what control clients see of the balloon: its size, statistics, reclaim. */
#ifndef EBB_MONITOR_BALLOON_H
#define EBB_MONITOR_BALLOON_H

#include "vmm/control/qmp_server.h"
#include "vmm/machine/machine.h"

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

int balloon(void *ctx, struct json_object *args, struct json_object **ret, struct qmp_error *err);
int query_balloon(void *ctx, struct json_object *args, struct json_object **ret,
		  struct qmp_error *err);
int query_guest_stats(void *ctx, struct json_object *args, struct json_object **ret,
		      struct qmp_error *err);
int start_reclaim(void *ctx, struct json_object *args, struct json_object **ret,
		  struct qmp_error *err);
int query_reclaim(void *ctx, struct json_object *args, struct json_object **ret,
		  struct qmp_error *err);
int cancel_reclaim(void *ctx, struct json_object *args, struct json_object **ret,
		   struct qmp_error *err);

/* Of `__org.ebb_stat`; NULL: no balloon. */
struct json_object *balloon_object(struct machine *m);
/* The balloon's resize job. */
struct json_object *balloon_job_object(const struct machine *m);
/* The property `guest-stats`. */
struct json_object *guest_stats_object(const struct machine *m);

/* Callbacks of the balloon; CTX is the machine. */
void commands_balloon_changed(void *ctx);
void commands_balloon_job_changed(void *ctx);
void commands_reclaim_changed(void *ctx);
/* The answer to a client that waited for statistics; not FRESH: none came in time. */
void commands_guest_stats(struct machine *m, struct qmp_session *client, bool fresh);

#endif
