/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hostile_driver.c - a device and its queues under a driver that breaks the rules.
 *
 * Bad input, by case (1 to 12: test_mmio.c; a queue alone: test_queue.c). Required of all of them:
 * the VMM stays alive, reaches no memory but the guest's, and loops, logs and waits are bounded.
 *  case 13  the available index jumps by more than the queue size: broken, not 65 k iterations
 *  case 14  a head index outside the queue
 *  case 15  a descriptor that is its own next, a cycle of two, a chain longer than the queue
 *  case 16  a next index outside the queue
 *  case 17  length 0; length 0xffffffff; an address plus length that wraps
 *  case 18  a buffer that spans two memory regions
 *  case 19  a buffer inside an unplugged block: an error, and the block gets no memory
 *  case 20  a buffer that overlaps the rings or its own descriptor
 *  case 21  a descriptor that changes between fetch and use, flipped by a second thread
 *  case 22  an indirect table not negotiated, nested, of a bad length, with a next descriptor
 *  case 23  a device-writable buffer before a readable one; the wrong direction for the device
 *  case 24  one head made available twice
 *  case 25  thousands of requests while the driver never looks at the used ring
 *  case 26  a malformed chain: its head comes back with length 0, and the loop ends
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tests/unit/fake_device.h"
#include "tests/unit/fake_driver.h"

#define BLOCK (2 * MiB)
#define RING_EVENT_IDX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define RING_INDIRECT  (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)

static struct fake_memory mem;
static struct fake_device device;
static struct fake_driver driver;

static const struct fake_buffer one_in = { { 0x3000 }, 16, true };
static const struct fake_buffer one_out = { { 0x2000 }, 16, false };

static void setup(void)
{
	fake_memory_init(&mem, 4 * MiB, 4 * BLOCK, BLOCK);
	fake_device_init(&device, &mem.gm);
	fake_driver_init(&driver, &mem, &device.dev);
}

static void teardown(void) { fake_memory_destroy(&mem); }

TestSuite(hostile_driver, .init = setup, .fini = teardown);

/* The device answers a plain request. */
static void assert_works(void)
{
	char answer[6] = "";
	uint32_t used;

	cr_assert(fake_driver_request(&driver, 0, "hello", 6, answer, 6, &used));
	cr_assert_str_eq(answer, "hello");
	cr_assert_eq(used, 6);
}

/* It serves nothing, told the driver so, and works again after a reset. */
static void assert_broken_until_reset(const char *what)
{
	unsigned int served = device.nr_served;

	cr_assert(fake_driver_needs_reset(&driver), "%s", what);
	cr_assert(fake_driver_take_interrupts(&driver) & VIRTIO_MMIO_INT_CONFIG, "%s", what);
	while (fake_queue_poll(&driver.queues[0], NULL, NULL))
		; /* a malformed chain that came back */
	cr_assert_not(fake_driver_request(&driver, 0, "hello", 6, NULL, 0, NULL), "%s", what);
	cr_assert_not(fake_driver_request(&driver, 1, "hello", 6, NULL, 0, NULL), "%s", what);
	cr_assert_eq(device.nr_served, served, "%s", what);
	fake_driver_start(&driver, RING_EVENT_IDX | RING_INDIRECT);
	cr_assert_not(fake_driver_needs_reset(&driver), "%s", what);
	assert_works();
}

Test(hostile_driver, lawful_requests_are_answered_with_each_set_of_ring_features)
{
	const uint64_t sets[] = { 0, RING_EVENT_IDX, RING_INDIRECT,
				  RING_EVENT_IDX | RING_INDIRECT };

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		fake_driver_start(&driver, sets[i]);
		for (int n = 0; n < 200; n++)
			assert_works();
		cr_assert(fake_driver_take_interrupts(&driver) & VIRTIO_MMIO_INT_VRING);
	}
}

Test(hostile_driver, device_asks_for_the_next_kick_when_it_runs_dry)
{
	fake_driver_start(&driver, RING_EVENT_IDX);
	for (uint16_t n = 1; n < 100; n++) {
		assert_works();
		cr_assert_eq(fake_queue_avail_event(&driver.queues[0]), n);
	}
}

/*
 * A driver on a thread of its own that kicks only when it is asked to: no buffer is forgotten,
 * however closely it follows the device's last look.
 */
