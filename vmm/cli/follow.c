/* SPDX-License-Identifier: Apache-2.0 */
/* follow.c - waits for a job of a VM. */
#include "vmm/cli/follow.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/cli/screen.h"
#include "vmm/config/options.h"

#define POLL_MS 100

static volatile sig_atomic_t interrupted;
static void on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

/* The Ith job; NULL: there are no more. */
static struct json_object *job_at(struct json_object *jobs, size_t i)
{
	if (json_object_is_type(jobs, json_type_array))
		return i < json_object_array_length(jobs) ? json_object_array_get_idx(jobs, i) : NULL;
	return i ? NULL : jobs;
}

bool jobs_in_state(struct json_object *jobs, const char *state)
{
	struct json_object *job;

	for (size_t i = 0; (job = job_at(jobs, i)); i++)
		if (!strcmp(qmp_get_str(job, "state", ""), state))
			return true;
	return false;
}

uint64_t jobs_sum(struct json_object *jobs, const char *key)
{
	struct json_object *job;
	uint64_t sum = 0;

	for (size_t i = 0; (job = job_at(jobs, i)); i++)
		sum += qmp_get_u64(job, key, 0);
	return sum;
}

static const char *first_explanation(struct json_object *jobs)
{
	struct json_object *job;

	for (size_t i = 0; (job = job_at(jobs, i)); i++)
		if (*qmp_get_str(job, "explanation", ""))
			return qmp_get_str(job, "explanation", "");
	return "";
}

/* "deadline in 12 s", of the job that has the least time left; "" when none has a deadline. */
static const char *deadline_text(struct json_object *jobs, char text[48])
{
	struct json_object *job;
	uint64_t least = UINT64_MAX;

	*text = 0;
	for (size_t i = 0; (job = job_at(jobs, i)); i++)
		if (!strcmp(qmp_get_str(job, "state", ""), "running"))
			least = min_u64(least, qmp_get_u64(job, "left-ms", UINT64_MAX));
	if (least != UINT64_MAX)
		snprintf(text, 48, ", deadline in %llu s", (unsigned long long)(least + 999) / 1000);
	return text;
}

static void show_progress(const struct follow *f, struct json_object *jobs, bool last)
{
	char line[512], text[256], left[48];
	const char *state = jobs_in_state(jobs, "running")   ? "running" :
			    jobs_in_state(jobs, "short")     ? "short" :
			    jobs_in_state(jobs, "cancelled") ? "cancelled" : "done";
	const char *why = first_explanation(jobs);

	f->text(jobs, text, sizeof(text));
	snprintf(line, sizeof(line), "%s: %s%s%s%s", text, state, deadline_text(jobs, left),
		 *why ? ": " : "", why);
	screen_line(line, last);
}

int verb_follow(struct qmp_client *client, const struct follow *f)
{
	struct json_object *jobs = NULL;
	int code = 0;
	bool running = true;

	/* No SA_RESTART: the waiting below shall end. */
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_interrupt }, NULL);
	while (running) {
		if (interrupted) {
			if (qmp_client_run(client, f->cancel, json_object_get(f->args), NULL, NULL))
				return EXIT_INTERRUPTED;
			code = EXIT_INTERRUPTED;
			interrupted = 0;
		}
		if (qmp_client_run(client, f->query, json_object_get(f->args), &jobs, NULL))
			return 1;
		running = jobs_in_state(jobs, "running");
		show_progress(f, jobs, !running);
		if (!running && !code &&
		    (jobs_in_state(jobs, "short") || jobs_in_state(jobs, "cancelled")))
			code = EXIT_SHORT;
		json_object_put(jobs);
		if (running)
			usleep(POLL_MS * 1000);
	}
	return code;
}

int job_set_wait(void *target, const char *value)
{
	(void)value;
	((struct job_options *)target)->wait = true;
	return 0;
}

int job_set_cancel(void *target, const char *value)
{
	(void)value;
	((struct job_options *)target)->cancel = true;
	return 0;
}

int job_set_timeout(void *target, const char *value)
{
	uint64_t ns;

	if (options_seconds(value, &ns) || !ns)
		return fail_usage("--timeout: '%s' is not a number of seconds above 0", value);
	((struct job_options *)target)->timeout_s = (double)ns / (double)NS_PER_S;
	return 0;
}

void job_add_timeout(struct json_object *args, const struct job_options *o)
{
	if (o->timeout_s > 0)
		json_object_object_add(args, "timeout", json_object_new_double(o->timeout_s));
}
