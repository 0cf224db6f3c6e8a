/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion.c - ebb completion: scripts for bash and zsh, made of the tables of options.
 * Names of VMs come from `ebb list` at the time.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/cli/verbs.h"

/* Word I of a verb's usage, which is no option; false: there is none. */
static bool usage_word(const struct verb *verb, unsigned int i, char word[32])
{
	const char *p = verb->usage;

	for (;; p += strcspn(p, " ")) {
		p += strspn(p, " ");
		if (!*p || *p == '[' || *p == '-')
			return false;
		if (!i--)
			break;
	}
	snprintf(word, 32, "%.*s", (int)strcspn(p, " "), p);
	return true;
}

static bool takes_vm(const struct verb *verb)
{
	char word[32];

	return usage_word(verb, 0, word) && !strcmp(word, "VM");
}

static void print_verbs(void)
{
	for (const struct verb *const *v = verbs; *v; v++)
		printf("%s ", (*v)->name);
}

/* --- bash ------------------------------------------------------------------------------------- */

static const char bash_head[] =
	"# bash completion of ebb; made by `ebb completion bash`\n"
	"_ebb() {\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	"\tlocal verb=${COMP_WORDS[1]} options= takes= vm= words= files= value= i\n"
	"\tCOMPREPLY=()\n"
	"\t# --option=value is three words here.\n"
	"\tif [[ $cur == = ]]; then\n"
	"\t\tcur=\n"
	"\telif [[ $prev == = ]]; then\n"
	"\t\tprev=${COMP_WORDS[COMP_CWORD-2]}\n"
	"\tfi\n";

static const char bash_tail[] =
	"\tcase \" $takes \" in *\" $prev \"*) value=1 ;; esac\n"
	"\tfor ((i = 2; i < COMP_CWORD; i++)); do\n"
	"\t\tcase \" $takes \" in\n"
	"\t\t*\" ${COMP_WORDS[i]} \"*)\n"
	"\t\t\t[[ ${COMP_WORDS[++i]} == = ]] && ((i++)) ;;\n"
	"\t\t*) [[ ${COMP_WORDS[i]} == -* ]] || vm= ;;\n"
	"\t\tesac\n"
	"\tdone\n"
	"\tif [[ $value ]]; then\n"
	"\t\t:\n"
	"\telif [[ $cur == -* ]]; then\n"
	"\t\twords=$options files=\n"
	"\telif [[ $vm ]]; then\n"
	"\t\twords=$(\"${COMP_WORDS[0]}\" list 2>/dev/null)\n"
	"\tfi\n"
	"\tif [[ $files ]]; then\n"
	"\t\tcompopt -o filenames\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	"\telse\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	"\tfi\n"
	"}\n"
	"complete -F _ebb ebb\n";

/* "--kernel|-k" or "--kernel -k", by SEPARATOR. */
static void print_names(const struct option_row *row, char separator)
{
	printf("--%s", row->name);
	if (row->letter)
		printf("%c-%c", separator, row->letter);
}

static void print_bash_values(const struct verb *verb)
{
	char words[ARGUMENT_WORDS_BYTES];

	printf("\t\tcase $prev in\n");
	for (const struct option_row *row = verb->options; row && row->name; row++) {
		bool file = option_takes_word(row) && argument_is_file(row->argument);

		if (!option_takes_word(row) || (!file && !*argument_words(row->argument, ' ', words)))
			continue;
		printf("\t\t");
		print_names(row, '|');
		if (file)
			printf(") files=1 ;;\n");
		else
			printf(") words=\"%s\" ;;\n", words);
	}
	printf("\t\tesac\n");
}

static void print_bash_verb(const struct verb *verb)
{
	char word[32], words[ARGUMENT_WORDS_BYTES];

	printf("\t%s)\n\t\toptions=\"--help -h", verb->name);
	for (const struct option_row *row = verb->options; row && row->name; row++) {
		putchar(' ');
		print_names(row, ' ');
	}
	printf("\"\n\t\ttakes=\"");
	for (const struct option_row *row = verb->options; row && row->name; row++) {
		if (!option_takes_word(row))
			continue;
		print_names(row, ' ');
		putchar(' ');
	}
	printf("\"\n");
	if (takes_vm(verb))
		printf("\t\tvm=1\n");
	else if (usage_word(verb, 0, word) && *argument_words(word, ' ', words))
		printf("\t\twords=\"%s\"\n", words);
	if (verb->options)
		print_bash_values(verb);
	printf("\t\t;;\n");
}

static void print_bash(void)
{
	printf("%s\tif ((COMP_CWORD == 1)); then\n\t\twords=\"", bash_head);
	print_verbs();
	printf("help --help --version\"\n\telse\n\tcase $verb in\n\thelp) words=\"");
	print_verbs();
	printf("\" ;;\n");
	for (const struct verb *const *v = verbs; *v; v++)
		print_bash_verb(*v);
	printf("\tesac\n\tfi\n%s", bash_tail);
}

