/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - the verbs that are one command to a running VM, and stop. */
#include <errno.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/cli/verbs.h"

#define STOP_TIMEOUT_NS (30 * NS_PER_S)

/* `ebb VERB VM`: sends COMMAND. The exit code. */
static int send_command(const struct verb *verb, int argc, char **argv, const char *command)
{
	struct qmp_client *client;
	const char *vm;
	int r = verb_connect(verb, argc, argv, NULL, &vm, 1, &client);

	if (r != VERB_CONNECTED)
		return r;
	r = qmp_client_run(client, command, NULL, NULL, NULL);
	qmp_client_close(client);
	return r ? 1 : 0;
}

static int pause_run(const struct verb *verb, int argc, char **argv)
{
	return send_command(verb, argc, argv, "stop");
}

static int resume_run(const struct verb *verb, int argc, char **argv)
{
	return send_command(verb, argc, argv, "cont");
}

static int reset_run(const struct verb *verb, int argc, char **argv)
{
	return send_command(verb, argc, argv, "system_reset");
}

static int powerdown_run(const struct verb *verb, int argc, char **argv)
{
	return send_command(verb, argc, argv, "system_powerdown");
}

const struct verb verb_pause = { "pause", "VM", "pause all vCPUs", NULL, pause_run };
const struct verb verb_resume = { "resume", "VM", "let paused vCPUs go on", NULL,
				  resume_run };
const struct verb verb_reset = { "reset", "VM", "reset the machine", NULL, reset_run };
const struct verb verb_powerdown = { "powerdown", "VM", "press the power button and return",
				     NULL, powerdown_run };

struct stop_options {
	bool force;
	uint64_t timeout_ns;
};

static int set_force(void *target, const char *value)
{
	(void)value;
	((struct stop_options *)target)->force = true;
	return 0;
}

static int set_timeout(void *target, const char *value)
{
	if (options_seconds(value, &((struct stop_options *)target)->timeout_ns))
		return fail_usage("--timeout: '%s' is not a number of seconds", value);
	return 0;
}

static const struct option_row stop_options[] = {
	{ "timeout", 't', "S", "stop it hard after S seconds (default 30)", .set = set_timeout },
	{ "force", 'f', NULL, "stop it hard at once", .set = set_force },
	{ 0 }
};

/* True when the VM closed the connection: it has ended. */
static bool ended_within(struct qmp_client *client, uint64_t timeout_ns)
{
	uint64_t end = clock_ns() + timeout_ns;
	int r = 0;

	while (r != -ECONNRESET && clock_ns() < end) {
		struct json_object *event = NULL;

		r = qmp_client_event(client, NULL, (int)((end - clock_ns()) / NS_PER_MS + 1),
				     &event);
		if (!r)
			json_object_put(event);
	}
	return r == -ECONNRESET;
}

static int stop_vm(struct qmp_client *client, const char *vm, const struct stop_options *o)
{
	if (!o->force) {
		if (qmp_client_run(client, "system_powerdown", NULL, NULL, NULL))
			return 1;
		if (ended_within(client, o->timeout_ns))
			return 0;
		log_warn("%s: the guest did not power off in time; stopping it", vm);
	}
	if (qmp_client_run(client, "quit", NULL, NULL, NULL))
		return 1;
	return ended_within(client, 10 * NS_PER_S) ? 0 : 1;
}

static int stop_run(const struct verb *verb, int argc, char **argv)
{
	struct stop_options o = { .timeout_ns = STOP_TIMEOUT_NS };
	struct qmp_client *client;
	const char *vm;
	int r = verb_connect(verb, argc, argv, &o, &vm, 1, &client);

	if (r != VERB_CONNECTED)
		return r;
	r = stop_vm(client, vm, &o);
	qmp_client_close(client);
	return r;
}

const struct verb verb_stop = {
	"stop", "VM [OPTION...]",
	"power a VM off and wait for its end\n"
	"\n"
	"Presses the power button and waits; a VM that has not ended in time is stopped hard. A\n"
	"paused VM, or a guest that does not listen to its power button, needs --force.",
	stop_options, stop_run
};
