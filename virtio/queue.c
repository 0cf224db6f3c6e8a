/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - the device side of a split virtqueue. */
#include "virtio/queue.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ring.h>

struct desc {
	le64 addr;
	le32 len;
	le16 flags, next;
};
_Static_assert(sizeof(struct desc) == sizeof(struct vring_desc), "wire size");

struct used_elem {
	le32 id, len;
};
_Static_assert(sizeof(struct used_elem) == sizeof(struct vring_used_elem), "wire size");

/* Where the words of the rings lie; a guest's address never wraps, virtq_check() saw to it. */
static gpa_t avail_flags(const struct virtq *q) { return q->avail; }
static gpa_t avail_idx(const struct virtq *q) { return GPA(q->avail.v + 2); }
static gpa_t avail_ring(const struct virtq *q, uint16_t idx)
{
	return GPA(q->avail.v + 4 + sizeof(le16) * (idx & (q->size - 1u)));
}
static gpa_t used_event(const struct virtq *q)
{
	return GPA(q->avail.v + 4 + sizeof(le16) * q->size);
}
static gpa_t used_idx(const struct virtq *q) { return GPA(q->used.v + 2); }
static gpa_t used_ring(const struct virtq *q, uint16_t idx)
{
	return GPA(q->used.v + 4 + sizeof(struct used_elem) * (idx & (q->size - 1u)));
}
static gpa_t avail_event(const struct virtq *q)
{
	return GPA(q->used.v + 4 + sizeof(struct used_elem) * q->size);
}

/* The one way out for every broken rule. */
static int broken(struct virtq *q, const char *why)
{
	q->why = why;
	return -EPROTO;
}

/* Both sides store one word and then load the other's: neither may overtake the other. */
static void full_barrier(void) { __sync_synchronize(); }

void virtq_reset(struct virtq *q) { *q = (struct virtq){ 0 }; }

int virtq_check(struct virtq *q, const struct guest_mem *gm)
{
	if (!is_power_of_two(q->size) || q->size > VIRTQ_MAX_SIZE)
		return broken(q, "queue enabled without a valid size");
	if (!is_aligned(q->desc.v, 16) || !is_aligned(q->avail.v, 2) || !is_aligned(q->used.v, 4))
		return broken(q, "misaligned ring");
	if (!gm_valid(gm, q->desc, sizeof(struct desc) * q->size) ||
	    !gm_valid(gm, q->avail, 6 + sizeof(le16) * q->size) ||
	    !gm_valid(gm, q->used, 6 + sizeof(struct used_elem) * q->size))
		return broken(q, "ring outside of memory");
	return 0;
}

static bool test_in_flight(const struct virtq *q, uint16_t head)
{
	return q->in_flight[head / 64] >> (head % 64) & 1;
}

static void flip_in_flight(struct virtq *q, uint16_t head)
{
	q->in_flight[head / 64] ^= UINT64_C(1) << (head % 64);
}

/* A table of descriptors: the queue's own or an indirect one. */
struct table {
	gpa_t at;
	uint32_t nr;
	bool is_indirect;
};

/* NULL, or what is wrong with a descriptor that names an indirect table. */
static const char *enter_indirect(const struct virtq *q, const struct guest_mem *gm,
				  const struct desc *d, struct table *table)
{
	uint32_t bytes = le32_get(d->len);

	if (!q->indirect)
		return "indirect descriptor that was not negotiated";
	if (table->is_indirect)
		return "nested indirect descriptor";
	if (le16_get(d->flags) & VRING_DESC_F_NEXT)
		return "indirect descriptor with a next one";
	if (!bytes || bytes % sizeof(*d))
		return "indirect table of a bad length";
	*table = (struct table){ GPA(le64_get(d->addr)), bytes / (uint32_t)sizeof(*d), true };
	return gm_valid(gm, table->at, bytes) ? NULL : "indirect table outside of memory";
}

/*
 * NULL, or what is wrong with the chain. Each descriptor is read once, and decided on by its copy.
 * Drivers do make indirect chains longer than the queue, so these are bounded by our own limit.
 */
