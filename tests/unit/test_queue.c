/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_queue.c - the device side of a split virtqueue, alone, against lawful and broken rings.
 * The cases are those of test_hostile_driver.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_ring.h>

#include "tests/unit/fake_driver.h"

#define BLOCK (2 * MiB)
#define SIZE  8

static struct fake_memory mem;

static struct fake_queue drv;
static struct virtq q;
static struct chain c;

static void setup(void)
{
	fake_memory_init(&mem, 4 * MiB, 4 * BLOCK, BLOCK);
	fake_queue_init(&drv, &mem, SIZE);
	q = fake_queue_device_side(&drv);
}

static void teardown(void) { fake_memory_destroy(&mem); }

TestSuite(queue, .init = setup, .fini = teardown);
TestSuite(hostile_ring, .init = setup, .fini = teardown);

static const struct fake_buffer one_in = { { 0x3000 }, 16, true };
static const struct fake_buffer one_out = { { 0x2000 }, 16, false };

static uint16_t add_one(void) { return fake_queue_add(&drv, &one_out, 1); }

/* Lawful use. */

Test(queue, check_accepts_what_the_spec_allows)
{
	cr_assert_eq(virtq_check(&q, &mem.gm), 0);
	q.size = 1;
	cr_assert_eq(virtq_check(&q, &mem.gm), 0);
	q.size = VIRTQ_MAX_SIZE;
	cr_assert_eq(virtq_check(&q, &mem.gm), 0);
}

Test(queue, check_refuses_bad_sizes_and_alignment)
{
	const struct virtq good = q;
	const uint16_t sizes[] = { 0, 3, 7, VIRTQ_MAX_SIZE + 1, VIRTQ_MAX_SIZE * 2, 0xffff };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		q.size = sizes[i];
		cr_assert_eq(virtq_check(&q, &mem.gm), -EPROTO, "size %u", sizes[i]);
	}
	q = good, q.desc.v += 8;
	cr_assert_eq(virtq_check(&q, &mem.gm), -EPROTO);
	q = good, q.avail.v += 1;
	cr_assert_eq(virtq_check(&q, &mem.gm), -EPROTO);
	q = good, q.used.v += 2;
	cr_assert_eq(virtq_check(&q, &mem.gm), -EPROTO);
}

Test(queue, check_wants_every_byte_of_all_rings_in_memory)
{
	const struct virtq good = q;
	const uint64_t end = mem.boot.bytes;

	/* The last place that fits, and the next one. */
	q.desc = GPA(end - 16 * SIZE);
	q.avail = GPA(end - (6 + 2 * SIZE));
	q.used = GPA(end - (8 + 8 * SIZE));
	cr_assert_eq(virtq_check(&q, &mem.gm), 0);
	q = good, q.desc = GPA(end - 16 * SIZE + 16);
	cr_assert_eq(virtq_check(&q, &mem.gm), -EPROTO);
	q = good, q.avail = GPA(end - (4 + 2 * SIZE));
	cr_assert_eq(virtq_check(&q, &mem.gm), -EPROTO);
	q = good, q.used = GPA(end - (4 + 8 * SIZE));
	cr_assert_eq(virtq_check(&q, &mem.gm), -EPROTO);
}

Test(queue, nothing_available_is_nothing)
{
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 0);
}

Test(queue, chains_come_in_the_order_they_were_made_available)
{
	for (uint16_t i = 0; i < SIZE; i++)
		cr_assert_eq(add_one(), i);
	for (uint16_t i = 0; i < SIZE; i++) {
		cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
		cr_assert_eq(c.head, i);
	}
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 0);
}

Test(queue, descriptors_become_one_readable_and_one_writable_part)
{
	const struct fake_buffer buffers[] = {
		{ { 0x2000 }, 3, false }, { { 0x2100 }, 5, false }, { { 0x3000 }, 100, true }
	};

	fake_queue_add(&drv, buffers, 3);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	cr_assert_eq(chain_readable(&c), 8);
	cr_assert_eq(chain_writable(&c), 100);
}

Test(queue, indirect_table_makes_the_same_chain)
{
	const struct fake_buffer buffers[] = {
		{ { 0x2000 }, 3, false }, { { 0x2100 }, 5, false }, { { 0x3000 }, 100, true }
	};

	q.indirect = true;
	fake_queue_add_indirect(&drv, buffers, 3);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	cr_assert_eq(chain_readable(&c), 8);
	cr_assert_eq(chain_writable(&c), 100);
	cr_assert_eq(virtq_push(&q, &mem.gm, &c), 0);
}

