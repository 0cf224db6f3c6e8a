/* SPDX-License-Identifier: Apache-2.0 */
/* event.h - an eventfd: wakes the loop, or is an interrupt or a doorbell of KVM. */
#ifndef EBB_BASE_EVENT_H
#define EBB_BASE_EVENT_H

#include "vmm/base/types.h"

/* *FD: close-on-exec, non-blocking. 0 or -errno, logged. */
int must_check event_new(int *fd);
/* Raises it; CTX points to the descriptor, as irq_line wants it. Any thread. */
void event_raise(void *ctx);
/* True when it was raised since the last call. */
bool event_taken(int fd);

#endif
