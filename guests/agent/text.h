/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - a bounded text that grows at its end. */
#ifndef EBB_AGENT_TEXT_H
#define EBB_AGENT_TEXT_H

#include "guests/agent/base.h"

#define TEXT_BYTES 4096

struct text {
	size_t used;
	bool full; /* something did not fit */
	char buf[TEXT_BYTES];
};

void text_put(struct text *t, const char *words);
void text_put_number(struct text *t, uint64_t value);
/* NUL-terminated. */
const char *text_of(struct text *t);

#endif
