/* SPDX-License-Identifier: Apache-2.0 */
/* scan.c - brackets, strings and the bytes allowed outside of them. */
#include "vmm/json/scan.h"

#include <string.h>

static enum qmp_scan_result in_string(struct qmp_scan *s, char byte)
{
	uint8_t c = (uint8_t)byte;

	if (c < 0x20 || !utf8_step(&s->utf8, c)) {
		s->utf8 = (struct utf8){ 0 };
		return QMP_SCAN_BAD;
	}
	if (s->escape)
		s->escape = false;
	else if (c == '\\')
		s->escape = true;
	else if (byte == s->quote)
		s->quote = 0;
	return QMP_SCAN_MORE;
}

enum qmp_scan_result qmp_scan_byte(struct qmp_scan *s, char byte)
{
	if (s->quote)
		return in_string(s, byte);
	switch (byte) {
	case '"':
	case '\'':
		s->quote = byte;
		return QMP_SCAN_MORE;
	case '{':
	case '[':
		s->depth++;
		s->nr_containers++;
		return QMP_SCAN_MORE;
	case '}':
	case ']':
		return s->depth && !--s->depth ? QMP_SCAN_END : QMP_SCAN_MORE;
	case ':':
		s->nr_members++;
		return QMP_SCAN_MORE;
	}
	/* Punctuation, numbers, and the letters of true, false and null. */
	return byte && strchr(", \t\r\n+-.0123456789Eaeflnrstu", byte) ? QMP_SCAN_MORE
								       : QMP_SCAN_BAD;
}
