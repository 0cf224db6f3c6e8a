/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the command line's first word. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/base/version.h"
#include "vmm/cli/verbs.h"

/* In the order of the help. */
static const struct verb *const all_verbs[] = {
	&verb_run,   &verb_list,   &verb_stat,	    &verb_resize, &verb_balloon,
	&verb_reclaim, &verb_autosize, &verb_working_set, &verb_guard,
	&verb_pause, &verb_resume, &verb_reset,	    &verb_powerdown, &verb_stop,
	&verb_console, &verb_dump,
	&verb_doctor, &verb_completion, &verb_man, &verb_version, NULL,
};

static void help(FILE *out)
{
	fprintf(out, "ebb %s - virtual machines whose memory comes and goes\n\nUsage: ebb VERB ...\n\n",
		EBB_VERSION);
	for (const struct verb *const *v = verbs; *v; v++)
		fprintf(out, "  %-11s %.*s\n", (*v)->name, (int)strcspn((*v)->summary, "\n"),
			(*v)->summary);
	fprintf(out, "\n`ebb VERB --help` tells the options of each.\n");
}

static const struct verb *find_verb(const char *name)
{
	const struct verb *const *v = verbs;

	while (*v && strcmp(name, (*v)->name) != 0)
		v++;
	if (!*v)
		fail_usage("unknown verb '%s'; see ebb --help", name);
	return *v;
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c)
{
	return !strcmp(word, a) || !strcmp(word, b) || !strcmp(word, c);
}

/*
 * A large buffer is a mapping of its own: what nobody touches of it costs nothing, what is freed
 * goes back to the host. With the C library's defaults a sixth of an idle VM's footprint is such
 * buffers, because the first 132 KiB come from the heap whatever their size.
 */
static void keep_heap_small(void)
{
	mallopt(M_MMAP_THRESHOLD, 32 << 10);
	mallopt(M_TOP_PAD, 16 << 10);
}

/*
 * A standard file that is closed would lend its number to the next one we open, and output of the
 * guest would go there.
 */
static void keep_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_RDWR);
}

/* A full disk is no success. */
static int written(int code)
{
	if (!fflush(stdout) && !ferror(stdout))
		return code;
	fail(-errno, "standard output");
	return code ? code : 1;
}

int main(int argc, char **argv)
{
	const char *word = argc < 2 ? NULL : argv[1];
	const struct verb *verb;

	verbs = all_verbs;
	keep_standard_files();
	keep_heap_small();
	if (!word) {
		help(stderr);
		return EXIT_BAD_ARGUMENTS;
	}
	if (is_one_of(word, "--help", "-h", "help")) {
		if (argc < 3) {
			help(stdout);
			return written(0);
		}
		verb = find_verb(argv[2]);
		if (verb)
			options_help(verb);
		return written(verb ? 0 : EXIT_BAD_ARGUMENTS);
	}
	verb = find_verb(is_one_of(word, "--version", "-V", "version") ? "version" : word);
	return verb ? written(verb->run(verb, argc - 1, argv + 1)) : EXIT_BAD_ARGUMENTS;
}
