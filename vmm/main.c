/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the command line's first word. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/base/version.h"
#include "vmm/machine.h"
#include "vmm/verbs.h"

static const struct verb *const verbs[] = {
	&verb_run,   &verb_list,   &verb_stat,	&verb_resize, &verb_guard,	 &verb_pause,
	&verb_resume, &verb_reset, &verb_powerdown, &verb_stop,
};

static void help(FILE *out)
{
	fprintf(out, "ebb %s - virtual machines whose memory comes and goes\n\nUsage: ebb VERB ...\n\n",
		EBB_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(out, "  %-10s %.*s\n", verbs[i]->name,
			(int)strcspn(verbs[i]->summary, "\n"), verbs[i]->summary);
	fprintf(out, "  %-10s %s\n\n`ebb VERB --help` tells the options of each.\n", "version",
		"print the version");
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
	keep_standard_files();
	keep_heap_small();
	if (argc < 2) {
		help(stderr);
		return EXIT_BAD_ARGUMENTS;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return written(0);
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
		printf("ebb %s\n", EBB_VERSION);
		return written(0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(argv[1], verbs[i]->name))
			return written(verbs[i]->run(verbs[i], argc - 1, argv + 1));
	fail_usage("unknown verb '%s'; see ebb --help", argv[1]);
	return EXIT_BAD_ARGUMENTS;
}
