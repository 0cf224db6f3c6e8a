/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rng.c - the entropy device: what it fills, how fast, and a driver that breaks the rules. The
 * cases of bad input are numbered as in test_hostile_driver.c, which has those of the queue alone.
 */
#include <criterion/criterion.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/unit/rng_rig.h"
#include "vmm/base/clock.h"

#define BLOCK (2 * MiB)

static struct rng_rig rig;
static struct fake_queue *queue;

static void setup_at(uint32_t rate)
{
	if (rig.rng)
		rng_rig_destroy(&rig);
	rng_rig_init(&rig, rate);
	queue = &rig.drv.queues[0];
}

static void setup(void) { setup_at(RNG_RATE_DEFAULT); }
static void teardown(void) { rng_rig_destroy(&rig); }

TestSuite(rng, .init = setup, .fini = teardown, .timeout = 240);

static void start(void)
{
	fake_driver_start(&rig.drv, UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
					    UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC);
}

/* A buffer of the device's to fill, made available; not yet kicked. */
static gpa_t offer(uint32_t bytes)
{
	struct fake_buffer b = { fake_alloc(&rig.mem, bytes, 16), bytes, true };

	fake_queue_add(queue, &b, 1);
	return b.at;
}

static bool all_zeros(gpa_t at, uint64_t bytes) { return gm_is_zero(&rig.mem.gm, at, bytes); }

/* A request of 64 bytes is filled, whatever came before. */
static void assert_works(void)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };
	uint32_t used = 0;

	cr_assert(fake_driver_request(&rig.drv, 0, NULL, 0, a, sizeof(a), &used));
	cr_assert_eq(used, sizeof(a));
	cr_assert(fake_driver_request(&rig.drv, 0, NULL, 0, b, sizeof(b), &used));
	cr_assert_neq(memcmp(a, b, sizeof(a)), 0);
}

/* The driver broke a rule: the device says so, serves nothing, and works again after a reset. */
static void assert_broken(const char *what)
{
	cr_assert(fake_driver_needs_reset(&rig.drv), "%s", what);
	cr_assert(fake_driver_take_interrupts(&rig.drv) & VIRTIO_MMIO_INT_CONFIG, "%s", what);
	while (fake_queue_poll(queue, NULL, NULL))
		;
	offer(64);
	fake_driver_kick(&rig.drv, 0);
	rng_rig_run(&rig, 20 * NS_PER_MS);
	cr_assert_not(fake_queue_poll(queue, NULL, NULL), "%s", what);
	start();
	assert_works();
}

/* --- lawful ------------------------------------------------------------------------------------ */

Test(rng, is_an_entropy_device_of_one_queue_and_no_features)
{
	cr_assert_eq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_RNG);
	cr_assert_eq(fake_driver_device_features(&rig.drv) & 0xffffff, 0);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_SEL, 1);
	cr_assert_eq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
}

Test(rng, fills_buffers_of_all_sizes_whole_and_nothing_beside_them)
{
	const uint32_t sizes[] = { 1, 63, 64, 255, 256, 257, 4096, 20000 };

	start();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		gpa_t at = offer(sizes[i]), behind = fake_alloc(&rig.mem, 64, 1);
		uint32_t used;

		fake_driver_kick(&rig.drv, 0);
		cr_assert(fake_queue_poll(queue, NULL, &used));
		cr_assert_eq(used, sizes[i]);
		cr_assert(all_zeros(behind, 64));
		/* The last 16 bytes: all zeros once in 2^128 times. */
		cr_assert(sizes[i] < 16 || !all_zeros(gpa_add(at, sizes[i] - 16), 16));
	}
	cr_assert(fake_driver_take_interrupts(&rig.drv) & VIRTIO_MMIO_INT_VRING);
}

Test(rng, bytes_are_spread_evenly)
{
	static uint8_t bytes[32768];
	unsigned int counts[256] = { 0 };

	start();
	cr_assert(fake_driver_request(&rig.drv, 0, NULL, 0, bytes, sizeof(bytes), NULL));
	for (size_t i = 0; i < sizeof(bytes); i++)
		counts[bytes[i]]++;
	/* 128 each on the average, a standard deviation of 11: ten of them away is a defect. */
	for (size_t i = 0; i < 256; i++)
		cr_assert(counts[i] > 15 && counts[i] < 241, "%zu: %u times", i, counts[i]);
}

Test(rng, a_chain_of_pieces_is_one_buffer)
{
	struct fake_buffer pieces[] = { { fake_alloc(&rig.mem, 100, 1), 100, true },
					{ fake_alloc(&rig.mem, 300, 1), 300, true },
					{ fake_alloc(&rig.mem, 1, 1), 1, true } };
	uint32_t used;

	start();
	fake_queue_add_indirect(queue, pieces, 3);
	fake_driver_kick(&rig.drv, 0);
	cr_assert(fake_queue_poll(queue, NULL, &used));
	cr_assert_eq(used, 401);
	cr_assert_not(all_zeros(gpa_add(pieces[1].at, 284), 16));
}

