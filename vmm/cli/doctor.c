/* SPDX-License-Identifier: Apache-2.0 */
/* host_check.c - ebb doctor: whether this host can run VMs, and what would help. */
#include <stdio.h>
#include <string.h>

#include "vmm/base/exit_code.h"
#include "vmm/cli/host_check.h"
#include "vmm/cli/verbs.h"
#include "vmm/json/members.h"

struct doctor_options {
	bool json;
};

static int set_json(void *target, const char *value)
{
	(void)value;
	((struct doctor_options *)target)->json = true;
	return 0;
}

static const struct option_row doctor_options[] = {
	{ "json", 'j', NULL, "as JSON", .set = set_json }, { 0 }
};

static const char *const grade_name[] = {
	[FINDING_OK] = "ok", [FINDING_HINT] = "hint", [FINDING_BAD] = "bad"
};

static void print(const char *name, const struct finding *f)
{
	printf("%-5s %-11s %s\n", grade_name[f->grade], name, f->text);
	if (*f->fix)
		printf("%-5s %-11s   %s: %s\n", "", "", f->grade == FINDING_BAD ? "fix" : "better",
		       f->fix);
}

static struct json_object *to_json(const char *name, const struct finding *f)
{
	struct json_object *o = json_object_new_object();

	add_str(o, "check", name);
	add_str(o, "grade", grade_name[f->grade]);
	add_str(o, "found", f->text);
	if (*f->fix)
		add_str(o, "fix", f->fix);
	return o;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct doctor_options o = { 0 };
	struct json_object *whole, *list;
	bool can_run = true, only_guard = true, kvm = true;
	int r = options_parse(verb, argc, argv, &o, NULL, 0);

	if (r)
		return r == OPTIONS_HELP ? 0 : EXIT_BAD_ARGUMENTS;
	whole = json_object_new_object();
	list = json_object_new_array();
	for (const struct doctor_check *check = doctor_checks; check->name; check++) {
		struct finding f = { 0 };

		check->run(&f);
		can_run &= f.grade != FINDING_BAD;
		only_guard &= f.grade != FINDING_BAD || !strcmp(check->name, "guard");
		kvm &= f.grade != FINDING_BAD || strcmp(check->name, "kvm") != 0;
		json_object_array_add(list, to_json(check->name, &f));
		if (!o.json)
			print(check->name, &f);
	}
	add_bool(whole, "can-run", can_run);
	json_object_object_add(whole, "checks", list);
	if (o.json)
		puts(json_object_to_json_string_ext(whole, JSON_C_TO_STRING_PRETTY |
								   JSON_C_TO_STRING_SPACED |
								   JSON_C_TO_STRING_NOSLASHESCAPE));
	else if (!can_run)
		printf("\n`ebb run` can't start a VM here%s.\n",
		       only_guard ? " with elastic memory, unless with --guard=off" : "");
	if (!o.json && !kvm)
		puts("In Ebb's sources `make demo` and `make check` work without KVM, too: they bring "
		     "an\nemulated machine that has one, and are slower there.");
	json_object_put(whole);
	return can_run ? 0 : 1;
}

const struct verb verb_doctor = {
	"doctor", "[OPTION...]",
	"say whether this host can run VMs, and what would help\n"
	"\n"
	"Tries what `ebb run` needs. Where a command changes what is not ok, the line has it; where\n"
	"there is no KVM, the words of the kernel that say why. Exit code: 0 it can, 1 something is\n"
	"bad.",
	doctor_options, run
};
