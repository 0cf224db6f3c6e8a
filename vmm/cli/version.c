/* SPDX-License-Identifier: Apache-2.0 */
/* version.c - ebb version. */
#include <stdio.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/version.h"
#include "vmm/cli/verbs.h"

static int run(const struct verb *verb, int argc, char **argv)
{
	int r = options_parse(verb, argc, argv, NULL, NULL, 0);

	if (r)
		return r == OPTIONS_HELP ? 0 : EXIT_BAD_ARGUMENTS;
	printf("ebb %s\n", EBB_VERSION);
	return 0;
}

const struct verb verb_version = { "version", "", "print the version", NULL, run };