Test(queue, direct_descriptors_may_lead_to_an_indirect_one)
{
	gpa_t table = fake_alloc(&mem, 32, 16);

	q.indirect = true;
	/* The write flag of a descriptor that names a table means nothing. */
	fake_queue_desc(&drv, 0, 0x2000, 4, VRING_DESC_F_NEXT, 5);
	fake_queue_desc(&drv, 5, table.v, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
	fake_desc_at(&mem, table, 0, 0x2100, 4, VRING_DESC_F_NEXT, 1);
	fake_desc_at(&mem, table, 1, 0x3000, 8, VRING_DESC_F_WRITE, 0);
	fake_queue_make_available(&drv, 0);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	cr_assert_eq(chain_readable(&c), 8);
	cr_assert_eq(chain_writable(&c), 8);
}

Test(queue, indirect_chain_may_be_longer_than_the_queue)
{
	struct fake_buffer buffers[CHAIN_MAX_SEGMENTS];

	q.indirect = true;
	for (unsigned int i = 0; i < CHAIN_MAX_SEGMENTS; i++)
		buffers[i] = (struct fake_buffer){ GPA(0x2000), 2, false };
	fake_queue_add_indirect(&drv, buffers, CHAIN_MAX_SEGMENTS);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	cr_assert_eq(chain_readable(&c), 2 * CHAIN_MAX_SEGMENTS);
}

Test(queue, used_entry_names_head_and_bytes_written)
{
	uint32_t head, bytes;

	fake_queue_add(&drv, &one_out, 1);
	fake_queue_add(&drv, &one_in, 1);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	cr_assert_eq(virtq_push(&q, &mem.gm, &c), 0);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	cr_assert_eq(chain_write(&c, "12345", 5), 0);
	cr_assert(fake_queue_poll(&drv, &head, &bytes));
	cr_assert(head == 0 && bytes == 0);
	cr_assert_not(fake_queue_poll(&drv, &head, &bytes), "the second is not pushed yet");
	cr_assert_eq(virtq_push(&q, &mem.gm, &c), 0);
	cr_assert(fake_queue_poll(&drv, &head, &bytes));
	cr_assert(head == 1 && bytes == 5);
}

Test(queue, chains_may_be_returned_in_any_order)
{
	struct chain first, second;
	uint32_t head;

	add_one();
	add_one();
	cr_assert_eq(virtq_pop(&q, &mem.gm, &first), 1);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &second), 1);
	cr_assert_eq(virtq_push(&q, &mem.gm, &second), 0);
	cr_assert_eq(virtq_push(&q, &mem.gm, &first), 0);
	cr_assert(fake_queue_poll(&drv, &head, NULL) && head == 1);
	cr_assert(fake_queue_poll(&drv, &head, NULL) && head == 0);
}

Test(queue, indices_wrap_around_at_2_to_the_16)
{
	for (uint32_t i = 0; i < 0x20010; i++) {
		uint32_t head;
		uint16_t added = add_one();

		cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
		cr_assert_eq(c.head, added);
		cr_assert_eq(virtq_push(&q, &mem.gm, &c), 0);
		cr_assert(fake_queue_poll(&drv, &head, NULL) && head == added);
	}
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 0);
}

/* Notification suppression. */

static void serve(unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		add_one();
		cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
		cr_assert_eq(virtq_push(&q, &mem.gm, &c), 0);
	}
}

Test(queue, flag_suppresses_interrupts_without_event_idx)
{
	serve(1);
	cr_assert_eq(virtq_wants_interrupt(&q, &mem.gm), 1);
	cr_assert_eq(virtq_wants_interrupt(&q, &mem.gm), 0, "nothing pushed since");
	fake_queue_set_avail_flags(&drv, VRING_AVAIL_F_NO_INTERRUPT);
	serve(1);
	cr_assert_eq(virtq_wants_interrupt(&q, &mem.gm), 0);
	fake_queue_set_avail_flags(&drv, 0);
	serve(1);
	cr_assert_eq(virtq_wants_interrupt(&q, &mem.gm), 1);
}

