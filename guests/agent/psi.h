/* SPDX-License-Identifier: Apache-2.0 */
/* psi.h - how long the guest's tasks waited for memory (Linux, Documentation/accounting/psi.rst).
 */
#ifndef EBB_AGENT_PSI_H
#define EBB_AGENT_PSI_H

#include "guests/agent/base.h"

struct psi {
	int trigger; /* poll it for POLLPRI; -1: none */
	int file;
	const char *window;	   /* of the trigger, for people */
	uint64_t some_us, full_us; /* since boot, at the last psi_read() */
};

/* With the finest window that the kernel takes. false: the kernel has no PSI, and all is 0. */
bool psi_open(struct psi *p, const char *root);
void psi_read(struct psi *p);
/* The trigger is gone, its file is closed. */
void psi_lost(struct psi *p);

#endif