struct racer {
	unsigned int kicks; /* as an eventfd counts them */
	bool done;
};

#define RACES 100000

/* Close on the other's heels where there are two CPUs, and not stuck where there is one. */
static void spin(unsigned int *spins)
{
	if (++*spins % 1024 == 0)
		sched_yield();
}

static void *race(void *arg)
{
	struct racer *r = arg;
	unsigned int spins = 0;
	struct fake_queue *dq = &driver.queues[1];

	for (unsigned int i = 0; i < RACES; i++) {
		uint16_t old = dq->avail_idx, event;

		/* At most 4 in flight, often none: the device runs dry all the time. */
		while ((uint16_t)(old - fake_queue_used_idx(dq)) >= 1 + i % 4)
			spin(&spins);
		fake_queue_add(dq, &one_out, 1);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		event = fake_queue_avail_event(dq);
		if (vring_need_event(event, dq->avail_idx, old))
			__atomic_fetch_add(&r->kicks, 1, __ATOMIC_RELEASE);
	}
	while (fake_queue_used_idx(dq) != dq->avail_idx)
		spin(&spins);
	__atomic_store_n(&r->done, true, __ATOMIC_RELEASE);
	return NULL;
}

Test(hostile_driver, no_buffer_is_forgotten_between_the_last_look_and_the_next_kick, .timeout = 240)
{
	struct racer r = { .kicks = 0 };
	unsigned int nr_kicks = 0, spins = 0;
	pthread_t thread;

	fake_driver_start(&driver, RING_EVENT_IDX);
	cr_assert_eq(pthread_create(&thread, NULL, race, &r), 0);
	while (!__atomic_load_n(&r.done, __ATOMIC_ACQUIRE)) {
		if (!__atomic_exchange_n(&r.kicks, 0, __ATOMIC_ACQUIRE)) {
			spin(&spins);
			continue;
		}
		nr_kicks++;
		driver.pending_kicks |= 1u << 1;
		fake_driver_serve(&driver);
	}
	pthread_join(thread, NULL);
	cr_assert_eq(device.nr_served, RACES);
	cr_assert_lt(nr_kicks, RACES, "some kicks were spared");
	cr_assert_not(fake_driver_needs_reset(&driver));
}

/* A kick serves at most one queue's worth of chains, then lets the loop turn. */
Test(hostile_driver, endless_supply_of_buffers_does_not_hold_the_loop)
{
	struct fake_queue *dq = &driver.queues[1];

	fake_driver_start(&driver, 0);
	driver.serve_kicks = false;
	for (int i = 0; i < 8; i++)
		fake_queue_add(dq, &one_out, 1);
	fake_driver_kick(&driver, 1);
	device.dev.pops_left = 0;
	driver.pending_kicks = 0;
	driver.nr_kicks = 0;
	virtio_mmio_kicked(&driver.mmio, 1);
	cr_assert_eq(device.nr_served, 8);
	cr_assert_eq(driver.nr_kicks, 1, "it asked to be kicked again");
	fake_driver_serve(&driver);
	cr_assert_eq(device.nr_served, 8);
	cr_assert_eq(driver.nr_kicks, 1, "and found nothing");
}

/* case 13 to 16, 22, 23: whatever is wrong, the device breaks, says so, and a reset heals it. */
Test(hostile_driver, each_broken_rule_breaks_the_device_until_reset)
{
	struct fake_queue *dq = &driver.queues[0];
	const struct fake_buffer bad_order[] = { one_in, one_out };
	const struct fake_buffer wraps = { { UINT64_MAX }, 2, false };

	for (int what = 0; what < 7; what++) {
		fake_driver_start(&driver, 0);
		assert_works();
		switch (what) {
		case 0: /* case 13 */
			fake_queue_set_avail_idx(dq, (uint16_t)(dq->avail_idx + dq->size + 1));
			break;
		case 1: /* case 14 */
			fake_queue_make_available(dq, dq->size);
			break;
		case 2: /* case 15 */
			fake_queue_desc(dq, 9, 0x2000, 4, VRING_DESC_F_NEXT, 9);
			fake_queue_make_available(dq, 9);
			break;
		case 3: /* case 16 */
			fake_queue_desc(dq, 9, 0x2000, 4, VRING_DESC_F_NEXT, 64);
			fake_queue_make_available(dq, 9);
			break;
		case 4: /* case 17 */
			fake_queue_add(dq, &wraps, 1);
			break;
		case 5: /* case 22 */
			fake_queue_add_indirect(dq, &one_out, 1);
			break;
		case 6: /* case 23 */
			fake_queue_add(dq, bad_order, 2);
			break;
		}
		fake_driver_kick(&driver, 0);
		assert_broken_until_reset((const char *[]){ "jump", "head", "loop", "next", "wrap",
							    "indirect", "order" }[what]);
	}
}

