/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_slots.h - stands in for KVM's memory slots: remembers what it was told, insists on what KVM
 * insists on (a number is in use once; slots do not overlap), and fails when asked to.
 */
#ifndef EBB_TESTS_FAKE_SLOTS_H
#define EBB_TESTS_FAKE_SLOTS_H

#include "vmm/memory/slots.h"

#define FAKE_SLOTS_MAX 600

struct fake_slots {
	struct fake_slot {
		bool there, read_only;
		gpa_t base;
		void *host;
		uint64_t bytes;
	} slots[FAKE_SLOTS_MAX];
	unsigned int nr_adds, nr_removes; /* that succeeded */
	unsigned int adds_left;		  /* before they fail */
	bool remove_fails;
	/* Called after each add, before it returns; may be NULL. */
	void (*on_add)(void *ctx);
	void *ctx;
};

/* Its ops, once it is as empty as at the start. */
struct slot_ops fake_slots_init(struct fake_slots *f);
unsigned int fake_slots_nr(const struct fake_slots *f);
/* Whether the guest reaches HOST at AT, and may write there. */
bool fake_slots_shows(const struct fake_slots *f, gpa_t at, const void *host, bool read_only);
/* Whether the guest reaches anything at AT. */
bool fake_slots_any(const struct fake_slots *f, gpa_t at);

#endif
