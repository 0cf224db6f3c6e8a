/* SPDX-License-Identifier: Apache-2.0 */
/* test_fdt.c - the device tree as a bare-metal guest reads it. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "loader/fdt.h"
#include "tests/unit/loader_fixture.h"

#define FDT_AT 0x20000

static struct loader_fixture f;
static char tree[0x10000];

static void setup(void) { fixture_init(&f, 64 * MiB); }

static void teardown(void) { fixture_destroy(&f); }

TestSuite(fdt, .init = setup, .fini = teardown);

/* Writes the tree, reads it back and has libfdt look at all of it. */
static void write_tree(uint64_t initrd, uint64_t initrd_bytes)
{
	struct handover h = { .spec = &f.spec, .initrd = GPA(initrd),
			      .initrd_bytes = initrd_bytes };
	uint32_t bytes;

	cr_assert_eq(fdt_write(&f.gm, &h, &bytes), 0);
	cr_assert_leq(bytes, sizeof(tree));
	guest_read(&f, FDT_AT, tree, bytes);
	cr_assert_eq(fdt_check_full(tree, bytes), 0);
	cr_assert_eq(fdt_totalsize(tree), bytes);
}

static int node(const char *path)
{
	int at = fdt_path_offset(tree, path);

	cr_assert_geq(at, 0, "%s: %s", path, fdt_strerror(at));
	return at;
}

static void cells_are(const char *path, const char *name, const uint32_t *want, unsigned int nr)
{
	int bytes;
	const fdt32_t *cells = fdt_getprop(tree, node(path), name, &bytes);

	cr_assert(cells, "%s of %s", name, path);
	cr_assert_eq(bytes, (int)(nr * 4), "%s of %s", name, path);
	for (unsigned int i = 0; i < nr; i++)
		cr_assert_eq(fdt32_to_cpu(cells[i]), want[i], "%s of %s, cell %u", name, path, i);
}
#define CELLS(path, name, ...)                                                                     \
	cells_are(path, name, (const uint32_t[]){ __VA_ARGS__ },                                   \
		  sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)

static void string_is(const char *path, const char *name, const char *want)
{
	const char *value = fdt_getprop(tree, node(path), name, NULL);

	cr_assert(value, "%s of %s", name, path);
	cr_assert_str_eq(value, want);
}

Test(fdt, memory_is_boot_memory_without_the_reserved_area)
{
	write_tree(0, 0);
	string_is("/memory@0", "device_type", "memory");
	CELLS("/memory@0", "reg", 0, 0, 0, 0xa0000, 0, 0x100000, 0, 63 << 20);
}

Test(fdt, memory_goes_on_at_4_gib_above_the_hole)
{
	fixture_destroy(&f);
	fixture_init(&f, 6 * GiB);
	write_tree(0, 0);
	CELLS("/memory@0", "reg", 0, 0, 0, 0xa0000, 0, 0x100000, 0, 0xbff00000, 1, 0, 0, 0xc0000000);
}

Test(fdt, chosen_has_command_line_and_initrd)
{
	f.spec.cmdline = "test=1";
	write_tree(0x3000000, 0x1234);
	string_is("/chosen", "bootargs", "test=1");
	CELLS("/chosen", "linux,initrd-start", 0, 0x3000000);
	CELLS("/chosen", "linux,initrd-end", 0, 0x3001234);
}

Test(fdt, chosen_has_no_initrd_when_there_is_none)
{
	write_tree(0, 0);
	cr_assert_null(fdt_getprop(tree, node("/chosen"), "linux,initrd-start", NULL));
}

Test(fdt, cpus_are_listed_by_apic_id)
{
	f.spec.nr_cpus = 64;
	write_tree(0, 0);
	string_is("/cpus/cpu@0", "device_type", "cpu");
	CELLS("/cpus/cpu@3f", "reg", 63);
	cr_assert_lt(fdt_path_offset(tree, "/cpus/cpu@40"), 0);
}

Test(fdt, serial_port_is_a_16550_on_the_isa_bus)
{
	const char *path;

	write_tree(0, 0);
	path = fdt_getprop(tree, node("/chosen"), "stdout-path", NULL);
	cr_assert(path);
	string_is(path, "compatible", "ns16550a");
	CELLS(path, "reg", 1, 0x3f8, 8);
	CELLS(path, "interrupts", 4, 0);
}

Test(fdt, pvpanic_is_the_one_of_the_binding)
{
	write_tree(0, 0);
	string_is("/pvpanic@d0011000", "compatible", "qemu,pvpanic-mmio");
	CELLS("/pvpanic@d0011000", "reg", 0, 0xd0011000, 0, 2);
}

Test(fdt, power_registers_have_page_and_interrupt)
{
	write_tree(0, 0);
	string_is("/power@d0010000", "compatible", "ebb,power");
	CELLS("/power@d0010000", "reg", 0, 0xd0010000, 0, 0x1000);
	CELLS("/power@d0010000", "interrupts", 5, 0);
}

Test(fdt, every_virtio_device_has_window_and_interrupt)
{
	unsigned int nr = 0;
	int at;

	f.spec.nr_virtio = 16;
	write_tree(0, 0);
	for (unsigned int i = 0; i < 16; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/virtio@%x", 0xd0000000 + i * 0x1000);
		CELLS(path, "reg", 0, 0xd0000000 + i * 0x1000, 0, 0x1000);
		CELLS(path, "interrupts", 8 + i, 0);
	}
	for (at = fdt_node_offset_by_compatible(tree, -1, "virtio,mmio"); at >= 0; nr++)
		at = fdt_node_offset_by_compatible(tree, at, "virtio,mmio");
	cr_assert_eq(nr, 16);
}

Test(fdt, interrupts_lead_to_the_io_apic)
{
	const fdt32_t *parent;
	int ioapic;

	write_tree(0, 0);
	parent = fdt_getprop(tree, node("/"), "interrupt-parent", NULL);
	cr_assert(parent);
	ioapic = fdt_node_offset_by_phandle(tree, fdt32_to_cpu(*parent));
	cr_assert_eq(ioapic, node("/interrupt-controller@fec00000"));
	cr_assert_eq(fdt_node_check_compatible(tree, ioapic, "intel,ce4100-ioapic"), 0);
	CELLS("/interrupt-controller@fec00000", "#interrupt-cells", 2);
}

Test(fdt, largest_machine_with_the_longest_command_line_fits)
{
	static char text[2048];

	memset(text, 'x', 2047);
	f.spec.cmdline = text;
	f.spec.nr_cpus = 64;
	f.spec.nr_virtio = 16;
	write_tree(0x3000000, 0x1000);
	string_is("/chosen", "bootargs", text);
}

Test(fdt, missing_memory_is_an_error)
{
	struct guest_mem none = { 0 };
	struct handover h = { .spec = &f.spec };
	uint32_t bytes;

	cr_redirect_stderr();
	cr_assert_eq(fdt_write(&none, &h, &bytes), -EFAULT);
}
