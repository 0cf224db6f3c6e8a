/* SPDX-License-Identifier: Apache-2.0 */
/* linux64.h - the state that the 64-bit boot protocol of Linux asks for. */
#ifndef EBB_LOADER_LINUX64_H
#define EBB_LOADER_LINUX64_H

#include "loader/bootparam.h"
#include "loader/handover.h"

/* Writes zero page, page tables and GDT; fills in all of OUT but protocol and rip. */
int must_check linux64_hand_over(const struct guest_mem *gm, const struct handover *h,
				 const struct setup_header *setup, struct boot_entry *out);

#endif
