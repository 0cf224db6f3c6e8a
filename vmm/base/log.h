/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one line per event, on stderr or in a file, from any thread.
 * Lines carry a level and, when the terminal is raw, end in CRLF (log_set_raw_terminal).
 */
#ifndef EBB_BASE_LOG_H
#define EBB_BASE_LOG_H

#include "vmm/base/types.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Default: LOG_WARN. */
void log_set_level(enum log_level level);
/* 0 and *LEVEL set, or -EINVAL for an unknown name (error, warning, info, debug). */
int must_check log_level_parse(const char *name, enum log_level *level);
enum log_format { LOG_TEXT, LOG_JSON };
/* JSON: an object a line, {"time", "pid", "level", "message"}, time in UTC. Default: text. */
void log_set_format(enum log_format format);
/* 0 and *FORMAT set, or -EINVAL for an unknown name (text, json). */
int must_check log_format_parse(const char *name, enum log_format *format);
/*
 * From now on lines are appended to the file PATH (made with mode 0640), with the time of day;
 * errors are on stderr as well. PATH must stay. 0 or -errno, logged; on failure nothing changes.
 */
int must_check log_open(const char *path);
/* The same PATH again, after the file was renamed. A failure is logged to where lines go now. */
void log_reopen(void);
/* What messages begin with from now on, "FILE: "; NULL: nothing. While there is one thread. */
void log_set_source(const char *file);
/*
 * Errors and warnings go into TEXT, one after the other, cut at BYTES, and nowhere else, until TEXT
 * is NULL. While there is one thread.
 */
void log_capture(char *text, size_t bytes);
/* While the terminal is in raw mode a bare newline would not return the carriage. */
void log_set_raw_terminal(bool raw);

void log_at(enum log_level level, const char *fmt, ...) printf_like(2, 3);
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/*
 * Logs "text: strerror(-code)" as an error and returns CODE (a negative errno), so that the line
 * that meets a failure reads `return fail(-errno, "open %s", path);`. Callers above just return it.
 */
int fail(int code, const char *fmt, ...) printf_like(2, 3);
/* The same for a cause that errno does not name: logs the text alone, returns -EINVAL. */
int fail_usage(const char *fmt, ...) printf_like(1, 2);

/*
 * A message that a guest can trigger: at most LOG_GUEST_BURST lines per call site, one more per
 * LOG_GUEST_INTERVAL_NS after that, with the count of those left out.
 */
#define LOG_GUEST_BURST 5
#define LOG_GUEST_INTERVAL_NS (UINT64_C(10) * 1000 * 1000 * 1000)
struct log_limit {
	uint64_t nr_printed, nr_dropped, last_ns;
};
void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
	printf_like(3, 4);
#define log_guest(...)                                                                             \
	do {                                                                                       \
		static struct log_limit limit_;                                                    \
		log_limited(&limit_, LOG_WARN, __VA_ARGS__);                                       \
	} while (0)

#endif
