/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - what a command that fails tells its client: an error class and one sentence. */
#ifndef EBB_JSON_ERROR_H
#define EBB_JSON_ERROR_H

#include "vmm/base/types.h"

/* Clients act on the class; only the sentence is for people. */
enum qmp_class {
	QMP_GENERIC_ERROR,
	QMP_COMMAND_NOT_FOUND,
	QMP_DEVICE_NOT_FOUND,
	QMP_DEVICE_NOT_ACTIVE,
	QMP_NR_CLASSES,
};

struct qmp_error {
	enum qmp_class class;
	char desc[512]; /* empty: no error */
};

/*
 * Fills ERR and returns -EINVAL, so that a handler reads `return qmp_fail(err, ...)`. The sentence
 * names the cause and the way out; it may quote a client's bytes: what is not UTF-8 becomes '?'.
 */
int qmp_fail(struct qmp_error *err, enum qmp_class class, const char *fmt, ...) printf_like(3, 4);

const char *qmp_class_name(enum qmp_class class);
/* QMP_GENERIC_ERROR for a class that is not in the list. */
enum qmp_class qmp_class_parse(const char *name);

#endif
