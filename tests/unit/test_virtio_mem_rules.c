/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_mem_rules.c - every verdict on every small map, against an oracle that walks block
 * by block in 128-bit arithmetic and shares no code with the rules.
 */
#include "devices/virtio_mem_rules.h"

#include <criterion/criterion.h>
#include <errno.h>

#define BLOCK UINT64_C(4096)
#define BASE  (BLOCK * 16)

static struct vmem_req request(uint16_t type, uint64_t addr, uint16_t nr)
{
	/* What the device must ignore is not zero. */
	return (struct vmem_req){ .type = le16_of(type),
				  .padding0 = { 1, 2, 3, 4, 5, 6 },
				  .addr = le64_of(addr),
				  .nb_blocks = le16_of(nr),
				  .padding1 = { 7, 8, 9, 10, 11, 12 } };
}

struct expected {
	uint16_t resp, state;
	enum vmem_busy busy;
};

static struct expected busy(enum vmem_busy why)
{
	return (struct expected){ VIRTIO_MEM_RESP_BUSY, 0, why };
}

/* The oracle: the words of the specification, one block at a time. */
static struct expected oracle(const struct vmem_sizes *s, const struct blocks *b, uint16_t type,
			      uint64_t addr, uint16_t nr)
{
	unsigned int seen[3] = { 0 }, pinned = 0;
	unsigned __int128 end = (unsigned __int128)s->addr + s->usable_bytes;
	uint64_t after = nr;

	if (type == VIRTIO_MEM_REQ_UNPLUG_ALL) {
		for (uint32_t i = 0; i < b->nr; i++)
			if (b->state[i] == BLOCK_CLOSING)
				return busy(VMEM_BUSY_CLOSING);
		for (uint32_t i = 0; i < b->nr; i++)
			if (b->pins[i])
				return busy(VMEM_BUSY_PINNED);
		return (struct expected){ VIRTIO_MEM_RESP_ACK, 0, 0 };
	}
	if (type > VIRTIO_MEM_REQ_STATE || addr % s->block_bytes || nr == 0)
		return (struct expected){ VIRTIO_MEM_RESP_ERROR, 0, 0 };
	for (unsigned int i = 0; i < nr; i++) {
		unsigned __int128 at =
			(unsigned __int128)addr + (unsigned __int128)i * s->block_bytes;

		if (at < s->addr || at + s->block_bytes > end)
			return (struct expected){ VIRTIO_MEM_RESP_ERROR, 0, 0 };
		seen[b->state[(uint64_t)(at - s->addr) / s->block_bytes]]++;
		pinned += b->pins[(uint64_t)(at - s->addr) / s->block_bytes];
	}
	if (type == VIRTIO_MEM_REQ_STATE)
		return (struct expected){ VIRTIO_MEM_RESP_ACK,
					  seen[BLOCK_PLUGGED] == nr	? VIRTIO_MEM_STATE_PLUGGED
					  : seen[BLOCK_UNPLUGGED] == nr ? VIRTIO_MEM_STATE_UNPLUGGED
									: VIRTIO_MEM_STATE_MIXED,
					  0 };
	if (seen[type == VIRTIO_MEM_REQ_PLUG ? BLOCK_PLUGGED : BLOCK_UNPLUGGED])
		return (struct expected){ VIRTIO_MEM_RESP_ERROR, 0, 0 };
	for (uint32_t i = 0; i < b->nr; i++)
		after += b->state[i] == BLOCK_PLUGGED;
	if (type == VIRTIO_MEM_REQ_PLUG && after * s->block_bytes > s->requested_bytes)
		return (struct expected){ VIRTIO_MEM_RESP_NACK, 0, 0 };
	if (seen[BLOCK_CLOSING])
		return busy(VMEM_BUSY_CLOSING);
	if (type == VIRTIO_MEM_REQ_UNPLUG && pinned)
		return busy(VMEM_BUSY_PINNED);
	return (struct expected){ VIRTIO_MEM_RESP_ACK, 0, 0 };
}

static uint64_t nr_checked, nr_of[4], nr_pinned;

static void check_one(const struct vmem_sizes *s, const struct blocks *b, uint16_t type,
		      uint64_t addr, uint16_t nr)
{
	struct vmem_req req = request(type, addr, nr);
	struct vmem_verdict v = vmem_judge(s, b, &req);
	struct expected e = oracle(s, b, type, addr, nr);
	bool named = e.resp != VIRTIO_MEM_RESP_ERROR && type != VIRTIO_MEM_REQ_UNPLUG_ALL;

	/* One cheap condition here: this runs millions of times. */
	if (v.resp != e.resp || v.state != e.state ||
	    (named && (v.nr != nr || v.first != (addr - s->addr) / s->block_bytes)) ||
	    (e.resp == VIRTIO_MEM_RESP_BUSY && v.busy != e.busy))
		cr_assert_fail("type %u addr %#llx nr %u usable %#llx requested %#llx plugged %u: "
			       "verdict %u/%u blocks %u+%u, expected %u/%u",
			       type, (unsigned long long)addr, nr,
			       (unsigned long long)s->usable_bytes,
			       (unsigned long long)s->requested_bytes, b->nr_plugged, v.resp,
			       v.state, v.first, v.nr, e.resp, e.state);
	nr_checked++;
	nr_of[e.resp]++;
	nr_pinned += e.resp == VIRTIO_MEM_RESP_BUSY && e.busy == VMEM_BUSY_PINNED;
}

