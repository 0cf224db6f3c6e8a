/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - one line per event on stderr. */
#include "vmm/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"

#define LINE_BYTES 4096 /* the registers of a vCPU are the longest message */
#define LINES_MAX 32	/* in one message; carriage returns for the rest may be missing */

static const char *const level_name[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"
};

static enum log_level max_level = LOG_WARN;
static bool raw_terminal;
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_level(enum log_level level) { __atomic_store_n(&max_level, level, __ATOMIC_RELAXED); }

void log_set_raw_terminal(bool raw) { __atomic_store_n(&raw_terminal, raw, __ATOMIC_RELAXED); }

int log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_name); i++) {
		if (!strcmp(name, level_name[i])) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Where output is not processed a newline alone would not return the carriage. USED: with it. */
static size_t return_carriages(char *line, size_t used, size_t size)
{
	for (size_t i = 0; i < used && used < size; i++) {
		if (line[i] != '\n')
			continue;
		memmove(line + i + 1, line + i, used - i);
		line[i++] = '\r';
		used++;
	}
	return used;
}

/* One write per message, so that those of several threads never mix. */
static void emit(enum log_level level, const char *fmt, va_list args, const char *suffix)
{
	char line[LINE_BYTES];
	int n, len = snprintf(line, sizeof(line), "ebb: %s: ", level_name[level]);
	/* What is too long is cut, but keeps its newline. */
	size_t used = (size_t)len, room = sizeof(line) - LINES_MAX;

	n = vsnprintf(line + used, room - used, fmt, args);
	used = min_u64(used + (n > 0 ? (size_t)n : 0), room - 1);
	n = snprintf(line + used, room - used, "%s", suffix);
	used = min_u64(used + (n > 0 ? (size_t)n : 0), room - 1);
	line[used++] = '\n';
	if (__atomic_load_n(&raw_terminal, __ATOMIC_RELAXED))
		used = return_carriages(line, used, sizeof(line));
	if (write(STDERR_FILENO, line, used) < 0)
		return; /* nobody is left to tell */
}

static bool enabled(enum log_level level)
{
	return level <= __atomic_load_n(&max_level, __ATOMIC_RELAXED);
}

void log_at(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!enabled(level))
		return;
	va_start(args, fmt);
	emit(level, fmt, args, "");
	va_end(args);
}

int fail(int code, const char *fmt, ...)
{
	char suffix[160];
	va_list args;

	snprintf(suffix, sizeof(suffix), ": %s", strerror(-code));
	va_start(args, fmt);
	emit(LOG_ERROR, fmt, args, suffix);
	va_end(args);
	return code;
}

int fail_usage(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(LOG_ERROR, fmt, args, "");
	va_end(args);
	return -EINVAL;
}

void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
	uint64_t now = clock_ns(), dropped = 0;
	char suffix[64] = "";
	bool print;
	va_list args;

	if (!enabled(level))
		return;
	pthread_mutex_lock(&limit_lock);
	print = limit->nr_printed < LOG_GUEST_BURST ||
		now - limit->last_ns >= LOG_GUEST_INTERVAL_NS;
	if (print) {
		dropped = limit->nr_dropped;
		limit->nr_dropped = 0;
		limit->nr_printed++;
		limit->last_ns = now;
	} else {
		limit->nr_dropped++;
	}
	pthread_mutex_unlock(&limit_lock);
	if (!print)
		return;
	if (dropped)
		snprintf(suffix, sizeof(suffix), " (%llu like it left out)",
			 (unsigned long long)dropped);
	va_start(args, fmt);
	emit(level, fmt, args, suffix);
	va_end(args);
}
