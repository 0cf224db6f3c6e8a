/* SPDX-License-Identifier: Apache-2.0 */
/* base.h - what every part of the agent uses: types, sizes, the clock, the log. */
#ifndef EBB_AGENT_BASE_H
#define EBB_AGENT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof *(a))

static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }
/* What A is more than B. */
static inline uint64_t over(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

/* Monotonic, never 0. */
uint64_t now_ms(void);
void sleep_ms(uint64_t ms);

/* One line on stderr, of the words up to a NULL. agent_note() only with --log. */
void agent_error(const char *word, ...) __attribute__((sentinel));
void agent_note(const char *word, ...) __attribute__((sentinel));
extern bool agent_log;
/* "No such file or directory"; ERROR is errno or -errno. */
const char *error_text(int error);

#endif
