/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c - what the verbs that talk to a running VM have in common. */
#include "vmm/cli/verbs.h"

#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"

#define REPLY_TIMEOUT_MS 10000

int verb_connect(const struct verb *verb, int argc, char **argv, void *target, const char **words,
		 int max, struct qmp_client **client)
{
	int nr = options_parse(verb, argc, argv, target, words, max);

	if (nr == OPTIONS_HELP)
		return 0;
	if (!nr)
		fail_usage("%s: which VM? See ebb list", verb->name);
	if (nr < 1)
		return EXIT_BAD_ARGUMENTS;
	for (int i = nr; i < max; i++)
		words[i] = NULL;
	return qmp_client_open(client, words[0], REPLY_TIMEOUT_MS) ? EXIT_BAD_ARGUMENTS :
								      VERB_CONNECTED;
}
