/* SPDX-License-Identifier: Apache-2.0 */
/* fdt.c - describes the platform by a flattened device tree. */
#include "loader/fdt.h"

#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "loader/layout.h"
#include "loader/memory_map.h"
#include "vmm/base/log.h"

#define IOAPIC_PHANDLE 1
#define IOAPIC_BYTES UINT64_C(0x1000)
#define LAPIC_BYTES UINT64_C(0x1000)
#define SERIAL_CLOCK_HZ 1843200
#define ISA_IO_SPACE 1
#define SERIAL_NODE "serial@i3f8" /* ISA bus binding: i for I/O space */

/* The first error sticks, later calls do nothing: it is checked once, at the end. */
struct tree {
	void *fdt;
	int error;
};

static void begin(struct tree *t, const char *name)
{
	if (!t->error)
		t->error = fdt_begin_node(t->fdt, name);
}

static void begin_at(struct tree *t, const char *name, uint64_t address)
{
	char text[48];

	snprintf(text, sizeof(text), "%s@%" PRIx64, name, address);
	begin(t, text);
}

static void end(struct tree *t)
{
	if (!t->error)
		t->error = fdt_end_node(t->fdt);
}

static void property(struct tree *t, const char *name, const void *value, size_t bytes)
{
	if (!t->error)
		t->error = fdt_property(t->fdt, name, value, (int)bytes);
}

static void string(struct tree *t, const char *name, const char *value)
{
	property(t, name, value, strlen(value) + 1);
}

static void u32(struct tree *t, const char *name, uint32_t value)
{
	fdt32_t cell = cpu_to_fdt32(value);

	property(t, name, &cell, sizeof(cell));
}

static void u64(struct tree *t, const char *name, uint64_t value)
{
	fdt64_t cells = cpu_to_fdt64(value);

	property(t, name, &cells, sizeof(cells));
}

static void reg(struct tree *t, uint64_t base, uint64_t bytes)
{
	fdt64_t cells[] = { cpu_to_fdt64(base), cpu_to_fdt64(bytes) };

	property(t, "reg", cells, sizeof(cells));
}

static void interrupt(struct tree *t, uint32_t gsi)
{
	fdt32_t cells[] = { cpu_to_fdt32(gsi), cpu_to_fdt32(FDT_EDGE_HIGH) };

	property(t, "interrupts", cells, sizeof(cells));
}

static void add_memory(struct tree *t, uint64_t boot_bytes)
{
	const struct memory_map map = memory_map(boot_bytes);
	fdt64_t cells[2 * MEMORY_MAP_MAX];
	size_t nr = 0;

	for (unsigned int i = 0; i < map.nr; i++) {
		if (!map.ranges[i].usable)
			continue;
		cells[nr++] = cpu_to_fdt64(map.ranges[i].base);
		cells[nr++] = cpu_to_fdt64(map.ranges[i].bytes);
	}
	begin_at(t, "memory", map.ranges[0].base);
	string(t, "device_type", "memory");
	property(t, "reg", cells, nr * sizeof(cells[0]));
	end(t);
}

static void add_chosen(struct tree *t, const struct handover *h)
{
	begin(t, "chosen");
	string(t, "bootargs", h->spec->cmdline);
	string(t, "stdout-path", "/isa/" SERIAL_NODE);
	if (h->initrd_bytes) {
		u64(t, "linux,initrd-start", h->initrd.v);
		u64(t, "linux,initrd-end", h->initrd.v + h->initrd_bytes);
	}
	end(t);
}

static void add_cpus(struct tree *t, unsigned int nr)
{
	begin(t, "cpus");
	u32(t, "#address-cells", 1);
	u32(t, "#size-cells", 0);
	for (unsigned int i = 0; i < nr; i++) {
		begin_at(t, "cpu", i);
		string(t, "device_type", "cpu");
		u32(t, "reg", i); /* APIC id */
		end(t);
	}
	end(t);
}

