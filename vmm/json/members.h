/* SPDX-License-Identifier: Apache-2.0 */
/* members.h - members of an object, in few words. */
#ifndef EBB_JSON_MEMBERS_H
#define EBB_JSON_MEMBERS_H

#include <json-c/json.h>

#include "vmm/base/types.h"

static inline void add_u64(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static inline void add_str(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static inline void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

#endif
