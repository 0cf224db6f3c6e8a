/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_mmio.c - the registers of virtio-mmio, under lawful and hostile drivers.
 *
 * Bad input, by case (13 to 26, the rings', are in test_hostile_driver.c and test_queue.c).
 * Required of all of them: the VMM stays alive, reaches no memory but the guest's, and loops,
 * logs and waits are bounded.
 *  case 1   accesses of 1, 2 and 8 bytes to registers of 4: ignored, all ones
 *  case 2   an access across a register's or the window's edge; an address that wraps
 *  case 3   QueueSel beyond the queues, then every queue register: 0, ignored
 *  case 4   QueueNotify with a bad or negative-looking index
 *  case 5   QueueNum 0, not a power of two, too large
 *  case 6   QueueNum and ring addresses written while QueueReady is 1 or of a stopped queue: ignored
 *  case 7   rings unmapped, misaligned, wrapping 2^64, in a hole, in unplugged memory, straddling
 *           two regions: the queue is not ready, the device needs a reset
 *  case 8   DRIVER_OK without FEATURES_OK; features not offered accepted; features changed after
 *           FEATURES_OK
 *  case 9   a reset in the middle of I/O; a storm of 10^5 resets
 *  case 10  configuration read or written past its end or with an offset that wraps; writes to
 *           read-only fields
 *  case 11  torn reads of the configuration while it changes
 *  case 12  a storm of notifications for a queue that is not set up
 */
#include <criterion/criterion.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "tests/unit/fake_device.h"
#include "tests/unit/fake_driver.h"
#include "vmm/base/bus.h"

#define BLOCK (2 * MiB)
#define BIT(n) (UINT64_C(1) << (n))
#define V1 BIT(VIRTIO_F_VERSION_1)
#define OFFERED                                                                                    \
	(V1 | BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |                    \
	 BIT(FAKE_DEVICE_FEATURE))

enum {
	ACKNOWLEDGE = VIRTIO_CONFIG_S_ACKNOWLEDGE,
	DRIVER = VIRTIO_CONFIG_S_DRIVER,
	FEATURES_OK = VIRTIO_CONFIG_S_FEATURES_OK,
	DRIVER_OK = VIRTIO_CONFIG_S_DRIVER_OK,
	NEEDS_RESET = VIRTIO_CONFIG_S_NEEDS_RESET,
	FAILED = VIRTIO_CONFIG_S_FAILED,
};

static struct fake_memory mem;
static struct fake_device device;
static struct fake_driver d;

static void setup(void)
{
	fake_memory_init(&mem, 4 * MiB, 4 * BLOCK, BLOCK);
	fake_device_init(&device, &mem.gm);
	fake_driver_init(&d, &mem, &device.dev);
}

static void teardown(void) { fake_memory_destroy(&mem); }

TestSuite(mmio, .init = setup, .fini = teardown);
TestSuite(hostile_mmio, .init = setup, .fini = teardown);

static uint32_t reg(uint32_t r) { return fake_driver_reg(&d, r); }
static void set_reg(uint32_t r, uint32_t value) { fake_driver_set_reg(&d, r, value); }
static uint32_t status(void) { return reg(VIRTIO_MMIO_STATUS); }

static void assert_works(void)
{
	char answer[6] = "";

	cr_assert(fake_driver_request(&d, 0, "hello", 6, answer, 6, NULL));
	cr_assert_str_eq(answer, "hello");
}

/* Lawful use. */

Test(mmio, device_presents_itself_as_version_2)
{
	cr_assert_eq(reg(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	cr_assert_eq(reg(VIRTIO_MMIO_VERSION), 2);
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_ID), FAKE_DEVICE_ID);
	cr_assert_eq(status(), 0);
	cr_assert_eq(device.nr_resets, 1, "reset before first use");
}

Test(mmio, offers_device_and_ring_features_and_no_others)
{
	cr_assert_eq(fake_driver_device_features(&d), OFFERED);
	set_reg(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_FEATURES), 0);
	set_reg(VIRTIO_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

Test(mmio, shared_memory_regions_are_absent_and_legacy_registers_read_as_0)
{
	for (uint32_t r = VIRTIO_MMIO_SHM_LEN_LOW; r <= VIRTIO_MMIO_SHM_BASE_HIGH; r += 4)
		cr_assert_eq(reg(r), UINT32_MAX);
	cr_assert_eq(reg(0x028), 0);
	cr_assert_eq(reg(0x03c), 0);
	cr_assert_eq(reg(0x040), 0);
}

Test(mmio, driver_that_follows_the_spec_gets_its_answer)
{
	fake_driver_start(&d, OFFERED);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	cr_assert_eq(device.dev.features, OFFERED);
	cr_assert_eq(device.nr_driver_ok, 1);
	assert_works();
	cr_assert_eq(d.nr_interrupts, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	set_reg(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	set_reg(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

Test(mmio, features_without_version_1_are_refused)
{
	cr_assert_not(fake_driver_negotiate(&d, BIT(FAKE_DEVICE_FEATURE)));
	cr_assert_not(fake_driver_negotiate(&d, 0));
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	cr_assert_eq(device.dev.features, 0);
}

Test(mmio, device_may_refuse_features_and_the_driver_try_again)
{
	device.refuses_features = true;
	cr_assert_not(fake_driver_negotiate(&d, V1 | BIT(FAKE_DEVICE_FEATURE)));
	device.refuses_features = false;
	fake_driver_add_status(&d, FEATURES_OK);
	cr_assert(status() & FEATURES_OK);
	cr_assert_eq(device.dev.features, V1 | BIT(FAKE_DEVICE_FEATURE));
}

static uint32_t status_at_interrupt;
static void look_at_status(void *ctx)
{
	(void)ctx;
	status_at_interrupt = reg(VIRTIO_MMIO_INTERRUPT_STATUS);
}

Test(mmio, status_bit_is_set_before_the_line_is_raised)
{
	fake_driver_start(&d, V1);
	d.mmio.irq = (struct irq_line){ look_at_status, NULL };
	assert_works();
	cr_assert_eq(status_at_interrupt, VIRTIO_MMIO_INT_VRING);
	virtio_config_changed(&device.dev);
	cr_assert_eq(status_at_interrupt, VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
}

Test(mmio, every_event_raises_the_line_even_when_its_bit_is_set)
{
	fake_driver_start(&d, V1);
	assert_works();
	assert_works();
	cr_assert_eq(d.nr_interrupts, 2);
}

Test(mmio, config_change_interrupts_only_a_driver_that_is_there)
{
	virtio_config_changed(&device.dev);
	cr_assert(fake_driver_negotiate(&d, V1));
	virtio_config_changed(&device.dev);
	cr_assert_eq(d.nr_interrupts, 0);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	fake_driver_add_status(&d, DRIVER_OK);
	virtio_config_changed(&device.dev);
	cr_assert_eq(d.nr_interrupts, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
}

Test(mmio, buffers_added_before_driver_ok_are_served_after_it)
{
	const struct fake_buffer out = { { 0x2000 }, 4, false };

	cr_assert(fake_driver_negotiate(&d, V1));
	cr_assert(fake_driver_setup_queue(&d, 0, 8));
	cr_assert(fake_driver_setup_queue(&d, 1, 8));
	fake_queue_add(&d.queues[0], &out, 1);
	fake_queue_add(&d.queues[1], &out, 1);
	fake_driver_kick(&d, 0);
	virtio_mmio_kicked(&d.mmio, 1);
	cr_assert_eq(device.nr_kicks, 0, "not live yet");
	fake_driver_add_status(&d, DRIVER_OK);
	cr_assert_eq(device.nr_served, 2);
	cr_assert(fake_queue_poll(&d.queues[0], NULL, NULL));
	cr_assert(fake_queue_poll(&d.queues[1], NULL, NULL));
}

Test(mmio, queue_that_is_not_ready_is_not_served)
{
	cr_assert(fake_driver_negotiate(&d, V1));
	cr_assert(fake_driver_setup_queue(&d, 0, 8));
	fake_driver_add_status(&d, DRIVER_OK);
	cr_assert_eq(d.nr_kicks, 1);
	fake_driver_kick(&d, 1);
	virtio_mmio_kicked(&d.mmio, 1);
	cr_assert_eq(d.nr_kicks, 1);
	cr_assert_eq(device.nr_kicks, 1);
}

Test(mmio, stopped_queue_stays_quiet_until_reset)
{
	const struct fake_buffer out = { { 0x2000 }, 4, false };

	fake_driver_start(&d, V1);
	set_reg(VIRTIO_MMIO_QUEUE_SEL, 0);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	fake_queue_add(&d.queues[0], &out, 1);
	fake_driver_kick(&d, 0);
	virtio_mmio_kicked(&d.mmio, 0);
	cr_assert_eq(device.nr_served, 0);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	fake_driver_start(&d, V1);
	assert_works();
}

Test(mmio, held_device_takes_nothing_until_the_hold_ends)
{
	const struct fake_buffer out = { { 0x2000 }, 4, false };

	fake_driver_start(&d, V1);
	virtio_hold(&device.dev, true);
	fake_queue_add(&d.queues[0], &out, 1);
	fake_driver_kick(&d, 0);
	cr_assert_eq(device.nr_served, 0);
	virtio_hold(&device.dev, false);
	cr_assert_eq(device.nr_served, 1, "its kick is not lost");
}

Test(mmio, device_is_told_of_a_queue_that_was_stopped)
{
	cr_assert(fake_driver_negotiate(&d, V1));
	set_reg(VIRTIO_MMIO_QUEUE_SEL, 1);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(device.nr_stops, 0, "it was not ready");
	cr_assert(fake_driver_setup_queue(&d, 1, 8));
	fake_driver_add_status(&d, DRIVER_OK);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(device.nr_stops, 1);
	cr_assert_eq(device.stopped_queue, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	/* Whatever it holds, also of a device that broke. */
	fake_driver_start(&d, V1);
	virtio_broken(&device.dev, "test");
	set_reg(VIRTIO_MMIO_QUEUE_SEL, 0);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(device.nr_stops, 2);
}

/* Before DRIVER_OK nothing was in it. */
Test(mmio, queue_may_be_set_up_anew_before_driver_ok)
{
	cr_assert(fake_driver_negotiate(&d, V1));
	cr_assert(fake_driver_setup_queue(&d, 0, 8));
	set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert(fake_driver_setup_queue(&d, 0, 16));
	fake_driver_add_status(&d, DRIVER_OK);
	assert_works();
}

Test(mmio, stopped_queue_takes_no_late_answers)
{
	const struct fake_buffer out = { { 0x2000 }, 4, false };
	struct chain c;

	fake_driver_start(&d, V1);
	device.holds = true;
	fake_queue_add(&d.queues[0], &out, 1);
	fake_driver_kick(&d, 0);
	cr_assert_eq(device.nr_held, 1);
	set_reg(VIRTIO_MMIO_QUEUE_SEL, 0);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	fake_queue_add(&d.queues[0], &out, 1);
	cr_assert_eq(virtio_pop(&device.dev, 0, &c), 0);
	fake_device_release(&device);
	cr_assert_eq(fake_queue_used_idx(&d.queues[0]), 0);
	cr_assert_eq(d.nr_interrupts, 0);
}

Test(mmio, reset_restores_everything)
{
	fake_driver_start(&d, OFFERED);
	assert_works();
	set_reg(VIRTIO_MMIO_QUEUE_SEL, 1);
	set_reg(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	set_reg(VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(status(), 0);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	cr_assert_eq(device.dev.features, 0);
	cr_assert_eq(device.nr_resets, 2 + 1, "at first, by negotiation, now");
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)OFFERED);
	for (uint32_t i = 0; i < 2; i++) {
		set_reg(VIRTIO_MMIO_QUEUE_SEL, i);
		cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
		cr_assert_eq(device.dev.queues[i].size, 0);
		cr_assert_eq(device.dev.queues[i].next_avail, 0);
	}
	fake_driver_start(&d, 0);
	cr_assert_eq(device.dev.features, V1, "earlier choices do not linger");
	assert_works();
}

Test(mmio, config_is_read_at_any_width_and_always_fresh)
{
	device.config[1] = le64_of(UINT64_C(0x8877665544332211));
	cr_assert_eq(fake_driver_config(&d, 8, 8), UINT64_C(0x8877665544332211));
	cr_assert_eq(fake_driver_config(&d, 8, 4), 0x44332211);
	cr_assert_eq(fake_driver_config(&d, 12, 4), 0x88776655);
	cr_assert_eq(fake_driver_config(&d, 10, 2), 0x4433);
	cr_assert_eq(fake_driver_config(&d, 15, 1), 0x88);
	device.config[1] = le64_of(7);
	cr_assert_eq(fake_driver_config(&d, 8, 8), 7);
}

Test(mmio, config_is_written_at_any_width)
{
	fake_driver_access(&d, VIRTIO_MMIO_CONFIG, 8, true, UINT64_C(0x8877665544332211));
	fake_driver_access(&d, VIRTIO_MMIO_CONFIG + 1, 1, true, 0xaa);
	fake_driver_access(&d, VIRTIO_MMIO_CONFIG + 2, 2, true, 0xbbcc);
	fake_driver_access(&d, VIRTIO_MMIO_CONFIG + 4, 4, true, 0xdddddddd);
	cr_assert_eq(le64_get(device.config[0]), UINT64_C(0xddddddddbbccaa11));
}

Test(mmio, generation_moves_with_the_contents_and_only_with_them)
{
	uint32_t before = reg(VIRTIO_MMIO_CONFIG_GENERATION);

	cr_assert_eq(reg(VIRTIO_MMIO_CONFIG_GENERATION), before);
	device.config[2] = le64_of(1);
	cr_assert_neq(reg(VIRTIO_MMIO_CONFIG_GENERATION), before);
	before = reg(VIRTIO_MMIO_CONFIG_GENERATION);
	virtio_config_changed(&device.dev);
	cr_assert_eq(reg(VIRTIO_MMIO_CONFIG_GENERATION), before);
	set_reg(VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(reg(VIRTIO_MMIO_CONFIG_GENERATION), before, "a reset changes no contents");
}

Test(mmio, broken_device_tells_the_driver)
{
	fake_driver_start(&d, V1);
	virtio_broken(&device.dev, "test");
	cr_assert(status() & NEEDS_RESET);
	cr_assert_eq(d.nr_interrupts, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	virtio_broken(&device.dev, "again");
	cr_assert_eq(d.nr_interrupts, 1, "once is enough");
}

Test(mmio, device_broken_during_set_up_tells_the_driver_at_driver_ok)
{
	cr_assert(fake_driver_negotiate(&d, V1));
	virtio_broken(&device.dev, "test");
	cr_assert_eq(d.nr_interrupts, 0);
	fake_driver_add_status(&d, DRIVER_OK);
	cr_assert_eq(d.nr_interrupts, 1);
	cr_assert_eq(device.nr_driver_ok, 0);
	cr_assert_not(virtio_live(&device.dev));
}

static void choose(uint64_t features)
{
	for (uint32_t half = 0; half < 2; half++) {
		set_reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		set_reg(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> (32 * half)));
	}
}

/* What is to come of VALUE written in state FROM, and whether the features will do. */
static uint32_t status_after(uint32_t from, uint32_t value, bool good_features)
{
	uint32_t to = from | (value & (ACKNOWLEDGE | DRIVER | FAILED));

	if (from & FAILED)
		return from;
	if (value & FEATURES_OK && good_features)
		to |= FEATURES_OK;
	return to & FEATURES_OK ? to | (value & DRIVER_OK) : to;
}

/* The whole status machine: every state a driver can reach, every value it can write. */
Test(mmio, status_takes_what_it_can_of_each_value)
{
	const uint32_t all = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK | FAILED;

	for (uint32_t from = 0; from < 0x100; from++) {
		if (from & ~all || (from & DRIVER_OK && !(from & FEATURES_OK)))
			continue;
		for (uint32_t value = 1; value < 0x300; value++) {
			bool good = !(value & 0x200);

			set_reg(VIRTIO_MMIO_STATUS, 0);
			choose(V1);
			if (from)
				set_reg(VIRTIO_MMIO_STATUS, from);
			cr_assert_eq(status(), from, "at once");
			if (!(from & FEATURES_OK))
				choose(good ? V1 : 0);
			set_reg(VIRTIO_MMIO_STATUS, value);
			cr_assert_eq(status(), status_after(from, value, good),
				     "%#x written in state %#x", value, from);
		}
	}
}

/* Drivers that are in use: each comes to a device that works. */

Test(mmio, driver_may_set_several_bits_in_one_write)
{
	set_reg(VIRTIO_MMIO_STATUS, 0);
	set_reg(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	choose(V1);
	set_reg(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	cr_assert(fake_driver_setup_queue(&d, 0, 8));
	set_reg(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_works();
}

Test(mmio, driver_may_write_each_bit_without_those_before)
{
	set_reg(VIRTIO_MMIO_STATUS, 0);
	set_reg(VIRTIO_MMIO_STATUS, ACKNOWLEDGE);
	set_reg(VIRTIO_MMIO_STATUS, DRIVER);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	choose(V1);
	set_reg(VIRTIO_MMIO_STATUS, FEATURES_OK);
	cr_assert(status() & FEATURES_OK);
	cr_assert(fake_driver_setup_queue(&d, 0, 8));
	set_reg(VIRTIO_MMIO_STATUS, DRIVER_OK);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_works();
}

Test(mmio, driver_may_set_up_queues_first_and_write_its_status_once)
{
	const struct fake_buffer out = { { 0x2000 }, 4, false };

	set_reg(VIRTIO_MMIO_STATUS, 0);
	choose(V1 | BIT(VIRTIO_RING_F_INDIRECT_DESC));
	cr_assert(fake_driver_setup_queue(&d, 0, 8));
	fake_queue_add_indirect(&d.queues[0], &out, 1);
	set_reg(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	cr_assert_eq(device.nr_served, 1, "with the features that came after it");
	cr_assert(fake_queue_poll(&d.queues[0], NULL, NULL));
	assert_works();
}

Test(mmio, driver_may_set_up_queues_after_driver_ok)
{
	const struct fake_buffer out = { { 0x2000 }, 4, false };

	cr_assert(fake_driver_negotiate(&d, V1));
	fake_driver_add_status(&d, DRIVER_OK);
	fake_queue_init(&d.queues[0], &mem, 8);
	fake_queue_add(&d.queues[0], &out, 1);
	fake_driver_kick(&d, 0);
	cr_assert_eq(device.nr_served, 0);
	cr_assert(fake_driver_enable_queue(&d, 0));
	cr_assert_eq(device.nr_served, 1, "its kick was ignored, its buffer is not");
	cr_assert(fake_queue_poll(&d.queues[0], NULL, NULL));
	assert_works();
}

Test(mmio, driver_without_features_that_will_do_gets_no_further)
{
	set_reg(VIRTIO_MMIO_STATUS, 0);
	set_reg(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	set_reg(VIRTIO_MMIO_STATUS, DRIVER_OK);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	cr_assert_eq(device.nr_driver_ok, 0);
}

Test(mmio, failed_driver_is_not_served)
{
	fake_driver_start(&d, V1);
	fake_driver_add_status(&d, FAILED);
	cr_assert_not(fake_driver_request(&d, 0, "hello", 6, NULL, 0, NULL));
	cr_assert_eq(device.nr_kicks, 2, "those of DRIVER_OK");
	fake_driver_start(&d, V1);
	assert_works();
}

/* Bad input. */

/* What a hostile access must not change. */
struct snapshot {
	struct virtio_mmio mmio;
	struct virtio_dev dev;
	unsigned int nr_kicks, nr_resets, nr_config_writes;
};

static struct snapshot snapshot(void)
{
	return (struct snapshot){ d.mmio, device.dev, d.nr_kicks, device.nr_resets,
				  device.nr_config_writes };
}

static void assert_unchanged(const struct snapshot *before, const char *what, uint64_t offset)
{
	struct virtq *q = device.dev.queues;

	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		const struct virtq *old = &before->dev.queues[i];

		cr_assert(q[i].size == old->size && q[i].ready == old->ready &&
				  q[i].desc.v == old->desc.v && q[i].avail.v == old->avail.v &&
				  q[i].used.v == old->used.v,
			  "%s at %#lx changed queue %u", what, (unsigned long)offset, i);
	}
	cr_assert_eq(device.dev.status, before->dev.status, "%s at %#lx", what,
		     (unsigned long)offset);
	cr_assert_eq(device.dev.features, before->dev.features);
	cr_assert_eq(d.mmio.driver_features, before->mmio.driver_features);
	cr_assert_eq(d.mmio.queue_sel, before->mmio.queue_sel);
	cr_assert_eq(d.mmio.device_features_sel, before->mmio.device_features_sel);
	cr_assert_eq(d.mmio.driver_features_sel, before->mmio.driver_features_sel);
	cr_assert_eq(d.mmio.interrupt_status, before->mmio.interrupt_status);
	cr_assert_eq(d.nr_kicks, before->nr_kicks);
	cr_assert_eq(device.nr_resets, before->nr_resets);
	cr_assert_eq(device.nr_config_writes, before->nr_config_writes);
}

/* case 1, case 2 */
Test(hostile_mmio, registers_know_one_width_and_no_straddling)
{
	struct snapshot before;

	fake_driver_start(&d, V1);
	assert_works();
	before = snapshot();
	for (uint64_t offset = 0; offset < VIRTIO_MMIO_CONFIG; offset++) {
		for (unsigned int bytes = 1; bytes <= 8; bytes *= 2) {
			uint64_t ones = UINT64_MAX >> (64 - 8 * bytes);

			if (bytes == 4 && offset % 4 == 0)
				continue;
			cr_assert_eq(fake_driver_access(&d, offset, bytes, false, 0), ones,
				     "%u bytes at %#lx", bytes, (unsigned long)offset);
			fake_driver_access(&d, offset, bytes, true, 0);
			fake_driver_access(&d, offset, bytes, true, UINT64_MAX);
			fake_driver_access(&d, offset, bytes, true, 1);
			assert_unchanged(&before, "access", offset);
		}
	}
	assert_works();
}

/* case 2: on the bus, as the machine puts the window there. */
Test(hostile_mmio, accesses_across_the_windows_edge_reach_nothing)
{
	const uint64_t base = 0xd0000000, end = base + VIRTIO_MMIO_BYTES;
	const uint64_t at[] = { base - 1, base - 3, end - 1, end - 3, end, UINT64_MAX - 1 };
	struct bus bus = { .nr_regions = 0 };
	struct snapshot before;

	cr_assert_eq(bus_add(&bus, base, VIRTIO_MMIO_BYTES, virtio_mmio_access, &d.mmio), 0);
	bus_freeze(&bus);
	fake_driver_start(&d, V1);
	before = snapshot();
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		struct bus_access read = { .bytes = 4 };
		struct bus_access write = { .bytes = 4, .is_write = true };

		cr_assert_not(bus_access(&bus, at[i], &read));
		cr_assert_eq(read.value, UINT64_MAX);
		cr_assert_not(bus_access(&bus, at[i], &write));
		assert_unchanged(&before, "access", at[i]);
	}
}

/* case 3 */
Test(hostile_mmio, queue_registers_of_no_queue_are_0_and_ignored)
{
	const uint32_t sels[] = { 2, 7, 8, 64, 0x7fffffff, 0x80000000, UINT32_MAX };
	const uint32_t regs[] = {
		VIRTIO_MMIO_QUEUE_NUM,	      VIRTIO_MMIO_QUEUE_READY,
		VIRTIO_MMIO_QUEUE_DESC_LOW,   VIRTIO_MMIO_QUEUE_DESC_HIGH,
		VIRTIO_MMIO_QUEUE_AVAIL_LOW,  VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
		VIRTIO_MMIO_QUEUE_USED_LOW,   VIRTIO_MMIO_QUEUE_USED_HIGH,
	};

	cr_assert(fake_driver_negotiate(&d, V1));
	for (size_t s = 0; s < ARRAY_SIZE(sels); s++) {
		struct snapshot before;

		set_reg(VIRTIO_MMIO_QUEUE_SEL, sels[s]);
		before = snapshot();
		cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
			set_reg(regs[i], 1);
			set_reg(regs[i], 0);
			set_reg(regs[i], 8);
			cr_assert_eq(reg(regs[i]), 0);
			assert_unchanged(&before, "queue register", regs[i]);
		}
	}
}

/* case 4 */
Test(hostile_mmio, notification_for_no_queue_is_ignored)
{
	const uint32_t queues[] = { 2, 8, 31, 32, 0x7fffffff, 0x80000000, 0xffff0000, UINT32_MAX };
	struct snapshot before;

	fake_driver_start(&d, V1);
	before = snapshot();
	for (size_t i = 0; i < ARRAY_SIZE(queues); i++) {
		fake_driver_kick(&d, queues[i]);
		assert_unchanged(&before, "notify", queues[i]);
	}
	assert_works();
}

/* case 4: with as many queues as a device can have, the next index is nobody's memory. */
Test(hostile_mmio, notification_right_after_the_last_queue_is_ignored)
{
	struct virtio_ops ops = *device.dev.ops;
	unsigned int nr;

	ops.nr_queues = VIRTIO_MAX_QUEUES;
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++)
		ops.queue_size[i] = 8;
	device.dev.ops = &ops;
	fake_driver_init(&d, &mem, &device.dev);
	fake_driver_start(&d, V1);
	nr = d.nr_kicks;
	fake_driver_kick(&d, VIRTIO_MAX_QUEUES);
	cr_assert_eq(d.nr_kicks, nr);
	fake_driver_kick(&d, VIRTIO_MAX_QUEUES - 1);
	cr_assert_eq(d.nr_kicks, nr + 1);
}

/* case 5 */
Test(hostile_mmio, bad_queue_sizes_are_ignored)
{
	const uint32_t sizes[] = { 0, 3, 63, 65, 128, 0x10000, 0x10040, 0x80000000, UINT32_MAX };

	cr_assert(fake_driver_negotiate(&d, V1));
	set_reg(VIRTIO_MMIO_QUEUE_SEL, 0);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_NUM_MAX), 64);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		set_reg(VIRTIO_MMIO_QUEUE_NUM, sizes[i]);
		cr_assert_eq(device.dev.queues[0].size, 0, "%u", sizes[i]);
	}
	set_reg(VIRTIO_MMIO_QUEUE_NUM, 16);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		set_reg(VIRTIO_MMIO_QUEUE_NUM, sizes[i]);
		cr_assert_eq(device.dev.queues[0].size, 16, "%u", sizes[i]);
	}
}

/* case 5 */
Test(hostile_mmio, queue_without_a_size_does_not_become_ready)
{
	cr_assert(fake_driver_negotiate(&d, V1));
	set_reg(VIRTIO_MMIO_QUEUE_SEL, 0);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert(fake_driver_needs_reset(&d));
}

static void write_all_queue_registers(void)
{
	const struct snapshot before = snapshot();

	set_reg(VIRTIO_MMIO_QUEUE_NUM, 4);
	for (uint32_t r = VIRTIO_MMIO_QUEUE_DESC_LOW; r <= VIRTIO_MMIO_QUEUE_USED_HIGH; r += 4) {
		set_reg(r, 0);
		set_reg(r, UINT32_MAX);
		assert_unchanged(&before, "queue register", r);
	}
	assert_unchanged(&before, "queue register", VIRTIO_MMIO_QUEUE_NUM);
}

/* case 6 */
Test(hostile_mmio, ready_queue_does_not_move)
{
	cr_assert(fake_driver_negotiate(&d, V1));
	cr_assert(fake_driver_setup_queue(&d, 0, 8));
	write_all_queue_registers();
	fake_driver_add_status(&d, DRIVER_OK);
	write_all_queue_registers();
	assert_works();
}

/* case 6: what was in it may be anywhere. */
Test(hostile_mmio, stopped_queue_is_not_set_up_again)
{
	fake_driver_start(&d, V1);
	set_reg(VIRTIO_MMIO_QUEUE_SEL, 0);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	write_all_queue_registers();
	set_reg(VIRTIO_MMIO_QUEUE_READY, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_not(fake_driver_needs_reset(&d));
}

/* case 6 */
Test(hostile_mmio, only_1_makes_a_queue_ready)
{
	const uint32_t values[] = { 2, 3, 0x100, 0x80000000, UINT32_MAX };

	cr_assert(fake_driver_negotiate(&d, V1));
	cr_assert(fake_driver_setup_queue(&d, 0, 8));
	set_reg(VIRTIO_MMIO_QUEUE_READY, 0);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		set_reg(VIRTIO_MMIO_QUEUE_READY, values[i]);
		cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	}
	cr_assert_not(fake_driver_needs_reset(&d));
}

/* case 7 */
Test(hostile_mmio, bad_rings_make_no_queue_and_a_device_that_needs_reset)
{
	const uint64_t end = mem.boot.bytes, elastic = FAKE_ELASTIC_BASE;
	const struct {
		const char *what;
		unsigned int ring; /* 0: descriptors, 1: available, 2: used */
		uint64_t at;
	} cases[] = {
		{ "misaligned", 0, 0x20008 },
		{ "misaligned", 1, 0x20001 },
		{ "misaligned", 2, 0x20002 },
		{ "unmapped", 0, 1 * GiB },
		{ "unmapped", 1, 1 * GiB },
		{ "unmapped", 2, 1 * GiB },
		{ "in the device window", 0, 0xd0000000 },
		{ "over the end", 0, end - 16 },
		{ "over the end", 1, end - 2 },
		{ "over the end", 2, end - 4 },
		{ "wraps", 0, UINT64_MAX - 15 },
		{ "wraps", 1, UINT64_MAX - 1 },
		{ "wraps", 2, UINT64_MAX - 3 },
		{ "unplugged", 0, elastic },
		{ "unplugged", 1, elastic },
		{ "unplugged", 2, elastic },
		{ "half unplugged", 0, elastic + 2 * BLOCK - 64 },
		{ "half unplugged", 1, elastic + 2 * BLOCK - 4 },
		{ "half unplugged", 2, elastic + 2 * BLOCK - 4 },
	};

	blocks_set(&mem.elastic.blocks, 1, 1, BLOCK_PLUGGED);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake_queue *q = &d.queues[0];

		cr_assert(fake_driver_negotiate(&d, V1));
		fake_queue_init(q, &mem, 8);
		*(gpa_t *[]){ &q->desc, &q->avail, &q->used }[cases[i].ring] = GPA(cases[i].at);
		cr_assert_not(fake_driver_enable_queue(&d, 0), "%s %u", cases[i].what,
			      cases[i].ring);
		cr_assert(fake_driver_needs_reset(&d), "%s", cases[i].what);
		fake_driver_add_status(&d, DRIVER_OK);
		cr_assert_not(virtio_live(&device.dev));
		fake_driver_kick(&d, 0);
		cr_assert_eq(device.nr_kicks, 0);
	}
	fake_driver_start(&d, 0);
	assert_works();
}

/* case 7: two regions side by side are two. */
Test(hostile_mmio, ring_that_straddles_two_regions_is_refused)
{
	static struct fake_memory two;

	two = (struct fake_memory){ .next_free = 0x10000 };
	cr_assert_eq(ram_create(&two.boot, "low", 2 * MiB), 0);
	cr_assert_eq(ram_create(&two.elastic.ram, "high", 2 * MiB), 0);
	cr_assert_eq(gm_add(&two.gm, GPA(0), 2 * MiB, &two.boot, 0, NULL), 0);
	cr_assert_eq(gm_add(&two.gm, GPA(2 * MiB), 2 * MiB, &two.elastic.ram, 0, NULL), 0);
	gm_freeze(&two.gm);
	fake_device_init(&device, &two.gm);
	fake_driver_init(&d, &two, &device.dev);
	cr_assert(fake_driver_negotiate(&d, V1));
	fake_queue_init(&d.queues[0], &two, 8);
	d.queues[0].desc = GPA(2 * MiB - 64);
	cr_assert_not(fake_driver_enable_queue(&d, 0));
	cr_assert(fake_driver_needs_reset(&d));
	fake_memory_destroy(&two);
}

/* case 8 */
Test(hostile_mmio, driver_ok_without_features_ok_is_refused)
{
	cr_assert_not(fake_driver_negotiate(&d, 0));
	fake_driver_add_status(&d, DRIVER_OK);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	fake_driver_add_status(&d, FEATURES_OK | DRIVER_OK);
	cr_assert_eq(status(), ACKNOWLEDGE | DRIVER);
	cr_assert_eq(device.nr_driver_ok, 0);
}

/* case 8 */
Test(hostile_mmio, features_that_were_not_offered_are_refused)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (OFFERED & BIT(bit))
			cr_assert(fake_driver_negotiate(&d, V1 | BIT(bit)));
		else
			cr_assert_not(fake_driver_negotiate(&d, V1 | BIT(bit)), "bit %u", bit);
	}
	for (uint32_t sel = 2; sel; sel <<= 1) {
		cr_assert_not(fake_driver_negotiate(&d, 0));
		set_reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
		set_reg(VIRTIO_MMIO_DRIVER_FEATURES, V1 >> 32);
		set_reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL, sel);
		set_reg(VIRTIO_MMIO_DRIVER_FEATURES, 1);
		fake_driver_add_status(&d, FEATURES_OK);
		cr_assert_eq(status(), ACKNOWLEDGE | DRIVER, "feature beyond 64, group %u", sel);
		cr_assert(fake_driver_negotiate(&d, V1), "forgotten by a reset");
	}
}

/* case 8 */
Test(hostile_mmio, features_do_not_change_after_features_ok)
{
	cr_assert(fake_driver_negotiate(&d, V1));
	for (uint32_t sel = 0; sel < 3; sel++) {
		set_reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL, sel);
		set_reg(VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
	}
	fake_driver_add_status(&d, DRIVER_OK);
	cr_assert_eq(device.dev.features, V1);
	cr_assert_eq(d.mmio.driver_features, V1);
	cr_assert(virtio_live(&device.dev));
}

/* case 9 */
Test(hostile_mmio, reset_in_the_middle_of_io_forgets_it)
{
	const struct fake_buffer out = { { 0x2000 }, 4, false };

	fake_driver_start(&d, V1);
	device.holds = true;
	fake_queue_add(&d.queues[0], &out, 1);
	fake_driver_kick(&d, 0);
	cr_assert_eq(device.nr_held, 1);
	/* A kick is under way while the driver resets: it finds nothing to do. */
	d.serve_kicks = false;
	fake_queue_add(&d.queues[0], &out, 1);
	fake_driver_kick(&d, 0);
	set_reg(VIRTIO_MMIO_STATUS, 0);
	fake_driver_serve(&d);
	cr_assert_eq(device.nr_held, 0);
	fake_device_release(&device);
	cr_assert_eq(fake_queue_used_idx(&d.queues[0]), 0);
	d.serve_kicks = true;
	device.holds = false;
	fake_driver_start(&d, V1);
	assert_works();
}

/* case 9 */
Test(hostile_mmio, reset_storm_is_harmless)
{
	for (int i = 0; i < 100000; i++)
		set_reg(VIRTIO_MMIO_STATUS, 0);
	cr_assert_geq(device.nr_resets, 100000);
	/* With a request each time around, too. */
	for (int i = 0; i < 2000; i++) {
		uint64_t mark = mem.next_free;

		fake_driver_start(&d, V1);
		assert_works();
		mem.next_free = mark;
		/* The rings are used again: the driver clears them. */
		cr_assert_eq(gm_zero(&mem.gm, GPA(mark), 8192), 0);
	}
}

/* case 10 */
Test(hostile_mmio, config_ends_where_it_ends)
{
	const uint64_t bytes_of_config = sizeof(device.config);

	for (uint64_t offset = 0; offset < VIRTIO_MMIO_BYTES; offset++) {
		for (unsigned int bytes = 1; bytes <= 8; bytes *= 2) {
			uint64_t ones = UINT64_MAX >> (64 - 8 * bytes);
			unsigned int writes = device.nr_config_writes;

			if (offset + bytes <= bytes_of_config)
				continue;
			cr_assert_eq(fake_driver_config(&d, (uint32_t)offset, bytes), ones);
			fake_driver_access(&d, VIRTIO_MMIO_CONFIG + offset, bytes, true, 0);
			cr_assert_eq(device.nr_config_writes, writes);
		}
	}
	/* No bus hands out such an offset; the device survives it all the same. */
	for (uint64_t offset = UINT64_MAX - 8; offset; offset++) {
		cr_assert_eq(fake_driver_access(&d, offset, 8, false, 0), UINT64_MAX);
		fake_driver_access(&d, offset, 8, true, 0);
	}
	cr_assert_eq(device.nr_config_writes, 0);
}

/* case 10 */
Test(hostile_mmio, read_only_configuration_stays_as_it_is)
{
	struct virtio_ops read_only = *device.dev.ops;

	read_only.config_write = NULL;
	device.dev.ops = &read_only;
	device.config[0] = le64_of(1234);
	fake_driver_access(&d, VIRTIO_MMIO_CONFIG, 8, true, 99);
	cr_assert_eq(fake_driver_config(&d, 0, 8), 1234);
	read_only.config_bytes = 0;
	read_only.config_read = NULL;
	cr_assert_eq(fake_driver_config(&d, 0, 8), UINT64_MAX);
	reg(VIRTIO_MMIO_CONFIG_GENERATION);
}

/* case 11: whatever changes between any two of the reads, a torn value is seen as one. */
Test(hostile_mmio, torn_config_read_shows_in_the_generation)
{
	const uint64_t values[] = { UINT64_C(0x1111111122222222), UINT64_C(0x3333333344444444) };

	/* Bit i of PATTERN: which value is there at step i: generation, low, high, generation. */
	for (unsigned int pattern = 0; pattern < 16; pattern++) {
		uint32_t first, last;
		uint64_t seen;

		device.config[1] = le64_of(values[pattern & 1]);
		first = reg(VIRTIO_MMIO_CONFIG_GENERATION);
		device.config[1] = le64_of(values[pattern >> 1 & 1]);
		seen = fake_driver_config(&d, 8, 4);
		device.config[1] = le64_of(values[pattern >> 2 & 1]);
		seen |= fake_driver_config(&d, 12, 4) << 32;
		device.config[1] = le64_of(values[pattern >> 3 & 1]);
		last = reg(VIRTIO_MMIO_CONFIG_GENERATION);
		if (seen != values[0] && seen != values[1])
			cr_assert_neq(first, last, "pattern %#x", pattern);
		if (pattern == 0 || pattern == 15)
			cr_assert_eq(first, last);
	}
}

/* case 12 */
Test(hostile_mmio, notification_storm_on_an_unready_queue_wakes_nobody)
{
	for (int i = 0; i < 100000; i++) {
		fake_driver_kick(&d, (uint32_t)i & 1);
		virtio_mmio_kicked(&d.mmio, (unsigned int)i & 1);
	}
	cr_assert(fake_driver_negotiate(&d, V1));
	fake_driver_add_status(&d, DRIVER_OK);
	for (int i = 0; i < 100000; i++) {
		fake_driver_kick(&d, (uint32_t)i & 1);
		virtio_mmio_kicked(&d.mmio, (unsigned int)i & 1);
	}
	cr_assert_eq(d.nr_kicks, 0);
	cr_assert_eq(device.nr_kicks, 0);
}
