/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_file.h - options from JSON files and the command line together.
 * A file holds one object: each key is the name of a long option, its value what option_kind()
 * says: true or false, a number, a text as on the command line, or for SIZE,KEY=VALUE an object
 * {"size": TEXT, KEY: TEXT}. A list holds an option that may be repeated.
 */
#ifndef EBB_CONFIG_CONFIG_FILE_H
#define EBB_CONFIG_CONFIG_FILE_H

#include "vmm/config/config.h"

struct json_object;

/*
 * Sets CFG (after config_init()) from ARGV and the files it names, with config_options. Of one
 * option the command line counts before the files, a later file before an earlier one; a list is
 * taken as a whole. 0, OPTIONS_HELP, or -errno, logged with the file's name and the key. *GIVEN is
 * what CFG's texts point into, and to be freed after it with json_object_put(), also on failure.
 */
int must_check config_read(struct config *cfg, const struct verb *verb, int argc, char **argv,
			   struct json_object **given);
/* What was given as such a file, on standard output: read again it gives the same. */
void config_print(const struct verb *verb, struct json_object *given);

#endif