/* Addresses in steps of half a block from below to above the region, and the ends of the space. */
static void check_all_ranges(const struct vmem_sizes *s, const struct blocks *b, uint16_t type)
{
	static const uint16_t far_nr[] = { 32767, 32768, 65535 };
	const uint64_t far_addr[] = {
		0,	  1,	   BLOCK, UINT64_MAX, 0 - BLOCK, 0 - 2 * BLOCK, UINT64_C(1) << 63,
		BASE + 1, BASE - 1
	};
	uint16_t max_nr = (uint16_t)(b->nr + 2);

	for (uint64_t at = BASE - 2 * BLOCK; at <= BASE + (b->nr + 2) * BLOCK; at += BLOCK / 2) {
		for (uint16_t nr = 0; nr <= max_nr; nr++)
			check_one(s, b, type, at, nr);
		for (size_t i = 0; i < ARRAY_SIZE(far_nr); i++)
			check_one(s, b, type, at, far_nr[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(far_addr); i++) {
		for (uint16_t nr = 0; nr <= max_nr; nr++)
			check_one(s, b, type, far_addr[i], nr);
		check_one(s, b, type, far_addr[i], 65535);
	}
}

/* All maps of NR blocks in NR_STATES states, all usable sizes; the requested sizes matter for
 * PLUG alone. The fourth state is plugged and pinned: pins are on nothing else. */
static void check_all_maps(uint32_t nr, unsigned int nr_states)
{
	static const enum block_state states[] = { BLOCK_UNPLUGGED, BLOCK_PLUGGED, BLOCK_CLOSING,
						   BLOCK_PLUGGED };
	struct vmem_sizes s = { .addr = BASE, .region_bytes = nr * BLOCK, .block_bytes = BLOCK };
	struct blocks b;
	uint32_t nr_maps = 1;

	for (uint32_t i = 0; i < nr; i++)
		nr_maps *= nr_states;
	cr_assert_eq(blocks_init(&b, BLOCK, nr), 0);
	for (uint32_t map = 0; map < nr_maps; map++) {
		uint32_t rest = map, highest = 0;

		for (uint32_t i = 0; i < nr; i++, rest /= nr_states) {
			blocks_set(&b, i, 1, states[rest % nr_states]);
			b.pins[i] = rest % nr_states == 3 ? 1 + i : 0;
			if (states[rest % nr_states] != BLOCK_UNPLUGGED)
				highest = i + 1;
		}
		/* Blocks outside the usable region are unplugged, always. */
		for (uint32_t usable = highest; usable <= nr; usable++) {
			s.usable_bytes = usable * BLOCK;
			for (uint32_t requested = 0; requested <= usable; requested++) {
				s.requested_bytes = requested * BLOCK;
				check_all_ranges(&s, &b, VIRTIO_MEM_REQ_PLUG);
			}
			check_all_ranges(&s, &b, VIRTIO_MEM_REQ_UNPLUG);
			check_all_ranges(&s, &b, VIRTIO_MEM_REQ_STATE);
			check_one(&s, &b, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0);
			check_one(&s, &b, VIRTIO_MEM_REQ_UNPLUG_ALL, UINT64_MAX, 65535);
			check_one(&s, &b, VIRTIO_MEM_REQ_STATE + 1, BASE, 1);
			check_one(&s, &b, UINT16_MAX, BASE, 1);
		}
	}
	blocks_destroy(&b);
}

Test(virtio_mem_rules, every_request_on_every_map_of_up_to_eight_blocks_agrees_with_the_oracle,
     .timeout = 240)
{
	for (uint32_t nr = 1; nr <= 8; nr++)
		check_all_maps(nr, 2);
	/* The loop has met each kind of answer: it is not vacuous. (Nothing closes here.) */
	cr_expect_gt(nr_of[VIRTIO_MEM_RESP_ACK], 10000);
	cr_expect_gt(nr_of[VIRTIO_MEM_RESP_NACK], 10000);
	cr_expect_gt(nr_of[VIRTIO_MEM_RESP_ERROR], 10000);
	cr_expect_eq(nr_of[VIRTIO_MEM_RESP_BUSY], 0);
	cr_expect_gt(nr_checked, 1000000);
}

Test(virtio_mem_rules, every_request_on_every_map_with_closing_blocks_agrees_with_the_oracle,
     .timeout = 240)
{
	for (uint32_t nr = 1; nr <= 6; nr++)
		check_all_maps(nr, 3);
	cr_expect_gt(nr_of[VIRTIO_MEM_RESP_BUSY], 10000);
	cr_expect_eq(nr_pinned, 0);
}

Test(virtio_mem_rules, every_request_on_every_map_with_pinned_blocks_agrees_with_the_oracle,
     .timeout = 240)
{
	for (uint32_t nr = 1; nr <= 6; nr++)
		check_all_maps(nr, 4);
	cr_expect_gt(nr_pinned, 10000);
	cr_expect_gt(nr_of[VIRTIO_MEM_RESP_BUSY], nr_pinned);
}

Test(virtio_mem_rules, largest_block_size_times_65535_blocks_does_not_wrap)
{
	/* 65535 x 2^48 is more than 2^63: a product in 64 bits is near its end or beyond. */
	struct vmem_sizes s = { .addr = UINT64_C(1) << 50,
				.region_bytes = UINT64_C(1) << 50,
				.block_bytes = UINT64_C(1) << 48,
				.usable_bytes = UINT64_C(1) << 50,
				.requested_bytes = UINT64_C(1) << 50 };
	struct blocks b;

	cr_assert_eq(blocks_init(&b, s.block_bytes, 4), 0);
	for (unsigned int nr = 1; nr <= UINT16_MAX; nr++) {
		struct vmem_req req = request(VIRTIO_MEM_REQ_PLUG, s.addr, (uint16_t)nr);

		cr_assert_eq(vmem_judge(&s, &b, &req).resp,
			     nr <= 4 ? VIRTIO_MEM_RESP_ACK : VIRTIO_MEM_RESP_ERROR, "nr %u", nr);
	}
	blocks_destroy(&b);
}

Test(virtio_mem_rules, target_must_be_a_multiple_of_the_block_size_and_fit_the_region)
{
	struct vmem_sizes s = { .addr = BASE, .region_bytes = 8 * BLOCK, .block_bytes = BLOCK };

	cr_expect_eq(vmem_check_target(&s, 0), 0);
	cr_expect_eq(vmem_check_target(&s, 8 * BLOCK), 0);
	cr_expect_eq(vmem_check_target(&s, BLOCK + 1), -EINVAL);
	cr_expect_eq(vmem_check_target(&s, BLOCK - 1), -EINVAL);
	cr_expect_eq(vmem_check_target(&s, UINT64_MAX), -EINVAL);
	cr_expect_eq(vmem_check_target(&s, 9 * BLOCK), -ERANGE);
	cr_expect_eq(vmem_check_target(&s, 0 - BLOCK), -ERANGE);
}

Test(virtio_mem_rules, usable_region_is_the_request_plus_two_memory_blocks_at_most_the_region)
{
	const uint64_t mb = 128 * MiB;
	struct vmem_sizes s = { .addr = 4 * GiB, .region_bytes = 8 * GiB, .block_bytes = 2 * MiB };

	cr_expect_eq(vmem_usable_for(&s, 0, mb), 256 * MiB);
	cr_expect_eq(vmem_usable_for(&s, 2 * MiB, mb), 258 * MiB);
	cr_expect_eq(vmem_usable_for(&s, 8 * GiB - 256 * MiB, mb), 8 * GiB);
	cr_expect_eq(vmem_usable_for(&s, 8 * GiB - 254 * MiB, mb), 8 * GiB);
	cr_expect_eq(vmem_usable_for(&s, 8 * GiB, mb), 8 * GiB);
	/* A block larger than two memory blocks: rounded up to a whole one. */
	s.block_bytes = 1 * GiB;
	cr_expect_eq(vmem_usable_for(&s, 1 * GiB, mb), 2 * GiB);
	for (uint64_t requested = 0; requested <= s.region_bytes; requested += s.block_bytes) {
		uint64_t usable = vmem_usable_for(&s, requested, mb);

		cr_expect(usable >= requested && usable <= s.region_bytes &&
			  is_aligned(usable, s.block_bytes));
	}
}

Test(virtio_mem_rules, guest_limit_counts_whole_aligned_memory_blocks_only)
{
	const uint64_t mb = 128 * MiB;
	struct vmem_sizes s = { .addr = 4 * GiB,
				.region_bytes = 1 * GiB,
				.block_bytes = 2 * MiB,
				.usable_bytes = 1 * GiB };

	cr_expect_eq(vmem_guest_limit(&s, mb), 1 * GiB);
	s.usable_bytes = 300 * MiB;
	cr_expect_eq(vmem_guest_limit(&s, mb), 256 * MiB);
	s.addr += 2 * MiB; /* the first memory block is lost */
	cr_expect_eq(vmem_guest_limit(&s, mb), 128 * MiB);
	s.usable_bytes = 64 * MiB;
	cr_expect_eq(vmem_guest_limit(&s, mb), 0);
	s = (struct vmem_sizes){ 4 * GiB, 3 * GiB, 2 * GiB, 3 * GiB, 0 };
	cr_expect_eq(vmem_guest_limit(&s, mb), 2 * GiB, "a block larger than a memory block");
}

Test(virtio_mem_rules, every_reason_for_busy_has_a_text)
{
	for (int i = 0; i < VMEM_NR_BUSY; i++)
		cr_expect(vmem_busy_text((enum vmem_busy)i) && *vmem_busy_text((enum vmem_busy)i));
}
