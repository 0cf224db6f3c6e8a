/* SPDX-License-Identifier: Apache-2.0 */
/*
 * escape.h - the escape key of a console on a terminal, Ctrl-a: before COMMAND it asks for
 * something, twice it is one Ctrl-a, before any other key it is nothing.
 */
#ifndef EBB_CHARDEV_ESCAPE_H
#define EBB_CHARDEV_ESCAPE_H

#include "vmm/base/types.h"

struct escape {
	uint8_t command;
	bool typed; /* the last byte was Ctrl-a */
};

/*
 * Copies NR BYTES to OUT, which has as much room (or is BYTES), without what is for us; how many
 * those are. *ASKED is set when the command was typed; the bytes after it are left out.
 */
size_t must_check escape_filter(struct escape *escape, const uint8_t *bytes, size_t nr,
				uint8_t *out, bool *asked);

#endif
