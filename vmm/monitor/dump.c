/* SPDX-License-Identifier: Apache-2.0 */
/* dump.c - where a dump goes, when it is answered, and how far it is. */
#include "vmm/monitor/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "vmm/json/members.h"
#include "vmm/json/schema.h"
#include "vmm/machine/run_state.h"
#include "vmm/monitor/context.h"

struct json_object *monitor_dump_object(const struct dump *d)
{
	struct json_object *o = json_object_new_object();

	add_str(o, "status", dump_state_name(d->state));
	add_u64(o, "completed", d->done_bytes);
	add_u64(o, "total", d->total_bytes);
	return o;
}

void monitor_dump_answer(struct monitor *mon, const char *error)
{
	struct qmp_session *client = mon->dump_client;
	struct qmp_error err = { 0 };
	int r = 0;

	mon->dump_client = NULL;
	if (error)
		r = qmp_fail(&err, QMP_GENERIC_ERROR, "dump: %s", error);
	if (client)
		qmp_reply(client, r, NULL, &err);
}

/* The descriptor that PROTOCOL leads to, the caller's; or -EINVAL and ERR. */
static int open_protocol(struct monitor *mon, const char *protocol, struct qmp_error *err)
{
	int fd;

	if (!strncmp(protocol, "fd:", 3))
		return qmp_take_fd(mon->qmp, protocol + 3, err);
	if (strncmp(protocol, "file:", 5) != 0)
		return qmp_fail(err, QMP_GENERIC_ERROR,
				"parameter 'protocol' must start with 'file:' or 'fd:'");
	/* Never waits for a reader of a FIFO. */
	fd = open(protocol + 5, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		  0600);
	if (fd < 0)
		return qmp_fail(err, QMP_GENERIC_ERROR, "dump: %.256s: %s", protocol + 5,
				strerror(errno));
	return fd;
}

int monitor_dump_guest_memory(struct qmp_call *call)
{
	struct monitor *mon = call->ctx;
	auto_close int fd = -1;
	int r;

	if (qmp_arg_bool(call->args, "paging", false))
		return qmp_fail(call->err, QMP_GENERIC_ERROR,
				"paging is not supported: take false, physical addresses");
	if (strcmp(qmp_arg_str(call->args, "format", "elf"), "elf") != 0)
		return qmp_fail(call->err, QMP_GENERIC_ERROR,
				"format '%s' is not supported: take elf",
				qmp_arg_str(call->args, "format", ""));
	if (mon->vm->run->ending)
		return qmp_fail(call->err, QMP_GENERIC_ERROR, "the VM is about to end");
	if (dump_is_active(mon->vm->dump))
		return qmp_fail(call->err, QMP_GENERIC_ERROR,
				"a dump is being written; query-dump tells how far it is");
	fd = open_protocol(mon, qmp_arg_str(call->args, "protocol", ""), call->err);
	if (fd < 0)
		return fd;
	r = dump_start(mon->vm->dump, fd);
	if (r)
		return r == -EBUSY ? qmp_fail(call->err, QMP_GENERIC_ERROR,
					      "a vCPU can't be stopped, so its registers can't be "
					      "read; try again, with the descriptor "
					      "passed again") : r;
	take_fd(&fd);
	if (qmp_arg_bool(call->args, "detach", false))
		return 0;
	mon->dump_client = qmp_defer(mon->qmp);
	return QMP_DEFERRED;
}

int monitor_query_dump(struct qmp_call *call)
{
	const struct monitor *mon = call->ctx;

	call->ret = monitor_dump_object(mon->vm->dump);
	return 0;
}