Test(queue, event_idx_interrupts_when_the_named_entry_is_passed)
{
	q.event_idx = true;
	fake_queue_set_avail_flags(&drv, VRING_AVAIL_F_NO_INTERRUPT); /* means nothing now */
	fake_queue_set_used_event(&drv, 2);
	serve(2); /* entries 0, 1 */
	cr_assert_eq(virtq_wants_interrupt(&q, &mem.gm), 0);
	serve(1); /* entry 2 */
	cr_assert_eq(virtq_wants_interrupt(&q, &mem.gm), 1);
	serve(1);
	cr_assert_eq(virtq_wants_interrupt(&q, &mem.gm), 0);
	fake_queue_set_used_event(&drv, 5);
	serve(4); /* 4 to 7: 5 is among them */
	cr_assert_eq(virtq_wants_interrupt(&q, &mem.gm), 1);
}

/* Each event index of interest, each batch size, around the wrap: the answer by counting. */
Test(queue, event_idx_is_right_at_every_wraparound)
{
	q.event_idx = true;
	for (unsigned int start = 0xfff0; start < 0x10010; start++) {
		for (unsigned int batch = 1; batch <= SIZE; batch++) {
			for (int event = -12; event <= 12; event++) {
				int named = (int)start + event, wants;
				bool passed = named >= (int)start && named < (int)(start + batch);

				q.signalled_used = (uint16_t)start;
				q.next_used = (uint16_t)(start + batch);
				fake_queue_set_used_event(&drv, (uint16_t)named);
				wants = virtq_wants_interrupt(&q, &mem.gm);
				cr_assert_eq(wants, passed, "start %u batch %u event %d", start,
					     batch, event);
			}
		}
	}
}

Test(queue, enabling_kicks_publishes_our_place)
{
	q.event_idx = true;
	serve(3);
	cr_assert_eq(virtq_enable_kick(&q, &mem.gm), 0);
	cr_assert_eq(fake_queue_avail_event(&drv), 3);
	add_one();
	cr_assert_eq(virtq_enable_kick(&q, &mem.gm), 1, "one came in meanwhile");
	q.event_idx = false;
	cr_assert_eq(virtq_enable_kick(&q, &mem.gm), 0);
}

/* Rings that break the rules. */

static void assert_broken(const char *what)
{
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), -EPROTO, "%s", what);
	cr_assert_not_null(q.why);
}

/* case 13 */
Test(hostile_ring, index_jump_beyond_the_queue_size_is_refused)
{
	const uint16_t jumps[] = { SIZE + 1, SIZE * 2, 0x7fff, 0x8000, 0xffff };

	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		fake_queue_set_avail_idx(&drv, jumps[i]);
		assert_broken("jump");
	}
	fake_queue_set_avail_idx(&drv, SIZE);
	fake_queue_desc(&drv, 0, 0x2000, 4, 0, 0);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1, "a full queue is no jump");
}

/* case 13, going backwards */
Test(hostile_ring, index_that_goes_back_is_a_jump_too)
{
	serve(4);
	fake_queue_set_avail_idx(&drv, 3);
	assert_broken("backwards");
}

/* case 14 */
Test(hostile_ring, head_outside_the_queue_is_refused)
{
	const uint16_t heads[] = { SIZE, SIZE + 1, 0x7fff, 0x8000, 0xffff };

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		fake_queue_set_avail_idx(&drv, 0);
		fake_queue_make_available(&drv, heads[i]);
		assert_broken("head");
		cr_assert_eq(fake_queue_used_idx(&drv), 0, "no such head, so none comes back");
	}
}

/* case 15, case 26 */
Test(hostile_ring, chain_that_is_a_loop_is_refused_and_comes_back)
{
	uint32_t head, bytes;

	fake_queue_desc(&drv, 3, 0x2000, 4, VRING_DESC_F_NEXT, 3);
	fake_queue_make_available(&drv, 3);
	assert_broken("next is itself");
	cr_assert(fake_queue_poll(&drv, &head, &bytes));
	cr_assert(head == 3 && bytes == 0);

	fake_queue_desc(&drv, 1, 0x2000, 0, VRING_DESC_F_NEXT, 2);
	fake_queue_desc(&drv, 2, 0x2000, 0, VRING_DESC_F_NEXT, 1);
	fake_queue_make_available(&drv, 1);
	assert_broken("cycle of two, without a byte in it");
	cr_assert(fake_queue_poll(&drv, &head, &bytes));
	cr_assert(head == 1 && bytes == 0);
}

