/* SPDX-License-Identifier: Apache-2.0 */
/* slots.c - the coarse layer of an elastic region. */
#include "vmm/memory/slots.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "vmm/base/log.h"

#define SEGMENT_MIN (128 * MiB)
/* Small segments are exact sooner; this many cost little. */
#define SEGMENTS_NICE 256

int slot_add_ram(const struct slot_ops *ops, uint32_t slot, gpa_t base, struct ram *ram,
		 uint64_t offset, uint64_t bytes)
{
	assert(range_inside(offset, bytes, 0, ram->bytes));
	return ops->add(ops->ctx, slot, base, (char *)ram->host + offset, bytes, false);
}

uint64_t slots_segment_bytes(uint64_t region_bytes, uint64_t block_bytes, uint32_t nr_slots)
{
	uint64_t bytes = max_u64(SEGMENT_MIN, block_bytes);
	uint64_t want = min_u64(nr_slots, SEGMENTS_NICE);

	if (!nr_slots)
		return 0;
	while ((region_bytes + bytes - 1) / bytes > want)
		bytes *= 2;
	return bytes;
}

int slots_init(struct slots *s, const struct slot_ops *ops, uint32_t first_slot, gpa_t base,
	       struct ram *ram, uint64_t segment_bytes)
{
	uint32_t nr = (uint32_t)((ram->bytes + segment_bytes - 1) / segment_bytes);
	struct segment *segments = calloc(nr, sizeof(*segments));

	if (!segments)
		return fail(-ENOMEM, "memory slots");
	*s = (struct slots){ .ops = *ops,
			     .first_slot = first_slot,
			     .nr = nr,
			     .base = base,
			     .ram = ram,
			     .segment_bytes = segment_bytes,
			     .segments = segments };
	return 0;
}

void slots_destroy(struct slots *s)
{
	if (s->zeros)
		munmap(s->zeros, s->segment_bytes);
	free(s->segments);
	*s = (struct slots){ 0 };
}

void slots_forget(struct slots *s)
{
	for (uint32_t i = 0; i < s->nr; i++)
		s->segments[i] = (struct segment){ 0 };
	s->readable = false;
}

/* What segment I shows becomes SHOWS; nothing when that fails half-way. */
static int show(struct slots *s, uint32_t i, enum segment_shows shows)
{
	struct segment *seg = &s->segments[i];
	uint64_t offset = i * s->segment_bytes;
	uint64_t bytes = min_u64(s->segment_bytes, s->ram->bytes - offset);
	gpa_t base = GPA(s->base.v + offset);
	int r = 0;

	if (seg->shows == shows)
		return 0;
	if (seg->shows != SEGMENT_NOTHING)
		r = s->ops.remove(s->ops.ctx, s->first_slot + i);
	if (r)
		return r;
	seg->shows = SEGMENT_NOTHING;
	if (shows == SEGMENT_RAM)
		r = slot_add_ram(&s->ops, s->first_slot + i, base, s->ram, offset, bytes);
	else if (shows == SEGMENT_ZEROS)
		r = s->ops.add(s->ops.ctx, s->first_slot + i, base, s->zeros, bytes, true);
	if (!r)
		seg->shows = shows;
	return r;
}

int slots_need(struct slots *s, uint64_t offset, uint64_t bytes, bool *added)
{
	uint32_t first = (uint32_t)(offset / s->segment_bytes);
	uint32_t last = (uint32_t)((offset + bytes - 1) / s->segment_bytes);
	int r = 0;

	assert(bytes && last < s->nr);
	for (uint32_t i = first; i <= last && !r; i++) {
		if (added && s->segments[i].shows != SEGMENT_RAM)
			*added = true;
		s->segments[i].idle_since_ns = 0;
		r = show(s, i, SEGMENT_RAM);
	}
	return r;
}

void slots_idle(struct slots *s, uint64_t offset, uint64_t now_ns)
{
	s->segments[offset / s->segment_bytes].idle_since_ns = now_ns;
}

void slots_tick(struct slots *s, uint64_t now_ns)
{
	for (uint32_t i = 0; i < s->nr; i++) {
		struct segment *seg = &s->segments[i];

		if (seg->shows != SEGMENT_RAM || !seg->idle_since_ns ||
		    now_ns < seg->idle_since_ns + SLOTS_IDLE_NS)
			continue;
		/* A slot that stays is guarded like any other: try again as long after. */
		if (show(s, i, s->readable ? SEGMENT_ZEROS : SEGMENT_NOTHING))
			seg->idle_since_ns = now_ns;
	}
}

/* One huge page of zeros of the kernel's stands behind all of it. */
static int make_zeros(struct slots *s)
{
	void *zeros = mmap(NULL, s->segment_bytes, PROT_READ,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (zeros == MAP_FAILED)
		return fail(-errno, "window of zeros");
	if (madvise(zeros, s->segment_bytes, MADV_DONTDUMP) ||
	    madvise(zeros, s->segment_bytes, MADV_DONTFORK) ||
	    (madvise(zeros, s->segment_bytes, MADV_HUGEPAGE) && errno != EINVAL))
		log_debug("window of zeros: madvise failed");
	s->zeros = zeros;
	return 0;
}

int slots_set_readable(struct slots *s, bool readable)
{
	int r = readable && !s->zeros ? make_zeros(s) : 0;

	if (!r)
		s->readable = readable;
	for (uint32_t i = 0; i < s->nr && !r; i++)
		if (s->segments[i].shows != SEGMENT_RAM)
			r = show(s, i, readable ? SEGMENT_ZEROS : SEGMENT_NOTHING);
	return r;
}
