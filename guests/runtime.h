/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.h - the order in which the runtime's own files come up; guests do not include it. */
#ifndef EBB_GUESTS_RUNTIME_H
#define EBB_GUESTS_RUNTIME_H

#include <stdint.h>

struct exception_frame {
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* Called by start.S in ring 3. START_INFO is meaningful on CPU 0. */
__attribute__((noreturn)) void cpu_entry(uint32_t cpu, uint32_t start_info);
__attribute__((noreturn)) void cpu_exception(const struct exception_frame *frame, uint64_t cr2);
/* Takes in the start info; the first step of CPU 0. */
void lib_init(uint32_t start_info);

#endif
