/* SPDX-License-Identifier: Apache-2.0 */
/* man.c - ebb man: the manual page, of the tables that --help shows. man(7) macros. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/version.h"
#include "vmm/cli/verbs.h"

static const struct {
	const char *code, *meaning;
} exit_codes[] = {
	{ "0", "the guest powered off, or was stopped by `ebb stop` or Ctrl-a x" },
	{ "32", "the guest asked for a reboot, with --no-reboot" },
	{ "33", "the guest crashed (triple fault, or an instruction that KVM can't carry out), or "
		"the host failed it; registers are in the log" },
	{ "34", "the guest's kernel panicked and said so (pvpanic); the console's last lines are "
		"in the log" },
	{ "35", "the VM could not start: bad options, or the host lacks something (ebb doctor)" },
	{ "37", "the guest used memory that it gave back, with --violation=kill" },
	{ "124", "the time of --timeout was over; the console's last lines are in the log" },
	{ "128+n", "signal n came a second time, or while the guest could not answer the first" },
	{ "other", "with --debug-exit: what the guest wrote to port 0xf4" },
};

/* Text for roff: what it would take for a request, an escape or a hyphen is none. */
static void put(const char *text, size_t n)
{
	bool line_start = true;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (line_start && (c == '.' || c == '\''))
			fputs("\\&", stdout);
		if (c == '\\')
			fputs("\\e", stdout);
		else if (c == '-')
			fputs("\\-", stdout);
		else if (c == '\'')
			fputs("\\(aq", stdout);
		else if (c == '`')
			fputs("\\(ga", stdout);
		else if (c == '~' || c == '^')
			printf("\\(%s", c == '~' ? "ti" : "ha");
		else
			putchar(c);
		line_start = c == '\n';
	}
}

static void put_text(const char *text) { put(text, strlen(text)); }

/* Filled; an empty line ends a paragraph, and a row of a table (two blanks in it) is a line. */
static void put_lines(const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (memmem(text, n, "  ", 2))
			puts(".br");
		if (n)
			put(text, n);
		else
			printf(".PP");
		putchar('\n');
		text += n;
		text += *text == '\n';
	}
}

static void put_option(const struct option_row *row)
{
	printf(".TP\n");
	if (row->letter)
		printf("\\fB\\-%c\\fR, ", row->letter);
	printf("\\fB\\-\\-");
	put_text(row->name);
	printf("\\fR");
	if (row->argument) {
		printf("%s\\fI", option_takes_word(row) ? " " : "");
		put_text(row->argument);
		printf("\\fR");
	}
	putchar('\n');
	put_lines(row->help);
}

static void put_verb(const struct verb *verb)
{
	printf(".SS ebb %s", verb->name);
	if (*verb->usage)
		putchar(' ');
	put_text(verb->usage);
	putchar('\n');
	put_lines(verb->summary);
	for (const struct option_row *row = verb->options; row && row->name; row++)
		put_option(row);
}

static void put_page(void)
{
	printf(".TH EBB 1 %s \"ebb %s\" \"User Commands\"\n.ad l\n.nh\n", EBB_DATE, EBB_VERSION);
	puts(".SH NAME\nebb \\- virtual machines whose memory comes and goes\n"
	     ".SH SYNOPSIS\n.B ebb\n.I VERB\n.RI [ OPTION ...]\n"
	     ".SH DESCRIPTION\n"
	     "One process runs one virtual machine on KVM:\n.B ebb run\n"
	     "starts it, the other verbs control it by its name or by the path of its control "
	     "socket, which speaks a subset of QMP.\n"
	     "A guest has boot memory, which stays, and elastic memory, which comes and goes by "
	     "virtio\\-mem while it runs.\n"
	     "Sizes are numbers with a unit, K, M, G or T; without one they are MiB.\n"
	     ".SH VERBS");
	for (const struct verb *const *v = verbs; *v; v++)
		put_verb(*v);
	puts(".SH EXIT STATUS\nOf\n.BR \"ebb run\" :");
	for (size_t i = 0; i < ARRAY_SIZE(exit_codes); i++) {
		printf(".TP\n.B %s\n", exit_codes[i].code);
		put_text(exit_codes[i].meaning);
		putchar('\n');
	}
	puts(".PP\nOf the other verbs: 0 done, 1 not done, 35 bad options or no such VM.\n"
	     ".SH SIGNALS\nSIGTERM, SIGINT and SIGHUP press the guest\\(aqs power button; a second "
	     "one stops the VM.\nWith\n.B \\-\\-log\\-file\nSIGHUP opens that file anew instead.\n"
	     ".SH FILES\n.TP\n"
	     ".I ${EBB_RUN_DIR:\\-${XDG_RUNTIME_DIR:\\-/run}/ebb}/NAME.sock\n"
	     "the control socket of a VM; root\(aqs are in /run/ebb whatever XDG_RUNTIME_DIR "
	     "says\n"
	     ".SH ENVIRONMENT\n"
	     ".TP\n.B EBB_RUN_DIR\nwhere control sockets are\n"
	     ".TP\n.B LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES\n"
	     "open descriptors for\n.BR \"ebb run\" :\n"
	     "those named kvm and userfaultfd are these devices, another one is the control "
	     "socket\n"
	     ".TP\n.B NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID\n"
	     "where and how often to tell a service manager that the VM runs\n"
	     ".SH EXAMPLES\n.EX\n"
	     "ebb run \\-n vm \\-k vmlinux \\-i initrd.img \\-p console=ttyS0 \\-m 512M \\-e 8G\n"
	     "ebb resize vm +1G \\-\\-wait\n"
	     "ebb stop vm\n.EE");
}

static int run(const struct verb *verb, int argc, char **argv)
{
	int r = options_parse(verb, argc, argv, NULL, NULL, 0);

	if (r)
		return r == OPTIONS_HELP ? 0 : EXIT_BAD_ARGUMENTS;
	put_page();
	return 0;
}

const struct verb verb_man = { "man", "", "print the manual page: ebb man | man -l -", NULL, run };
