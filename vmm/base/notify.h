/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h - what a service manager wants to hear, by systemd's protocol (sd_notify(3)): datagrams
 * to the socket that NOTIFY_SOCKET names, a path or, after '@', an abstract name.
 */
#ifndef EBB_BASE_NOTIFY_H
#define EBB_BASE_NOTIFY_H

#include "vmm/base/types.h"

/*
 * Sends assignments, one a line: "READY=1\nSTATUS=running". Nothing happens without NOTIFY_SOCKET;
 * waits 100 ms at most for a manager that is behind. A failure is logged, the first time.
 */
void notify(const char *fmt, ...) printf_like(1, 2);
/* How often the manager wants WATCHDOG=1 of this process at least (WATCHDOG_USEC); 0: never. */
uint64_t notify_watchdog_ns(void);

#endif
