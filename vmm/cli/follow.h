/* SPDX-License-Identifier: Apache-2.0 */
/* follow.h - a verb that waits for the job it has started: progress line, Ctrl-c, exit code. */
#ifndef EBB_CLI_FOLLOW_H
#define EBB_CLI_FOLLOW_H

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

/* Options of every verb that starts a job: the first member of what the verb's options set. */
struct job_options {
	bool wait, cancel;
	double timeout_s; /* 0: none was given */
};
int job_set_wait(void *target, const char *value);
int job_set_cancel(void *target, const char *value);
int job_set_timeout(void *target, const char *value);
#define JOB_WAIT_ROW                                                                               \
	{ "wait", 'w', NULL, "wait until the job has ended, with a progress line; Ctrl-c cancels it",\
	  .set = job_set_wait }
/* Adds the argument `timeout` to ARGS, if it was given. */
void job_add_timeout(struct json_object *args, const struct job_options *o);

#endif
