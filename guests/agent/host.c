/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - what the host says. A scanner of JSON that keeps numbers and short words. */
#include "guests/agent/host.h"

#include "guests/agent/file.h"

#include <string.h>

static const char *blanks(const char *at)
{
	while (*at == ' ' || *at == '\t' || *at == '\r')
		at++;
	return at;
}

/* Behind the string at AT, NULL if there is none. WORD gets its content, "" if that is long or has
 * escapes. */
static const char *string(const char *at, char word[HOST_WORD_BYTES])
{
	const char *start = at + 1;
	bool plain = true;
	size_t bytes;

	word[0] = '\0';
	if (*at++ != '"')
		return NULL;
	for (; *at != '"'; at++) {
		if ((unsigned char)*at < ' ')
			return NULL; /* the line's end, too */
		if (*at == '\\') {
			plain = false;
			if ((unsigned char)*++at < ' ')
				return NULL;
		}
	}
	bytes = (size_t)(at - start);
	if (plain && bytes < HOST_WORD_BYTES) {
		memcpy(word, start, bytes);
		word[bytes] = '\0';
	}
	return at + 1;
}

/* Behind a number or one of true, false and null. */
static const char *scalar(const char *at)
{
	static const char *const words[] = { "true", "false", "null" };
	size_t n = strspn(at, "0123456789+-.eE");

	if (n && (*at == '-' || (*at >= '0' && *at <= '9')))
		return at + n;
	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		if (!strncmp(at, words[i], strlen(words[i])))
			return at + strlen(words[i]);
	return NULL;
}

/* Behind any value. */
static const char *value(const char *at, unsigned int depth)
{
	char word[HOST_WORD_BYTES];
	char close = *at == '{' ? '}' : ']';

	if (*at == '"')
		return string(at, word);
	if (*at != '{' && *at != '[')
		return scalar(at);
	if (depth == HOST_DEPTH)
		return NULL;
	at = blanks(at + 1);
	if (*at == close)
		return at + 1;
	for (;;) {
		if (close == '}') {
			at = string(at, word);
			at = at ? blanks(at) : NULL;
			if (!at || *at++ != ':')
				return NULL;
			at = blanks(at);
		}
		at = value(at, depth + 1);
		at = at ? blanks(at) : NULL;
		if (!at || (*at != ',' && *at != close))
			return NULL;
		if (*at == close)
			return at + 1;
		at = blanks(at + 1);
	}
}

/* Where KEY's value goes: *NUMBER or *WORD, or neither. */
static void place(struct host_line *h, const char *key, uint64_t **number, char **word)
{
	const struct {
		const char *key;
		uint64_t *number;
		char *word;
	} keys[] = {
		{ "msg", NULL, h->msg },	  { "why", NULL, h->why },
		{ "what", NULL, h->what },	  { "interval-ms", &h->interval_ms, NULL },
		{ "min", &h->min, NULL },	  { "max", &h->max, NULL },
		{ "size", &h->size, NULL },	  { "cache-age-s", &h->cache_age_s, NULL },
		{ "granted", &h->granted, NULL }, { "node", &h->node, NULL },
	};

	*number = NULL;
	*word = NULL;
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(key, keys[i].key) != 0)
			continue;
		*number = keys[i].number;
		*word = keys[i].word;
	}
}

/* Behind the value at AT, which is KEY's. */
static const char *take(struct host_line *h, const char *key, const char *at)
{
	uint64_t *number;
	char *word;

	place(h, key, &number, &word);
	if (word)
		return string(at, word);
	if (!number)
		return value(at, 1);
	if (*at < '0' || *at > '9')
		return NULL;
	at = parse_number(at, number);
	return at && *number <= INT64_MAX ? at : NULL;
}

bool host_parse(struct host_line *h, const char *line)
{
	char key[HOST_WORD_BYTES];
	const char *at = blanks(line);

	*h = (struct host_line){
		.interval_ms = HOST_UNSAID,
		.min = HOST_UNSAID,
		.max = HOST_UNSAID,
		.size = HOST_UNSAID,
		.cache_age_s = HOST_UNSAID,
		.granted = HOST_UNSAID,
		.node = HOST_UNSAID,
	};
	if (*at != '{')
		return false;
	at = blanks(at + 1);
	if (*at == '}')
		return !*blanks(at + 1);
	for (;;) {
		at = string(at, key);
		at = at ? blanks(at) : NULL;
		if (!at || *at != ':')
			return false;
		at = take(h, key, blanks(at + 1));
		at = at ? blanks(at) : NULL;
		if (!at || (*at != ',' && *at != '}'))
			return false;
		if (*at == '}')
			return !*blanks(at + 1);
		at = blanks(at + 1);
	}
}
