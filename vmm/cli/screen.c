/* SPDX-License-Identifier: Apache-2.0 */
/* screen.c - a block of text that is drawn in place. */
#include "vmm/cli/screen.h"

#include <stdio.h>
#include <string.h>

#include "vmm/chardev/terminal.h"

#define INDENT 4 /* of what goes on below */

/* How much of the LENGTH bytes of LINE goes into one row of COLUMNS. */
static size_t row_length(const char *line, size_t length, size_t columns)
{
	size_t n = columns;

	if (length <= columns)
		return length;
	while (n > 1 && line[n] != ' ')
		n--;
	return n > 1 ? n : columns;
}

/* One line, in as many rows as it takes; at most MAX. How many they are. */
static unsigned int draw_line(const char *line, size_t length, size_t columns, unsigned int max)
{
	unsigned int nr = 0;
	size_t indent = 0;

	do {
		size_t n = row_length(line, length, columns - indent);

		if (nr == max)
			break;
		printf("%*s%.*s\033[K\r\n", (int)indent, "", (int)n, line);
		nr++;
		while (n < length && line[n] == ' ')
			n++;
		line += n;
		length -= n;
		indent = INDENT;
	} while (length);
	return nr;
}

void screen_draw(struct screen *s, const char *text)
{
	struct terminal_size size = terminal_size();
	unsigned int nr = 0;

	if (s->nr_rows)
		printf("\r\033[%uA", s->nr_rows);
	while (*text && nr < size.rows - 1) {
		size_t length = strcspn(text, "\n");

		/* The last column stays free: terminals differ in when they wrap. */
		nr += draw_line(text, length, size.columns - 1, size.rows - 1 - nr);
		text += length + (text[length] == '\n');
	}
	printf("\033[J");
	s->nr_rows = nr;
	fflush(stdout);
}

void screen_line(const char *line, bool last)
{
	bool tty = isatty(STDOUT_FILENO);

	if (last)
		printf("%s%s\n", tty ? "\r\033[K" : "", line);
	else if (tty) /* a line that wraps could not be written over */
		printf("\r\033[K%.*s", (int)terminal_size().columns - 1, line);
	fflush(stdout);
}
