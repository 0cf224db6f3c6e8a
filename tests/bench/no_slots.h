/* SPDX-License-Identifier: Apache-2.0 */
/* no_slots.h - memory slots for a bench without KVM. */
#ifndef EBB_TESTS_NO_SLOTS_H
#define EBB_TESTS_NO_SLOTS_H

#include "vmm/memory/slots.h"

static int no_slot(void *ctx, uint32_t slot, gpa_t base, void *host, uint64_t bytes, bool read_only)
{
	(void)ctx, (void)slot, (void)base, (void)host, (void)bytes, (void)read_only;
	return 0;
}

static int no_slot_goes(void *ctx, uint32_t slot)
{
	(void)ctx, (void)slot;
	return 0;
}

#define NO_SLOTS { .add = no_slot, .remove = no_slot_goes }

#endif
