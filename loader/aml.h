/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aml.h - writes ACPI Machine Language into a buffer (ACPI, "ACPI Machine Language (AML)
 * Specification"). A write past the end of the buffer is dropped and remembered in OVERFLOW, so a
 * caller checks once, at the end.
 */
#ifndef EBB_LOADER_AML_H
#define EBB_LOADER_AML_H

#include "vmm/base/types.h"

struct aml {
	uint8_t *buffer;
	size_t size, used;
	bool overflow;
};

void aml_byte(struct aml *a, uint8_t value);
void aml_bytes(struct aml *a, const void *bytes, size_t nr);
/* The shortest form of an integer constant. */
void aml_integer(struct aml *a, uint64_t value);
void aml_string(struct aml *a, const char *text);
/* At most two segments, each of at most four characters: "_HID", "\\_SB", "\\_SB.PWRB". */
void aml_path(struct aml *a, const char *path);
/* Name(PATH, ...): the object follows. */
void aml_name(struct aml *a, const char *path);
/* An EISA identifier ("PNP0C0C") as the integer it is compressed to. */
void aml_eisa_id(struct aml *a, const char *id);

/*
 * Everything that has a length: aml_open_*() ... contents ... aml_close(), properly nested. The
 * result goes to aml_close().
 */
size_t aml_open_scope(struct aml *a, const char *path);
size_t aml_open_device(struct aml *a, const char *name);
size_t aml_open_package(struct aml *a, uint8_t nr_elements);
size_t aml_open_method(struct aml *a, const char *name, uint8_t nr_args);
size_t aml_open_if(struct aml *a);
void aml_close(struct aml *a, size_t opened);

/* OperationRegion(NAME, SystemMemory, BASE, BYTES) and a field of its first 32 bits. */
void aml_memory_field32(struct aml *a, const char *region, const char *field, uint64_t base,
			uint64_t bytes);

/* ResourceTemplate() of what follows up to aml_close_resources(). */
struct aml_resources {
	size_t opened, size_at, start;
};
struct aml_resources aml_open_resources(struct aml *a);
void aml_memory32(struct aml *a, uint32_t base, uint32_t bytes);
void aml_io16(struct aml *a, uint16_t port, uint8_t bytes);
/* Extended Interrupt: consumer, edge, active high, exclusive. */
void aml_interrupt(struct aml *a, uint32_t gsi);
void aml_close_resources(struct aml *a, struct aml_resources r);

#define AML_ZERO 0x00
#define AML_ONE 0x01
#define AML_LOCAL0 0x60
#define AML_STORE 0x70
#define AML_AND 0x7b
#define AML_NOTIFY 0x86
#define AML_NO_TARGET 0x00

#endif
