/* SPDX-License-Identifier: Apache-2.0 */
/* aml.c - writes ACPI Machine Language into a buffer. */
#include "loader/aml.h"

#include <assert.h>
#include <string.h>

#define SEG_BYTES 4
#define PKG_LENGTH_BYTES 3 /* always this form: up to 1 MiB, patched in place */
#define PKG_LENGTH_MAX 0xfffff

enum {
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_DUAL_NAME = 0x2e,
	OP_EXT = 0x5b,
	OP_ROOT = '\\',
	OP_IF = 0xa0,
	EXT_OP_REGION = 0x80,
	EXT_FIELD = 0x81,
	EXT_DEVICE = 0x82,
};

void aml_bytes(struct aml *a, const void *bytes, size_t nr)
{
	if (a->overflow || nr > a->size - a->used) {
		a->overflow = true;
		return;
	}
	memcpy(a->buffer + a->used, bytes, nr);
	a->used += nr;
}

void aml_byte(struct aml *a, uint8_t value) { aml_bytes(a, &value, 1); }

static void little_endian(struct aml *a, uint64_t value, size_t nr)
{
	le64 wire = le64_of(value);

	aml_bytes(a, &wire, nr);
}

void aml_integer(struct aml *a, uint64_t value)
{
	if (value <= 1) {
		aml_byte(a, (uint8_t)value);
	} else if (value <= UINT8_MAX) {
		aml_byte(a, OP_BYTE);
		little_endian(a, value, 1);
	} else if (value <= UINT16_MAX) {
		aml_byte(a, OP_WORD);
		little_endian(a, value, 2);
	} else if (value <= UINT32_MAX) {
		aml_byte(a, OP_DWORD);
		little_endian(a, value, 4);
	} else {
		aml_byte(a, OP_QWORD);
		little_endian(a, value, 8);
	}
}

void aml_string(struct aml *a, const char *text)
{
	aml_byte(a, OP_STRING);
	aml_bytes(a, text, strlen(text) + 1);
}

static void segment(struct aml *a, const char *text, size_t length)
{
	char padded[SEG_BYTES] = { '_', '_', '_', '_' };

	assert(length && length <= SEG_BYTES);
	memcpy(padded, text, length);
	aml_bytes(a, padded, SEG_BYTES);
}

void aml_path(struct aml *a, const char *path)
{
	const char *dot;

	if (*path == '\\') {
		aml_byte(a, OP_ROOT);
		path++;
	}
	dot = strchr(path, '.');
	if (dot) {
		aml_byte(a, OP_DUAL_NAME);
		segment(a, path, (size_t)(dot - path));
		path = dot + 1;
	}
	segment(a, path, strlen(path));
}

void aml_name(struct aml *a, const char *path)
{
	aml_byte(a, OP_NAME);
	aml_path(a, path);
}

/* Three letters of 5 bits and four hexadecimal digits, big-endian. */
void aml_eisa_id(struct aml *a, const char *id)
{
	uint32_t product = (uint32_t)strtoul(id + 3, NULL, 16), letters = 0;

	assert(strlen(id) == 7);
	for (unsigned int i = 0; i < 3; i++)
		letters = letters << 5 | (uint32_t)(id[i] - '@');
	aml_byte(a, OP_DWORD);
	little_endian(a, htobe32(letters << 16 | product), 4);
}

static size_t open_package(struct aml *a)
{
	static const uint8_t room[PKG_LENGTH_BYTES];

	aml_bytes(a, room, sizeof(room));
	return a->used - sizeof(room);
}

/* The length counts itself; 4 bits of it stand in the lead byte, 8 in each of the next two. */
void aml_close(struct aml *a, size_t opened)
{
	size_t bytes;

	if (a->overflow)
		return;
	bytes = a->used - opened;
	assert(bytes <= PKG_LENGTH_MAX);
	a->buffer[opened] = (uint8_t)((PKG_LENGTH_BYTES - 1) << 6 | (bytes & 0xf));
	a->buffer[opened + 1] = (uint8_t)(bytes >> 4);
	a->buffer[opened + 2] = (uint8_t)(bytes >> 12);
}

size_t aml_open_scope(struct aml *a, const char *path)
{
	size_t opened;

	aml_byte(a, OP_SCOPE);
	opened = open_package(a);
	aml_path(a, path);
	return opened;
}

