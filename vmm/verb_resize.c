/* SPDX-License-Identifier: Apache-2.0 */
/* verb_resize.c - ebb resize: starts a resize job, and follows it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/size.h"
#include "vmm/machine.h"
#include "vmm/screen.h"
#include "vmm/verbs.h"

#define POLL_MS 100

/* Exit codes beside 0 and 35. */
#define EXIT_SHORT 1
#define EXIT_INTERRUPTED 130

struct resize_options {
	bool wait, cancel;
	double timeout_s; /* 0: none */
	const char *device;
};

static int set_wait(void *target, const char *value)
{
	(void)value;
	((struct resize_options *)target)->wait = true;
	return 0;
}

static int set_cancel(void *target, const char *value)
{
	(void)value;
	((struct resize_options *)target)->cancel = true;
	return 0;
}

static int set_timeout(void *target, const char *value)
{
	uint64_t ns;

	if (options_seconds(value, &ns) || !ns)
		return fail_usage("--timeout: '%s' is not a number of seconds above 0", value);
	((struct resize_options *)target)->timeout_s = (double)ns / (double)NS_PER_S;
	return 0;
}

static int set_device(void *target, const char *value)
{
	((struct resize_options *)target)->device = value;
	return 0;
}

static const struct option_row options[] = {
	{ "wait", 'w', NULL, "wait until the job has ended, with a progress line; Ctrl-c cancels it",
	  set_wait },
	{ "timeout", 't', "S", "the job ends `short`, with its reason, after S seconds",
	  set_timeout },
	{ "device", 'd', "ID", "SIZE is that of this device, not of the whole guest", set_device },
	{ "cancel", 0, NULL, "cancel the running job instead; takes no SIZE", set_cancel },
	{ 0 }
};

static volatile sig_atomic_t interrupted;
static void on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

static uint64_t sum(struct json_object *list, const char *key)
{
	uint64_t total = 0;

	for (size_t i = 0; i < json_object_array_length(list); i++)
		total += qmp_get_u64(json_object_array_get_idx(list, i), key, 0);
	return total;
}

static bool any_in_state(struct json_object *list, const char *state)
{
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (!strcmp(qmp_get_str(json_object_array_get_idx(list, i), "state", ""), state))
			return true;
	return false;
}

static const char *first_explanation(struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *text = qmp_get_str(json_object_array_get_idx(list, i), "explanation",
					       "");
		if (*text)
			return text;
	}
	return "";
}

/* "deadline in 12 s", of the job that has the least time left; "" when none has a deadline. */
static const char *deadline_text(struct json_object *list, char text[48])
{
	uint64_t least = UINT64_MAX;

	*text = 0;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *job = json_object_array_get_idx(list, i);

		if (!strcmp(qmp_get_str(job, "state", ""), "running"))
			least = min_u64(least, qmp_get_u64(job, "left-ms", UINT64_MAX));
	}
	if (least != UINT64_MAX)
		snprintf(text, 48, ", deadline in %llu s", (unsigned long long)(least + 999) / 1000);
	return text;
}

static void show_progress(struct json_object *list, bool last)
{
	char line[512], size[SIZE_TEXT_BYTES], target[SIZE_TEXT_BYTES], left[48];
	const char *state = any_in_state(list, "running")   ? "running" :
			    any_in_state(list, "short")	    ? "short" :
			    any_in_state(list, "cancelled") ? "cancelled" : "done";
	const char *why = first_explanation(list);

	snprintf(line, sizeof(line), "elastic memory %s, target %s: %s%s%s%s",
		 size_format(sum(list, "size"), size), size_format(sum(list, "target"), target),
		 state, deadline_text(list, left), *why ? ": " : "", why);
	screen_line(line, last);
}

static struct json_object *device_args(const struct resize_options *o)
{
	struct json_object *args = json_object_new_object();

	if (o->device)
		json_object_object_add(args, "device", json_object_new_string(o->device));
	return args;
}

static int follow(struct qmp_client *client, const struct resize_options *o)
{
	struct json_object *list = NULL;
	int code = 0;
	bool running = true;

	/* No SA_RESTART: the waiting below shall end. */
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_interrupt }, NULL);
	while (running) {
		if (interrupted) {
			if (qmp_client_run(client, "__org.ebb_cancel-resize", device_args(o), NULL,
					   NULL))
				return EXIT_INTERRUPTED;
			code = EXIT_INTERRUPTED;
			interrupted = 0;
		}
		if (qmp_client_run(client, "__org.ebb_query-resize", device_args(o), &list, NULL))
			return 1;
		running = any_in_state(list, "running");
		show_progress(list, !running);
		if (!running && !code &&
		    (any_in_state(list, "short") || any_in_state(list, "cancelled")))
			code = EXIT_SHORT;
		json_object_put(list);
		if (running)
			usleep(POLL_MS * 1000);
	}
	return code;
}

/* "+1G" and "-512M" start from what was asked for last. */
static int parse_target(struct qmp_client *client, const char *text,
			const struct resize_options *o, uint64_t *bytes)
{
	struct json_object *stat = NULL, *boot = NULL, *elastic = NULL;
	bool relative = text[0] == '+' || text[0] == '-';
	uint64_t change, now = 0;

	if (size_parse(text + relative, &change))
		return fail_usage("'%s' is not a size; write for example 2G, +512M or -1G", text);
	*bytes = change;
	if (!relative)
		return 0;
	if (qmp_client_run(client, "__org.ebb_stat", NULL, &stat, NULL))
		return -EIO;
	if (!o->device && json_object_object_get_ex(stat, "boot", &boot))
		now = qmp_get_u64(boot, "size", 0);
	if (json_object_object_get_ex(stat, "elastic", &elastic))
		for (size_t i = 0; i < json_object_array_length(elastic); i++) {
			struct json_object *e = json_object_array_get_idx(elastic, i);

			if (!o->device || !strcmp(qmp_get_str(e, "id", ""), o->device))
				now += qmp_get_u64(e, "requested", 0);
		}
	json_object_put(stat);
	if (text[0] == '-' ? change > now : change > INT64_MAX - now)
		return fail_usage("%s: there are %llu bytes now", text, (unsigned long long)now);
	*bytes = text[0] == '-' ? now - change : now + change;
	return 0;
}

static int resize(struct qmp_client *client, const char *text, const struct resize_options *o)
{
	struct json_object *args;
	uint64_t bytes = 0;

	if (parse_target(client, text, o, &bytes))
		return EXIT_BAD_ARGUMENTS;
	args = device_args(o);
	json_object_object_add(args, "size", json_object_new_uint64(bytes));
	if (o->timeout_s > 0)
		json_object_object_add(args, "timeout", json_object_new_double(o->timeout_s));
	if (qmp_client_run(client, "__org.ebb_resize", args, NULL, NULL))
		return EXIT_BAD_ARGUMENTS;
	return o->wait ? follow(client, o) : 0;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct resize_options o = { 0 };
	struct qmp_client *client;
	const char *words[2];
	int code = verb_connect(verb, argc, argv, &o, words, 2, &client);

	if (code != VERB_CONNECTED)
		return code;
	if (!words[1] != o.cancel) {
		fail_usage("resize: needs %s; see ebb resize --help",
			   o.cancel ? "a VM and no size" : "a VM and a size");
		code = EXIT_BAD_ARGUMENTS;
	} else if (o.cancel) {
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
	options, run
};
