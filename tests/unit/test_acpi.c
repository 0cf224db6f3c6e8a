/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_acpi.c - the ACPI tables as a guest reads them, and as iasl (package acpica-tools) does.
 * Offsets are those of the specification, not of the loader's structs.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "loader/acpi.h"
#include "tests/unit/loader_fixture.h"
#include "vmm/base/platform.h"

#define HEADER_BYTES 36
#define TABLE_MAX_BYTES 0x4000

static struct loader_fixture f;

static void setup(void) { fixture_init(&f, 2 * MiB); }

static void teardown(void) { fixture_destroy(&f); }

TestSuite(acpi, .init = setup, .fini = teardown);

struct table {
	uint64_t at;
	uint32_t bytes;
	uint8_t data[TABLE_MAX_BYTES];
};

static uint64_t number(const struct table *t, size_t offset, size_t bytes)
{
	le64 value = { 0 };

	cr_assert_leq(offset + bytes, t->bytes);
	memcpy(&value, t->data + offset, bytes);
	return le64_get(value);
}

static void sums_to_zero(const uint8_t *bytes, size_t nr)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum = (uint8_t)(sum + bytes[i]);
	cr_assert_eq(sum, 0, "checksum");
}

/* Reads a table, checks what all tables have in common. */
static struct table table_at(uint64_t at, const char *signature)
{
	struct table t = { .at = at, .bytes = guest_u32(&f, at + 4) };

	cr_assert_geq(at, 0xe0000);
	cr_assert_geq(t.bytes, HEADER_BYTES);
	cr_assert_leq(t.bytes, TABLE_MAX_BYTES);
	cr_assert_leq(at + t.bytes, 0x100000);
	guest_read(&f, at, t.data, t.bytes);
	cr_assert_arr_eq(t.data, signature, 4);
	sums_to_zero(t.data, t.bytes);
	return t;
}

static uint64_t write_tables(unsigned int nr_cpus, unsigned int nr_virtio)
{
	gpa_t rsdp;

	cr_assert_eq(acpi_write(&f.gm, nr_cpus, nr_virtio, &rsdp), 0);
	return rsdp.v;
}

/* By the way a guest takes: root pointer, XSDT, table; the DSDT from the FADT. */
static struct table find(uint64_t rsdp, const char *signature)
{
	struct table xsdt = table_at(guest_u64(&f, rsdp + 24), "XSDT");

	if (!strcmp(signature, "DSDT")) {
		struct table fadt = find(rsdp, "FACP");

		cr_assert_eq(number(&fadt, 40, 4), number(&fadt, 140, 8), "DSDT, X_DSDT");
		return table_at(number(&fadt, 140, 8), signature);
	}
	for (size_t i = HEADER_BYTES; i < xsdt.bytes; i += 8) {
		char name[4];

		guest_read(&f, number(&xsdt, i, 8), name, sizeof(name));
		if (!memcmp(name, signature, 4))
			return table_at(number(&xsdt, i, 8), signature);
	}
	cr_assert(false, "no %s", signature);
	return xsdt;
}

Test(acpi, root_pointer_lies_where_guests_scan_and_is_sound)
{
	uint8_t rsdp[36];
	uint64_t at = write_tables(1, 0);

	cr_assert_geq(at, 0xe0000);
	cr_assert_lt(at, 0x100000);
	cr_assert_eq(at % 16, 0);
	guest_read(&f, at, rsdp, sizeof(rsdp));
	cr_assert_arr_eq(rsdp, "RSD PTR ", 8);
	cr_assert_eq(rsdp[15], 2, "revision");
	cr_assert_eq(guest_u32(&f, at + 20), 36, "length");
	sums_to_zero(rsdp, 20);
	sums_to_zero(rsdp, 36);
}

static void check_register(const struct table *fadt, size_t offset, uint64_t address)
{
	cr_assert_eq(fadt->data[offset], 0, "system memory");
	cr_assert_eq(fadt->data[offset + 1], 8, "width");
	cr_assert_eq(fadt->data[offset + 2], 0, "bit offset");
	cr_assert_eq(fadt->data[offset + 3], 1, "byte access");
	cr_assert_eq(number(fadt, offset + 4, 8), address);
}

Test(acpi, fadt_says_hardware_reduced_without_legacy_devices)
{
	struct table fadt = find(write_tables(1, 0), "FACP");

	cr_assert_eq(fadt.data[8], 6, "revision");
	cr_assert_eq(fadt.bytes, 276);
	cr_assert_eq(number(&fadt, 109, 2), 1 << 2 | 1 << 5, "no VGA, no CMOS RTC, no 8042");
	cr_assert_eq(number(&fadt, 112, 4) & (1 << 20 | 1 << 10), 1 << 20 | 1 << 10,
		     "HW_REDUCED_ACPI, RESET_REG_SUP");
	/* Fixed hardware does not exist: FACS, SCI to century, then FACS again and the blocks. */
	for (size_t i = 46; i < 109; i++)
		cr_assert_eq(fadt.data[i], 0, "byte %zu", i);
	cr_assert_eq(number(&fadt, 36, 4), 0);
	for (size_t i = 148; i < 244; i++)
		cr_assert_eq(fadt.data[i], 0, "byte %zu", i);
}