/* case 18 */
Test(hostile_driver, buffer_across_two_regions_is_refused_without_harm)
{
	static struct fake_memory two;
	struct fake_buffer buffers[] = { { { 2 * MiB - 8 }, 16, false }, { { 0x3000 }, 16, true } };
	uint32_t used;

	/* Two regions side by side: no hole for the guest, yet not one piece of memory for us. */
	two = (struct fake_memory){ .next_free = 0x10000 };
	cr_assert_eq(ram_create(&two.boot, "low", 2 * MiB), 0);
	cr_assert_eq(ram_create(&two.elastic.ram, "high", 2 * MiB), 0);
	cr_assert_eq(gm_add(&two.gm, GPA(0), 2 * MiB, &two.boot, 0, NULL), 0);
	cr_assert_eq(gm_add(&two.gm, GPA(2 * MiB), 2 * MiB, &two.elastic.ram, 0, NULL), 0);
	gm_freeze(&two.gm);
	fake_device_init(&device, &two.gm);
	fake_driver_init(&driver, &two, &device.dev);
	fake_driver_start(&driver, 0);
	fake_queue_add(&driver.queues[0], buffers, 2);
	fake_driver_kick(&driver, 0);
	cr_assert_eq(device.nr_faults, 1);
	cr_assert(fake_queue_poll(&driver.queues[0], NULL, &used) && used == 0);
	assert_works();
	fake_memory_destroy(&two);
}

/* case 19 */
Test(hostile_driver, buffer_in_an_unplugged_block_fails_and_allocates_nothing)
{
	const uint64_t at = FAKE_ELASTIC_BASE;
	const struct fake_buffer readable[] = { { { at }, 16, false }, one_in };
	const struct fake_buffer writable[] = { one_out, { { at }, 16, true } };
	const struct fake_buffer across[] = { one_out, { { at + 2 * BLOCK - 8 }, 16, true } };
	const struct fake_buffer *all[] = { readable, writable, across };
	uint64_t before, after;
	uint32_t used;

	fake_driver_start(&driver, 0);
	blocks_set(&mem.elastic.blocks, 2, 1, BLOCK_PLUGGED);
	cr_assert_eq(ram_resident(&mem.elastic.ram, &before), 0);
	for (unsigned int i = 0; i < 3; i++) {
		fake_queue_add(&driver.queues[0], all[i], 2);
		fake_driver_kick(&driver, 0);
		cr_assert_eq(device.nr_faults, i + 1);
		cr_assert(fake_queue_poll(&driver.queues[0], NULL, &used) && used == 0);
	}
	cr_assert_eq(ram_resident(&mem.elastic.ram, &after), 0);
	cr_assert_eq(after, before, "no host page appeared");
	cr_assert_eq(after, 0);
	assert_works();
}

/* case 20 */
Test(hostile_driver, answer_over_the_rings_harms_only_the_guest)
{
	struct fake_queue *dq = &driver.queues[0];
	const uint32_t lengths[] = { 16, 64, 1024 };
	gpa_t src = fake_alloc(&mem, 4096, 16);
	uint8_t junk[4096];

	memset(junk, 0xff, sizeof(junk));
	for (int target = 0; target < 3; target++) {
		for (size_t l = 0; l < ARRAY_SIZE(lengths); l++) {
			fake_driver_start(&driver, 0);
			fake_write(&mem, src, junk, sizeof(junk));
			fake_queue_add(
				dq,
				(struct fake_buffer[]){
					{ src, lengths[l], false },
					{ (gpa_t[]){ dq->desc, dq->avail, dq->used }[target],
					  lengths[l], true } },
				2);
			fake_queue_add(dq, (struct fake_buffer[]){ one_out, one_in }, 2);
			fake_driver_kick(&driver, 0);
			/* Broken or not: a reset brings it back. */
			fake_driver_start(&driver, 0);
			assert_works();
		}
	}
}

