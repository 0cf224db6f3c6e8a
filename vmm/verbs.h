/* SPDX-License-Identifier: Apache-2.0 */
/* verbs.h - the verbs of the command line, one file each; main.c has the list. */
#ifndef EBB_VERBS_H
#define EBB_VERBS_H

#include "vmm/options.h"

extern const struct verb verb_run, verb_list, verb_stat, verb_resize, verb_pause, verb_resume,
	verb_reset, verb_powerdown, verb_stop;

#endif
