/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - files of /proc and /sys. */
#include "guests/agent/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool path_join(char path[PATH_BYTES], const char *root, const char *rest)
{
	size_t a = strlen(root), b = strlen(rest);

	if (a + b >= PATH_BYTES)
		return false;
	memmove(path, root, a); /* they may be the same */
	memcpy(path + a, rest, b + 1);
	return true;
}

int file_open(const char *root, const char *path, int flags)
{
	char whole[PATH_BYTES];
	int fd;

	if (!path_join(whole, root, path))
		return -ENAMETOOLONG;
	fd = open(whole, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int file_read(int fd, char *buf, size_t bytes)
{
	size_t used = 0;

	while (used < bytes - 1) {
		ssize_t n = pread(fd, buf + used, bytes - 1 - used, (off_t)used);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		used += n > 0 ? (size_t)n : 0;
	}
	buf[used] = '\0';
	return (int)used;
}

int file_write(int fd, const char *text) { return write(fd, text, strlen(text)) < 0 ? -errno : 0; }

const char *parse_number(const char *at, uint64_t *value)
{
	uint64_t v = 0;

	while (*at == ' ' || *at == '\t')
		at++;
	if (*at < '0' || *at > '9')
		return NULL;
	for (; *at >= '0' && *at <= '9'; at++) {
		unsigned int digit = (unsigned int)(*at - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return NULL;
		v = v * 10 + digit;
	}
	*value = v;
	return at;
}

const char *parse_value(const char *text, const char *key, uint64_t *value)
{
	size_t length = strlen(key);

	while (text && (*text != *key || strncmp(text, key, length) != 0)) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return text ? parse_number(text + length, value) : NULL;
}

void lines_begin(struct line_reader *r, int fd)
{
	r->fd = fd;
	r->have = r->at = 0;
	r->end = lseek(fd, 0, SEEK_SET) < 0;
}

/* More behind what is there; false: there is no room, or no more. */
static bool fill(struct line_reader *r)
{
	ssize_t n;

	if (r->at) {
		memmove(r->buf, r->buf + r->at, r->have - r->at);
		r->have -= r->at;
		r->at = 0;
	}
	if (r->have == sizeof r->buf - 1 || r->end)
		return false;
	do
		n = read(r->fd, r->buf + r->have, sizeof r->buf - 1 - r->have);
	while (n < 0 && errno == EINTR);
	r->end = n <= 0;
	r->have += n > 0 ? (size_t)n : 0;
	return true;
}

char *lines_next(struct line_reader *r)
{
	for (;;) {
		char *line = r->buf + r->at;
		char *end = memchr(line, '\n', r->have - r->at);

		if (!end && fill(r))
			continue;
		line = r->buf + r->at;
		if (!end && r->at == r->have)
			return NULL;
		/* A last line, or the pieces of one that is too long: those are no lines we know.
		 */
		if (!end)
			end = r->buf + r->have;
		*end = '\0';
		r->at = (size_t)(end - r->buf) + (end < r->buf + r->have);
		return line;
	}
}
