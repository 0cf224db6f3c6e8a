/* SPDX-License-Identifier: Apache-2.0 */
/* boot.h - from the files that were named to the registers of the boot CPU. */
#ifndef EBB_MACHINE_BOOT_H
#define EBB_MACHINE_BOOT_H

#include "vmm/config/config.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/memory/guest_mem.h"

/* Opens, checks and loads kernel and initrd into fresh boot memory. 0 or -errno, logged. */
int must_check boot_load(const struct config *cfg, const struct guest_mem *gm,
			 unsigned int nr_virtio, struct vcpu_entry *entry);

#endif
