/* SPDX-License-Identifier: Apache-2.0 */
/* types.h - the few types and macros that every layer uses. */
#ifndef EBB_BASE_TYPES_H
#define EBB_BASE_TYPES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)

#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/*
 * A guest-physical address. A struct, so that neither arithmetic nor a dereference compiles by
 * accident; memory behind it is reached through vmm/memory/guest_mem.h only.
 */
typedef struct {
	uint64_t v;
} gpa_t;

#define GPA(x) ((gpa_t){ (x) })

/* Little-endian wire integers: only the accessors below can read or write them. */
typedef struct {
	uint16_t raw;
} le16;
typedef struct {
	uint32_t raw;
} le32;
typedef struct {
	uint64_t raw;
} le64;

static inline uint16_t le16_get(le16 x) { return le16toh(x.raw); }
static inline uint32_t le32_get(le32 x) { return le32toh(x.raw); }
static inline uint64_t le64_get(le64 x) { return le64toh(x.raw); }
static inline le16 le16_of(uint16_t x) { return (le16){ htole16(x) }; }
static inline le32 le32_of(uint32_t x) { return (le32){ htole32(x) }; }
static inline le64 le64_of(uint64_t x) { return (le64){ htole64(x) }; }

static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }
static inline bool is_power_of_two(uint64_t x) { return x && !(x & (x - 1)); }

/* ALIGN must be a power of two. align_up() wraps to 0 when X lies in the last ALIGN bytes. */
static inline uint64_t align_down(uint64_t x, uint64_t align) { return x & ~(align - 1); }
static inline uint64_t align_up(uint64_t x, uint64_t align) { return align_down(x + align - 1, align); }
static inline bool is_aligned(uint64_t x, uint64_t align) { return !(x & (align - 1)); }

/*
 * True when [start, start + bytes) lies wholly inside [base, base + size). Subtracts before it
 * compares, so no sum can wrap. An empty range lies inside when START does, or at the end.
 */
static inline bool range_inside(uint64_t start, uint64_t bytes, uint64_t base, uint64_t size)
{
	return start >= base && start - base <= size && bytes <= size - (start - base);
}

/* Scope exits: the resource is released when the variable leaves its scope. */
static inline void auto_close_fn(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void auto_free_fn(void *p) { free(*(void **)p); }
#define auto_close __attribute__((cleanup(auto_close_fn)))
#define auto_free __attribute__((cleanup(auto_free_fn)))

/* Hands the descriptor to the caller; the variable no longer owns it. */
static inline int take_fd(int *fd)
{
	int ret = *fd;

	*fd = -1;
	return ret;
}

#endif
