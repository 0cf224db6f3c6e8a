/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_wire.h - layout of the fixed ACPI tables (ACPI 6, "ACPI Software Programming Model"). */
#ifndef EBB_LOADER_ACPI_WIRE_H
#define EBB_LOADER_ACPI_WIRE_H

#include "vmm/base/types.h"

struct acpi_header {
	char signature[4];
	le32 length;
	uint8_t revision;
	uint8_t checksum; /* all bytes of the table add up to 0 */
	char oem_id[6];
	char oem_table_id[8];
	le32 oem_revision;
	char creator_id[4];
	le32 creator_revision;
} __attribute__((packed));

/* Generic Address Structure. */
struct acpi_gas {
	uint8_t space; /* 0: system memory */
	uint8_t bit_width, bit_offset;
	uint8_t access; /* 1: byte */
	le64 address;
} __attribute__((packed));

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	le32 rsdt;
	le32 length;
	le64 xsdt;
	uint8_t extended_checksum; /* of all */
	uint8_t reserved[3];
} __attribute__((packed));

struct acpi_xsdt {
	struct acpi_header header;
	le64 tables[2];
} __attribute__((packed));

#define FADT_PROFILE_ENTERPRISE_SERVER 4
#define FADT_NO_VGA (1 << 2) /* boot_arch; LEGACY_DEVICES and 8042 are bits 0 and 1 */
#define FADT_NO_CMOS_RTC (1 << 5)
#define FADT_WBINVD (UINT32_C(1) << 0)
#define FADT_NO_FIXED_POWER_BUTTON (UINT32_C(1) << 4)
#define FADT_NO_FIXED_SLEEP_BUTTON (UINT32_C(1) << 5)
#define FADT_NO_FIXED_RTC_WAKE (UINT32_C(1) << 6)
#define FADT_RESET_REG_SUP (UINT32_C(1) << 10)
#define FADT_HW_REDUCED (UINT32_C(1) << 20)

struct acpi_fadt {
	struct acpi_header header;
	le32 facs;
	le32 dsdt;
	uint8_t reserved0;
	uint8_t profile;
	uint8_t fixed_hardware[63]; /* SCI to century: all zero without fixed hardware */
	le16 boot_arch;
	uint8_t reserved1;
	le32 flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	le16 arm_boot_arch;
	uint8_t minor_version;
	le64 x_facs;
	le64 x_dsdt;
	struct acpi_gas x_fixed_hardware[8]; /* PM1a event block to GPE1 block */
	struct acpi_gas sleep_control;
	struct acpi_gas sleep_status;
	uint8_t hypervisor[8];
} __attribute__((packed));

struct acpi_madt {
	struct acpi_header header;
	le32 lapic_address;
	le32 flags; /* bit 0: there are 8259s, too */
} __attribute__((packed));

#define MADT_LAPIC 0
#define MADT_IOAPIC 1
#define MADT_CPU_ENABLED 1

struct madt_lapic {
	uint8_t type, length;
	uint8_t cpu_uid;
	uint8_t apic_id; /* up to 254 */
	le32 flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length;
	uint8_t id;
	uint8_t reserved;
	le32 address;
	le32 gsi_base;
} __attribute__((packed));

_Static_assert(sizeof(struct acpi_header) == 36, "wire size");
_Static_assert(sizeof(struct acpi_rsdp) == 36, "wire size");
_Static_assert(offsetof(struct acpi_fadt, boot_arch) == 109, "wire offset");
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "wire offset");
_Static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "wire offset");
_Static_assert(offsetof(struct acpi_fadt, sleep_control) == 244, "wire offset");
_Static_assert(sizeof(struct acpi_fadt) == 276, "wire size");

#endif
