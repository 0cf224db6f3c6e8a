/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - files of /proc and /sys: opened once, read from their start each time, parsed where they
 * lie. Nothing is allocated; the kernel keeps what it needs for a reading while the file is open.
 */
#ifndef EBB_AGENT_FILE_H
#define EBB_AGENT_FILE_H

#include "guests/agent/base.h"

#define PATH_BYTES 256

/* ROOT and PATH in one; false when that is too long. */
bool path_join(char path[PATH_BYTES], const char *root, const char *rest);
/* The descriptor, or -errno. FLAGS as of open(2). */
int file_open(const char *root, const char *path, int flags);
/* The whole file, or as much of it as BYTES - 1, and a NUL. How much, or -errno. */
int file_read(int fd, char *buf, size_t bytes);
/* All of TEXT by one write; 0 or -errno. */
int file_write(int fd, const char *text);

/* The decimal number at AT or behind blanks there, and what follows it; NULL when there is none. */
const char *parse_number(const char *at, uint64_t *value);
/* The number behind KEY, which begins a line of TEXT, and what follows it; NULL: there is none. */
const char *parse_value(const char *text, const char *key, uint64_t *value);

/* A file line by line, whatever its size. The rest of a line that is too long is left out. */
struct line_reader {
	int fd;
	bool end;
	size_t have, at;
	char buf[4096];
};

void lines_begin(struct line_reader *r, int fd);
/* Without its '\n', valid until the next call; NULL: the end. */
char *lines_next(struct line_reader *r);

#endif
