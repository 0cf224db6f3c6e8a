/* SPDX-License-Identifier: Apache-2.0 */
/* autosize.c - ebb autosize: what a guest may get when it asks, and why it has what it has. */
#include <stdio.h>
#include <string.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/cli/autosize_text.h"
#include "vmm/cli/verbs.h"
#include "vmm/config/config_autosize.h"
#include "vmm/json/members.h"

struct autosize_options {
	bool json;
	struct json_object *args; /* of __org.ebb_set-autosize */
};

static int set_json(void *target, const char *value)
{
	(void)value;
	((struct autosize_options *)target)->json = true;
	return 0;
}

static int add_size(void *target, const char *option, const char *key, const char *value)
{
	uint64_t bytes;
	int r = options_size(option, value, &bytes);

	if (!r)
		add_u64(((struct autosize_options *)target)->args, key, bytes);
	return r;
}

static int set_min(void *target, const char *value)
{
	return add_size(target, "--min", "min", value);
}

static int set_max(void *target, const char *value)
{
	return add_size(target, "--max", "max", value);
}

static int set_ceiling(void *target, const char *value)
{
	if (strcmp(value, "off"))
		return add_size(target, "--ceiling", "ceiling", value);
	add_u64(((struct autosize_options *)target)->args, "ceiling", INT64_MAX);
	return 0;
}

static int set_rate(void *target, const char *value)
{
	uint32_t mib;
	int r = config_rate_parse("--rate", value, &mib);

	if (!r)
		add_u64(((struct autosize_options *)target)->args, "rate", mib * MiB);
	return r;
}

static int set_cache_age(void *target, const char *value)
{
	uint32_t s;
	int r = config_cache_age_parse("--cache-age", value, &s);

	if (!r)
		add_u64(((struct autosize_options *)target)->args, "cache-age", s);
	return r;
}

static const struct option_row rows[] = {
	{ "min", 0, "SIZE", "what it always has, boot memory included", .set = set_min },
	{ "max", 0, "SIZE", "what it gets at most; not above boot and elastic memory",
	  .set = set_max },
	{ "ceiling", 0, "SIZE|off", "the same for now, the host being short", .set = set_ceiling },
	{ "rate", 0, "SIZE", "the most that it gets in a second, on the average", .set = set_rate },
	{ "cache-age", 0, "S",
	  "page cache that it has not used for so many seconds goes (0: it stays)",
	  .set = set_cache_age },
	{ "json", 'j', NULL, "as JSON, sizes in bytes", .set = set_json },
	{ 0 }
};

static int change(struct qmp_client *client, struct autosize_options *o, const char *word)
{
	if (word && strcmp(word, "on") != 0 && strcmp(word, "off") != 0) {
		fail_usage("autosize: '%s' is neither on nor off", word);
		return EXIT_BAD_ARGUMENTS;
	}
	if (word)
		add_bool(o->args, "enabled", !strcmp(word, "on"));
	if (!json_object_object_length(o->args))
		return 0;
	return qmp_client_run(client, "__org.ebb_set-autosize", json_object_get(o->args), NULL,
			      NULL) ? EXIT_BAD_ARGUMENTS : 0;
}

static int show(struct qmp_client *client, const struct autosize_options *o)
{
	struct json_object *now;

	if (qmp_client_run(client, "__org.ebb_query-autosize", NULL, &now, NULL))
		return 1;
	if (o->json) {
		puts(json_object_to_json_string_ext(now, JSON_C_TO_STRING_PRETTY));
	} else {
		autosize_text(stdout, now);
		agent_text(stdout, json_object_object_get(now, "agent"));
	}
	json_object_put(now);
	return 0;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct autosize_options o = { .args = json_object_new_object() };
	struct qmp_client *client;
	const char *words[2];
	int code = verb_connect(verb, argc, argv, &o, words, 2, &client);

	if (code == VERB_CONNECTED) {
		code = change(client, &o, words[1]);
		if (!code)
			code = show(client, &o);
		qmp_client_close(client);
	}
	json_object_put(o.args);
	return code;
}

const struct verb verb_autosize = {
	"autosize", "VM [on|off] [OPTION...]",
	"show and set what a guest gets when it asks for memory\n"
	"\n"
	"Its agent asks, and gets it at once within these limits; what it has to spare goes back\n"
	"when it is calm. off leaves its size as it is, and so does a resize by hand (ebb resize,\n"
	"ebb balloon) until on.",
	rows, run
};
