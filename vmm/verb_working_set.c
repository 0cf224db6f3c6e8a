/* SPDX-License-Identifier: Apache-2.0 */
/* verb_working_set.c - ebb working-set: how much of a guest's memory lay idle for how long. */
#include <ctype.h>
#include <stdio.h>

#include "vmm/autosize_text.h"
#include "vmm/base/log.h"
#include "vmm/machine.h"
#include "vmm/verbs.h"

/* For the first node's answer, and then for those of others. */
#define ANSWER_MS 5000
#define OTHERS_MS 200

struct working_set_options {
	bool json;
	int node; /* below 0: all */
};

static int set_json(void *target, const char *value)
{
	(void)value;
	((struct working_set_options *)target)->json = true;
	return 0;
}

static int set_node(void *target, const char *value)
{
	char *rest;
	unsigned long node = strtoul(value, &rest, 10);

	if (!isdigit((unsigned char)*value) || *rest || node >= WORKING_SETS_MAX_NODES)
		return fail_usage("--node: '%s' is not a number from 0 to %d", value,
				  WORKING_SETS_MAX_NODES - 1);
	((struct working_set_options *)target)->node = (int)node;
	return 0;
}

static const struct option_row rows[] = {
	{ "node", 0, "N", "of this NUMA node of the guest (default: of all)", set_node },
	{ "json", 'j', NULL, "as JSON, sizes in bytes", set_json },
	{ 0 }
};

/* Whether the guest has answered. */
static bool wait_for(struct qmp_client *client)
{
	int ms = ANSWER_MS;
	struct json_object *event;

	while (!qmp_client_event(client, "__org.ebb_WORKING_SET", ms, &event)) {
		json_object_put(event);
		ms = OTHERS_MS;
	}
	return ms == OTHERS_MS;
}

static int show(struct qmp_client *client, const struct working_set_options *o)
{
	struct json_object *list;

	if (qmp_client_run(client, "__org.ebb_query-working-set", NULL, &list, NULL))
		return 1;
	if (o->json)
		puts(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY));
	else
		working_sets_text(stdout, list);
	json_object_put(list);
	return 0;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct working_set_options o = { .node = -1 };
	struct json_object *args;
	struct qmp_client *client;
	const char *vm;
	bool answered;
	int code = verb_connect(verb, argc, argv, &o, &vm, 1, &client);

	if (code != VERB_CONNECTED)
		return code;
	args = json_object_new_object();
	if (o.node >= 0)
		json_object_object_add(args, "node", json_object_new_int(o.node));
	if (qmp_client_run(client, "__org.ebb_ask-working-set", args, NULL, NULL)) {
		code = 1;
	} else {
		answered = wait_for(client);
		if (!answered)
			log_warn("%s: the guest has not answered for %d s; this is what it said "
				 "before", vm, ANSWER_MS / 1000);
		code = show(client, &o) || !answered;
	}
	qmp_client_close(client);
	return code;
}

const struct verb verb_working_set = {
	"working-set", "VM [OPTION...]",
	"ask a guest how much of its memory lay idle for how long\n"
	"\n"
	"Sizes are of what was idle for less than the time before them. Who says so: mglru, the agent\n"
	"from the kernel's generations; lru, the agent of active and inactive pages, whose ages are\n"
	"not known; balloon, the kernel itself.\n"
	"\n"
	"Exit code: 0; 1 when nobody in the guest can tell, or has not in 5 s.",
	rows, run
};
