/* SPDX-License-Identifier: Apache-2.0 */
/* lib.c - serial output, verdict, command line, PVH start info. */
#include <stdarg.h>

#include "guests/io.h"
#include "guests/lib.h"
#include "guests/runtime.h"
#include "vmm/base/platform.h"

#define SERIAL_LINE_STATUS (SERIAL_PORT + 5)
#define LINE_STATUS_DATA_READY 0x01
#define LINE_STATUS_THR_EMPTY 0x20
#define EXIT_PORT 0xf4
#define POOL_PAGES 512

#define PVH_MAGIC 0x336ec578
/* The start info of the PVH boot ABI, version 1. */
struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modules, cmdline, rsdp;
	uint64_t memory_map; /* version 1 and later, with the count below */
	uint32_t nr_memory_map, reserved;
};
struct pvh_module {
	uint64_t start, bytes, cmdline, reserved;
};
struct pvh_memory_map_entry {
	uint64_t start, bytes;
	uint32_t type, reserved;
};
#define PVH_MEMORY_USABLE 1

extern char image_start[], image_end[];

struct boot boot;
static const char *cmdline = "";
static struct spinlock print_lock;

static void put(char c)
{
	while (!(inb(SERIAL_LINE_STATUS) & LINE_STATUS_THR_EMPTY))
		cpu_pause();
	outb(SERIAL_PORT, (uint8_t)c);
}

static void put_string(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_number(uint64_t value, unsigned int base)
{
	char digits[20];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put(digits[--n]);
}

static void put_format(const char *fmt, va_list args)
{
	for (; *fmt; fmt++) {
		bool wide = false;

		if (*fmt == '\n')
			put('\r');
		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		for (fmt++; *fmt == 'l' || *fmt == 'z'; fmt++)
			wide = true;
		switch (*fmt) {
		case 's':
			put_string(va_arg(args, const char *));
			break;
		case 'c':
			put((char)va_arg(args, int));
			break;
		case 'd': {
			int64_t v = wide ? va_arg(args, int64_t) : va_arg(args, int);

			if (v < 0)
				put('-');
			put_number(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10);
			break;
		}
		case 'p':
			put_string("0x");
			put_number((uint64_t)va_arg(args, void *), 16);
			break;
		case 'u':
		case 'x':
			put_number(wide ? va_arg(args, uint64_t) : va_arg(args, unsigned int),
				   *fmt == 'u' ? 10 : 16);
			break;
		default:
			put(*fmt);
		}
	}
}

static void print_args(const char *before, const char *fmt, va_list args, const char *after)
{
	spin_lock(&print_lock);
	put_string(before);
	put_format(fmt, args);
	put_string(after);
	spin_unlock(&print_lock);
}

void print(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_args("", fmt, args, "");
	va_end(args);
}

int serial_poll(void)
{
	return inb(SERIAL_LINE_STATUS) & LINE_STATUS_DATA_READY ? inb(SERIAL_PORT) : -1;
}

uint8_t serial_wait(void)
{
	int c;

	while ((c = serial_poll()) < 0)
		cpu_pause();
	return (uint8_t)c;
}

static uint64_t do_stop(uint64_t unused)
{
	__asm__ volatile("1: cli; hlt; jmp 1b");
	return unused;
}

void cpu_stop(void)
{
	ring0(do_stop, 0);
	__builtin_unreachable();
}

void guest_exit(uint32_t code)
{
	outl(EXIT_PORT, code);
	cpu_stop(); /* no exit port, or the host is about to stop us */
}

void guest_fail(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	spin_unlock(&print_lock); /* whoever holds it may be us */
	print("FAIL %s:%d: ", file, line);
	va_start(args, fmt);
	print_args("", fmt, args, "\r\n");
	va_end(args);
	guest_exit(1);
}

/* Debian builds libfdt with the stack protector. */
void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
	FAIL("stack smashed");
}

void guest_pass(const char *file)
{
	print("PASS %s\n", file);
	guest_exit(0);
}

const char *cmdline_get(const char *key) { return cmdline_next(key, NULL); }

