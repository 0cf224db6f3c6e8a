/* SPDX-License-Identifier: Apache-2.0 */
/* autosize_text.c - a guest's need, and what was decided, as text. */
#include "vmm/cli/autosize_text.h"

#include <string.h>
#include <time.h>

#include "vmm/base/size.h"
#include "vmm/control/qmp_client.h"

#define BINS_SHOWN 4 /* of a working set, of those that hold anything; the older ones are one */

static const char *size_of(struct json_object *o, const char *key, char text[SIZE_TEXT_BYTES])
{
	return size_format(qmp_get_u64(o, key, 0), text);
}

void autosize_text(FILE *out, struct json_object *o)
{
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES], c[SIZE_TEXT_BYTES], d[SIZE_TEXT_BYTES];
	const char *by = qmp_get_str(o, "suspended-by", "");

	if (!o)
		return;
	fprintf(out, "autosize: %s, has %s; from %s to %s", size_of(o, "size", a),
		size_of(o, "ram", b), size_of(o, "min", c), size_of(o, "max", d));
	if (json_object_object_get_ex(o, "ceiling", NULL))
		fprintf(out, ", ceiling %s", size_of(o, "ceiling", a));
	if (qmp_get_u64(o, "reserve-max", 0))
		fprintf(out, "; reserve %s of %s", size_of(o, "ballooned", a),
			size_of(o, "reserve-max", b));
	fprintf(out, "\n  %s%s%s\n", qmp_get_str(o, "explanation", ""), *by ? ", by " : "", by);
}

static void print_percent(FILE *out, struct json_object *status, const char *before, const char *key)
{
	struct json_object *percent;

	if (json_object_object_get_ex(status, key, &percent))
		fprintf(out, "%s%.1f %%", before, json_object_get_double(percent));
}

static void print_status(FILE *out, struct json_object *s)
{
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];

	fprintf(out, "  available %s", size_of(s, "available", a));
	if (json_object_object_get_ex(s, "total", NULL))
		fprintf(out, " of %s", size_of(s, "total", b));
	if (json_object_object_get_ex(s, "file", NULL))
		fprintf(out, ", page cache %s", size_of(s, "file", b));
	print_percent(out, s, "; stalled ", "some-percent");
	print_percent(out, s, ", wholly ", "full-percent");
	if (qmp_get_u64(s, "oom-kills", 0))
		fprintf(out, "; %llu OOM kills", (unsigned long long)qmp_get_u64(s, "oom-kills", 0));
	fputc('\n', out);
}

void agent_text(FILE *out, struct json_object *o)
{
	const char *agent = qmp_get_str(o, "agent", ""), *kernel = qmp_get_str(o, "kernel", "");
	struct json_object *status = NULL;

	if (!o)
		return;
	fprintf(out, "agent: %s", qmp_get_str(o, "state", "?"));
	if (*agent || *kernel)
		fprintf(out, ", %s%s%s", agent, *agent && *kernel ? " on " : "", kernel);
	fputc('\n', out);
	if (json_object_object_get_ex(o, "status", &status))
		print_status(out, status);
}

/* --- working sets ------------------------------------------------------------------------------ */

/* "5 s", "20 min": a bin's border. */
static const char *age_format(uint64_t ms, char text[SIZE_TEXT_BYTES])
{
	if (ms < 1000)
		snprintf(text, SIZE_TEXT_BYTES, "%llu ms", (unsigned long long)ms);
	else if (ms < 120 * 1000)
		snprintf(text, SIZE_TEXT_BYTES, "%.3g s", (double)ms / 1000);
	else if (ms < UINT64_C(7200) * 1000)
		snprintf(text, SIZE_TEXT_BYTES, "%llu min", (unsigned long long)ms / 60000);
	else
		snprintf(text, SIZE_TEXT_BYTES, "%llu h", (unsigned long long)ms / 3600000);
	return text;
}

static uint64_t bytes_of(struct json_object *bin)
{
	return qmp_get_u64(bin, "anon", 0) + qmp_get_u64(bin, "file", 0);
}

/* Two bins without ages. */
static void print_lists(FILE *out, struct json_object *bins)
{
	char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];

	fprintf(out, "active %s, inactive %s\n",
		size_format(bytes_of(json_object_array_get_idx(bins, 0)), a),
		size_format(bytes_of(json_object_array_get_idx(bins, 1)), b));
}

static void print_bins(FILE *out, struct json_object *bins)
{
	size_t nr = json_object_array_length(bins), shown = 0;
	char age[SIZE_TEXT_BYTES], size[SIZE_TEXT_BYTES];
	uint64_t older = 0;

	for (size_t i = 0; i < nr; i++) {
		struct json_object *bin = json_object_array_get_idx(bins, i);
		uint64_t bytes = bytes_of(bin);

		if (i + 1 == nr || shown == BINS_SHOWN) {
			older += bytes;
		} else if (bytes) {
			fprintf(out, "<%s %s, ", age_format(qmp_get_u64(bin, "idle-ms", 0), age),
				size_format(bytes, size));
			shown++;
		}
	}
	fprintf(out, "older %s\n", size_format(older, size));
}

static void print_working_set(FILE *out, struct json_object *o, bool alone)
{
	uint64_t at_s = qmp_get_u64(o, "seconds", 0), now_s = (uint64_t)time(NULL);
	struct json_object *bins = NULL;

	fputs("working set", out);
	if (!alone && strcmp(qmp_get_str(o, "source", ""), "host") != 0)
		fprintf(out, " of node %llu", (unsigned long long)qmp_get_u64(o, "node", 0));
	fprintf(out, " (%s, %llu s ago): ", qmp_get_str(o, "source", "?"),
		(unsigned long long)(now_s > at_s ? now_s - at_s : 0));
	json_object_object_get_ex(o, "bins", &bins);
	if (!bins || !json_object_array_length(bins))
		fprintf(out, "%s\n", qmp_get_str(o, "error", "unknown"));
	else if (!strcmp(qmp_get_str(o, "source", ""), "lru"))
		print_lists(out, bins);
	else
		print_bins(out, bins);
}

void working_sets_text(FILE *out, struct json_object *list)
{
	size_t nr = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < nr; i++)
		print_working_set(out, json_object_array_get_idx(list, i), nr == 1);
}