/* --- the rate ---------------------------------------------------------------------------------- */

/* Keeps the queue full for NS, counts what came back. */
static uint64_t drain(uint32_t buffer_bytes, uint64_t ns)
{
	uint64_t end = loop_now(rig.loop) + ns, bytes = 0;
	gpa_t at = fake_alloc(&rig.mem, buffer_bytes, 16);
	struct fake_buffer b = { at, buffer_bytes, true };
	uint32_t used;

	for (unsigned int i = 0; i < 16; i++)
		fake_queue_add(queue, &b, 1);
	fake_driver_kick(&rig.drv, 0);
	while (loop_now(rig.loop) < end) {
		while (fake_queue_poll(queue, NULL, &used)) {
			cr_assert(used && used <= buffer_bytes);
			bytes += used;
			fake_queue_add(queue, &b, 1);
			fake_driver_kick(&rig.drv, 0);
		}
		rng_rig_run(&rig, 5 * NS_PER_MS);
	}
	return bytes;
}

Test(rng, gives_a_burst_and_then_its_rate, .init = NULL)
{
	for (uint32_t buffer = 64; buffer <= 64 * KiB; buffer *= 32) {
		uint64_t bytes;

		setup_at(256 * KiB);
		start();
		bytes = drain(buffer, 400 * NS_PER_MS);
		/* 64 KiB at once, and 102 in 0.4 s, of which up to 5 are not yet due. */
		cr_assert_leq(bytes, 64 * KiB + 256 * KiB * 4 / 10, "%u: %lu", buffer, bytes);
		cr_assert_geq(bytes, 64 * KiB + 256 * KiB * 38 / 100, "%u: %lu", buffer, bytes);
		teardown();
	}
	setup();
}

Test(rng, over_the_rate_buffers_wait_for_the_timer_and_the_loop_sleeps, .init = NULL)
{
	uint32_t used;

	setup_at(64 * KiB);
	start();
	offer(64 * KiB);
	offer(64);
	offer(1000);
	fake_driver_kick(&rig.drv, 0);
	cr_assert(fake_queue_poll(queue, NULL, &used));
	cr_assert_eq(used, 64 * KiB);
	/* However often it is kicked. */
	rig.drv.nr_kicks = 0;
	for (int i = 0; i < 1000; i++)
		fake_driver_kick(&rig.drv, 0);
	rng_rig_run(&rig, 9 * NS_PER_MS);
	cr_assert_not(fake_queue_poll(queue, NULL, NULL), "what gathers in 10 ms comes together");
	rig.drv.nr_kicks = 0;
	rng_rig_run(&rig, 2 * NS_PER_MS);
	cr_assert(fake_queue_poll(queue, NULL, &used));
	cr_assert_eq(used, 64);
	cr_assert_leq(rig.drv.nr_kicks, 2, "the timer fires once, not %u times", rig.drv.nr_kicks);
	cr_assert(fake_queue_poll(queue, NULL, &used));
	/* Less than the whole, by the tokens that there were, but no crumbs. */
	cr_assert(used >= 64 && used <= 1000);
}

Test(rng, a_reset_while_buffers_wait_forgets_them, .init = NULL)
{
	setup_at(64 * KiB);
	start();
	offer(64 * KiB);
	offer(64);
	fake_driver_kick(&rig.drv, 0);
	cr_assert(fake_queue_poll(queue, NULL, NULL));
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	rng_rig_run(&rig, 50 * NS_PER_MS);
	cr_assert_not(fake_queue_poll(queue, NULL, NULL));
	start();
	assert_works();
}

Test(rng, freed_while_buffers_wait, .init = NULL)
{
	setup_at(RNG_RATE_MIN);
	start();
	offer(64 * KiB);
	offer(64);
	fake_driver_kick(&rig.drv, 0);
}

/* --- bad input --------------------------------------------------------------------------------- */

/* 13 */
Test(rng, the_available_index_jumps)
{
	start();
	fake_queue_set_avail_idx(queue, 1000);
	fake_driver_kick(&rig.drv, 0);
	assert_broken("jump");
}

