/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.h - memory content that depends on the address and a seed, so that aliases show. */
#ifndef EBB_GUESTS_PATTERN_H
#define EBB_GUESTS_PATTERN_H

#include <stdint.h>

/* The word at AT. */
uint64_t pattern_word(uint64_t at, uint64_t seed);
/* All ranges are mapped and 8-byte aligned. */
void pattern_write(uint64_t start, uint64_t bytes, uint64_t seed);
/* The two checks fail the guest, with the first wrong address. */
void pattern_check(uint64_t start, uint64_t bytes, uint64_t seed);
void pattern_check_zero(uint64_t start, uint64_t bytes);

#endif
