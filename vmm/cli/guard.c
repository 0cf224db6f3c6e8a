/* SPDX-License-Identifier: Apache-2.0 */
/* guard.c - ebb guard: what a guest did to memory that it gave back. */
#include <stdio.h>
#include <string.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/base/size.h"
#include "vmm/cli/verbs.h"
#include "vmm/config/config.h"

struct guard_options {
	bool json;
	const char *violation, *map;
};

static int set_json(void *target, const char *value)
{
	(void)value;
	((struct guard_options *)target)->json = true;
	return 0;
}

static int set_violation(void *target, const char *value)
{
	enum config_violation unused;

	if (config_violation_parse(value, &unused))
		return fail_usage("--violation: '%s' is none of contain, pause, kill", value);
	((struct guard_options *)target)->violation = value;
	return 0;
}

static int set_map(void *target, const char *value)
{
	((struct guard_options *)target)->map = value;
	return 0;
}

static const struct option_row guard_options[] = {
	{ "violation", 0, "WHAT", "from now on: contain, pause or kill", .set = set_violation },
	{ "map", 'm', "DEVICE", "the block map of a device, and its violated blocks",
	  .set = set_map },
	{ "json", 'j', NULL, "as JSON, sizes in bytes", .set = set_json },
	{ 0 }
};

static unsigned long long number(struct json_object *o, const char *key)
{
	return qmp_get_u64(o, key, 0);
}

static void print_vm(struct json_object *o)
{
	char tables[SIZE_TEXT_BYTES];

	if (!qmp_get_bool(o, "on", false)) {
		puts("unguarded: nothing keeps the guest out of memory that it gave back");
		return;
	}
	printf("guarded, violation=%s, %llu answers in %llu us, %llu chunks held, page tables %s\n",
	       qmp_get_str(o, "violation", "?"), number(o, "answers"), number(o, "busy-us"),
	       number(o, "chunks"), size_format(number(o, "violated-page-tables"), tables));
	if (*qmp_get_str(o, "trouble", ""))
		printf("paused: %s\n", qmp_get_str(o, "trouble", ""));
}

static void print_map(struct json_object *region)
{
	struct json_object *rows = NULL;

	if (json_object_object_get_ex(region, "map", &rows))
		for (size_t i = 0; i < json_object_array_length(rows); i++) {
			struct json_object *row = json_object_array_get_idx(rows, i);

			printf("  blocks %llu to %llu: %s\n", number(row, "block"),
			       number(row, "block") + number(row, "blocks") - 1,
			       qmp_get_str(row, "state", "?"));
		}
	if (json_object_object_get_ex(region, "violated", &rows))
		for (size_t i = 0; i < json_object_array_length(rows); i++) {
			struct json_object *row = json_object_array_get_idx(rows, i);

			printf("  block %llu: %llu reads, %llu writes\n", number(row, "block"),
			       number(row, "reads"), number(row, "writes"));
		}
}

static void print_region(struct json_object *r)
{
	printf("%s: %llu violations: reads %llu, writes %llu, refused reads %llu, refused writes "
	       "%llu", qmp_get_str(r, "device", "?"), number(r, "violations"), number(r, "reads"),
	       number(r, "writes"), number(r, "refused-reads"), number(r, "refused-writes"));
	if (number(r, "violations"))
		printf(", last at %#llx", number(r, "last-address"));
	if (qmp_get_bool(r, "reads-lawful", false))
		printf("; reads are lawful, %llu so far", number(r, "lawful-reads"));
	printf("; %llu KiB resident behind unplugged blocks\n",
	       number(r, "resident-unplugged") / KiB);
	print_map(r);
}

/* One page of rows after the other, until all blocks of the device were in one. */
static int show(struct qmp_client *client, const struct guard_options *o)
{
	uint64_t from = 0;
	bool first = true;

	do {
		struct json_object *args = json_object_new_object(), *reply = NULL, *regions = NULL;

		if (o->map) {
			json_object_object_add(args, "device", json_object_new_string(o->map));
			json_object_object_add(args, "from", json_object_new_uint64(from));
		}
		if (qmp_client_run(client, "__org.ebb_query-guard", args, &reply, NULL))
			return 1;
		if (o->json)
			puts(json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PRETTY));
		else if (first)
			print_vm(reply);
		from = 0;
		json_object_object_get_ex(reply, "regions", &regions);
		for (size_t i = 0; regions && i < json_object_array_length(regions); i++) {
			struct json_object *region = json_object_array_get_idx(regions, i);

			from = number(region, "next");
			if (!o->json && first)
				print_region(region);
			else if (!o->json)
				print_map(region);
		}
		first = false;
		json_object_put(reply);
	} while (o->map && from);
	return 0;
}

static int guard_run(const struct verb *verb, int argc, char **argv)
{
	struct guard_options o = { 0 };
	struct qmp_client *client;
	const char *vm;
	int r = verb_connect(verb, argc, argv, &o, &vm, 1, &client);

	if (r != VERB_CONNECTED)
		return r;
	r = 0;
	if (o.violation) {
		struct json_object *args = json_object_new_object();

		json_object_object_add(args, "action", json_object_new_string(o.violation));
		r = qmp_client_run(client, "__org.ebb_set-violation", args, NULL, NULL) ? 1 : 0;
	}
	if (!r)
		r = show(client, &o);
	qmp_client_close(client);
	return r;
}

const struct verb verb_guard = {
	"guard", "VM [OPTION...]",
	"show and set what happens when a guest uses memory it gave back\n"
	"\n"
	"Reads and writes are contained accesses as the guard sees them: at least one per 64 KiB read\n"
	"and per 4 KiB written. Refused ones met no memory at all and are counted one by one.",
	guard_options, guard_run
};
