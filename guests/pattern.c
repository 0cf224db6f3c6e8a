/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.c - see pattern.h. */
#include "guests/pattern.h"
#include "guests/io.h"
#include "guests/lib.h"

uint64_t pattern_word(uint64_t at, uint64_t seed)
{
	return (at ^ seed << 56) * UINT64_C(0x9e3779b97f4a7c15);
}

void pattern_write(uint64_t start, uint64_t bytes, uint64_t seed)
{
	for (uint64_t at = start; at < start + bytes; at += 8)
		write64(at, pattern_word(at, seed));
}

void pattern_check(uint64_t start, uint64_t bytes, uint64_t seed)
{
	for (uint64_t at = start; at < start + bytes; at += 8)
		if (read64(at) != pattern_word(at, seed))
			FAIL("0x%lx holds 0x%lx, not 0x%lx", at, read64(at), pattern_word(at, seed));
}

void pattern_check_zero(uint64_t start, uint64_t bytes)
{
	for (uint64_t at = start; at < start + bytes; at += 8)
		if (read64(at))
			FAIL("0x%lx holds 0x%lx, not 0", at, read64(at));
}
