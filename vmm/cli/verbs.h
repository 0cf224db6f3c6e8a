/* SPDX-License-Identifier: Apache-2.0 */
/* verbs.h - the verbs of the command line, one file each; main.c has the list of them. */
#ifndef EBB_CLI_VERBS_H
#define EBB_CLI_VERBS_H

#include "vmm/config/options.h"
#include "vmm/control/qmp_client.h"

extern const struct verb verb_run, verb_list, verb_stat, verb_resize, verb_pause, verb_resume,
	verb_reset, verb_powerdown, verb_stop, verb_guard, verb_doctor, verb_completion, verb_man,
	verb_version, verb_console, verb_dump, verb_balloon, verb_reclaim,
	verb_autosize, verb_working_set;
/*
 * All of them, in the order of the help; NULL at the end. main() sets it first: the verbs that tell
 * of all verbs are in the list themselves, so they can't stand on the file that has it.
 */
extern const struct verb *const *verbs;

/*
 * Parses the command line of a verb whose first word is a VM, and connects to that. WORDS: up to
 * MAX of them, NULL where there are fewer. VERB_CONNECTED, or the exit code to leave with (0 after
 * --help); what went wrong is logged.
 */
#define VERB_CONNECTED (-1)
int must_check verb_connect(const struct verb *verb, int argc, char **argv, void *target,
			    const char **words, int max, struct qmp_client **client);

#endif