/* --- zsh -------------------------------------------------------------------------------------- */

static const char zsh_head[] =
	"#compdef ebb\n"
	"# zsh completion of ebb; made by `ebb completion zsh`\n"
	"_ebb_vms() {\n"
	"\tlocal -a vms\n"
	"\tvms=(${(f)\"$($ebb list 2>/dev/null)\"})\n"
	"\t_describe VM vms\n"
	"}\n"
	"_ebb() {\n"
	"\tlocal ebb=${(e)~words[1]} verb=$words[2]\n"
	"\tlocal -a verbs\n";

/* The first line of TEXT inside single quotes, with what the caller gives a meaning escaped. */
static void print_quoted(const char *text, const char *special)
{
	for (; *text && *text != '\n'; text++) {
		if (*text == '\'') {
			printf("'\\''");
			continue;
		}
		if (strchr(special, *text))
			putchar('\\');
		putchar(*text);
	}
}

static void print_zsh_value(const char *argument)
{
	char words[ARGUMENT_WORDS_BYTES];

	putchar(':');
	print_quoted(argument, ":\\");
	if (!strcmp(argument, "VM"))
		printf(":_ebb_vms");
	else if (argument_is_file(argument))
		printf(":_files");
	else if (*argument_words(argument, ' ', words))
		printf(":(%s)", words);
	else
		printf(": ");
}

/* '(-k --kernel)'{-k+,--kernel=}'[help]:FILE:_files'; in the same word: --watch=-'[help]::S: ' */
static void print_zsh_option(const struct option_row *row)
{
	bool word = option_takes_word(row);
	const char *plus = word ? "+" : row->argument ? "-" : "";
	const char *equals = word ? "=" : row->argument ? "=-" : "";

	printf(" \\\n\t\t\t");
	if (option_repeats(row))
		printf("\\*");
	else if (row->letter)
		printf("'(-%c --%s)'", row->letter, row->name);
	if (row->letter)
		printf("{-%c%s,--%s%s}'[", row->letter, plus, row->name, equals);
	else
		printf("--%s%s'[", row->name, equals);
	print_quoted(row->help, "[]:\\");
	putchar(']');
	if (word)
		print_zsh_value(row->argument);
	else if (row->argument)
		printf(":: : ");
	putchar('\'');
}

static void print_zsh_verb(const struct verb *verb)
{
	char word[32];

	printf("\t%s)\n\t\t_arguments -s", verb->name);
	for (const struct option_row *row = verb->options; row && row->name; row++)
		print_zsh_option(row);
	printf(" \\\n\t\t\t'(- *)'{-h,--help}'[what it does and its options]'");
	for (unsigned int i = 0; usage_word(verb, i, word); i++) {
		printf(" \\\n\t\t\t'%u", i + 1);
		print_zsh_value(word);
		putchar('\'');
	}
	printf(" ;;\n");
}

static void print_zsh(void)
{
	printf("%s\tverbs=(\n", zsh_head);
	for (const struct verb *const *v = verbs; *v; v++) {
		printf("\t\t'%s:", (*v)->name);
		print_quoted((*v)->summary, ":\\");
		printf("'\n");
	}
	printf("\t\t'help:what a verb does and its options'\n\t)\n"
	       "\tif ((CURRENT == 2)); then\n\t\t_describe verb verbs\n\t\treturn\n\tfi\n"
	       "\tshift words\n\t((CURRENT--))\n\tcase $verb in\n\thelp) _describe verb verbs ;;\n");
	for (const struct verb *const *v = verbs; *v; v++)
		print_zsh_verb(*v);
	printf("\tesac\n}\n"
	       "if [[ $funcstack[1] == _ebb ]]; then\n\t_ebb \"$@\"\nelse\n\tcompdef _ebb ebb\nfi\n");
}

/* --- the verb --------------------------------------------------------------------------------- */

static int run(const struct verb *verb, int argc, char **argv)
{
	const char *shell = NULL;
	int r = options_parse(verb, argc, argv, NULL, &shell, 1);

	if (r == OPTIONS_HELP)
		return 0;
	if (r < 0)
		return EXIT_BAD_ARGUMENTS;
	if (shell && !strcmp(shell, "bash")) {
		print_bash();
	} else if (shell && !strcmp(shell, "zsh")) {
		print_zsh();
	} else {
		fail_usage("completion: which shell, bash or zsh?");
		return EXIT_BAD_ARGUMENTS;
	}
	return 0;
}

const struct verb verb_completion = {
	"completion", "bash|zsh",
	"print a script that completes ebb's words in a shell\n"
	"\n"
	"In bash: . <(ebb completion bash); in zsh, after compinit: . <(ebb completion zsh).",
	NULL, run
};
