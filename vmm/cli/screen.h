/* SPDX-License-Identifier: Apache-2.0 */
/*
 * screen.h - a block of text on standard output, a terminal, that is drawn again and again in the
 * same place. What was on the terminal before stays above it.
 */
#ifndef EBB_CLI_SCREEN_H
#define EBB_CLI_SCREEN_H

#include "vmm/base/types.h"

struct screen {
	unsigned int nr_rows; /* of the block as it stands; the cursor is below it */
};

/*
 * Draws TEXT, lines of ASCII that end in newlines, over what was drawn before. Lines that are too
 * long go on below, at a space; what does not fit the terminal's rows is left out.
 */
void screen_draw(struct screen *screen, const char *text);

/*
 * One line of progress: on a terminal each is written over the one before, cut to its width, until
 * the LAST one, which stays whole; elsewhere only that is written.
 */
void screen_line(const char *line, bool last);

#endif
