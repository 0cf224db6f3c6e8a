/* SPDX-License-Identifier: Apache-2.0 */
/* hmp.h - a few lines of QEMU's human monitor, for clients that read its text. */
#ifndef EBB_MONITOR_HMP_H
#define EBB_MONITOR_HMP_H

#include "vmm/control/qmp_server.h"

/* Command function (qmp_server.h); CTX is the monitor. */
int monitor_hmp(struct qmp_call *call);

#endif
