/* SPDX-License-Identifier: Apache-2.0 */
/* escape.c - the escape key of a console on a terminal. */
#include "vmm/chardev/escape.h"

#define ESCAPE_KEY 1 /* Ctrl-a */

size_t escape_filter(struct escape *e, const uint8_t *bytes, size_t nr, uint8_t *out,
		     bool *asked)
{
	size_t nr_out = 0;

	*asked = false;
	for (size_t i = 0; i < nr && !*asked; i++) {
		bool escaped = e->typed;

		e->typed = !escaped && bytes[i] == ESCAPE_KEY;
		if (escaped && bytes[i] == e->command)
			*asked = true;
		else if (!e->typed)
			out[nr_out++] = bytes[i];
	}
	return nr_out;
}
