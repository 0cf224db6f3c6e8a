/* SPDX-License-Identifier: Apache-2.0 */
/* verb_run.c - ebb run: starts a VM in this process. */
#include <json-c/json.h>

#include "vmm/base/given.h"
#include "vmm/base/log.h"
#include "vmm/config_file.h"
#include "vmm/machine.h"
#include "vmm/verbs.h"

static int run_machine(struct config *cfg)
{
	struct given given;
	struct machine *m;
	int code;

	if (config_check(cfg) || (cfg->log_file && log_open(cfg->log_file)) ||
	    service_inherit(cfg, &given) || machine_new(&m, cfg))
		return EXIT_BAD_ARGUMENTS;
	code = machine_run(m);
	machine_free(m);
	return code;
}

static int run(const struct verb *verb, int argc, char **argv)
{
	struct config cfg;
	struct json_object *given;
	int code, r;

	config_init(&cfg);
	r = config_read(&cfg, verb, argc, argv, &given);
	if (r) {
		code = r == OPTIONS_HELP ? 0 : EXIT_BAD_ARGUMENTS;
	} else if (cfg.print) {
		code = config_check(&cfg) ? EXIT_BAD_ARGUMENTS : 0;
		if (!code)
			config_print(verb, given);
	} else {
		code = run_machine(&cfg);
	}
	json_object_put(given);
	return code;
}

const struct verb verb_run = {
	"run", "-k KERNEL [OPTION...]",
	"start a VM; its serial console is standard input and output\n"
	"\n"
	"Ctrl-a x ends the VM, Ctrl-a Ctrl-a sends one Ctrl-a. SIGTERM presses the power button, a\n"
	"second one stops the VM. Exit code: 0 power-off, 32 reboot with --no-reboot, 33 crash,\n"
	"35 could not start, 128+n ended by signal n.",
	config_options, run
};
