/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_builtin.h - the server's own commands, and the list that they and a table make together.
 * Used by qmp_server.c alone; loop's thread.
 */
#ifndef EBB_CONTROL_QMP_BUILTIN_H
#define EBB_CONTROL_QMP_BUILTIN_H

#include "vmm/control/qmp_server.h"

struct qmp_session;

/* What the server's own commands get as their context. */
struct qmp_builtin {
	const struct qmp_table *table;
	struct qmp_session *session;
	struct json_object **schema; /* of the server, made when it is first asked for */
};

#define QMP_PACKAGE "ebb " EBB_VERSION " (QMP subset, not QEMU)"
/* The first release of 7.2: old enough for every client, new enough for those that ask for 5. */
#define QMP_GREETING                                                                               \
	"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 0}, "          \
	"\"package\": \"" QMP_PACKAGE "\"}, \"capabilities\": []}}"

/* Row I of both tables, the server's own first; NULL behind the last. */
const struct qmp_command *qmp_command_at(const struct qmp_table *table, size_t i);
const struct qmp_command *qmp_command_find(const struct qmp_table *table, const char *name);
bool qmp_command_is_builtin(const struct qmp_command *command);
int qmp_command_unknown(const char *name, struct qmp_error *err);

#endif
