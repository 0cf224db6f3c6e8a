/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - well-formed UTF-8, byte by byte (Unicode, Table 3-7): neither overlong nor surrogate. */
#ifndef EBB_BASE_UTF8_H
#define EBB_BASE_UTF8_H

#include "vmm/base/types.h"

/* Zeroed memory stands between two characters. */
struct utf8 {
	uint8_t nr_left, low, high; /* bytes to come, and the range of the next one */
};

/* False when C cannot stand here; the state is then between two characters again. */
static inline bool utf8_step(struct utf8 *u, uint8_t c)
{
	bool inside = u->nr_left > 0;

	if (inside && (c < u->low || c > u->high)) {
		u->nr_left = 0;
		return false;
	}
	u->low = 0x80;
	u->high = 0xbf;
	if (inside) {
		u->nr_left--;
		return true;
	}
	if (c >= 0xc2 && c <= 0xdf) {
		u->nr_left = 1;
	} else if (c >= 0xe0 && c <= 0xef) {
		u->nr_left = 2;
		if (c == 0xe0)
			u->low = 0xa0;
		if (c == 0xed)
			u->high = 0x9f;
	} else if (c >= 0xf0 && c <= 0xf4) {
		u->nr_left = 3;
		if (c == 0xf0)
			u->low = 0x90;
		if (c == 0xf4)
			u->high = 0x8f;
	}
	return c < 0x80 || u->nr_left;
}

/* Bytes of the well-formed character at S, 0 when there is none. */
static inline size_t utf8_char_bytes(const char *s)
{
	struct utf8 u = { 0 };
	size_t n = 0;

	do {
		if (!s[n] || !utf8_step(&u, (uint8_t)s[n]))
			return 0;
		n++;
	} while (u.nr_left);
	return n;
}

/* Puts '?' in place of each byte of the string S that belongs to no well-formed character. */
static inline void utf8_clean(char *s)
{
	while (*s) {
		size_t n = utf8_char_bytes(s);

		if (!n)
			*s = '?';
		s += n ? n : 1;
	}
}

#endif
