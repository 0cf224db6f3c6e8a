/* SPDX-License-Identifier: Apache-2.0 */
/* working_set.c - ebb working-set: how much of a guest's memory lay idle for how long. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/cli/autosize_text.h"
#include "vmm/cli/verbs.h"
#include "vmm/memory/working_sets.h"

/* For the first node's answer, and then for those of others. */
#define ANSWER_MS 5000
#define OTHERS_MS 200
/* Of an estimate from outside: the shorter time is a tenth of the longer one. */
#define HOST_S 10
#define HOST_MAX_S 3600

struct working_set_options {
	bool json;
	int node;	 /* below 0: all */
	uint32_t host_s; /* 0: the guest is asked */
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

static int set_host(void *target, const char *value)
{
	uint32_t *s = &((struct working_set_options *)target)->host_s;
	char *rest;
	unsigned long n = value ? strtoul(value, &rest, 10) : HOST_S;

	if (value && (!isdigit((unsigned char)*value) || *rest || !n || n > HOST_MAX_S))
		return fail_usage("--host: '%s' is not a number of seconds from 1 to %d", value,
				  HOST_MAX_S);
	*s = (uint32_t)n;
	return 0;
}

static const struct option_row rows[] = {
	{ "node", 0, "N", "of this NUMA node of the guest (default: of all)", .set = set_node },
	{ "host", 0, "[=S]",
	  "estimate it from outside, by what is used within S seconds (default 10) and a\n"
	  "tenth of that; it takes so long, and needs nothing of the guest", .set = set_host },
	{ "json", 'j', NULL, "as JSON, sizes in bytes", .set = set_json },
	{ 0 }
};

static struct json_object *arguments(const struct working_set_options *o)
{
	struct json_object *args = json_object_new_object(), *ages;

	if (o->node >= 0)
		json_object_object_add(args, "node", json_object_new_int(o->node));
	if (!o->host_s)
		return args;
	ages = json_object_new_array();
	json_object_array_add(ages, json_object_new_int64(o->host_s * 100));
	json_object_array_add(ages, json_object_new_int64(o->host_s * 1000));
	json_object_object_add(args, "ages-ms", ages);
	json_object_object_add(args, "source", json_object_new_string("host"));
	return args;
}

static bool is_of_host(struct json_object *working_set)
{
	return !strcmp(qmp_get_str(working_set, "source", ""), "host");
}

/* Whether what was asked for has come. */
static bool wait_for(struct qmp_client *client, const struct working_set_options *o)
{
	int ms = ANSWER_MS + (int)o->host_s * 1000;
	struct json_object *event;
	bool came = false;

	while (!qmp_client_event(client, "__org.ebb_WORKING_SET", came ? OTHERS_MS : ms, &event)) {
		came |= is_of_host(json_object_object_get(event, "data")) == !!o->host_s;
		json_object_put(event);
	}
	return came;
}

/* Of the guest's, or of the host's. */
static struct json_object *chosen(struct json_object *list, bool of_host)
{
	struct json_object *out = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *one = json_object_array_get_idx(list, i);

		if (is_of_host(one) == of_host)
			json_object_array_add(out, json_object_get(one));
	}
	return out;
}

static int show(struct qmp_client *client, const struct working_set_options *o)
{
	struct json_object *all, *list;

	if (qmp_client_run(client, "__org.ebb_query-working-set", NULL, &all, NULL))
		return 1;
	list = chosen(all, o->host_s);
	json_object_put(all);
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
	struct qmp_client *client;
	const char *vm;
	bool came;
	int code = verb_connect(verb, argc, argv, &o, &vm, 1, &client);

	if (code != VERB_CONNECTED)
		return code;
	if (qmp_client_run(client, "__org.ebb_ask-working-set", arguments(&o), NULL, NULL)) {
		code = 1;
	} else {
		came = wait_for(client, &o);
		if (!came)
			log_warn("%s: no answer in %u s; what there is is older", vm,
				 ANSWER_MS / 1000 + o.host_s);
		code = show(client, &o) || !came;
	}
	qmp_client_close(client);
	return code;
}

const struct verb verb_working_set = {
	"working-set", "VM [OPTION...]",
	"ask a guest how much of its memory lay idle for how long\n"
	"\n"
	"Sizes are of what was idle for less than the time before them. Who says so: mglru, the\n"
	"agent from the kernel's generations; lru, the agent of active and inactive pages, whose ages\n"
	"are not known; balloon, the kernel itself; host, Ebb from outside (--host).\n"
	"\n"
	"Exit code: 0; 1 when nobody in the guest can tell, or has not in 5 s.",
	rows, run
};
