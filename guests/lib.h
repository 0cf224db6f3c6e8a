/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib.h - what a bare-metal guest stands on: print, verdict, command line, memory.
 * A guest defines guest_main(); it runs in ring 3 on CPU 0 with interrupts off and the first
 * 4 GiB mapped one to one. Its return value is the exit code.
 */
#ifndef EBB_GUESTS_LIB_H
#define EBB_GUESTS_LIB_H

#include <string.h>

#include "vmm/base/types.h"

#define PAGE_BYTES UINT64_C(4096)
#define HUGE_BYTES (2 * MiB)

int guest_main(void);

/* Known conversions: %s %c %d %u %x %p %%, with l, ll or z. Safe on several CPUs. */
void print(const char *fmt, ...) printf_like(1, 2);
/* One byte from the serial port: waits, or -1 at once when there is none. */
uint8_t serial_wait(void);
int serial_poll(void);

/* Halts this CPU for ever. */
__attribute__((noreturn)) void cpu_stop(void);
/* The VM ends with CODE & 0xff; without an exit port the CPU stops. */
__attribute__((noreturn)) void guest_exit(uint32_t code);
/* Prints FAIL, file, line and the text, and exits with 1. */
__attribute__((noreturn)) void guest_fail(const char *file, int line, const char *fmt, ...)
	printf_like(3, 4);
#define FAIL(...) guest_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond)                    \
	do {                           \
		if (!(cond))           \
			FAIL("%s", #cond); \
	} while (0)
/* Both values are shown when they differ. */
#define CHECK_EQ(a, b)                                                            \
	do {                                                                      \
		uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);                  \
		if (a_ != b_)                                                     \
			FAIL("%s is 0x%llx, not 0x%llx", #a, (unsigned long long)a_, \
			     (unsigned long long)b_);                             \
	} while (0)
/* Prints the one line that says so, and exits with 0. */
#define PASS() guest_pass(__FILE__)
__attribute__((noreturn)) void guest_pass(const char *file);

/* key=value words of the command line. The text ends at the next blank: use the helpers. */
const char *cmdline_get(const char *key);
/* The value of the next word with KEY after the one at AFTER (NULL: the first), or NULL. */
const char *cmdline_next(const char *key, const char *after);
bool cmdline_is(const char *key, const char *value);
/* Decimal or 0x hex, with K, M or G. */
uint64_t cmdline_u64(const char *key, uint64_t fallback);
/* The number at *TEXT, which then stands behind it. */
uint64_t parse_u64(const char **text);
/* Prints "step NAME"; with wait=1 then waits for a byte, so that the host can measure. */
void step(const char *fmt, ...) printf_like(1, 2);

/* Zeroed pages from the image's own pool, never given back. */
void *page_alloc(size_t nr_pages);

struct range {
	uint64_t start, bytes;
};
static inline bool range_overlaps(struct range a, struct range b)
{
	return a.start < b.start + b.bytes && b.start < a.start + a.bytes;
}

/* What the PVH start info handed over. Absent: 0 bytes. */
struct boot {
	struct range in_use[8]; /* image, start info and what it points at: leave these alone */
	unsigned int nr_in_use;
	struct range devtree, initrd;
	struct range memory[8]; /* usable, as the memory map has it */
	unsigned int nr_memory;
};
extern struct boot boot;
/* True when RANGE holds something that the runtime still needs. */
bool boot_in_use(struct range range);

#endif
