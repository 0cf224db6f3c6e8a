/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.h - finds where a JSON value ends, byte by byte, in constant memory.
 * It stands before json-c's tokener, which accepts more than QMP may (comments, NaN, raw control
 * characters, bytes that are not UTF-8), and after an error it finds the end of the broken value.
 */
#ifndef EBB_JSON_SCAN_H
#define EBB_JSON_SCAN_H

#include "vmm/base/utf8.h"

/* Zeroed memory stands before a value. */
struct qmp_scan {
	unsigned int depth;
	unsigned int nr_containers; /* objects and arrays opened */
	unsigned int nr_members;    /* "key": seen */
	char quote;                 /* " or ' inside a string */
	bool escape;
	struct utf8 utf8;
};

enum qmp_scan_result {
	QMP_SCAN_MORE,
	QMP_SCAN_END, /* this byte closed the outermost bracket */
	QMP_SCAN_BAD, /* this byte cannot stand here; the state has not changed */
};

enum qmp_scan_result qmp_scan_byte(struct qmp_scan *scan, char byte);

#endif
