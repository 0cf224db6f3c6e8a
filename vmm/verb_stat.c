/* SPDX-License-Identifier: Apache-2.0 */
/* verb_stat.c - ebb list and ebb stat: which VMs there are, and the memory of one. */
#include <errno.h>
#include <stdio.h>

#include "vmm/base/log.h"
#include "vmm/control/vm_socket.h"
#include "vmm/machine.h"
#include "vmm/stat_text.h"
#include "vmm/verbs.h"

/* The sockets of a VM that died. */
static void remove_remains(const char *name)
{
	char control[VM_PATH_SIZE], console[VM_PATH_SIZE];

	if (vm_path(control, name) || vm_console_path(console, control))
		return;
	if (!vm_socket_prune(console) && !vm_socket_prune(control))
		log_info("%s: left by a VM that died, removed", control);
}

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
		if (entries[i].is_live)
			puts(entries[i].name);
		else
			remove_remains(entries[i].name);
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

static int show_once(struct qmp_client *client, const struct stat_options *o)
{
	struct json_object *stat;

	if (qmp_client_run(client, "__org.ebb_stat", NULL, &stat, NULL))
		return 1;
	if (o->json)
		puts(json_object_to_json_string_ext(stat, JSON_C_TO_STRING_PRETTY));
	else
		stat_text(stdout, stat, -1);
	json_object_put(stat);
	return 0;
}

static int stat_run(const struct verb *verb, int argc, char **argv)
{
	struct stat_options o = { 0 };
	struct qmp_client *client;
	const char *vm;
	int r = verb_connect(verb, argc, argv, &o, &vm, 1, &client);

	if (r != VERB_CONNECTED)
		return r;
	r = show_once(client, &o);
	qmp_client_close(client);
	return r;
}

const struct verb verb_stat = {
	"stat", "VM [OPTION...]",
	"show the memory of a VM\n"
	"\n"
	"For each region what was asked for, what is plugged and what the host has given:\n"
	"`resident` is the host's own count of the memory behind it, `huge` what of it Ebb has\n"
	"made huge pages of. Exits are those to user space.",
	stat_options, stat_run
};
