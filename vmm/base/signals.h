/* SPDX-License-Identifier: Apache-2.0 */
/* signals.h - the signals that ask us to end, SIGTERM, SIGINT and SIGHUP, as a descriptor; SIGWINCH. */
#ifndef EBB_BASE_SIGNALS_H
#define EBB_BASE_SIGNALS_H

#include "vmm/base/types.h"

/*
 * From now on they end nothing by themselves, and a write to a closed pipe is an error only.
 * Before any thread exists, so that all of them leave these signals alone. 0 or -errno, logged.
 */
int must_check signals_open(int *fd);
/* After that: SIGWINCH, the size of our terminal has changed, as a descriptor of its own. */
int must_check signals_open_size(int *fd);
/* The number of one that has come, or 0. */
int signals_taken(int fd);

#endif
