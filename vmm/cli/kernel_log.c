/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_log.c - the ring of the kernel's messages, read once as text. */
#include "vmm/cli/kernel_log.h"

#include <stdio.h>
#include <string.h>
#include <sys/klog.h>

/* syslog(2) has numbers and no names for them. */
#define SYSLOG_ACTION_READ_ALL 3
#define SYSLOG_ACTION_SIZE_BUFFER 10
#define SIZE_MAX_BYTES (16 << 20)

/* Past "<6>[   12.345678] ", each of which may be missing. */
static char *message_of(char *line)
{
	char *end;

	if (*line == '<' && (end = strchr(line, '>')))
		line = end + 1;
	if (*line == '[' && (end = strchr(line, ']')))
		line = end + 1;
	return line + strspn(line, " ");
}

static bool begins_with_one(const char *text, const char *const prefixes[])
{
	for (; *prefixes; prefixes++)
		if (!strncmp(text, *prefixes, strlen(*prefixes)))
			return true;
	return false;
}

bool kernel_log_last(const char *const prefixes[], char line[KERNEL_LOG_LINE])
{
	int size = klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0), got;
	auto_free char *text = NULL;
	char *next, *rest;

	*line = 0;
	if (size <= 0 || size > SIZE_MAX_BYTES || !(text = malloc((size_t)size + 1)))
		return false;
	got = klogctl(SYSLOG_ACTION_READ_ALL, text, size);
	if (got < 0)
		return false;
	text[got] = 0;
	for (rest = text; (next = strsep(&rest, "\n"));) {
		const char *message = message_of(next);

		if (begins_with_one(message, prefixes))
			snprintf(line, KERNEL_LOG_LINE, "%s", message);
	}
	return *line;
}
