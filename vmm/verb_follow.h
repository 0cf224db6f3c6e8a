/* SPDX-License-Identifier: Apache-2.0 */
/* verb_follow.h - a verb that waits for the job it has started: progress line, Ctrl-c, exit code. */
#ifndef EBB_VERB_FOLLOW_H
#define EBB_VERB_FOLLOW_H

#include "vmm/control/qmp_client.h"

/* Exit codes beside 0 and 35. */
#define EXIT_SHORT 1
#define EXIT_INTERRUPTED 130

struct follow {
	const char *query, *cancel; /* commands; both answer with a job, or a list of jobs */
	struct json_object *args;   /* of both; NULL: none */
	/* The progress line up to the state, into LINE. */
	void (*text)(struct json_object *jobs, char *line, size_t bytes);
};

/* Whether a job, or any of a list, is in STATE. */
bool jobs_in_state(struct json_object *jobs, const char *state);
/* Of a job, or of all in a list. */
uint64_t jobs_sum(struct json_object *jobs, const char *key);

/* Until no job runs any more. EXIT_*, 0, or 1 when the VM is gone. */
int must_check verb_follow(struct qmp_client *client, const struct follow *f);

/* For an option: a positive number of seconds. 0 or -EINVAL, logged. */
int must_check verb_timeout(const char *value, double *seconds);

#endif
