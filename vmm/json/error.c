/* SPDX-License-Identifier: Apache-2.0 */
/* error.c - error classes and the sentence that goes with them. */
#include "vmm/json/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/utf8.h"

static const char *const names[QMP_NR_CLASSES] = {
	[QMP_GENERIC_ERROR] = "GenericError",
	[QMP_COMMAND_NOT_FOUND] = "CommandNotFound",
	[QMP_DEVICE_NOT_FOUND] = "DeviceNotFound",
	[QMP_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
};

const char *qmp_class_name(enum qmp_class class) { return names[class]; }

enum qmp_class qmp_class_parse(const char *name)
{
	for (int i = 0; name && i < QMP_NR_CLASSES; i++)
		if (!strcmp(names[i], name))
			return (enum qmp_class)i;
	return QMP_GENERIC_ERROR;
}

int qmp_fail(struct qmp_error *err, enum qmp_class class, const char *fmt, ...)
{
	va_list ap;

	err->class = class;
	va_start(ap, fmt);
	vsnprintf(err->desc, sizeof(err->desc), fmt, ap);
	va_end(ap);
	utf8_clean(err->desc); /* a precision or the buffer's end may have cut a character */
	return -EINVAL;
}
