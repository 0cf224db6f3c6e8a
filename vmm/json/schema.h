/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.h - the members of an object (arguments, returned value, data of an event), described by
 * one string; arguments are checked against it.
 *
 *	schema	= [ arg { " " arg } ] [ " ..." ]	"...": other members are passed over
 *	arg	= name [ "?" ] ":" type			"?": may be left out
 *	type	= "s"					string
 *		| "b"					boolean
 *		| "i" [ "(" low ".." high ")" ]		integer; int64 when no range is given
 *		| "u" [ "(" low ".." high ")" ]		integer >= 0; uint64 when no range is given
 *		| "n"					any number
 *		| "o"					object
 *		| "any"					any value
 *		| word "|" word { "|" word }		one of these strings
 *		| "[" type "]"				array of these
 *		| "{" schema "}"			object with these members
 *
 * Example: "path:s property:s value:any", "vcpu?:u(0..63) action:reset|none". An integer is a plain
 * JSON number: neither "1G" nor 1.0. json-c turns integers beyond 64 bits into the nearest limit
 * without a word, so UINT64_MAX and INT64_MIN are refused as out of range.
 * Help, query-qmp-schema and the checks come from the same string. Pure code, any thread.
 */
#ifndef EBB_JSON_SCHEMA_H
#define EBB_JSON_SCHEMA_H

#include <json-c/json.h>

#include "vmm/json/error.h"

struct qmp_arg {
	const char *name, *type; /* into the schema, not terminated */
	size_t name_len, type_len;
	bool optional;
};

/*
 * Takes the next argument off *SCHEMA (NULL is an empty schema); false at its end, at "...", or at
 * the '}' of an object's. Asserts that the schema is well formed: it is a constant of the program.
 */
bool qmp_arg_next(const char **schema, struct qmp_arg *arg);

/*
 * 0 when ARGS (an object, or NULL for none) fits SCHEMA. -EINVAL and ERR name the first argument
 * that is missing, unknown, of the wrong type or out of range.
 */
int must_check qmp_args_check(const char *schema, struct json_object *args, struct qmp_error *err);

/* One value of type "any" in place: WHAT names it in the error. */
int must_check qmp_to_u64(struct json_object *value, const char *what, uint64_t low, uint64_t high,
			  uint64_t *out, struct qmp_error *err);
int must_check qmp_to_i64(struct json_object *value, const char *what, int64_t low, int64_t high,
			  int64_t *out, struct qmp_error *err);

/* Values of checked arguments; FALLBACK when an optional one was left out. */
struct json_object *qmp_arg(struct json_object *args, const char *name); /* or NULL */
const char *qmp_arg_str(struct json_object *args, const char *name, const char *fallback);
bool qmp_arg_bool(struct json_object *args, const char *name, bool fallback);
uint64_t qmp_arg_u64(struct json_object *args, const char *name, uint64_t fallback);
int64_t qmp_arg_i64(struct json_object *args, const char *name, int64_t fallback);

#endif
