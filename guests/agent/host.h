/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - what the host says: a line of PROTOCOL.md becomes a struct. Pure. */
#ifndef EBB_AGENT_HOST_H
#define EBB_AGENT_HOST_H

#include "guests/agent/base.h"

#define HOST_LINE_BYTES 4095
#define HOST_DEPTH	4
#define HOST_WORD_BYTES 32
#define HOST_UNSAID	UINT64_MAX

struct host_line {
	char msg[HOST_WORD_BYTES]; /* words that are longer, or have escapes, are none we know: ""
				    */
	char why[HOST_WORD_BYTES], what[HOST_WORD_BYTES];
	/* HOST_UNSAID: the line doesn't say. */
	uint64_t interval_ms, min, max, size, cache_age_s, granted, node;
};

/* LINE is NUL-terminated and without its '\n'. False when it is no JSON object, or a key that we
 * know has no whole number of 0 to 2^63 - 1, or no text. */
bool host_parse(struct host_line *h, const char *line);

#endif
