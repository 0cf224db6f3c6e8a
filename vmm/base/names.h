/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - the words of an enumeration, as an array of texts in its order. */
#ifndef EBB_BASE_NAMES_H
#define EBB_BASE_NAMES_H

#include <errno.h>
#include <string.h>

#include "vmm/base/types.h"

/* Where NAME stands among NR texts; -EINVAL when it is none of them (not logged). */
static inline int must_check name_index(const char *const *names, size_t nr, const char *name)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(name, names[i]))
			return (int)i;
	return -EINVAL;
}

#endif