static const char *walk(const struct virtq *q, const struct guest_mem *gm, struct chain *chain)
{
	struct table table = { q->desc, q->size, false };
	uint32_t i = chain->head, left = q->size;

	for (;;) {
		struct desc d;
		uint16_t flags;

		if (!left--)
			return "descriptor chain too long or a loop";
		if (i >= table.nr)
			return "next descriptor out of range";
		if (gm_read_obj(gm, GPA(table.at.v + i * sizeof(d)), &d))
			return "descriptor outside of memory";
		flags = le16_get(d.flags);
		if (flags & VRING_DESC_F_INDIRECT) {
			const char *why = enter_indirect(q, gm, &d, &table);

			if (why)
				return why;
			i = 0;
			left = (uint32_t)min_u64(table.nr, CHAIN_MAX_SEGMENTS);
			continue;
		}
		if (chain_add(chain, GPA(le64_get(d.addr)), le32_get(d.len),
			      flags & VRING_DESC_F_WRITE))
			return "bad buffer in a descriptor chain";
		if (!(flags & VRING_DESC_F_NEXT))
			return NULL;
		i = le16_get(d.next);
	}
}

int virtq_pop(struct virtq *q, const struct guest_mem *gm, struct chain *chain)
{
	uint16_t idx, head;
	const char *why;

	/* The load acquires: pairs with the driver's barrier between ring entry and index. */
	if (gm_load_le16(gm, avail_idx(q), &idx))
		return broken(q, "available ring outside of memory");
	if (idx == q->next_avail)
		return 0;
	if ((uint16_t)(idx - q->next_avail) > q->size)
		return broken(q, "available index jumped by more than the queue size");
	if (gm_load_le16(gm, avail_ring(q, q->next_avail), &head))
		return broken(q, "available ring outside of memory");
	if (head >= q->size)
		return broken(q, "head out of range");
	if (test_in_flight(q, head))
		return broken(q, "head made available while in flight");
	flip_in_flight(q, head);
	q->next_avail++;
	chain_init(chain, gm, head);
	why = walk(q, gm, chain);
	if (!why)
		return 1;
	/* The driver waits for this head; whether it can have it does not change the verdict. */
	if (virtq_push(q, gm, chain))
		return -EPROTO;
	return broken(q, why);
}

int virtq_push(struct virtq *q, const struct guest_mem *gm, const struct chain *chain)
{
	struct used_elem elem = { le32_of(chain->head), le32_of(chain->written) };

	assert(test_in_flight(q, chain->head));
	flip_in_flight(q, chain->head);
	/* The store releases: pairs with the driver's barrier between index and element. */
	if (gm_write_obj(gm, used_ring(q, q->next_used), &elem) ||
	    gm_store_le16(gm, used_idx(q), (uint16_t)(q->next_used + 1)))
		return broken(q, "used ring outside of memory");
	q->next_used++;
	return 0;
}

int virtq_wants_interrupt(struct virtq *q, const struct guest_mem *gm)
{
	uint16_t old = q->signalled_used, flags, event;

	if (q->next_used == old)
		return 0;
	q->signalled_used = q->next_used;
	/* Pairs with the driver's, between its enabling interrupts and its look at used.idx. */
	full_barrier();
	if (!q->event_idx) {
		if (gm_load_le16(gm, avail_flags(q), &flags))
			return broken(q, "available ring outside of memory");
		return !(flags & VRING_AVAIL_F_NO_INTERRUPT);
	}
	if (gm_load_le16(gm, used_event(q), &event))
		return broken(q, "available ring outside of memory");
	/* Was the entry that the driver named among those pushed since? Modulo 2^16. */
	return (uint16_t)(q->next_used - event - 1) < (uint16_t)(q->next_used - old);
}

int virtq_enable_kick(struct virtq *q, const struct guest_mem *gm)
{
	uint16_t idx;

	if (!q->event_idx)
		return 0;
	if (gm_store_le16(gm, avail_event(q), q->next_avail))
		return broken(q, "used ring outside of memory");
	/* Pairs with the driver's, between its store of avail.idx and its look at avail_event. */
	full_barrier();
	if (gm_load_le16(gm, avail_idx(q), &idx))
		return broken(q, "available ring outside of memory");
	return idx != q->next_avail;
}
