/* SPDX-License-Identifier: Apache-2.0 */
/* test_chunk_ring.c - the few chunks that violations hold: oldest first, each of one region. */
#include "vmm/memory/chunk_ring.h"

#include <criterion/criterion.h>
#include <string.h>

static struct chunk_ring ring;
static const char one, two; /* regions: identities, nothing more */

static void setup(void) { ring = (struct chunk_ring){ .nr = 0 }; }

TestSuite(chunk_ring, .init = setup);

static void add(const void *region, uint64_t i, uint64_t expires_ns)
{
	chunk_ring_add(&ring, region, i * CHUNK_BYTES, expires_ns);
}

static bool has(const void *region, uint64_t i)
{
	return chunk_ring_has(&ring, region, i * CHUNK_BYTES);
}

Test(chunk_ring, zeroed_memory_is_an_empty_ring)
{
	struct chunk c;

	cr_expect_null(chunk_ring_oldest(&ring));
	cr_expect_not(chunk_ring_full(&ring));
	cr_expect_not(has(&one, 0));
	cr_expect_not(chunk_ring_take(&ring, &one, 0, 64 * MiB, &c));
}

Test(chunk_ring, chunks_leave_in_the_order_they_came)
{
	for (uint64_t i = 0; i < CHUNK_RING_SIZE; i++) {
		cr_assert_not(chunk_ring_full(&ring));
		add(&one, 100 - i, i / 2); /* the same time twice is fine */
	}
	cr_assert(chunk_ring_full(&ring));
	for (uint64_t i = 0; i < CHUNK_RING_SIZE; i++) {
		const struct chunk *c = chunk_ring_oldest(&ring);

		cr_assert(c->region == &one && c->offset == (100 - i) * CHUNK_BYTES);
		cr_assert_eq(c->expires_ns, i / 2);
		chunk_ring_drop_oldest(&ring);
		cr_assert_not(has(&one, 100 - i));
		cr_assert_not(chunk_ring_full(&ring));
	}
	cr_assert_null(chunk_ring_oldest(&ring));
}

Test(chunk_ring, a_chunk_is_known_by_its_region_and_its_offset)
{
	add(&one, 3, 1);
	cr_expect(has(&one, 3));
	cr_expect_not(has(&two, 3));
	cr_expect_not(has(&one, 2));
	cr_expect_not(has(&one, 4));
}

Test(chunk_ring, only_chunks_wholly_inside_a_range_are_taken_out_of_it)
{
	struct chunk c;

	for (uint64_t i = 0; i < 6; i++)
		add(&one, i, i);
	cr_expect_not(chunk_ring_take(&ring, &one, CHUNK_BYTES, CHUNK_BYTES - 1, &c));
	cr_expect_not(chunk_ring_take(&ring, &one, CHUNK_BYTES + 1, CHUNK_BYTES, &c));
	cr_expect_not(chunk_ring_take(&ring, &one, 6 * CHUNK_BYTES, UINT64_MAX / 2, &c));
	cr_assert_eq(ring.nr, 6);
	for (uint64_t i = 2; i < 5; i++) {
		cr_assert(chunk_ring_take(&ring, &one, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES, &c));
		cr_expect(c.region == &one && c.offset == i * CHUNK_BYTES && c.expires_ns == i);
	}
	cr_expect_not(chunk_ring_take(&ring, &one, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES, &c));
	cr_expect(has(&one, 0) && has(&one, 1) && has(&one, 5));
	cr_expect_eq(ring.nr, 3);
}

Test(chunk_ring, chunks_of_another_region_stay)
{
	struct chunk c;

	for (uint64_t i = 0; i < 4; i++) {
		add(&one, i, i);
		add(&two, i, i);
	}
	for (int i = 0; i < 4; i++)
		cr_assert(chunk_ring_take(&ring, &one, 0, 64 * MiB, &c));
	cr_expect_not(chunk_ring_take(&ring, &one, 0, 64 * MiB, &c));
	for (uint64_t i = 0; i < 4; i++) {
		cr_expect(chunk_ring_oldest(&ring)->region == &two &&
			  chunk_ring_oldest(&ring)->offset == i * CHUNK_BYTES);
		chunk_ring_drop_oldest(&ring);
	}
}

/* The plainest thing that could be right: a set of chunks, each with the number of its birth. */
struct model {
	struct {
		bool there;
		uint64_t born;
	} of[2][8];
	uint64_t births;
};

static unsigned int model_nr(const struct model *m)
{
	unsigned int nr = 0;

	for (int r = 0; r < 2; r++)
		for (int i = 0; i < 8; i++)
			nr += m->of[r][i].there;
	return nr;
}

static void model_oldest(const struct model *m, int *region, int *chunk)
{
	uint64_t born = UINT64_MAX;

	for (int r = 0; r < 2; r++)
		for (int i = 0; i < 8; i++)
			if (m->of[r][i].there && m->of[r][i].born < born) {
				born = m->of[r][i].born;
				*region = r;
				*chunk = i;
			}
}

static unsigned int model_take(struct model *m, int region, int first, int nr)
{
	unsigned int taken = 0;

	for (int i = first; i < first + nr; i++) {
		taken += m->of[region][i].there;
		m->of[region][i].there = false;
	}
	return taken;
}

Test(chunk_ring, random_sequence_agrees_with_a_plain_model)
{
	const void *const regions[] = { &one, &two };
	struct model m = { .births = 0 };
	struct chunk c;

	/* 2 x 8 possible chunks fill the ring exactly. */
	srandom(1);
	for (int step = 0; step < 200000; step++) {
		int region = (int)(random() & 1), i = (int)(random() & 7);

		switch (random() % 4) {
		case 0:
		case 1:
			if (m.of[region][i].there)
				break;
			m.of[region][i].there = true;
			m.of[region][i].born = ++m.births;
			add(regions[region], (uint64_t)i, m.births);
			break;
		case 2:
			if (!chunk_ring_oldest(&ring))
				break;
			model_oldest(&m, &region, &i);
			cr_assert_eq(chunk_ring_oldest(&ring)->region, regions[region]);
			cr_assert_eq(chunk_ring_oldest(&ring)->offset, (uint64_t)i * CHUNK_BYTES);
			cr_assert_eq(chunk_ring_oldest(&ring)->expires_ns, m.of[region][i].born);
			m.of[region][i].there = false;
			chunk_ring_drop_oldest(&ring);
			break;
		default: {
			int nr = (int)(random() % (8 - i)) + 1;
			unsigned int taken = 0;

			while (chunk_ring_take(&ring, regions[region], (uint64_t)i * CHUNK_BYTES,
					       (uint64_t)nr * CHUNK_BYTES, &c)) {
				cr_assert_eq(c.region, regions[region]);
				cr_assert(c.offset / CHUNK_BYTES >= (uint64_t)i &&
					  c.offset / CHUNK_BYTES < (uint64_t)(i + nr));
				taken++;
			}
			cr_assert_eq(taken, model_take(&m, region, i, nr));
		}
		}
		cr_assert_eq(ring.nr, model_nr(&m));
		cr_assert_eq(chunk_ring_full(&ring), model_nr(&m) == CHUNK_RING_SIZE);
		for (int j = 0; j < 8; j++)
			cr_assert(has(&one, (uint64_t)j) == m.of[0][j].there &&
				  has(&two, (uint64_t)j) == m.of[1][j].there);
	}
	cr_assert_gt(m.births, 10000);
}
