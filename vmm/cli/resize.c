/* SPDX-License-Identifier: Apache-2.0 */
/* resize.c - ebb resize and ebb balloon: start a resize job, and follow it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/base/size.h"
#include "vmm/cli/follow.h"
#include "vmm/cli/verbs.h"
#include "vmm/config/config.h"

struct resize_options {
	struct job_options job;
	const char *device;
};

static int set_device(void *target, const char *value)
{
	((struct resize_options *)target)->device = value;
	return 0;
}

#define TIMEOUT_ROW                                                                                \
	{ "timeout", 't', "S", "the job ends `short`, with its reason, after S seconds",           \
	  .set = job_set_timeout }
#define CANCEL_ROW                                                                                 \
	{ "cancel", 0, NULL, "cancel the running job instead; takes no SIZE",                      \
	  .set = job_set_cancel }

static const struct option_row resize_rows[] = {
	JOB_WAIT_ROW, TIMEOUT_ROW,
	{ "device", 'd', "ID", "SIZE is that of this device, not of the whole guest",
	  .set = set_device },
	CANCEL_ROW, { 0 }
};
static const struct option_row balloon_rows[] = { JOB_WAIT_ROW, TIMEOUT_ROW, CANCEL_ROW, { 0 } };

static bool is_balloon(const struct resize_options *o)
{
	return o->device && !strcmp(o->device, BALLOON_ID);
}

static void elastic_text(struct json_object *jobs, char *line, size_t bytes)
{
	char size[SIZE_TEXT_BYTES], target[SIZE_TEXT_BYTES];

	snprintf(line, bytes, "elastic memory %s, target %s",
		 size_format(jobs_sum(jobs, "size"), size),
		 size_format(jobs_sum(jobs, "target"), target));
}

static void balloon_text(struct json_object *jobs, char *line, size_t bytes)
{
	char size[SIZE_TEXT_BYTES], target[SIZE_TEXT_BYTES];

	snprintf(line, bytes, "boot memory %s, target %s",
		 size_format(jobs_sum(jobs, "size"), size),
		 size_format(jobs_sum(jobs, "target"), target));
}

static struct json_object *device_args(const struct resize_options *o)
{
	struct json_object *args = json_object_new_object();

	if (o->device)
		json_object_object_add(args, "device", json_object_new_string(o->device));
	return args;
}

/* What was asked for last. */
static uint64_t requested(struct json_object *stat, const struct resize_options *o)
{
	struct json_object *boot = NULL, *elastic = NULL, *balloon = NULL;
	uint64_t sum = 0;

	if (is_balloon(o)) {
		json_object_object_get_ex(stat, "balloon", &balloon);
		return qmp_get_u64(balloon, "target", 0);
	}
	if (!o->device && json_object_object_get_ex(stat, "boot", &boot))
		sum = qmp_get_u64(boot, "size", 0);
	if (json_object_object_get_ex(stat, "elastic", &elastic))
		for (size_t i = 0; i < json_object_array_length(elastic); i++) {
			struct json_object *e = json_object_array_get_idx(elastic, i);

			if (!o->device || !strcmp(qmp_get_str(e, "id", ""), o->device))
				sum += qmp_get_u64(e, "requested", 0);
		}
	return sum;
}

/* "+1G" and "-512M" start from what was asked for last. */
static int parse_target(struct qmp_client *client, const char *text,
			const struct resize_options *o, uint64_t *bytes)
{
	struct json_object *stat = NULL;
	bool relative = text[0] == '+' || text[0] == '-';
	uint64_t change, now;

	if (size_parse(text + relative, &change))
		return fail_usage("'%s' is not a size; write for example 2G, +512M or -1G", text);
	*bytes = change;
	if (!relative)
		return 0;
	if (qmp_client_run(client, "__org.ebb_stat", NULL, &stat, NULL))
		return -EIO;
	now = requested(stat, o);
	json_object_put(stat);
	if (text[0] == '-' ? change > now : change > INT64_MAX - now)
		return fail_usage("%s: there are %llu bytes now", text, (unsigned long long)now);
	*bytes = text[0] == '-' ? now - change : now + change;
	return 0;
}

static int resize(struct qmp_client *client, const char *text, const struct resize_options *o)
{
	struct follow f = { "__org.ebb_query-resize", "__org.ebb_cancel-resize", NULL,
			    is_balloon(o) ? balloon_text : elastic_text };
	struct json_object *args;
	uint64_t bytes = 0;
	int code;

	if (parse_target(client, text, o, &bytes))
		return EXIT_BAD_ARGUMENTS;
	args = device_args(o);
	json_object_object_add(args, "size", json_object_new_uint64(bytes));
	job_add_timeout(args, &o->job);
	if (qmp_client_run(client, "__org.ebb_resize", args, NULL, NULL))
		return EXIT_BAD_ARGUMENTS;
	if (!o->job.wait)
		return 0;
	f.args = device_args(o);
	code = verb_follow(client, &f);
	json_object_put(f.args);
	return code;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct resize_options o = { .device = verb == &verb_balloon ? BALLOON_ID : NULL };
	struct qmp_client *client;
	const char *words[2];
	int code = verb_connect(verb, argc, argv, &o, words, 2, &client);

	if (code != VERB_CONNECTED)
		return code;
	if (!words[1] != o.job.cancel) {
		fail_usage("%s: needs %s; see ebb %s --help", verb->name,
			   o.job.cancel ? "a VM and no size" : "a VM and a size", verb->name);
		code = EXIT_BAD_ARGUMENTS;
	} else if (o.job.cancel) {
		code = qmp_client_run(client, "__org.ebb_cancel-resize", device_args(&o), NULL,
				      NULL) ? 1 : 0;
	} else {
		code = resize(client, words[1], &o);
	}
	qmp_client_close(client);
	return code;
}

const struct verb verb_resize = {
	"resize", "VM SIZE [OPTION...]",
	"change the memory of a guest\n"
	"\n"
	"SIZE is what it shall have in all, boot memory included; +SIZE and -SIZE add to and take\n"
	"from what was asked for last.\n"
	"\n"
	"Exit code with --wait: 0 reached, 1 the job ended short or cancelled, 130 after Ctrl-c;\n"
	"35 when the size or the VM is wrong.",
	resize_rows, run
};

const struct verb verb_balloon = {
	"balloon", "VM SIZE [OPTION...]",
	"take boot memory from a guest, or give it back\n"
	"\n"
	"SIZE is what it shall have left of its boot memory; +SIZE and -SIZE add to and take from\n"
	"what was asked for last. What is in the balloon the guest has promised not to use; that is\n"
	"seen, not enforced (elastic memory is: ebb resize).\n"
	"\n"
	"Exit code as of ebb resize.",
	balloon_rows, run
};