Test(acpi, fadt_registers_are_those_of_the_platform_page)
{
	struct table fadt = find(write_tables(1, 0), "FACP");

	check_register(&fadt, 116, 0xd0010006);
	cr_assert_eq(fadt.data[128], POWER_RESET_VALUE);
	check_register(&fadt, 244, 0xd0010004);
	check_register(&fadt, 256, 0xd0010005);
	cr_assert_eq(POWER_SLEEP_S5, 0x34, "SLP_TYP 5, SLP_EN");
}

static void madt_lists(unsigned int nr_cpus)
{
	struct table madt = find(write_tables(nr_cpus, 16), "APIC");
	unsigned int nr_found = 0, nr_ioapics = 0;
	bool seen[256] = { false };

	cr_assert_eq(number(&madt, 36, 4), 0xfee00000);
	cr_assert_eq(number(&madt, 40, 4), 0, "no 8259s");
	for (size_t at = 44; at < madt.bytes; at += madt.data[at + 1]) {
		cr_assert_gt(madt.data[at + 1], 2);
		switch (madt.data[at]) {
		case 0:
			cr_assert_eq(madt.data[at + 1], 8);
			cr_assert_eq(madt.data[at + 2], madt.data[at + 3], "uid, APIC id");
			cr_assert_eq(number(&madt, at + 4, 4), 1, "enabled");
			cr_assert_not(seen[madt.data[at + 3]]);
			seen[madt.data[at + 3]] = true;
			nr_found++;
			break;
		case 1:
			cr_assert_eq(madt.data[at + 1], 12);
			cr_assert_eq(number(&madt, at + 4, 4), 0xfec00000);
			cr_assert_eq(number(&madt, at + 8, 4), 0, "GSI base");
			nr_ioapics++;
			break;
		default:
			cr_assert(false, "entry of type %u", madt.data[at]);
		}
	}
	cr_assert_eq(nr_found, nr_cpus);
	cr_assert_eq(nr_ioapics, 1);
	for (unsigned int i = 0; i < nr_cpus; i++)
		cr_assert(seen[i], "APIC id %u", i);
}

Test(acpi, madt_lists_every_cpu_for_1_to_64_cpus)
{
	for (unsigned int nr = 1; nr <= PLATFORM_MAX_CPUS; nr++)
		madt_lists(nr);
}

Test(acpi, tables_do_not_overlap)
{
	static const char *const names[] = { "XSDT", "FACP", "APIC", "DSDT" };
	uint64_t rsdp = write_tables(64, 16), start[5] = { rsdp }, end[5] = { rsdp + 36 };

	for (unsigned int i = 0; i < 4; i++) {
		struct table t = i ? find(rsdp, names[i]) :
				     table_at(guest_u64(&f, rsdp + 24), names[i]);

		start[i + 1] = t.at;
		end[i + 1] = t.at + t.bytes;
		for (unsigned int j = 0; j <= i; j++)
			cr_assert(end[i + 1] <= start[j] || end[j] <= start[i + 1]);
	}
}

Test(acpi, missing_memory_is_an_error)
{
	struct guest_mem none = { 0 };
	gpa_t rsdp;

	cr_redirect_stderr();
	cr_assert_eq(acpi_write(&none, 1, 1, &rsdp), -EFAULT);
}

/*
 * A scratch folder with the tables as files; iasl in it. Its output ends up in a buffer.
 */
static char folder[] = P_tmpdir "/ebb-acpi-XXXXXX";

static void run(const char *what, char *output, size_t bytes)
{
	char command[512];
	FILE *pipe;
	size_t n;

	snprintf(command, sizeof(command), "cd %s && { %s; } 2>&1", folder, what);
	pipe = popen(command, "r");
	cr_assert(pipe);
	n = fread(output, 1, bytes - 1, pipe);
	output[n] = '\0';
	cr_assert_eq(pclose(pipe), 0, "%s: %s", what, output);
}

static void save(const struct table *t, const char *name)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.dat", folder, name);
	file = fopen(path, "w");
	cr_assert(file);
	cr_assert_eq(fwrite(t->data, 1, t->bytes, file), t->bytes);
	fclose(file);
}

static void remove_folder(void)
{
	char output[256];

	run("rm -f *.dat *.dsl *.aml && rmdir \"$PWD\"", output, sizeof(output));
}

