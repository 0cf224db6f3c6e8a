/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.c - what fuzz targets share. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

void fuzz_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

uint64_t fuzz_take(struct fuzz_stream *s, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes && s->left; i++) {
		value |= (uint64_t)*s->at++ << (8 * i);
		s->left--;
	}
	return value;
}
