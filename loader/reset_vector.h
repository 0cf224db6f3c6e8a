/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reset_vector.h - what stands where a PC has its BIOS: a jump to the platform's reset register.
 * Linux on hardware-reduced ACPI reboots by EFI and, without one, by a real-mode jump to the BIOS
 * entry; the ACPI reset register alone is used only with "reboot=acpi".
 */
#ifndef EBB_LOADER_RESET_VECTOR_H
#define EBB_LOADER_RESET_VECTOR_H

#include "vmm/memory/guest_mem.h"

int must_check reset_vector_write(const struct guest_mem *gm);

#endif