/* case 20: a chain whose answer rewrites its own descriptors was copied before. */
Test(hostile_driver, answer_over_its_own_descriptor_goes_where_it_pointed_before)
{
	struct fake_queue *dq = &driver.queues[0];
	gpa_t src = fake_alloc(&mem, 64, 16), dst = fake_alloc(&mem, 64, 16);
	uint8_t got[32], want[64];

	fake_driver_start(&driver, 0);
	memset(want, 0x41, sizeof(want));
	fake_write(&mem, src, want, sizeof(want));
	/* Descriptors 0 (64 bytes out), 1 (32 bytes over descriptors 1 and 2), 2 (32 bytes in). */
	fake_queue_add(dq,
		       (struct fake_buffer[]){ { src, 64, false },
					       { gpa_add(dq->desc, 16), 32, true },
					       { dst, 32, true } },
		       3);
	fake_driver_kick(&driver, 0);
	cr_assert_eq(device.nr_served, 1);
	cr_assert_eq(device.nr_faults, 0);
	fake_read(&mem, dst, got, sizeof(got));
	cr_assert_arr_eq(got, want, 32);
}

/* case 21 */

struct flipper {
	uint64_t *desc; /* the guest's view: two 64-bit words of one descriptor */
	uint64_t good[2], bad[2];
	unsigned int nr_flips;
	bool stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		const uint64_t *to = f->nr_flips++ & 1 ? f->good : f->bad;

		__atomic_store_n(&f->desc[0], to[0], __ATOMIC_RELAXED);
		__atomic_store_n(&f->desc[1], to[1], __ATOMIC_RELAXED);
	}
	return NULL;
}

/*
 * The flipped descriptor names either 16 bytes or, to lie, addresses far outside with a huge
 * length; torn mixtures occur. Whatever was fetched is what is used: a chain either is popped
 * and then stays the same, or is refused.
 */
