/* SPDX-License-Identifier: Apache-2.0 */
/* verb_run.c - ebb run: starts a VM in this process. */
#include "vmm/machine.h"
#include "vmm/verbs.h"

static int run(const struct verb *verb, int argc, char **argv)
{
	struct config cfg;
	struct machine *m;
	int r, code;

	config_init(&cfg);
	r = options_parse(verb, argc, argv, &cfg, NULL, 0);
	if (r == OPTIONS_HELP)
		return 0;
	if (r < 0 || config_check(&cfg) || machine_new(&m, &cfg))
		return EXIT_BAD_ARGUMENTS;
	code = machine_run(m);
	machine_free(m);
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