/* 14, 15, 16, 22: heads, loops and tables that are none. */
Test(rng, chains_that_are_none)
{
	gpa_t at = fake_alloc(&rig.mem, 4096, 16);
	const struct {
		uint32_t bytes;
		uint16_t flags, next, head;
	} bad[] = {
		{ 64, VRING_DESC_F_WRITE, 0, 64 },
		{ 64, VRING_DESC_F_WRITE, 0, 0xffff },
		{ 64, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 0, 0 },
		{ 64, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 64, 0 },
		{ 24, VRING_DESC_F_INDIRECT, 0, 0 },
		{ 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1, 0 },
		{ 0, VRING_DESC_F_INDIRECT, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		start();
		fake_queue_desc(queue, 0, at.v, bad[i].bytes, bad[i].flags, bad[i].next);
		fake_queue_make_available(queue, bad[i].head);
		fake_driver_kick(&rig.drv, 0);
		assert_broken("chain");
	}
}

/* 17, 18, 19: places that are none. An unplugged block gets no memory. */
Test(rng, buffers_where_no_memory_is)
{
	const struct {
		uint64_t at;
		uint32_t bytes;
	} bad[] = {
		{ 0x10000, 0 },
		{ 4 * MiB - 64, 0xffffffff },
		{ UINT64_MAX - 10, 64 },
		{ 4 * MiB - 32, 64 },
		{ 3 * GiB, 64 },
		{ FAKE_ELASTIC_BASE, 64 },
		{ FAKE_ELASTIC_BASE + BLOCK - 32, 64 },
	};
	uint64_t resident;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		start();
		fake_queue_desc(queue, 0, bad[i].at, bad[i].bytes, VRING_DESC_F_WRITE, 0);
		fake_queue_make_available(queue, 0);
		fake_driver_kick(&rig.drv, 0);
		assert_broken("buffer");
	}
	cr_assert_eq(ram_range_resident(&rig.mem.elastic.ram, 0, 4 * BLOCK, &resident), 0);
	cr_assert_eq(resident, 0);
}

/* 17: the end of a chain that has more than there are tokens for is looked at, too. */
Test(rng, a_buffer_whose_end_is_bad_is_not_filled_in_front, .init = NULL)
{
	for (uint32_t front = 64; front <= 128 * KiB; front *= 2048) {
		struct fake_buffer pieces[2] = { { .bytes = front, .writable = true },
						 { GPA(3 * GiB), 64, true } };
		uint32_t used = 1;

		setup_at(64 * KiB);
		start();
		pieces[0].at = fake_alloc(&rig.mem, front, 16);
		fake_queue_add(queue, pieces, 2);
		fake_driver_kick(&rig.drv, 0);
		cr_assert(fake_queue_poll(queue, NULL, &used));
		cr_assert_eq(used, 0);
		cr_assert(all_zeros(pieces[0].at, front));
		assert_broken("end");
		teardown();
	}
	setup();
}

/* 20: the queue's own parts. What comes of it is the guest's affair; the device stands it. */
Test(rng, buffers_over_the_rings)
{
	const uint32_t bytes[] = { 16, 64, 4096 };

	for (size_t i = 0; i < ARRAY_SIZE(bytes) * 3; i++) {
		gpa_t ring[3];

		start();
		fake_alloc(&rig.mem, 8 * KiB, 1); /* what the largest one spoils */
		ring[0] = queue->desc, ring[1] = queue->avail, ring[2] = queue->used;
		fake_queue_desc(queue, 0, ring[i % 3].v, bytes[i / 3], VRING_DESC_F_WRITE, 0);
		fake_queue_make_available(queue, 0);
		fake_driver_kick(&rig.drv, 0);
		rng_rig_run(&rig, 2 * NS_PER_MS);
		start();
		assert_works();
	}
}

/* 22: an indirect table that was not negotiated. */
Test(rng, an_indirect_table_without_the_feature)
{
	fake_driver_start(&rig.drv, 0);
	fake_queue_add_indirect(queue,
				&(struct fake_buffer){ fake_alloc(&rig.mem, 64, 16), 64, true }, 1);
	fake_driver_kick(&rig.drv, 0);
	assert_broken("indirect");
}

/* 23: buffers to be read have no place in this queue, before or behind one to be filled. */
Test(rng, buffers_to_be_read)
{
	gpa_t at = fake_alloc(&rig.mem, 256, 16);
	const struct fake_buffer out = { at, 64, false }, in = { gpa_add(at, 64), 64, true };
	const struct fake_buffer chains[][2] = { { out, out }, { out, in }, { in, out } };

	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		uint32_t used = 1;

		start();
		fake_queue_add(queue, chains[i], 2);
		fake_driver_kick(&rig.drv, 0);
		/* 26: it comes back, with nothing in it. */
		cr_assert(fake_queue_poll(queue, NULL, &used));
		cr_assert_eq(used, 0);
		cr_assert(all_zeros(at, 256));
		assert_broken("to be read");
	}
}

/* 24: lawful while the first is answered before the second is looked at. */
Test(rng, one_head_twice)
{
	start();
	fake_queue_desc(queue, 0, fake_alloc(&rig.mem, 64, 16).v, 64, VRING_DESC_F_WRITE, 0);
	fake_queue_make_available(queue, 0);
	fake_queue_make_available(queue, 0);
	fake_driver_kick(&rig.drv, 0);
	cr_assert(fake_queue_poll(queue, NULL, NULL) && fake_queue_poll(queue, NULL, NULL));
	assert_works();
}

/* 25 */
Test(rng, thousands_of_buffers_and_nobody_looks_at_what_was_used)
{
	struct fake_buffer b = { fake_alloc(&rig.mem, 1, 1), 1, true };

	start();
	for (int i = 0; i < 5000; i++) {
		fake_queue_add(queue, &b, 1);
		fake_driver_kick(&rig.drv, 0);
	}
	cr_assert_eq(fake_queue_used_idx(queue), 5000);
	queue->seen_used = 5000;
	assert_works();
}
