/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - a command line as a table: one row per option gives parsing, checking and --help.
 */
#ifndef EBB_OPTIONS_H
#define EBB_OPTIONS_H

#include "vmm/base/types.h"

struct option_row {
	const char *name;     /* without the dashes */
	char letter;	      /* 0: none */
	const char *argument; /* its name in the help; NULL: the option takes none */
	const char *help;     /* may hold newlines */
	/* Stores VALUE (NULL without an argument) in TARGET. 0 or -errno, logged. */
	int (*set)(void *target, const char *value);
};

/* A verb of the command line. */
struct verb {
	const char *name;
	const char *usage; /* what follows the name */
	const char *summary;
	const struct option_row *options; /* ended by a row without a name; may be NULL */
	int (*run)(const struct verb *verb, int argc, char **argv);
};

/*
 * Sets TARGET from the options of ARGV (argv[0] is the verb). Other words end up, in order, in
 * POSITIONAL, at most MAX of them. The number of them, OPTIONS_HELP after --help was answered, or
 * -EINVAL (logged).
 */
#define OPTIONS_HELP (-1000)
int must_check options_parse(const struct verb *verb, int argc, char **argv, void *target,
			     const char **positional, int max);
void options_help(const struct verb *verb);

/* "1", "2.5": seconds as text into nanoseconds. 0 or -EINVAL (not logged). */
int must_check options_seconds(const char *text, uint64_t *ns);

#endif
