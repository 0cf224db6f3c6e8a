/* SPDX-License-Identifier: Apache-2.0 */
/* autosize_text.h - what is known of a guest's need, and what was decided, as text of few lines. */
#ifndef EBB_CLI_AUTOSIZE_TEXT_H
#define EBB_CLI_AUTOSIZE_TEXT_H

#include <json-c/json.h>
#include <stdio.h>

/* As in the reply to __org.ebb_stat; NULL prints nothing. */
void autosize_text(FILE *out, struct json_object *autosize);
void agent_text(FILE *out, struct json_object *agent);
/* A line for each node: how much memory lay idle for how long. */
void working_sets_text(FILE *out, struct json_object *list);

#endif
