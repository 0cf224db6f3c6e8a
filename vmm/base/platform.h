/* SPDX-License-Identifier: Apache-2.0 */
/*
 * platform.h - the machine that every guest sees: addresses, interrupts, registers.
 * Devices and KVM build it, the loader describes it to the guest (ACPI, FDT, memory maps).
 */
#ifndef EBB_BASE_PLATFORM_H
#define EBB_BASE_PLATFORM_H

#include "vmm/base/types.h"

#define PLATFORM_MAX_CPUS 64

/* Boot memory is [0, LOW_END) and what is left of it from HIGH_BASE on; devices lie between. */
#define PLATFORM_LOW_END (3 * GiB)
#define PLATFORM_HIGH_BASE (4 * GiB)

/* Virtio-mmio device I, I < PLATFORM_MAX_VIRTIO. All interrupts are edges, active high. */
#define PLATFORM_MAX_VIRTIO 16
#define PLATFORM_VIRTIO_BASE UINT64_C(0xd0000000)
#define PLATFORM_VIRTIO_BYTES UINT64_C(0x1000)
#define PLATFORM_VIRTIO_GSI 8

static inline uint64_t platform_virtio_base(unsigned int i)
{
	return PLATFORM_VIRTIO_BASE + i * PLATFORM_VIRTIO_BYTES;
}
static inline uint32_t platform_virtio_gsi(unsigned int i) { return PLATFORM_VIRTIO_GSI + i; }

/*
 * Power registers, the platform page (ACPI, Hardware-Reduced ACPI; Generic Event Device):
 *   EVENT          32-bit, reading clears: EVENT_* bits, announced by an edge on POWER_GSI
 *   SLEEP_CONTROL  byte: writing SLEEP_S5 turns the machine off
 *   SLEEP_STATUS   byte: reads 0, writes are ignored
 *   RESET          byte: writing RESET_VALUE reboots
 */
#define POWER_BASE UINT64_C(0xd0010000)
#define POWER_BYTES UINT64_C(0x1000)
#define POWER_GSI 5
#define POWER_EVENT 0
#define POWER_SLEEP_CONTROL 4
#define POWER_SLEEP_STATUS 5
#define POWER_RESET 6
#define POWER_EVENT_BUTTON 0x1u
#define POWER_SLP_TYP_S5 5
#define POWER_SLEEP_S5 (POWER_SLP_TYP_S5 << 2 | 1 << 5) /* SLP_TYP, SLP_EN */
#define POWER_RESET_VALUE 0x42

/* Where a guest tells of its panic (devices/pvpanic.h). */
#define PVPANIC_BASE (POWER_BASE + POWER_BYTES)
#define PVPANIC_BYTES UINT64_C(2)

/* 16550, I/O ports. */
#define SERIAL_PORT 0x3f8
#define SERIAL_PORT_BYTES 8
#define SERIAL_GSI 4

#define IOAPIC_BASE UINT64_C(0xfec00000)
#define IOAPIC_PINS 24
#define LAPIC_BASE UINT64_C(0xfee00000)

_Static_assert(PLATFORM_VIRTIO_GSI + PLATFORM_MAX_VIRTIO <= IOAPIC_PINS, "one pin per device");
_Static_assert(PLATFORM_VIRTIO_BASE + PLATFORM_MAX_VIRTIO * 0x1000 <= POWER_BASE, "MMIO window");

#endif
