/* SPDX-License-Identifier: Apache-2.0 */
/* fake_slots.c - stands in for KVM's memory slots. */
#include "tests/unit/fake_slots.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>

static const struct fake_slot *slot_at(const struct fake_slots *f, gpa_t at)
{
	for (unsigned int i = 0; i < FAKE_SLOTS_MAX; i++) {
		const struct fake_slot *s = &f->slots[i];

		if (s->there && at.v >= s->base.v && at.v - s->base.v < s->bytes)
			return s;
	}
	return NULL;
}

static int add(void *ctx, uint32_t slot, gpa_t base, void *host, uint64_t bytes, bool read_only)
{
	struct fake_slots *f = ctx;

	cr_assert_lt(slot, FAKE_SLOTS_MAX);
	cr_assert_not(f->slots[slot].there, "slot %u twice", slot);
	cr_assert(bytes && is_aligned(base.v | bytes | (uintptr_t)host, 4096));
	cr_assert(!slot_at(f, base) && !slot_at(f, GPA(base.v + bytes - 1)), "slots overlap");
	if (!f->adds_left)
		return -EINVAL;
	f->adds_left--;
	f->nr_adds++;
	f->slots[slot] = (struct fake_slot){ true, read_only, base, host, bytes };
	if (f->on_add)
		f->on_add(f->ctx);
	return 0;
}

static int remove_slot(void *ctx, uint32_t slot)
{
	struct fake_slots *f = ctx;

	cr_assert(slot < FAKE_SLOTS_MAX && f->slots[slot].there, "slot %u is not there", slot);
	if (f->remove_fails)
		return -EINVAL;
	f->nr_removes++;
	f->slots[slot].there = false;
	return 0;
}

struct slot_ops fake_slots_init(struct fake_slots *f)
{
	*f = (struct fake_slots){ .adds_left = UINT_MAX };
	return (struct slot_ops){ .add = add, .remove = remove_slot, .ctx = f };
}

unsigned int fake_slots_nr(const struct fake_slots *f)
{
	return f->nr_adds - f->nr_removes;
}

bool fake_slots_shows(const struct fake_slots *f, gpa_t at, const void *host, bool read_only)
{
	const struct fake_slot *s = slot_at(f, at);

	return s && (char *)s->host + (at.v - s->base.v) == host && s->read_only == read_only;
}

bool fake_slots_any(const struct fake_slots *f, gpa_t at) { return slot_at(f, at); }