/* Disassembles, compiles again without a complaint, and gives the text. */
static char *disassemble(const struct table *t, const char *name)
{
	static char text[256 * 1024];
	char command[128], output[4096];

	if (system("command -v iasl >/dev/null"))
		cr_skip("no iasl (package acpica-tools)");
	if (folder[sizeof(folder) - 2] == 'X')
		cr_assert(mkdtemp(folder));
	save(t, name);
	snprintf(command, sizeof(command), "iasl -d %s.dat", name);
	run(command, output, sizeof(output));
	cr_assert_not(strstr(output, "rror"), "%s", output);
	cr_assert_not(strstr(output, "arning"), "%s", output);
	snprintf(command, sizeof(command), "iasl -p again-%s %s.dsl", name, name);
	run(command, output, sizeof(output));
	cr_assert(strstr(output, "0 Errors, 0 Warnings"), "%s", output);
	snprintf(command, sizeof(command), "cat %s.dsl", name);
	run(command, text, sizeof(text));
	return text;
}

/* What iasl makes of its own text is what was written, but for its name in the header. */
static void compiles_to_the_same(const struct table *t, const char *name)
{
	struct table again = { .bytes = 0 };
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/again-%s.aml", folder, name);
	file = fopen(path, "r");
	cr_assert(file);
	again.bytes = (uint32_t)fread(again.data, 1, sizeof(again.data), file);
	fclose(file);
	cr_assert_eq(again.bytes, t->bytes);
	cr_assert_arr_eq(again.data + HEADER_BYTES, t->data + HEADER_BYTES,
			 t->bytes - HEADER_BYTES);
}

static void contains(const char *text, const char *part)
{
	cr_assert(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

Test(acpi, iasl_reads_the_fadt, .timeout = 240)
{
	struct table t = find(write_tables(2, 1), "FACP");
	const char *text = disassemble(&t, "fadt");

	contains(text, "Hardware Reduced (V5) : 1");
	contains(text, "Reset Register Supported (V2) : 1");
	contains(text, "VGA Not Present (V4) : 1");
	contains(text, "CMOS RTC Not Present (V5) : 1");
	contains(text, "8042 Present on ports 60/64 (V2) : 0");
	contains(text, "Legacy Devices Supported (V2) : 0");
	contains(text, "Control Method Power Button (V1) : 1");
	contains(text, "Address : 00000000D0010004");
	contains(text, "Address : 00000000D0010005");
	contains(text, "Address : 00000000D0010006");
	compiles_to_the_same(&t, "fadt");
	remove_folder();
}

Test(acpi, iasl_reads_the_madt_of_64_cpus, .timeout = 240)
{
	struct table t = find(write_tables(64, 1), "APIC");
	const char *text = disassemble(&t, "madt");

	contains(text, "PC-AT Compatibility : 0");
	contains(text, "Local Apic ID : 3F");
	contains(text, "Address : FEC00000");
	cr_assert_not(strstr(text, "Interrupt Source Override"));
	compiles_to_the_same(&t, "madt");
	remove_folder();
}

Test(acpi, iasl_reads_the_dsdt_of_16_devices, .timeout = 240)
{
	struct table t = find(write_tables(2, 16), "DSDT");
	const char *text = disassemble(&t, "dsdt");
	char part[64];

	contains(text, "Name (\\_S5, Package (0x04)");
	contains(text, "EisaId (\"PNP0C0C\") /* Power Button Device */");
	contains(text, "\"ACPI0013\"");
	contains(text, "OperationRegion (EREG, SystemMemory, 0xD0010000, 0x04)");
	contains(text, "Field (EREG, DWordAcc, NoLock, WriteAsZeros)");
	contains(text, "Method (_EVT, 1, Serialized)");
	contains(text, "Local0 = EVNT");
	contains(text, "If ((Local0 & One))");
	contains(text, "Notify (\\_SB.PWRB, 0x80) // Status Change");
	contains(text, "Name (_HID, \"QEMU0001\")");
	contains(text, "Memory32Fixed (ReadWrite,\n                    0xD0011000,         // Address "
		       "Base\n                    0x00000002,");
	contains(text, "EisaId (\"PNP0501\")");
	contains(text, "IO (Decode16,\n                    0x03F8,");
	for (unsigned int i = 0; i < 16; i++) {
		snprintf(part, sizeof(part), "Device (VR%02X)", i);
		contains(text, part);
		snprintf(part, sizeof(part), "Memory32Fixed (ReadWrite,\n                    0x%08X,",
			 0xd0000000 + i * 0x1000);
		contains(text, part);
		snprintf(part, sizeof(part),
			 "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, ,, )\n");
		contains(text, part);
		snprintf(part, sizeof(part), "0x%08X,\n                }", 8 + i);
		contains(text, part);
	}
	cr_assert_not(strstr(text, "VR10"));
	remove_folder();
}

Test(acpi, dsdt_has_no_device_that_is_not_there, .timeout = 240)
{
	struct table t = find(write_tables(1, 0), "DSDT");
	const char *text = disassemble(&t, "dsdt");

	cr_assert_not(strstr(text, "LNRO0005"));
	contains(text, "\"ACPI0013\"");
	remove_folder();
}
