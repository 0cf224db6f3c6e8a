/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - the names of a machine's states. */
#include "vmm/machine/state.h"

const char *machine_state_name(enum machine_state state)
{
	static const char *const name[] = {
		[MACHINE_PRELAUNCH] = "prelaunch",   [MACHINE_RUNNING] = "running",
		[MACHINE_PAUSED] = "paused",	     [MACHINE_SHUTDOWN] = "shutdown",
		[MACHINE_PANICKED] = "guest-panicked",
		[MACHINE_INTERNAL_ERROR] = "internal-error",
	};

	return name[state];
}