const char *cmdline_next(const char *key, const char *after)
{
	size_t len = strlen(key);
	const char *word = after ? after : cmdline;

	while (after && *word && *word != ' ')
		word++;
	while (*word) {
		while (*word == ' ')
			word++;
		if (!strncmp(word, key, len) && word[len] == '=')
			return word + len + 1;
		while (*word && *word != ' ')
			word++;
	}
	return NULL;
}

bool cmdline_is(const char *key, const char *value)
{
	const char *have = cmdline_get(key);
	size_t len = strlen(value);

	return have && !strncmp(have, value, len) && (have[len] == ' ' || !have[len]);
}

uint64_t cmdline_u64(const char *key, uint64_t fallback)
{
	const char *s = cmdline_get(key);

	return s ? parse_u64(&s) : fallback;
}

uint64_t parse_u64(const char **text)
{
	const char *s = *text;
	unsigned int base = 10;
	uint64_t value = 0;

	if (s[0] == '0' && s[1] == 'x') {
		base = 16;
		s += 2;
	}
	for (;; s++) {
		unsigned int digit;

		if (*s >= '0' && *s <= '9')
			digit = (unsigned int)(*s - '0');
		else if (base == 16 && *s >= 'a' && *s <= 'f')
			digit = (unsigned int)(*s - 'a') + 10;
		else
			break;
		value = value * base + digit;
	}
	switch (*s) {
	case 'K':
		value *= KiB;
		s++;
		break;
	case 'M':
		value *= MiB;
		s++;
		break;
	case 'G':
		value *= GiB;
		s++;
		break;
	}
	*text = s;
	return value;
}

void step(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_args("step ", fmt, args, "\r\n");
	va_end(args);
	if (cmdline_is("wait", "1"))
		serial_wait();
}

void *page_alloc(size_t nr_pages)
{
	static uint8_t pool[POOL_PAGES][PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
	static size_t used;

	if (nr_pages > POOL_PAGES - used)
		FAIL("out of pages");
	used += nr_pages;
	return pool[used - nr_pages];
}

static void keep(uint64_t start, uint64_t bytes)
{
	if (boot.nr_in_use == ARRAY_SIZE(boot.in_use))
		FAIL("too many ranges in use");
	boot.in_use[boot.nr_in_use++] = (struct range){ start, bytes };
}

bool boot_in_use(struct range range)
{
	for (unsigned int i = 0; i < boot.nr_in_use; i++)
		if (range_overlaps(range, boot.in_use[i]))
			return true;
	return false;
}

/* Taken down at once: where the map lies may be memory that it calls usable. */
static void take_memory_map(const struct pvh_start_info *info)
{
	const struct pvh_memory_map_entry *map = (const void *)info->memory_map;

	for (uint32_t i = 0; info->version >= 1 && i < info->nr_memory_map; i++) {
		if (map[i].type != PVH_MEMORY_USABLE)
			continue;
		if (boot.nr_memory == ARRAY_SIZE(boot.memory))
			FAIL("too many ranges of memory");
		boot.memory[boot.nr_memory++] = (struct range){ map[i].start, map[i].bytes };
	}
}

void lib_init(uint32_t start_info)
{
	const struct pvh_start_info *info = (const void *)(uintptr_t)start_info;
	const struct pvh_module *modules;

	keep((uintptr_t)image_start, (uint64_t)(image_end - image_start));
	if (info->magic != PVH_MAGIC)
		FAIL("bad start info at 0x%x", start_info);
	keep(start_info, sizeof(*info));
	if (info->cmdline) {
		cmdline = (const char *)info->cmdline;
		keep(info->cmdline, strlen(cmdline) + 1);
	}
	take_memory_map(info);
	modules = (const struct pvh_module *)info->modules;
	for (uint32_t i = 0; i < info->nr_modules; i++) {
		const char *name = (const char *)modules[i].cmdline;

		if (name && !strcmp(name, "fdt")) {
			boot.devtree = (struct range){ modules[i].start, modules[i].bytes };
			keep(modules[i].start, modules[i].bytes);
		} else if (i == 0) {
			boot.initrd = (struct range){ modules[i].start, modules[i].bytes };
			keep(modules[i].start, modules[i].bytes);
		}
	}
}
