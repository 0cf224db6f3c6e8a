/* SPDX-License-Identifier: Apache-2.0 */
/* stat_text.c - what a VM says of itself, as text. */
#include "vmm/cli/stat_text.h"

#include <string.h>

#include "vmm/base/size.h"
#include "vmm/cli/autosize_text.h"
#include "vmm/control/qmp_client.h"

static const char *size_of(struct json_object *o, const char *key, char text[SIZE_TEXT_BYTES])
{
	uint64_t bytes = qmp_get_u64(o, key, UINT64_MAX);

	return bytes == UINT64_MAX ? "?" : size_format(bytes, text);
}

static unsigned long long number_of(struct json_object *o, const char *key)
{
	return qmp_get_u64(o, key, 0);
}

static void print_machine(FILE *out, struct json_object *s, double exits_per_s)
{
	fprintf(out, "%s: %s, pid %llu, %llu vCPUs, boot number %llu, %llu exits",
		qmp_get_str(s, "name", "?"), qmp_get_str(s, "status", "?"), number_of(s, "pid"),
		number_of(s, "cpus"), number_of(s, "boots"), number_of(s, "exits"));
	if (exits_per_s >= 0)
		fprintf(out, ", %.0f/s", exits_per_s);
	fputc('\n', out);
}

static void print_job(FILE *out, struct json_object *device)
{
	struct json_object *job = NULL;
	const char *state, *why;

	if (!json_object_object_get_ex(device, "resize", &job))
		return;
	state = qmp_get_str(job, "state", "none");
	if (!strcmp(state, "none"))
		return;
	why = qmp_get_str(job, "explanation", "");
	fprintf(out, "  resize %s%s%s\n", state, *why ? ": " : "", why);
}

static void print_memory(FILE *out, struct json_object *s)
{
	struct json_object *boot = NULL, *elastic = NULL;
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES], c[SIZE_TEXT_BYTES], d[SIZE_TEXT_BYTES];
	char f[SIZE_TEXT_BYTES];

	fprintf(out, "%-12s %12s %12s %12s %12s %12s\n", "memory", "max", "requested", "plugged",
		"resident", "huge");
	if (json_object_object_get_ex(s, "boot", &boot))
		fprintf(out, "%-12s %12s %12s %12s %12s %12s\n", "boot", size_of(boot, "size", a),
			"-", size_of(boot, "size", b), size_of(boot, "resident", c),
			size_of(boot, "huge", d));
	if (!json_object_object_get_ex(s, "elastic", &elastic))
		return;
	for (size_t i = 0; i < json_object_array_length(elastic); i++) {
		struct json_object *e = json_object_array_get_idx(elastic, i);

		fprintf(out, "%-12s %12s %12s %12s %12s %12s%s\n", qmp_get_str(e, "id", "?"),
			size_of(e, "max", a), size_of(e, "requested", b), size_of(e, "plugged", c),
			size_of(e, "resident", d), size_of(e, "huge", f),
			qmp_get_bool(e, "driver", false) ? "" : "  (no driver)");
		print_job(out, e);
	}
}

/* What came back page by page, and may be touched again. */
static void print_balloon(FILE *out, struct json_object *s)
{
	struct json_object *balloon = NULL, *boot = NULL;
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES], c[SIZE_TEXT_BYTES], d[SIZE_TEXT_BYTES];

	if (!json_object_object_get_ex(s, "balloon", &balloon) ||
	    !json_object_object_get_ex(s, "boot", &boot))
		return;
	fprintf(out, "balloon: %s, target %s%s; free pages: %s reported, %s hinted",
		size_of(balloon, "ballooned", a),
		size_format(number_of(boot, "size") - number_of(balloon, "target"), b),
		qmp_get_bool(balloon, "driver", false) ? "" : " (no driver)",
		size_of(balloon, "reported", c), size_of(balloon, "hinted", d));
	if (number_of(balloon, "touched"))
		fprintf(out, "; %s ballooned and touched", size_of(balloon, "touched", a));
	fputc('\n', out);
	print_job(out, balloon);
}

/* Facts beside targets: what the host holds that no guest should have. */
static void print_guard(FILE *out, struct json_object *s)
{
	struct json_object *guard = NULL, *elastic = NULL;
	unsigned long long violations = 0;
	uint64_t unplugged = 0;
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];

	if (!json_object_object_get_ex(s, "guard", &guard) ||
	    !json_object_object_get_ex(s, "elastic", &elastic) ||
	    !json_object_array_length(elastic))
		return;
	for (size_t i = 0; i < json_object_array_length(elastic); i++) {
		struct json_object *e = json_object_array_get_idx(elastic, i);

		violations += number_of(e, "violations");
		unplugged += number_of(e, "resident-unplugged");
	}
	size_format(unplugged, a);
	if (!qmp_get_bool(guard, "on", false))
		fprintf(out, "unguarded: %s resident behind unplugged blocks\n", a);
	else
		fprintf(out, "guarded (%s): %llu violations, %s resident behind unplugged blocks\n",
			qmp_get_str(guard, "violation", "?"), violations, a);
	fprintf(out, "page tables: %s\n", size_of(guard, "page-tables", b));
	if (*qmp_get_str(guard, "trouble", ""))
		fprintf(out, "paused: %s\n", qmp_get_str(guard, "trouble", ""));
}

/* What the guest says of itself, and what was made of it. */
static void print_autosize(FILE *out, struct json_object *s)
{
	autosize_text(out, json_object_object_get(s, "autosize"));
	agent_text(out, json_object_object_get(s, "agent"));
	working_sets_text(out, json_object_object_get(s, "working-set"));
}

static void print_console(FILE *out, struct json_object *s)
{
	struct json_object *console = NULL;
	const char *path;

	if (!json_object_object_get_ex(s, "console", &console))
		return;
	path = qmp_get_str(console, "path", "");
	fprintf(out, "console: %s%s%s", qmp_get_str(console, "kind", "?"), *path ? " " : "", path);
	if (json_object_object_get_ex(console, "pid", NULL))
		fprintf(out, ", attached by pid %llu", number_of(console, "pid"));
	fputc('\n', out);
}

void stat_text(FILE *out, struct json_object *stat, double exits_per_s)
{
	print_machine(out, stat, exits_per_s);
	print_memory(out, stat);
	print_balloon(out, stat);
	print_autosize(out, stat);
	print_guard(out, stat);
	print_console(out, stat);
}
