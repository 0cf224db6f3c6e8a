/* SPDX-License-Identifier: Apache-2.0 */
/* qmp_builtin.c - negotiation, what there is to ask, and descriptors of the client. */
#include "vmm/control/qmp_builtin.h"

#include <string.h>

#include "vmm/base/version.h"
#include "vmm/control/qmp_schema.h"
#include "vmm/control/qmp_session.h"
#include "vmm/json/schema.h"

static int run_capabilities(struct qmp_call *call)
{
	struct qmp_builtin *own = call->ctx;
	struct json_object *enable = qmp_arg(call->args, "enable");

	if (own->session->negotiated)
		return qmp_fail(call->err, QMP_COMMAND_NOT_FOUND,
				"the negotiation is over already; qmp_capabilities comes once");
	if (enable && json_object_array_length(enable) > 0)
		return qmp_fail(call->err, QMP_GENERIC_ERROR,
				"capability '%.64s' is not among those of the greeting",
				json_object_get_string(json_object_array_get_idx(enable, 0)));
	own->session->negotiated = true;
	return 0;
}

static int run_version(struct qmp_call *call)
{
	struct json_object *greeting = json_tokener_parse(QMP_GREETING), *qmp, *version;

	if (!json_object_object_get_ex(greeting, "QMP", &qmp) ||
	    !json_object_object_get_ex(qmp, "version", &version)) {
		json_object_put(greeting);
		return qmp_fail(call->err, QMP_GENERIC_ERROR, "out of memory");
	}
	call->ret = json_object_get(version);
	json_object_put(greeting);
	return 0;
}

static int run_commands(struct qmp_call *call)
{
	struct qmp_builtin *own = call->ctx;
	const struct qmp_command *c;

	call->ret = json_object_new_array();
	for (size_t i = 0; (c = qmp_command_at(own->table, i)); i++) {
		struct json_object *row = json_object_new_object();

		json_object_object_add(row, "name", json_object_new_string(c->name));
		json_object_array_add(call->ret, row);
	}
	return 0;
}

static struct json_object *make_schema(const struct qmp_table *table)
{
	struct qmp_schema schema = { 0 };
	const struct qmp_command *c;

	for (size_t i = 0; (c = qmp_command_at(table, i)); i++)
		qmp_schema_command(&schema, c->name, c->args, c->returns);
	for (size_t i = 0; i < table->nr_events; i++)
		qmp_schema_event(&schema, table->events[i].name, table->events[i].data);
	return schema.list;
}

static int run_schema(struct qmp_call *call)
{
	struct qmp_builtin *own = call->ctx;

	if (!*own->schema)
		*own->schema = make_schema(own->table);
	call->ret = json_object_get(*own->schema);
	return 0;
}

static struct json_object *help_of(const struct qmp_command *c)
{
	struct json_object *row = json_object_new_object(), *list = json_object_new_array();
	const char *rest = c->args;
	struct qmp_arg arg;

	while (qmp_arg_next(&rest, &arg)) {
		struct json_object *a = json_object_new_object();

		json_object_object_add(a, "name",
				       json_object_new_string_len(arg.name, (int)arg.name_len));
		json_object_object_add(a, "type",
				       json_object_new_string_len(arg.type, (int)arg.type_len));
		json_object_object_add(a, "optional", json_object_new_boolean(arg.optional));
		json_object_array_add(list, a);
	}
	json_object_object_add(row, "name", json_object_new_string(c->name));
	json_object_object_add(row, "arguments", list);
	json_object_object_add(row, "help", json_object_new_string(c->help));
	return row;
}

static int run_help(struct qmp_call *call)
{
	struct qmp_builtin *own = call->ctx;
	const char *name = qmp_arg_str(call->args, "command", NULL);
	const struct qmp_command *c;

	if (name && !qmp_command_find(own->table, name))
		return qmp_command_unknown(name, call->err);
	call->ret = json_object_new_array();
	for (size_t i = 0; (c = qmp_command_at(own->table, i)); i++)
		if (!name || !strcmp(c->name, name))
			json_object_array_add(call->ret, help_of(c));
	return 0;
}

static int run_getfd(struct qmp_call *call)
{
	struct qmp_builtin *own = call->ctx;

	return qmp_fds_name(&own->session->fds, qmp_arg_str(call->args, "fdname", ""), call->err);
}

static int run_closefd(struct qmp_call *call)
{
	struct qmp_builtin *own = call->ctx;
	int fd = qmp_fds_take(&own->session->fds, qmp_arg_str(call->args, "fdname", ""), call->err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static const struct qmp_command builtins[] = {
	{ "qmp_capabilities", "enable?:[s]", NULL,
	  "Ends the negotiation; nothing else works before it.", run_capabilities },
	{ "query-commands", NULL, "[{name:s}]", "Lists every command by name.", run_commands },
	{ "query-version", NULL, "{qemu:{major:u minor:u micro:u} package:s}",
	  "Tells which server this is.", run_version },
	{ "query-qmp-schema", NULL, "[any]",
	  "Lists commands and events with the types of what they take and return.", run_schema },
	{ "getfd", "fdname:s", NULL,
	  "Names the descriptor that came last over this connection (SCM_RIGHTS).", run_getfd },
	{ "closefd", "fdname:s", NULL, "Closes a named descriptor of this connection.",
	  run_closefd },
	{ "__org.ebb_help", "command?:s",
	  "[{name:s arguments:[{name:s type:s optional:b}] help:s}]",
	  "Lists every command, or one, with arguments and help.", run_help },
};

const struct qmp_command *qmp_command_at(const struct qmp_table *table, size_t i)
{
	if (i < ARRAY_SIZE(builtins))
		return &builtins[i];
	i -= ARRAY_SIZE(builtins);
	return i < table->nr_commands ? &table->commands[i] : NULL;
}

bool qmp_command_is_builtin(const struct qmp_command *c)
{
	return c >= builtins && c < builtins + ARRAY_SIZE(builtins);
}

const struct qmp_command *qmp_command_find(const struct qmp_table *table, const char *name)
{
	const struct qmp_command *c;

	for (size_t i = 0; (c = qmp_command_at(table, i)); i++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

int qmp_command_unknown(const char *name, struct qmp_error *err)
{
	return qmp_fail(err, QMP_COMMAND_NOT_FOUND,
			"command '%.64s' is unknown; query-commands lists all", name);
}
