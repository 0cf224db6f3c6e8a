/* SPDX-License-Identifier: Apache-2.0 */
/* reclaim.c - ebb reclaim: take a guest's free memory now. */
#include <stdio.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/size.h"
#include "vmm/cli/follow.h"
#include "vmm/cli/verbs.h"

static const struct option_row rows[] = {
	JOB_WAIT_ROW,
	{ "timeout", 't', "S", "the job ends `short`, with its reason, after S seconds (default 60)",
	  .set = job_set_timeout },
	{ "cancel", 0, NULL, "end the running job instead", .set = job_set_cancel },
	{ 0 }
};

static void text(struct json_object *job, char *line, size_t bytes)
{
	char freed[SIZE_TEXT_BYTES], hinted[SIZE_TEXT_BYTES], written[SIZE_TEXT_BYTES];

	snprintf(line, bytes, "%s taken of %s named free, %s in use again",
		 size_format(jobs_sum(job, "freed"), freed),
		 size_format(jobs_sum(job, "hinted"), hinted),
		 size_format(jobs_sum(job, "written"), written));
}

static int reclaim(struct qmp_client *client, const struct job_options *o)
{
	const struct follow f = { "__org.ebb_query-reclaim", "__org.ebb_cancel-reclaim", NULL, text };
	struct json_object *args = json_object_new_object();

	job_add_timeout(args, o);
	if (qmp_client_run(client, "__org.ebb_reclaim", args, NULL, NULL))
		return 1;
	return o->wait ? verb_follow(client, &f) : 0;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct job_options o = { 0 };
	struct qmp_client *client;
	const char *vm;
	int code = verb_connect(verb, argc, argv, &o, &vm, 1, &client);

	if (code != VERB_CONNECTED)
		return code;
	if (o.cancel)
		code = qmp_client_run(client, "__org.ebb_cancel-reclaim", NULL, NULL, NULL) ? 1 : 0;
	else
		code = reclaim(client, &o);
	qmp_client_close(client);
	return code;
}

const struct verb verb_reclaim = {
	"reclaim", "VM [OPTION...]",
	"take the memory that a guest has free, now\n"
	"\n"
	"The guest names its free memory (free page hinting) and can use all of it again at once;\n"
	"what it writes meanwhile is left alone. While that lasts it is short of memory.\n"
	"\n"
	"Exit code: 0; 1 when it can't be, or with --wait when the job ended short or cancelled;\n"
	"130 after Ctrl-c; 35 when there is no such VM.",
	rows, run
};
