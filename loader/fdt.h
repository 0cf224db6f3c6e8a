/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fdt.h - describes the same platform by a flattened device tree (Devicetree Specification):
 * memory, chosen, cpus, interrupt controllers, serial port, power registers, pvpanic,
 * virtio-mmio devices.
 */
#ifndef EBB_LOADER_FDT_H
#define EBB_LOADER_FDT_H

#include "loader/handover.h"

/* Interrupts have two cells: GSI, and this for "edge, active high" (intel,ce4100-ioapic). */
#define FDT_EDGE_HIGH 0
/* The power registers of vmm/base/platform.h. */
#define FDT_POWER_COMPATIBLE "ebb,power"

/* Writes the tree to LAYOUT_FDT. */
int must_check fdt_write(const struct guest_mem *gm, const struct handover *h, uint32_t *bytes);

#endif
