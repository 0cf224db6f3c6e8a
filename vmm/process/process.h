/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - one VM process: a loop, the signals that end it, its service manager, the machine and
 * its monitor. Thread: the loop (or the time before it runs).
 */
#ifndef EBB_PROCESS_PROCESS_H
#define EBB_PROCESS_PROCESS_H

#include "vmm/config/config.h"

struct process;

/* Builds everything, boots and starts, unless CFG says otherwise. CFG outlives it. Nothing is left
 * behind on error (-errno, logged). */
int must_check process_new(struct process **out, const struct config *cfg);
/* Runs until the VM ends; the exit code (exit_code.h). */
int process_run(struct process *p);
void process_free(struct process *p);

#endif
