/* SPDX-License-Identifier: Apache-2.0 */
/* fake_run.h - the running of a VM that is none: what parts do with it is counted. */
#ifndef EBB_TESTS_FAKE_RUN_H
#define EBB_TESTS_FAKE_RUN_H

#include "vmm/machine/run_control.h"

struct fake_run {
	bool running, refuses_to_park;
	unsigned int nr_parks, nr_unparks, nr_pauses, nr_ends;
	int exit_code; /* of the last end */
	bool guest;
	const char *reason;
};

/* RUN, which is running from now on, as a part sees it. */
struct run_control fake_run_control(struct fake_run *run);

#endif
