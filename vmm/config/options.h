/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - a command line as a table: one row per option gives parsing, checking, --help,
 * completion, the manual page and the key of a configuration file.
 */
#ifndef EBB_CONFIG_OPTIONS_H
#define EBB_CONFIG_OPTIONS_H

#include "vmm/base/types.h"

/*
 * What becomes of an option's value. STORE_BY_SET: the row has a function for it. The others store
 * it in a field of the target and log what they refuse; the macros below check the field's type.
 */
enum option_store {
	STORE_BY_SET,
	STORE_TRUE,	   /* bool: the option takes no value */
	STORE_FIRST_WORD,  /* bool: whether it is the first of the argument's two words */
	STORE_SECOND_WORD, /* bool: the second one */
	STORE_WORD,	   /* an enumeration that has the words of the argument, in their order */
	STORE_STRING,	   /* const char *: the value itself, not a copy */
	STORE_SIZE,	   /* uint64_t, bytes */
	STORE_NUMBER,	   /* unsigned int, from `least` to `most` */
	STORE_SECONDS,	   /* uint64_t, nanoseconds, at least `least` of them */
};

struct option_row {
	const char *name;     /* without the dashes */
	char letter;	      /* 0: none */
	/*
	 * Its name in the help; NULL: the option takes none. One that begins with '[' may be left
	 * out, and follows the option's name in the same word: "[=S]".
	 * What completion and configuration files make of it: "a|b" one of these words (what has
	 * capitals is a name, not a word); "on|off" a boolean; N or S a number; FILE or PATH the
	 * name of a file; with ",KEY=VALUE" an object; "..." at the end: the option may be repeated.
	 */
	const char *argument;
	const char *help;     /* may hold newlines */
	/* Of STORE_BY_SET: stores VALUE (NULL: there is none) in TARGET. 0 or -errno, logged. */
	int (*set)(void *target, const char *value);
	enum option_store store;
	size_t at; /* the field's offset in the target */
	unsigned int least, most;
};

/* The end of a row that names MEMBER of a target of TYPE. */
#define OPTION_TRUE(type, member) OPTION_FIELD_(STORE_TRUE, type, member, bool)
#define OPTION_FIRST_WORD(type, member) OPTION_FIELD_(STORE_FIRST_WORD, type, member, bool)
#define OPTION_SECOND_WORD(type, member) OPTION_FIELD_(STORE_SECOND_WORD, type, member, bool)
#define OPTION_STRING(type, member) OPTION_FIELD_(STORE_STRING, type, member, const char *)
#define OPTION_SIZE(type, member) OPTION_FIELD_(STORE_SIZE, type, member, uint64_t)
#define OPTION_NUMBER(type, member, from, to)                                                      \
	OPTION_FIELD_(STORE_NUMBER, type, member, unsigned int), .least = (from), .most = (to)
#define OPTION_SECONDS_OR_0(type, member) OPTION_FIELD_(STORE_SECONDS, type, member, uint64_t)
#define OPTION_SECONDS(type, member) OPTION_SECONDS_OR_0(type, member), .least = 1
/* Compilers differ in what is compatible with an enumeration: its size must do. */
#define OPTION_WORD(type, member)                                                                  \
	.store = STORE_WORD,                                                                       \
	.at = OPTION_AT_(type, member, sizeof(((type *)0)->member) == sizeof(unsigned int))
#define OPTION_FIELD_(how, type, member, field)                                                    \
	.store = (how),                                                                            \
	.at = OPTION_AT_(type, member,                                                             \
			 __builtin_types_compatible_p(__typeof__(((type *)0)->member), field))
#define OPTION_AT_(type, member, good) (offsetof(type, member) + 0 * sizeof(char[(good) ? 1 : -1]))

/* A verb of the command line. */
struct verb {
	const char *name;
	const char *usage; /* what follows the name; VM: the name of a running VM */
	const char *summary;
	const struct option_row *options; /* ended by a row without a name; may be NULL */
	int (*run)(const struct verb *verb, int argc, char **argv);
};

/*
 * Calls FN for each option of ARGV (argv[0] is the verb), until it fails. Other words end up, in
 * order, in POSITIONAL, at most MAX of them. The number of them, OPTIONS_HELP after --help was
 * answered, -EINVAL (logged), or what FN has returned.
 */
#define OPTIONS_HELP (-1000)
typedef int (*option_fn)(void *ctx, const struct option_row *row, const char *value);
int must_check options_walk(const struct verb *verb, int argc, char **argv, option_fn fn, void *ctx,
			    const char **positional, int max);
/* The same, setting TARGET. */
int must_check options_parse(const struct verb *verb, int argc, char **argv, void *target,
			     const char **positional, int max);
void options_help(const struct verb *verb);

enum option_kind { OPTION_SWITCH, OPTION_ON_OFF, OPTION_NUMBER, OPTION_TEXT, OPTION_OBJECT };
enum option_kind option_kind(const struct option_row *row);
bool option_repeats(const struct option_row *row);
/* Whether the next word of a command line is its argument. */
static inline bool option_takes_word(const struct option_row *row)
{
	return row->argument && *row->argument != '[';
}
/* An argument, or a word of `usage`, that is the name of a file. */
bool argument_is_file(const char *argument);
/* The words that ARGUMENT ("a|b") can be, as text with SEPARATOR between two; "" when none. */
#define ARGUMENT_WORDS_BYTES 128
const char *argument_words(const char *argument, char separator, char words[ARGUMENT_WORDS_BYTES]);
/* NULL: no option of that name. */
const struct option_row *option_find(const struct verb *verb, const char *name);
/*
 * Stores VALUE (NULL: there is none) in TARGET as ROW says. 0 or -errno, logged. Of a value that was
 * refused nothing is left in the row's field.
 */
int must_check option_set(const struct option_row *row, void *target, const char *value);

/* A size, see vmm/base/size.h. 0 or -EINVAL, logged with OPTION. */
int must_check options_size(const char *option, const char *text, uint64_t *bytes);
/* "1", "2.5": seconds as text into nanoseconds. 0 or -EINVAL (not logged). */
int must_check options_seconds(const char *text, uint64_t *ns);
/* Digits alone, LEAST to MOST. 0 or -EINVAL (not logged). */
int must_check options_number(const char *text, unsigned int least, unsigned int most,
			      unsigned int *number);
/* Which of WORDS ("a|b") TEXT is, from 0. -EINVAL, logged with OPTION, when it is none of them. */
int must_check options_word(const char *option, const char *words, const char *text);
/* Logs that TEXT is none of WORDS; -EINVAL. */
int options_refuse_word(const char *option, const char *words, const char *text);

#endif
