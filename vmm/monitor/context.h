/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.h - what command functions work on: CTX of each of them (qmp_server.h) is the monitor.
 */
#ifndef EBB_MONITOR_CONTEXT_H
#define EBB_MONITOR_CONTEXT_H

#include "vmm/base/loop.h"
#include "vmm/control/qmp_server.h"
#include "vmm/machine/parts.h"

/* Clients that can wait for a sample of statistics at once. */
#define MONITOR_MAX_WAITING 16

struct monitor {
	struct loop *loop;
	struct qmp_server *qmp;
	const struct machine_parts *vm; /* NULL: not attached yet */
	struct qmp_session *dump_client; /* waits for the end of the dump; NULL: nobody does */
	unsigned int nr_waiting;	 /* for statistics of the guest */
	struct qmp_session *waiting[MONITOR_MAX_WAITING];
	struct loop_timer patience; /* of those who wait */
};

#endif
