/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_lock.h - keeps two VMs from writing one disk. Open file description locks (F_OFD_SETLK) of
 * the whole file: one who writes, or any number who read. They go with the descriptor, so no end of
 * a process leaves one behind. QEMU's are of the same kind: of Ebb and QEMU only one can have a file.
 */
#ifndef EBB_DEVICES_DISK_LOCK_H
#define EBB_DEVICES_DISK_LOCK_H

#include "vmm/base/types.h"

/* 0; -EBUSY: somebody has it, logged with who that is as far as it can be seen; -errno, logged. */
int must_check disk_lock(int fd, const char *path, bool shared);

#endif
