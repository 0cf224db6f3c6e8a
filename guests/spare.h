/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spare.h - the memory that a guest may do with as it likes: usable, above 1 MiB, without anything
 * of the runtime's in it. It is mapped by the call that finds it.
 */
#ifndef EBB_GUESTS_SPARE_H
#define EBB_GUESTS_SPARE_H

#include "guests/lib.h"

/* The page frame numbers, ascending. Returns how many; more than MAX fail the guest. */
uint32_t spare_pages(uint32_t *pfns, uint32_t max);
/* The longest run of it whose start and length are multiples of ALIGN, a power of two. */
struct range spare_run(uint64_t align);

#endif
