/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - a bounded text. */
#include "guests/agent/text.h"

#include <string.h>

void text_put(struct text *t, const char *words)
{
	size_t bytes = strlen(words);

	if (t->full || bytes > sizeof t->buf - 1 - t->used) {
		t->full = true;
		return;
	}
	memcpy(t->buf + t->used, words, bytes);
	t->used += bytes;
}

void text_put_number(struct text *t, uint64_t value)
{
	char digits[21];
	char *at = digits + sizeof digits - 1;

	*at = '\0';
	do
		*--at = (char)('0' + value % 10);
	while (value /= 10);
	text_put(t, at);
}

const char *text_of(struct text *t)
{
	t->buf[t->used] = '\0';
	return t->buf;
}
