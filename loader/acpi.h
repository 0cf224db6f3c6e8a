/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.h - describes the platform to the guest by ACPI 6, hardware-reduced: RSDP, XSDT, FADT, MADT
 * and a DSDT with power button, serial port, pvpanic and virtio-mmio devices.
 */
#ifndef EBB_LOADER_ACPI_H
#define EBB_LOADER_ACPI_H

#include "vmm/memory/guest_mem.h"

/*
 * Writes the tables to LAYOUT_ACPI. NR_CPUS 1 ... PLATFORM_MAX_CPUS (the boot CPU is 0, APIC ids
 * count up), NR_VIRTIO 0 ... PLATFORM_MAX_VIRTIO. -EFAULT (logged) when there is no memory there.
 */
int must_check acpi_write(const struct guest_mem *gm, unsigned int nr_cpus, unsigned int nr_virtio,
			  gpa_t *rsdp);

#endif
