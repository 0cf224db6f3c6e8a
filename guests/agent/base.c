/* SPDX-License-Identifier: Apache-2.0 */
/* base.c - clock and log, without stdio: that would be most of the program. */
#include "guests/agent/base.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

bool agent_log;

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + 1;
}

void sleep_ms(uint64_t ms)
{
	struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static void log_words(const char *word, va_list words)
{
	char line[256] = "ebb-agent: ";
	size_t used = strlen(line);

	for (; word; word = va_arg(words, const char *)) {
		size_t n = min_u64(strlen(word), sizeof line - 1 - used);

		memcpy(line + used, word, n);
		used += n;
	}
	line[used++] = '\n';
	if (write(STDERR_FILENO, line, used) < 0)
		return; /* nobody is there to be told */
}

void agent_error(const char *word, ...)
{
	va_list words;

	va_start(words, word);
	log_words(word, words);
	va_end(words);
}

void agent_note(const char *word, ...)
{
	va_list words;

	if (!agent_log)
		return;
	va_start(words, word);
	log_words(word, words);
	va_end(words);
}

const char *error_text(int error)
{
	const char *text = strerrordesc_np(error < 0 ? -error : error);

	return text ? text : "unknown error";
}
