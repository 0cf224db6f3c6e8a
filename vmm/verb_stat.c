/* SPDX-License-Identifier: Apache-2.0 */
/* verb_stat.c - ebb list and ebb stat: which VMs there are, and the memory of one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/base/size.h"
#include "vmm/control/vm_socket.h"
#include "vmm/machine.h"
#include "vmm/verbs.h"

static int list_run(const struct verb *verb, int argc, char **argv)
{
	struct vm_entry *entries;
	size_t nr;
	int r = options_parse(verb, argc, argv, NULL, NULL, 0);

	if (r == OPTIONS_HELP)
		return 0;
	if (r < 0 || vm_list(&entries, &nr))
		return EXIT_BAD_ARGUMENTS;
	for (size_t i = 0; i < nr; i++) {
		char path[VM_PATH_SIZE];

		if (entries[i].is_live)
			puts(entries[i].name);
		else if (!vm_path(path, entries[i].name) && !vm_socket_prune(path))
			log_info("%s: left by a VM that died, removed", path);
	}
	free(entries);
	return 0;
}

const struct verb verb_list = {
	"list", "",
	"list the VMs that run under a name\n"
	"\n"
	"What a VM that was killed has left of its name is removed.",
	NULL, list_run
};

struct stat_options {
	bool json;
};

static int set_json(void *target, const char *value)
{
	(void)value;
	((struct stat_options *)target)->json = true;
	return 0;
}

static const struct option_row stat_options[] = {
	{ "json", 'j', NULL, "as JSON, sizes in bytes", set_json }, { 0 }
};

static const char *size_of(struct json_object *o, const char *key, char text[SIZE_TEXT_BYTES])
{
	uint64_t bytes = qmp_get_u64(o, key, UINT64_MAX);

	return bytes == UINT64_MAX ? "?" : size_format(bytes, text);
}

static void print_job(struct json_object *device)
{
	struct json_object *job = NULL;
	const char *state;

	if (!json_object_object_get_ex(device, "resize", &job))
		return;
	state = qmp_get_str(job, "state", "none");
	if (!strcmp(state, "none"))
		return;
	printf("  resize %s", state);
	if (*qmp_get_str(job, "explanation", ""))
		printf(": %s", qmp_get_str(job, "explanation", ""));
	putchar('\n');
}

static void print_stat(struct json_object *s)
{
	struct json_object *boot = NULL, *elastic = NULL;
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES], c[SIZE_TEXT_BYTES], d[SIZE_TEXT_BYTES];
	char f[SIZE_TEXT_BYTES];

	printf("%s: %s, pid %llu, %llu vCPUs, boot number %llu, %llu exits to user space\n",
	       qmp_get_str(s, "name", "?"), qmp_get_str(s, "status", "?"),
	       (unsigned long long)qmp_get_u64(s, "pid", 0),
	       (unsigned long long)qmp_get_u64(s, "cpus", 0),
	       (unsigned long long)qmp_get_u64(s, "boots", 0),
	       (unsigned long long)qmp_get_u64(s, "exits", 0));
	printf("%-12s %12s %12s %12s %12s %12s\n", "memory", "max", "requested", "plugged",
	       "resident", "huge");
	if (json_object_object_get_ex(s, "boot", &boot))
		printf("%-12s %12s %12s %12s %12s %12s\n", "boot", size_of(boot, "size", a), "-",
		       size_of(boot, "size", b), size_of(boot, "resident", c),
		       size_of(boot, "huge", d));
	if (!json_object_object_get_ex(s, "elastic", &elastic))
		return;
	for (size_t i = 0; i < json_object_array_length(elastic); i++) {
		struct json_object *e = json_object_array_get_idx(elastic, i);

		printf("%-12s %12s %12s %12s %12s %12s%s\n", qmp_get_str(e, "id", "?"),
		       size_of(e, "max", a), size_of(e, "requested", b),
		       size_of(e, "plugged", c), size_of(e, "resident", d), size_of(e, "huge", f),
		       qmp_get_bool(e, "driver", false) ? "" : "  (no driver)");
		print_job(e);
	}
}

/* Facts beside targets: what the host holds that no guest should have. */
static void print_guard(struct json_object *s)
{
	struct json_object *guard = NULL, *elastic = NULL;
	uint64_t violations = 0, unplugged = 0;
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];

	if (!json_object_object_get_ex(s, "guard", &guard) ||
	    !json_object_object_get_ex(s, "elastic", &elastic) ||
	    !json_object_array_length(elastic))
		return;
	for (size_t i = 0; i < json_object_array_length(elastic); i++) {
		struct json_object *e = json_object_array_get_idx(elastic, i);

		violations += qmp_get_u64(e, "violations", 0);
		unplugged += qmp_get_u64(e, "resident-unplugged", 0);
	}
	size_format(unplugged, a);
	size_format(qmp_get_u64(guard, "page-tables", 0), b);
	if (!qmp_get_bool(guard, "on", false))
		printf("unguarded: %s resident behind unplugged blocks, page tables %s\n", a, b);
	else
		printf("guarded (%s): %llu violations, %s resident behind unplugged blocks, page "
		       "tables %s\n", qmp_get_str(guard, "violation", "?"),
		       (unsigned long long)violations, a, b);
	if (*qmp_get_str(guard, "trouble", ""))
		printf("paused: %s\n", qmp_get_str(guard, "trouble", ""));
}

static int stat_run(const struct verb *verb, int argc, char **argv)
{
	struct stat_options o = { 0 };
	struct qmp_client *client;
	struct json_object *reply = NULL;
	const char *vm;
	int r = verb_connect(verb, argc, argv, &o, &vm, 1, &client);

	if (r != VERB_CONNECTED)
		return r;
	r = qmp_client_run(client, "__org.ebb_stat", NULL, &reply, NULL);
	qmp_client_close(client);
	if (r)
		return 1;
	if (o.json) {
		puts(json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PRETTY));
	} else {
		print_stat(reply);
		print_guard(reply);
	}
	json_object_put(reply);
	return 0;
}

const struct verb verb_stat = {
	"stat", "VM [OPTION...]",
	"show the memory of a VM\n"
	"\n"
	"For each region what was asked for, what is plugged and what the host has given: `resident` is\nthe host's own count of the memory behind it, `huge` what of it Ebb has made huge pages of.",
	stat_options, stat_run
};