/* case 15 */
Test(hostile_ring, chain_of_the_whole_queue_passes_and_one_more_does_not)
{
	for (uint16_t i = 0; i < SIZE; i++)
		fake_queue_desc(&drv, i, 0x2000, 1, i < SIZE - 1 ? VRING_DESC_F_NEXT : 0,
				(uint16_t)(i + 1));
	fake_queue_make_available(&drv, 0);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	cr_assert_eq(chain_readable(&c), SIZE);
	cr_assert_eq(virtq_push(&q, &mem.gm, &c), 0);
	fake_queue_desc(&drv, SIZE - 1, 0x2000, 1, VRING_DESC_F_NEXT, 4);
	fake_queue_make_available(&drv, 0);
	assert_broken("longer than the queue");
}

/* case 15 */
Test(hostile_ring, loop_inside_an_indirect_table_ends)
{
	gpa_t table = fake_alloc(&mem, 16 * 1024, 16);

	q.indirect = true;
	fake_queue_desc(&drv, 0, table.v, 32, VRING_DESC_F_INDIRECT, 0);
	fake_desc_at(&mem, table, 0, 0x2000, 0, VRING_DESC_F_NEXT, 1);
	fake_desc_at(&mem, table, 1, 0x2000, 0, VRING_DESC_F_NEXT, 0);
	fake_queue_make_available(&drv, 0);
	assert_broken("cycle");
	/* More entries than a chain holds, all of them linked. */
	fake_queue_desc(&drv, 0, table.v, 16 * 1024, VRING_DESC_F_INDIRECT, 0);
	for (uint16_t i = 0; i < 1024; i++)
		fake_desc_at(&mem, table, i, 0x2000, i & 1, VRING_DESC_F_NEXT, (uint16_t)(i + 1));
	fake_queue_make_available(&drv, 0);
	assert_broken("too long");
	/* The same without a byte in any but the last: steps count, not bytes. */
	for (uint16_t i = 0; i < CHAIN_MAX_SEGMENTS; i++)
		fake_desc_at(&mem, table, i, 0x2000, 0, VRING_DESC_F_NEXT, (uint16_t)(i + 1));
	fake_desc_at(&mem, table, CHAIN_MAX_SEGMENTS, 0x2000, 4, 0, 0);
	fake_queue_make_available(&drv, 0);
	assert_broken("too many steps");
}

/* case 16 */
Test(hostile_ring, next_outside_the_table_is_refused)
{
	const uint16_t nexts[] = { SIZE, 0x8000, 0xffff };
	gpa_t table = fake_alloc(&mem, 32, 16);

	q.indirect = true;
	for (size_t i = 0; i < ARRAY_SIZE(nexts); i++) {
		fake_queue_desc(&drv, 0, 0x2000, 4, VRING_DESC_F_NEXT, nexts[i]);
		fake_queue_make_available(&drv, 0);
		assert_broken("next");
	}
	fake_desc_at(&mem, table, 0, 0x2000, 4, VRING_DESC_F_NEXT, 2);
	fake_queue_desc(&drv, 0, table.v, 32, VRING_DESC_F_INDIRECT, 0);
	fake_queue_make_available(&drv, 0);
	assert_broken("next in an indirect table");
}

/* case 17 */
Test(hostile_ring, empty_buffers_hold_no_bytes)
{
	const struct fake_buffer empty[] = { { { UINT64_MAX }, 0, false }, { { 0 }, 0, true } };
	uint8_t byte = 0;

	fake_queue_add(&drv, empty, 2);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	cr_assert_eq(chain_readable(&c), 0);
	cr_assert_eq(chain_writable(&c), 0);
	cr_assert_eq(chain_read(&c, &byte, 1), -EPROTO);
	cr_assert_eq(chain_write(&c, &byte, 1), -EPROTO);
	cr_assert_eq(virtq_push(&q, &mem.gm, &c), 0);
}

/* case 17 */
Test(hostile_ring, huge_buffer_reaches_only_what_exists)
{
	const struct fake_buffer huge = { { 0x2000 }, UINT32_MAX, false };
	uint8_t data[16];

	fake_queue_add(&drv, &huge, 1);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	cr_assert_eq(chain_readable(&c), UINT32_MAX);
	cr_assert_eq(chain_read(&c, data, sizeof(data)), 0);
	c.read = (struct chain_cursor){ 0, (uint32_t)mem.boot.bytes - 0x2000 - 8 };
	cr_assert_eq(chain_read(&c, data, 8), 0, "the last bytes of memory");
	cr_assert_eq(chain_read(&c, data, 1), -EFAULT);
}