Test(hostile_driver, descriptor_flipped_by_another_thread_is_read_once)
{
	struct flipper f = { .good = { htole64(0x3000), htole64(16 | UINT64_C(2) << 32) },
			     .bad = { htole64(UINT64_MAX - 4096), htole64(UINT64_C(0xfffffff0) |
									  UINT64_C(2) << 32) } };
	unsigned int nr_popped = 0, nr_refused = 0;
	struct fake_queue drv;
	struct virtq q;
	struct chain c;
	pthread_t thread;

	fake_queue_init(&drv, &mem, 8);
	q = fake_queue_device_side(&drv);
	f.desc = (uint64_t *)(void *)((char *)mem.boot.host + drv.desc.v);
	memcpy(f.desc, f.good, sizeof(f.good));
	cr_assert_eq(pthread_create(&thread, NULL, flip, &f), 0);
	/* Long enough to meet both, on however busy a machine. */
	for (int i = 0; i < 200000 || (i < 100000000 && !(nr_popped && nr_refused)); i++) {
		int r;

		fake_queue_make_available(&drv, 0);
		r = virtq_pop(&q, &mem.gm, &c);
		if (r == -EPROTO) {
			nr_refused++;
			continue;
		}
		cr_assert_eq(r, 1);
		nr_popped++;
		/* What was checked is what is used, however the descriptor looks by now. */
		cr_assert_eq(c.nr_segments, 1);
		cr_assert_eq(chain_writable(&c), c.segments[0].bytes);
		cr_assert(c.segments[0].at.v + (c.segments[0].bytes - 1) >= c.segments[0].at.v);
		r = chain_write(&c, "0123456789abcdef", 16);
		cr_assert_eq(r, c.segments[0].at.v == 0x3000 ? 0 : -EFAULT);
		cr_assert_eq(virtq_push(&q, &mem.gm, &c), 0);
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	cr_assert_gt(f.nr_flips, 1000);
	cr_assert_gt(nr_popped, 0);
	cr_assert_gt(nr_refused, 0, "the flips were never seen");
}

/* case 23: a device that answers finds no room, one that reads finds nothing to read. */
Test(hostile_driver, wrong_direction_for_the_device_is_an_empty_part)
{
	uint32_t used;

	fake_driver_start(&driver, 0);
	fake_queue_add(&driver.queues[0], &one_in, 1);
	fake_queue_add(&driver.queues[0], &one_out, 1);
	fake_driver_kick(&driver, 0);
	for (int i = 0; i < 2; i++)
		cr_assert(fake_queue_poll(&driver.queues[0], NULL, &used) && used == 0);
	assert_works();
}

/* case 24 */
Test(hostile_driver, same_head_twice_while_the_device_holds_it_breaks_the_device)
{
	uint16_t head;

	fake_driver_start(&driver, 0);
	device.holds = true;
	head = fake_queue_add(&driver.queues[0], &one_out, 1);
	fake_driver_kick(&driver, 0);
	cr_assert_eq(device.nr_held, 1);
	fake_queue_make_available(&driver.queues[0], head);
	fake_driver_kick(&driver, 0);
	cr_assert(fake_driver_needs_reset(&driver));
	/* The late answer of a broken device goes nowhere. */
	fake_device_release(&device);
	cr_assert_eq(fake_queue_used_idx(&driver.queues[0]), 0);
	device.holds = false;
	assert_broken_until_reset("twice");
}

/* case 25 */
Test(hostile_driver, used_ring_that_nobody_reads_stops_nothing)
{
	struct fake_queue *dq = &driver.queues[1];

	fake_driver_start(&driver, 0);
	for (uint32_t i = 1; i <= 100000; i++) {
		fake_queue_add(dq, &one_out, 1);
		fake_driver_kick(&driver, 1);
		cr_assert_eq(fake_queue_used_idx(dq), (uint16_t)i);
	}
	cr_assert_eq(device.nr_served, 100000);
	cr_assert_not(fake_driver_needs_reset(&driver));
	assert_works();
}

/* case 25: while the device holds chains, no more of them than the queue has can pile up. */
Test(hostile_driver, held_chains_are_bounded_by_the_queue)
{
	struct fake_queue *dq = &driver.queues[1];

	fake_driver_start(&driver, 0);
	device.holds = true;
	for (int i = 0; i < 8; i++)
		fake_queue_add(dq, &one_out, 1);
	fake_driver_kick(&driver, 1);
	cr_assert_eq(device.nr_held, 8);
	device.nr_held = 0;
	fake_queue_add(dq, &one_out, 1);
	fake_driver_kick(&driver, 1);
	cr_assert_eq(device.nr_held, 0);
	cr_assert(fake_driver_needs_reset(&driver), "the ninth is one of the eight");
}

/* case 26 */
Test(hostile_driver, malformed_chain_comes_back_with_length_0_and_an_interrupt)
{
	const struct fake_buffer good[] = { one_out, one_in }, bad[] = { one_in, one_out };
	struct fake_queue *dq = &driver.queues[0];
	uint32_t head, used, interrupts;

	fake_driver_start(&driver, 0);
	fake_queue_add(dq, good, 2);
	fake_queue_add(dq, bad, 2);
	fake_queue_add(dq, good, 2);
	fake_driver_kick(&driver, 0);
	cr_assert(fake_queue_poll(dq, &head, &used) && head == 0 && used == 16);
	cr_assert(fake_queue_poll(dq, &head, &used) && head == 2 && used == 0);
	cr_assert_not(fake_queue_poll(dq, NULL, NULL), "nothing is served after it");
	interrupts = fake_driver_take_interrupts(&driver);
	cr_assert_eq(interrupts, VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
	cr_assert(fake_driver_needs_reset(&driver));
}

Test(hostile_driver, used_ring_that_loses_its_memory_breaks_the_device)
{
	struct fake_queue *dq = &driver.queues[0];

	blocks_set(&mem.elastic.blocks, 0, 1, BLOCK_PLUGGED);
	cr_assert(fake_driver_negotiate(&driver, UINT64_C(1) << VIRTIO_F_VERSION_1));
	fake_queue_init(dq, &mem, 8);
	dq->used = GPA(FAKE_ELASTIC_BASE);
	cr_assert(fake_driver_enable_queue(&driver, 0));
	fake_driver_add_status(&driver, VIRTIO_CONFIG_S_DRIVER_OK);
	fake_queue_add(dq, &one_out, 1);
	blocks_set(&mem.elastic.blocks, 0, 1, BLOCK_UNPLUGGED);
	fake_driver_kick(&driver, 0);
	cr_assert(fake_driver_needs_reset(&driver));
	fake_driver_start(&driver, 0);
	assert_works();
}