size_t aml_open_device(struct aml *a, const char *name)
{
	size_t opened;

	aml_byte(a, OP_EXT);
	aml_byte(a, EXT_DEVICE);
	opened = open_package(a);
	aml_path(a, name);
	return opened;
}

size_t aml_open_package(struct aml *a, uint8_t nr_elements)
{
	size_t opened;

	aml_byte(a, OP_PACKAGE);
	opened = open_package(a);
	aml_byte(a, nr_elements);
	return opened;
}

size_t aml_open_method(struct aml *a, const char *name, uint8_t nr_args)
{
	enum { SERIALIZED = 1 << 3 };
	size_t opened;

	assert(nr_args < SERIALIZED);
	aml_byte(a, OP_METHOD);
	opened = open_package(a);
	aml_path(a, name);
	aml_byte(a, nr_args | SERIALIZED);
	return opened;
}

size_t aml_open_if(struct aml *a)
{
	aml_byte(a, OP_IF);
	return open_package(a);
}

void aml_memory_field32(struct aml *a, const char *region, const char *field, uint64_t base,
			uint64_t bytes)
{
	enum { SYSTEM_MEMORY = 0, DWORD_ACCESS = 3, WRITE_AS_ZEROS = 2 << 5, FIELD_BITS = 32 };
	size_t opened;

	aml_byte(a, OP_EXT);
	aml_byte(a, EXT_OP_REGION);
	aml_path(a, region);
	aml_byte(a, SYSTEM_MEMORY);
	aml_integer(a, base);
	aml_integer(a, bytes);
	aml_byte(a, OP_EXT);
	aml_byte(a, EXT_FIELD);
	opened = open_package(a);
	aml_path(a, region);
	aml_byte(a, DWORD_ACCESS | WRITE_AS_ZEROS);
	aml_path(a, field);
	aml_byte(a, FIELD_BITS);
	aml_close(a, opened);
}

struct aml_resources aml_open_resources(struct aml *a)
{
	struct aml_resources r;

	aml_byte(a, OP_BUFFER);
	r.opened = open_package(a);
	aml_byte(a, OP_WORD);
	r.size_at = a->used;
	little_endian(a, 0, 2);
	r.start = a->used;
	return r;
}

void aml_memory32(struct aml *a, uint32_t base, uint32_t bytes)
{
	enum { MEMORY32_FIXED = 0x86, BODY_BYTES = 9, READ_WRITE = 1 };

	aml_byte(a, MEMORY32_FIXED);
	little_endian(a, BODY_BYTES, 2);
	aml_byte(a, READ_WRITE);
	little_endian(a, base, 4);
	little_endian(a, bytes, 4);
}

void aml_io16(struct aml *a, uint16_t port, uint8_t bytes)
{
	enum { IO_PORT = 0x47, DECODE_16 = 1 };

	aml_byte(a, IO_PORT);
	aml_byte(a, DECODE_16);
	little_endian(a, port, 2);
	little_endian(a, port, 2);
	aml_byte(a, 1); /* alignment */
	aml_byte(a, bytes);
}

void aml_interrupt(struct aml *a, uint32_t gsi)
{
	enum { EXTENDED_INTERRUPT = 0x89, BODY_BYTES = 6, CONSUMER = 1 << 0, EDGE = 1 << 1 };

	aml_byte(a, EXTENDED_INTERRUPT);
	little_endian(a, BODY_BYTES, 2);
	aml_byte(a, CONSUMER | EDGE); /* active high and exclusive are zeros */
	aml_byte(a, 1);		      /* one interrupt */
	little_endian(a, gsi, 4);
}

void aml_close_resources(struct aml *a, struct aml_resources r)
{
	enum { END_TAG = 0x79, NO_CHECKSUM = 0 };
	size_t bytes;

	aml_byte(a, END_TAG);
	aml_byte(a, NO_CHECKSUM);
	if (a->overflow)
		return;
	bytes = a->used - r.start;
	a->buffer[r.size_at] = (uint8_t)bytes;
	a->buffer[r.size_at + 1] = (uint8_t)(bytes >> 8);
	aml_close(a, r.opened);
}
