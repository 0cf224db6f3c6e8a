/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_log.h - what the host's kernel said (dmesg), for those who must tell a cause. */
#ifndef EBB_CLI_KERNEL_LOG_H
#define EBB_CLI_KERNEL_LOG_H

#include "vmm/base/types.h"

#define KERNEL_LOG_LINE 256 /* bytes, with the terminator; what is longer is cut */

/*
 * The last line of the kernel's log that begins with one of PREFIXES (ended by NULL), without its
 * level and time. False, and LINE empty: there is none, or the log may not be read by this user
 * (CAP_SYSLOG where kernel.dmesg_restrict is 1). The log is a ring: early lines may be gone.
 * Source: syslog(2), SYSLOG_ACTION_READ_ALL.
 */
bool kernel_log_last(const char *const prefixes[], char line[KERNEL_LOG_LINE]);

#endif
