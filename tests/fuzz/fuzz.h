/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz.h - what fuzz targets share: an input as a stream of decisions, and checks that end the
 * process, whose input the fuzzer then keeps. A target is one file, tests/fuzz/fuzz_NAME.c, with
 * LLVMFuzzerTestOneInput(), and its corpus in tests/fuzz/corpus/NAME.
 */
#ifndef EBB_TESTS_FUZZ_H
#define EBB_TESTS_FUZZ_H

#include "vmm/base/types.h"

/* What libFuzzer calls, again and again in one process: nothing may stay of an earlier input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

_Noreturn void fuzz_failed(const char *file, int line, const char *what);
#define fuzz_check(cond) ((cond) ? (void)0 : fuzz_failed(__FILE__, __LINE__, #cond))

struct fuzz_stream {
	const uint8_t *at;
	size_t left;
};
/* The next BYTES (at most 8), little endian; zeros behind the end. */
uint64_t fuzz_take(struct fuzz_stream *s, unsigned int bytes);
static inline uint8_t fuzz_u8(struct fuzz_stream *s) { return (uint8_t)fuzz_take(s, 1); }
static inline uint16_t fuzz_u16(struct fuzz_stream *s) { return (uint16_t)fuzz_take(s, 2); }
static inline uint32_t fuzz_u32(struct fuzz_stream *s) { return (uint32_t)fuzz_take(s, 4); }
/* One byte, as a number below N, at most 256. */
static inline uint32_t fuzz_below(struct fuzz_stream *s, uint32_t n) { return fuzz_u8(s) % n; }

#endif