static void add_interrupt_controllers(struct tree *t)
{
	begin_at(t, "interrupt-controller", IOAPIC_BASE);
	string(t, "compatible", "intel,ce4100-ioapic");
	reg(t, IOAPIC_BASE, IOAPIC_BYTES);
	property(t, "interrupt-controller", NULL, 0);
	u32(t, "#interrupt-cells", 2);
	u32(t, "#address-cells", 0);
	u32(t, "phandle", IOAPIC_PHANDLE);
	end(t);
	begin_at(t, "interrupt-controller", LAPIC_BASE);
	string(t, "compatible", "intel,ce4100-lapic");
	reg(t, LAPIC_BASE, LAPIC_BYTES);
	end(t);
}

static void add_serial(struct tree *t)
{
	fdt32_t cells[] = { cpu_to_fdt32(ISA_IO_SPACE), cpu_to_fdt32(SERIAL_PORT),
			    cpu_to_fdt32(SERIAL_PORT_BYTES) };

	begin(t, "isa");
	string(t, "compatible", "isa");
	string(t, "device_type", "isa");
	u32(t, "#address-cells", 2);
	u32(t, "#size-cells", 1);
	begin(t, SERIAL_NODE);
	string(t, "compatible", "ns16550a");
	property(t, "reg", cells, sizeof(cells));
	u32(t, "clock-frequency", SERIAL_CLOCK_HZ);
	interrupt(t, SERIAL_GSI);
	end(t);
	end(t);
}

static void add_power(struct tree *t)
{
	begin_at(t, "power", POWER_BASE);
	string(t, "compatible", FDT_POWER_COMPATIBLE);
	reg(t, POWER_BASE, POWER_BYTES);
	interrupt(t, POWER_GSI);
	end(t);
}

/* Device tree binding of Linux: misc/pvpanic-mmio. */
static void add_pvpanic(struct tree *t)
{
	begin_at(t, "pvpanic", PVPANIC_BASE);
	string(t, "compatible", "qemu,pvpanic-mmio");
	reg(t, PVPANIC_BASE, PVPANIC_BYTES);
	end(t);
}

static void add_virtio(struct tree *t, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		begin_at(t, "virtio", platform_virtio_base(i));
		string(t, "compatible", "virtio,mmio");
		reg(t, platform_virtio_base(i), PLATFORM_VIRTIO_BYTES);
		interrupt(t, platform_virtio_gsi(i));
		end(t);
	}
}

int fdt_write(const struct guest_mem *gm, const struct handover *h, uint32_t *bytes)
{
	auto_free void *fdt = malloc(LAYOUT_FDT_BYTES);
	struct tree t = { .fdt = fdt };
	int r;

	if (!fdt)
		return fail(-ENOMEM, "build the device tree");
	t.error = fdt_create(fdt, (int)LAYOUT_FDT_BYTES);
	if (!t.error)
		t.error = fdt_finish_reservemap(fdt);
	begin(&t, "");
	u32(&t, "#address-cells", 2);
	u32(&t, "#size-cells", 2);
	string(&t, "compatible", "ebb");
	string(&t, "model", "ebb");
	u32(&t, "interrupt-parent", IOAPIC_PHANDLE);
	add_chosen(&t, h);
	add_memory(&t, h->spec->boot_bytes);
	add_cpus(&t, h->spec->nr_cpus);
	add_interrupt_controllers(&t);
	add_serial(&t);
	add_power(&t);
	add_pvpanic(&t);
	add_virtio(&t, h->spec->nr_virtio);
	end(&t);
	if (!t.error)
		t.error = fdt_finish(fdt);
	if (t.error)
		return fail(-EINVAL, "build the device tree (%s)", fdt_strerror(t.error));
	*bytes = fdt_totalsize(fdt);
	r = gm_write(gm, GPA(LAYOUT_FDT), fdt, *bytes);
	return r ? fail(r, "write the device tree") : 0;
}
