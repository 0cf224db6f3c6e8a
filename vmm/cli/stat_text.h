/* SPDX-License-Identifier: Apache-2.0 */
/* stat_text.h - what a VM says of itself, as text: targets beside facts, in at most 80 columns. */
#ifndef EBB_CLI_STAT_TEXT_H
#define EBB_CLI_STAT_TEXT_H

#include <json-c/json.h>
#include <stdio.h>

/* STAT: the reply to __org.ebb_stat. EXITS_PER_S: below 0 when it is not known. */
void stat_text(FILE *out, struct json_object *stat, double exits_per_s);

#endif
