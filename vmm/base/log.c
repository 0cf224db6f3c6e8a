/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - one line per event, on stderr or in a file. */
#include "vmm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/names.h"
#include "vmm/base/utf8.h"

#define LINE_BYTES 4096 /* the end of a console's output is the longest message */
#define LINES_MAX 64	/* in one message; carriage returns for the rest may be missing */

static const char *const level_name[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"
};

static enum log_level max_level = LOG_WARN;
static const char *const format_name[] = { [LOG_TEXT] = "text", [LOG_JSON] = "json" };

static enum log_format format;
static bool raw_terminal;
static int file_fd = -1;
static const char *file_path;
static const char *source;
static char *captured;
static size_t capture_bytes;
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_level(enum log_level level) { __atomic_store_n(&max_level, level, __ATOMIC_RELAXED); }

void log_set_raw_terminal(bool raw) { __atomic_store_n(&raw_terminal, raw, __ATOMIC_RELAXED); }

int log_level_parse(const char *name, enum log_level *level)
{
	int i = name_index(level_name, ARRAY_SIZE(level_name), name);

	if (i < 0)
		return i;
	*level = (enum log_level)i;
	return 0;
}

void log_set_format(enum log_format wanted)
{
	__atomic_store_n(&format, wanted, __ATOMIC_RELAXED);
}

int log_format_parse(const char *name, enum log_format *parsed)
{
	int i = name_index(format_name, ARRAY_SIZE(format_name), name);

	if (i < 0)
		return i;
	*parsed = (enum log_format)i;
	return 0;
}

static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

	return fd < 0 ? fail(-errno, "log file %s", path) : fd;
}

int log_open(const char *path)
{
	int fd = open_file(path);

	if (fd < 0)
		return fd;
	file_path = path;
	__atomic_store_n(&file_fd, fd, __ATOMIC_RELEASE);
	return 0;
}

void log_reopen(void)
{
	auto_close int fd = file_path ? open_file(file_path) : -1;

	/* Under the same number, which other threads may be writing to. */
	if (fd >= 0 && dup3(fd, file_fd, O_CLOEXEC) < 0)
		fail(-errno, "log file %s", file_path);
}

void log_set_source(const char *file) { source = file; }

void log_capture(char *text, size_t bytes)
{
	captured = text;
	capture_bytes = bytes;
	if (text)
		*text = 0;
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

/* A line under construction. What is too long is cut, but keeps its end. */
struct line {
	char text[LINE_BYTES];
	size_t used;
};

static void add(struct line *l, const char *fmt, ...) printf_like(2, 3);
static void add(struct line *l, const char *fmt, ...)
{
	size_t room = sizeof(l->text) - LINES_MAX - l->used;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(l->text + l->used, room, fmt, args);
	va_end(args);
	l->used += min_u64(n > 0 ? (size_t)n : 0, room - 1);
}

static void add_time(struct line *l)
{
	struct timespec now;
	struct tm utc;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	add(l, "%s.%03ldZ", text, now.tv_nsec / 1000000);
}

/* As the inside of a JSON string, cut between two characters. */
static void add_escaped(struct line *l, const char *text)
{
	size_t end = sizeof(l->text) - LINES_MAX - sizeof("\\u0000");

	while (*text && l->used < end) {
		size_t n = utf8_char_bytes(text);
		uint8_t c = (uint8_t)*text;

		if (!n)
			add(l, "\\ufffd");
		else if (c < ' ' || c == '"' || c == '\\' || c == 0x7f)
			add(l, "\\u%04x", c);
		else
			add(l, "%.*s", (int)n, text);
		text += n ? n : 1;
	}
}

/* One write per message, so that those of several threads never mix. */
static void put(int fd, enum log_level level, const char *message)
{
	struct line l = { .used = 0 };

	if (__atomic_load_n(&format, __ATOMIC_RELAXED) == LOG_JSON) {
		add(&l, "{\"time\":\"");
		add_time(&l);
		add(&l, "\",\"pid\":%d,\"level\":\"%s\",\"message\":\"", (int)getpid(),
		    level_name[level]);
		add_escaped(&l, message);
		l.used += (size_t)sprintf(l.text + l.used, "\"}");
	} else {
		if (fd != STDERR_FILENO) {
			add_time(&l);
			add(&l, " [%d] ", (int)getpid());
		}
		add(&l, "ebb: %s: %s", level_name[level], message);
	}
	l.text[l.used++] = '\n';
	if (fd == STDERR_FILENO && __atomic_load_n(&raw_terminal, __ATOMIC_RELAXED))
		l.used = return_carriages(l.text, l.used, sizeof(l.text));
	if (write(fd, l.text, l.used) < 0)
		return; /* nobody is left to tell */
}

static void capture(const char *message)
{
	size_t used = strlen(captured);

	snprintf(captured + used, capture_bytes - used, "%s%s", used ? "; " : "", message);
}

static void emit(enum log_level level, const char *fmt, va_list args, const char *suffix)
{
	int fd = __atomic_load_n(&file_fd, __ATOMIC_ACQUIRE);
	char message[LINE_BYTES];
	size_t used = 0;
	int n;

	if (source)
		used = (size_t)snprintf(message, sizeof(message) / 2, "%.1024s: ", source);
	n = vsnprintf(message + used, sizeof(message) - used, fmt, args);
	used = min_u64(used + (n > 0 ? (size_t)n : 0), sizeof(message) - 1);
	snprintf(message + used, sizeof(message) - used, "%s", suffix);
	if (captured && level <= LOG_WARN) {
		capture(message);
		return;
	}
	if (fd >= 0)
		put(fd, level, message);
	if (fd < 0 || level == LOG_ERROR)
		put(STDERR_FILENO, level, message);
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
