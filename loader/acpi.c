/* SPDX-License-Identifier: Apache-2.0 */
/* acpi.c - describes the platform to the guest by ACPI 6, hardware-reduced. */
#include "loader/acpi.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "loader/acpi_wire.h"
#include "loader/aml.h"
#include "loader/layout.h"
#include "vmm/base/log.h"

/* The tables while they are built: one after the other, each at a multiple of 16. */
#define TABLES_BYTES 0x4000
struct tables {
	uint8_t bytes[TABLES_BYTES];
	size_t used;
};
_Static_assert(TABLES_BYTES <= LAYOUT_ACPI_BYTES, "layout");

static void *reserve(struct tables *t, size_t bytes, uint64_t *gpa)
{
	void *at = t->bytes + t->used;

	assert(bytes <= sizeof(t->bytes) - t->used);
	*gpa = LAYOUT_ACPI + t->used;
	t->used = min_u64(align_up(t->used + bytes, 16), sizeof(t->bytes));
	return at;
}

static uint8_t checksum(const void *table, size_t bytes)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	while (bytes--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

/* Once the table is complete. */
static void seal(struct acpi_header *h, const char *signature, uint8_t revision, size_t bytes)
{
	memcpy(h->signature, signature, sizeof(h->signature));
	h->length = le32_of((uint32_t)bytes);
	h->revision = revision;
	memcpy(h->oem_id, "EBB   ", sizeof(h->oem_id));
	memcpy(h->oem_table_id, "EBBACPI ", sizeof(h->oem_table_id));
	h->oem_revision = le32_of(1);
	memcpy(h->creator_id, "EBB ", sizeof(h->creator_id));
	h->creator_revision = le32_of(1);
	h->checksum = 0;
	h->checksum = checksum(h, bytes);
}

static void add_power_button(struct aml *a)
{
	size_t device = aml_open_device(a, "PWRB");

	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0C0C");
	aml_close(a, device);
}

/* Generic Event Device: its interrupt says that the event register has bits set. */
static void add_event_device(struct aml *a)
{
	const uint8_t button_pressed = 0x80;
	struct aml_resources resources;
	size_t device = aml_open_device(a, "GED"), method, condition;

	aml_name(a, "_HID");
	aml_string(a, "ACPI0013");
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_name(a, "_CRS");
	resources = aml_open_resources(a);
	aml_interrupt(a, POWER_GSI);
	aml_close_resources(a, resources);
	aml_memory_field32(a, "EREG", "EVNT", POWER_BASE + POWER_EVENT, 4);
	method = aml_open_method(a, "_EVT", 1);
	/* Reading clears, so once. */
	aml_byte(a, AML_STORE);
	aml_path(a, "EVNT");
	aml_byte(a, AML_LOCAL0);
	condition = aml_open_if(a);
	aml_byte(a, AML_AND);
	aml_byte(a, AML_LOCAL0);
	aml_integer(a, POWER_EVENT_BUTTON);
	aml_byte(a, AML_NO_TARGET);
	aml_byte(a, AML_NOTIFY);
	aml_path(a, "\\_SB.PWRB");
	aml_integer(a, button_pressed);
	aml_close(a, condition);
	aml_close(a, method);
	aml_close(a, device);
}

static void add_serial(struct aml *a)
{
	struct aml_resources resources;
	size_t device = aml_open_device(a, "COM1");

	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0501");
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_name(a, "_CRS");
	resources = aml_open_resources(a);
	aml_io16(a, SERIAL_PORT, SERIAL_PORT_BYTES);
	aml_interrupt(a, SERIAL_GSI);
	aml_close_resources(a, resources);
	aml_close(a, device);
}

static void add_pvpanic(struct aml *a)
{
	struct aml_resources resources;
	size_t device = aml_open_device(a, "PEVT");

	aml_name(a, "_HID");
	aml_string(a, "QEMU0001");
	aml_name(a, "_CRS");
	resources = aml_open_resources(a);
	aml_memory32(a, (uint32_t)PVPANIC_BASE, (uint32_t)PVPANIC_BYTES);
	aml_close_resources(a, resources);
	aml_close(a, device);
}

static void add_virtio(struct aml *a, unsigned int i)
{
	char name[8];
	struct aml_resources resources;
	size_t device;

	snprintf(name, sizeof(name), "VR%02X", i & 0xff);
	device = aml_open_device(a, name);
	aml_name(a, "_HID");
	aml_string(a, "LNRO0005");
	aml_name(a, "_UID");
	aml_integer(a, i);
	aml_name(a, "_CRS");
	resources = aml_open_resources(a);
	aml_memory32(a, (uint32_t)platform_virtio_base(i), (uint32_t)PLATFORM_VIRTIO_BYTES);
	aml_interrupt(a, platform_virtio_gsi(i));
	aml_close_resources(a, resources);
	aml_close(a, device);
}

static uint64_t add_dsdt(struct tables *t, unsigned int nr_virtio)
{
	uint64_t gpa;
	struct acpi_header *header = reserve(t, 0, &gpa);
	struct aml a = { .buffer = (uint8_t *)header, .size = sizeof(t->bytes) - t->used,
			 .used = sizeof(*header) };
	size_t opened;

	opened = aml_open_scope(&a, "\\_SB");
	add_power_button(&a);
	add_event_device(&a);
	add_serial(&a);
	add_pvpanic(&a);
	for (unsigned int i = 0; i < nr_virtio; i++)
		add_virtio(&a, i);
	aml_close(&a, opened);
	/* The first element goes into the sleep control register. */
	aml_name(&a, "\\_S5");
	opened = aml_open_package(&a, 4);
	aml_integer(&a, POWER_SLP_TYP_S5);
	for (unsigned int i = 1; i < 4; i++)
		aml_integer(&a, 0);
	aml_close(&a, opened);
	assert(!a.overflow);
	seal(header, "DSDT", 2, a.used);
	reserve(t, a.used, &gpa);
	return gpa;
}

static struct acpi_gas byte_register(uint64_t offset)
{
	return (struct acpi_gas){ .bit_width = 8, .access = 1,
				  .address = le64_of(POWER_BASE + offset) };
}

static uint64_t add_fadt(struct tables *t, uint64_t dsdt)
{
	uint64_t gpa;
	struct acpi_fadt *fadt = reserve(t, sizeof(*fadt), &gpa);

	fadt->dsdt = le32_of((uint32_t)dsdt);
	fadt->x_dsdt = le64_of(dsdt);
	fadt->profile = FADT_PROFILE_ENTERPRISE_SERVER;
	fadt->boot_arch = le16_of(FADT_NO_VGA | FADT_NO_CMOS_RTC);
	fadt->flags = le32_of(FADT_WBINVD | FADT_NO_FIXED_POWER_BUTTON |
			      FADT_NO_FIXED_SLEEP_BUTTON | FADT_NO_FIXED_RTC_WAKE |
			      FADT_RESET_REG_SUP | FADT_HW_REDUCED);
	fadt->reset_reg = byte_register(POWER_RESET);
	fadt->reset_value = POWER_RESET_VALUE;
	fadt->sleep_control = byte_register(POWER_SLEEP_CONTROL);
	fadt->sleep_status = byte_register(POWER_SLEEP_STATUS);
	seal(&fadt->header, "FACP", 6, sizeof(*fadt));
	return gpa;
}

static uint64_t add_madt(struct tables *t, unsigned int nr_cpus)
{
	struct {
		struct acpi_madt madt;
		struct madt_ioapic ioapic;
		struct madt_lapic lapics[];
	} __attribute__((packed)) *m;
	size_t bytes = sizeof(*m) + nr_cpus * sizeof(m->lapics[0]);
	uint64_t gpa;

	m = reserve(t, bytes, &gpa);
	m->madt.lapic_address = le32_of((uint32_t)LAPIC_BASE);
	m->ioapic = (struct madt_ioapic){ .type = MADT_IOAPIC, .length = sizeof(m->ioapic),
					  .address = le32_of((uint32_t)IOAPIC_BASE) };
	for (unsigned int i = 0; i < nr_cpus; i++)
		m->lapics[i] = (struct madt_lapic){
			.type = MADT_LAPIC,
			.length = sizeof(m->lapics[i]),
			.cpu_uid = (uint8_t)i,
			.apic_id = (uint8_t)i,
			.flags = le32_of(MADT_CPU_ENABLED),
		};
	seal(&m->madt.header, "APIC", 5, bytes);
	return gpa;
}

static uint64_t add_xsdt(struct tables *t, uint64_t fadt, uint64_t madt)
{
	uint64_t gpa;
	struct acpi_xsdt *xsdt = reserve(t, sizeof(*xsdt), &gpa);

	xsdt->tables[0] = le64_of(fadt);
	xsdt->tables[1] = le64_of(madt);
	seal(&xsdt->header, "XSDT", 1, sizeof(*xsdt));
	return gpa;
}

int acpi_write(const struct guest_mem *gm, unsigned int nr_cpus, unsigned int nr_virtio,
	       gpa_t *rsdp)
{
	auto_free struct tables *t = calloc(1, sizeof(*t));
	struct acpi_rsdp *root;
	uint64_t root_gpa, dsdt, fadt, madt;
	int r;

	assert(nr_cpus && nr_cpus <= PLATFORM_MAX_CPUS && nr_virtio <= PLATFORM_MAX_VIRTIO);
	if (!t)
		return fail(-ENOMEM, "build the ACPI tables");
	root = reserve(t, sizeof(*root), &root_gpa);
	memcpy(root->signature, "RSD PTR ", sizeof(root->signature));
	memcpy(root->oem_id, "EBB   ", sizeof(root->oem_id));
	root->revision = 2;
	root->length = le32_of(sizeof(*root));
	dsdt = add_dsdt(t, nr_virtio);
	fadt = add_fadt(t, dsdt);
	madt = add_madt(t, nr_cpus);
	root->xsdt = le64_of(add_xsdt(t, fadt, madt));
	root->checksum = checksum(root, offsetof(struct acpi_rsdp, length));
	root->extended_checksum = checksum(root, sizeof(*root));
	r = gm_write(gm, GPA(root_gpa), t->bytes, t->used);
	if (r)
		return fail(r, "write the ACPI tables");
	*rsdp = GPA(root_gpa);
	return 0;
}
