/* SPDX-License-Identifier: Apache-2.0 */
/* size.h - sizes as people write them. */
#ifndef EBB_BASE_SIZE_H
#define EBB_BASE_SIZE_H

#include "vmm/base/types.h"

/*
 * "512M", "8G", "1.5GiB", "64K", "2T"; without a unit MiB, as other monitors take -m.
 * 0 or -EINVAL: not a number, unknown unit, negative, not a whole number of bytes, or too large
 * for 64 bits.
 */
int must_check size_parse(const char *text, uint64_t *bytes);

#define SIZE_TEXT_BYTES 24
/* "1.5 GiB": the largest unit that leaves at least 1, at most one decimal. */
const char *size_format(uint64_t bytes, char text[SIZE_TEXT_BYTES]);

#endif
