/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_schema.h - what query-qmp-schema returns (QMP's SchemaInfo), made from the schema strings of
 * json/schema.h. As in QEMU, types go by number: clients follow them, and know commands and events by
 * name. Ranges of integers are not part of it. Pure code, any thread.
 */
#ifndef EBB_CONTROL_QMP_SCHEMA_H
#define EBB_CONTROL_QMP_SCHEMA_H

#include <json-c/json.h>

#include "vmm/base/types.h"

#define QMP_SCHEMA_MAX_TYPES 256

/* Zeroed memory is an empty one. */
struct qmp_schema {
	struct json_object *list;
	/* Objects, arrays and enums described so far, as they stand in the strings; type I is "I". */
	struct {
		const char *text;
		size_t len;
	} types[QMP_SCHEMA_MAX_TYPES];
	unsigned int nr_types;
	unsigned int builtins; /* those described, a bit each */
};

/* ARGS as in struct qmp_command; RETURNS is a type, NULL: an object without members. */
void qmp_schema_command(struct qmp_schema *s, const char *name, const char *args,
			const char *returns);
void qmp_schema_event(struct qmp_schema *s, const char *name, const char *data);

#endif