/* case 17 */
Test(hostile_ring, buffer_that_wraps_or_chain_that_is_too_big_is_refused)
{
	const struct fake_buffer wraps = { { UINT64_MAX - 3 }, 5, false };
	const struct fake_buffer big[] = { { { 0 }, UINT32_MAX, false }, { { 0 }, 1, true } };

	fake_queue_add(&drv, &wraps, 1);
	assert_broken("wraps");
	fake_queue_add(&drv, big, 2);
	assert_broken("more than 2^32 - 1 bytes");
}

/* case 22 */
Test(hostile_ring, bad_indirect_descriptors_are_refused)
{
	const uint16_t ind = VRING_DESC_F_INDIRECT;
	gpa_t table = fake_alloc(&mem, 64, 16), inner = fake_alloc(&mem, 16, 16);
	const struct {
		const char *what;
		bool negotiated;
		uint64_t at;
		uint32_t len;
		uint16_t flags;
	} cases[] = {
		{ "not negotiated", false, table.v, 16, ind },
		{ "length 0", true, table.v, 0, ind },
		{ "length 15", true, table.v, 15, ind },
		{ "length 17", true, table.v, 17, ind },
		{ "length 2^32 - 1", true, table.v, UINT32_MAX, ind },
		{ "length 2^32 - 16", true, table.v, UINT32_MAX - 15, ind },
		{ "next descriptor", true, table.v, 16, ind | VRING_DESC_F_NEXT },
		{ "outside of memory", true, 1 * GiB, 16, ind },
		{ "wraps", true, UINT64_MAX - 15, 32, ind },
		{ "over the end of memory", true, 4 * MiB - 16, 32, ind },
		{ "in an unplugged block", true, FAKE_ELASTIC_BASE, 16, ind },
	};

	fake_desc_at(&mem, table, 0, 0x2000, 4, 0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		q.indirect = cases[i].negotiated;
		fake_queue_desc(&drv, 0, cases[i].at, cases[i].len, cases[i].flags, 1);
		fake_queue_desc(&drv, 1, 0x2000, 4, 0, 0);
		fake_queue_make_available(&drv, 0);
		assert_broken(cases[i].what);
	}
	q.indirect = true;
	fake_desc_at(&mem, inner, 0, 0x2000, 4, 0, 0);
	fake_desc_at(&mem, table, 0, inner.v, 16, ind, 0);
	fake_queue_desc(&drv, 0, table.v, 16, ind, 0);
	fake_queue_make_available(&drv, 0);
	assert_broken("nested");
}

/* case 23 */
Test(hostile_ring, writable_before_readable_is_refused)
{
	const struct fake_buffer buffers[] = { one_in, one_out };

	fake_queue_add(&drv, buffers, 2);
	assert_broken("direct");
	q.indirect = true;
	fake_queue_add_indirect(&drv, buffers, 2);
	assert_broken("indirect");
}

/* case 24 */
Test(hostile_ring, head_made_available_twice_is_refused_while_in_flight)
{
	uint16_t head = add_one();

	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	fake_queue_make_available(&drv, head);
	assert_broken("twice");
	cr_assert_eq(virtq_push(&q, &mem.gm, &c), 0);
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1, "lawful once it has come back");
}

/* case 7 and 19, of the rings themselves */
Test(hostile_ring, rings_that_lose_their_memory_are_refused_accesses)
{
	blocks_set(&mem.elastic.blocks, 0, 1, BLOCK_PLUGGED);
	drv.desc = GPA(FAKE_ELASTIC_BASE);
	q.desc = drv.desc;
	add_one();
	blocks_set(&mem.elastic.blocks, 0, 1, BLOCK_UNPLUGGED);
	assert_broken("descriptor table");

	teardown();
	setup();
	blocks_set(&mem.elastic.blocks, 0, 1, BLOCK_PLUGGED);
	drv.avail = q.avail = GPA(FAKE_ELASTIC_BASE);
	add_one();
	blocks_set(&mem.elastic.blocks, 0, 1, BLOCK_UNPLUGGED);
	assert_broken("available ring");

	blocks_set(&mem.elastic.blocks, 0, 1, BLOCK_PLUGGED);
	q.used = GPA(FAKE_ELASTIC_BASE);
	q.event_idx = true;
	cr_assert_eq(virtq_pop(&q, &mem.gm, &c), 1);
	blocks_set(&mem.elastic.blocks, 0, 1, BLOCK_UNPLUGGED);
	cr_assert_eq(virtq_push(&q, &mem.gm, &c), -EPROTO);
	cr_assert_eq(virtq_enable_kick(&q, &mem.gm), -EPROTO);
}
