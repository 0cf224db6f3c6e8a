/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_check.h - what Ebb needs of a host, tried out with the code that `ebb run` uses, one check at a
 * time. Nothing of the host is changed.
 */
#ifndef EBB_CLI_HOST_CHECK_H
#define EBB_CLI_HOST_CHECK_H

#include "vmm/base/types.h"

enum finding_grade {
	FINDING_OK,
	FINDING_HINT, /* Ebb runs; something could be better, or is good to know */
	FINDING_BAD,  /* `ebb run` refuses to start */
};

struct finding {
	enum finding_grade grade;
	char text[512]; /* what was found */
	char fix[256];  /* the command that changes it; empty: none */
};

struct doctor_check {
	const char *name;
	void (*run)(struct finding *finding);
};

extern const struct doctor_check doctor_checks[]; /* ended by one without a name */

#endif
