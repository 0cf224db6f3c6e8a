/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_balloon.c - the balloon device with drivers that keep to the rules: which queue is which,
 * inflate and deflate toward a target, reports, hints, statistics, working sets. Hostile drivers
 * are in test_balloon_hostile.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "tests/unit/balloon_rig.h"
#include "tests/unit/blk_rig.h"

#define BIT(feature) (UINT64_C(1) << (feature))
#define TELL	     BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST)
#define STATS_VQ     BIT(VIRTIO_BALLOON_F_STATS_VQ)
#define OOM	     BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM)
#define HINT_VQ	     BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT)
#define POISON	     BIT(VIRTIO_BALLOON_F_PAGE_POISON)
#define REPORT_VQ    BIT(VIRTIO_BALLOON_F_REPORTING)
#define WS_VQ	     BIT(BALLOON_F_WS_REPORTING)
#define ALL	     (TELL | STATS_VQ | OOM | HINT_VQ | REPORT_VQ | WS_VQ)

#define PAGE PAGE_BYTES
#define UNIT RAM_HUGE_BYTES
/* Rings and requests lie below; the tests' memory from here on. */
#define FREE (4 * MiB)
#define MS   NS_PER_MS

/* With everything accepted. */
enum { INFLATE, DEFLATE, STATS, HINT, REPORT, WS_REPORT, WS_NOTIFY };

static struct balloon_rig rig;

/* All of the tests' memory is in use. */
static void fill_units(unsigned int nr) { memset((char *)rig.mem.boot.host + FREE, 0x5a, nr * UNIT); }
static void fill(void) { fill_units((BALLOON_BOOT - FREE) / UNIT); }

static void start(uint64_t features)
{
	balloon_rig_init(&rig);
	fill();
	fake_driver_start(&rig.drv, features);
	fake_driver_take_interrupts(&rig.drv);
}

static void with_all(void) { start(ALL); }
static void down(void) { balloon_rig_destroy(&rig); }

TestSuite(balloon, .init = with_all, .fini = down, .timeout = 240);
TestSuite(balloon_setup, .fini = down, .timeout = 240);
TestSuite(balloon_queues, .timeout = 240);

static uint64_t resident(uint64_t at, uint64_t bytes)
{
	return balloon_rig_range_resident(&rig, GPA(at), bytes);
}

static bool untouched(uint64_t at, uint64_t bytes)
{
	const char *p = (const char *)rig.mem.boot.host + at;

	for (uint64_t i = 0; i < bytes; i++)
		if (p[i] != 0x5a)
			return false;
	return true;
}

static uint64_t out(enum returned_how how) { return page_ledger_bytes(&rig.returned, how); }

static bool config_interrupt(void)
{
	return fake_driver_take_interrupts(&rig.drv) & VIRTIO_MMIO_INT_CONFIG;
}

static uint32_t config(size_t offset)
{
	return (uint32_t)fake_driver_config(&rig.drv, (uint32_t)offset, 4);
}

static void set_config(size_t offset, uint32_t value)
{
	fake_driver_access(&rig.drv, VIRTIO_MMIO_CONFIG + offset, 4, true, value);
}

#define NUM_PAGES offsetof(struct balloon_config, num_pages)
#define ACTUAL	  offsetof(struct balloon_config, actual)
#define CMD_ID	  offsetof(struct balloon_config, free_page_hint_cmd_id)
#define POISONVAL offsetof(struct balloon_config, poison_val)

static bool inflate(uint64_t at, unsigned int nr)
{
	return balloon_rig_pages(&rig, INFLATE, GPA(at), nr);
}

static bool deflate(uint64_t at, unsigned int nr)
{
	return balloon_rig_pages(&rig, DEFLATE, GPA(at), nr);
}

/* The driver names memory in QUEUE. */
static bool name(unsigned int queue, uint64_t at, uint32_t bytes)
{
	struct fake_buffer buffer = { GPA(at), bytes, true };
	uint32_t used = 99;

	fake_queue_add(&rig.drv.queues[queue], &buffer, 1);
	fake_driver_kick(&rig.drv, queue);
	return fake_queue_poll(&rig.drv.queues[queue], NULL, &used) && !used &&
	       !fake_driver_needs_reset(&rig.drv);
}

static bool hint(uint64_t at, uint32_t bytes) { return name(HINT, at, bytes); }
static bool report(uint64_t at, uint32_t bytes) { return name(REPORT, at, bytes); }

static bool send_id_in(unsigned int queue, uint32_t id)
{
	le32 wire = le32_of(id);

	return fake_driver_request(&rig.drv, queue, &wire, sizeof(wire), NULL, 0, NULL);
}

static bool send_id(uint32_t id) { return send_id_in(HINT, id); }

/* One statistic; the device holds the buffer, so it is not answered. */
static void send_stat(unsigned int queue, uint16_t tag, uint64_t value)
{
	struct {
		le16 tag;
		le64 value;
	} __attribute__((packed)) stat = { le16_of(tag), le64_of(value) };
	gpa_t at = fake_alloc(&rig.mem, sizeof(stat), 16);

	fake_write(&rig.mem, at, &stat, sizeof(stat));
	fake_queue_add(&rig.drv.queues[queue], &(struct fake_buffer){ at, sizeof(stat), false }, 1);
	fake_driver_kick(&rig.drv, queue);
}

static bool send_working_set(unsigned int queue, uint32_t node)
{
	struct balloon_ws_report ws = { .node_id = le32_of(node) };

	ws.bins[0].idle_age = le64_of(UINT64_MAX);
	ws.bins[0].anon_bytes = le64_of(77);
	return fake_driver_request(&rig.drv, queue, &ws, sizeof(ws), NULL, 0, NULL);
}

/* --- which queue is which ---------------------------------------------------------------------- */

static bool accepted(uint64_t bit) { return rig.drv.dev->features & bit; }

/* Each queue that there should be does its work at its index, and there are no others. */
static void expect_queues(void)
{
	struct balloon_ws_notify notify;
	unsigned int queue = DEFLATE + 1;
	gpa_t buffer;

	cr_assert(inflate(FREE, 3));
	cr_assert_eq(out(RETURNED_BALLOONED), 3 * PAGE);
	cr_assert(deflate(FREE, 1));
	cr_assert_eq(out(RETURNED_BALLOONED), 2 * PAGE);
	if (accepted(STATS_VQ)) {
		send_stat(queue++, VIRTIO_BALLOON_S_AVAIL, 4711);
		cr_assert_eq(balloon_rig_info(&rig).stats.value[VIRTIO_BALLOON_S_AVAIL], 4711);
		cr_assert_eq(rig.nr_stats, 1);
	} else {
		cr_assert_eq(balloon_ask_stats(rig.b), -ENODEV);
	}
	if (accepted(HINT_VQ)) {
		cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + NS_PER_S), 0);
		cr_assert(send_id_in(queue, config(CMD_ID)));
		cr_assert(name(queue, FREE + 2 * UNIT, UNIT));
		cr_assert_eq(out(RETURNED_HINTED), UNIT);
		cr_assert(send_id_in(queue++, VIRTIO_BALLOON_CMD_ID_STOP));
		cr_assert_eq(balloon_rig_info(&rig).reclaim.state, RECLAIM_DONE);
	} else {
		cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + NS_PER_S), -ENODEV);
		cr_assert_not(rig.logging);
	}
	if (accepted(REPORT_VQ)) {
		cr_assert(name(queue++, FREE + 3 * UNIT, UNIT));
		cr_assert_eq(out(RETURNED_REPORTED), UNIT);
	}
	if (accepted(WS_VQ)) {
		cr_assert(send_working_set(queue++, 5));
		cr_assert_eq(rig.nr_working_sets, 1);
		cr_assert_eq(rig.last_working_set.node, 5);
		cr_assert_eq(balloon_ask_working_set(rig.b, 6), 0);
		buffer = fake_alloc(&rig.mem, sizeof(notify), 16);
		fake_queue_add(&rig.drv.queues[queue],
			       &(struct fake_buffer){ buffer, sizeof(notify), true }, 1);
		fake_driver_kick(&rig.drv, queue);
		cr_assert(fake_queue_poll(&rig.drv.queues[queue++], NULL, NULL));
		fake_read(&rig.mem, buffer, &notify, sizeof(notify));
		cr_assert_eq(le16_get(notify.op), BALLOON_WS_REQUEST);
		cr_assert_eq(le16_get(notify.node_id), 6);
	} else {
		cr_assert_eq(balloon_ask_working_set(rig.b, 0), -ENODEV);
	}
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_SEL, i);
		cr_assert_eq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_QUEUE_NUM_MAX),
			     i < queue ? 256 : 0, "queue %u of %u", i, queue);
		if (i >= queue)
			fake_driver_kick(&rig.drv, i);
	}
	cr_assert_not(fake_driver_needs_reset(&rig.drv));
}

/* Case 35 of the bad inputs: indexes follow from what was accepted. */
Test(balloon_queues, every_set_of_features_offered_and_accepted_has_its_queues_in_a_row)
{
	static const uint64_t bits[] = { STATS_VQ, HINT_VQ, REPORT_VQ, WS_VQ };
	unsigned int nr = 0;

	for (unsigned int offer = 1; offer < 16; offer += 2) /* statistics always are */
		for (unsigned int accept = 0; accept < 16; accept++) {
			struct balloon_cfg cfg = { .hinting = offer & 2,
						   .reporting = offer & 4,
						   .working_set = offer & 8 };
			uint64_t features = 0;

			if (accept & ~offer)
				continue;
			for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++)
				features |= accept >> i & 1 ? bits[i] : 0;
			balloon_rig_init_cfg(&rig, cfg);
			fill_units(4);
			fake_driver_start(&rig.drv, features);
			cr_assert_eq(rig.drv.dev->features & (STATS_VQ | HINT_VQ | REPORT_VQ |
							      WS_VQ), features);
			expect_queues();
			/* Another driver chooses otherwise. */
			cr_assert(fake_driver_negotiate(&rig.drv, BIT(VIRTIO_F_VERSION_1)));
			fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_SEL, 2);
			cr_assert_eq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
			balloon_rig_destroy(&rig);
			nr++;
		}
	cr_assert_eq(nr, 54);
}

/* Before features are chosen it is those that were offered: a driver may look before it chooses. */
Test(balloon_queues, queues_are_there_before_features_are_chosen)
{
	static const struct {
		struct balloon_cfg cfg;
		unsigned int nr;
	} cases[] = { { { 0 }, 3 }, { { .hinting = true, .reporting = true, .working_set = true }, 7 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		balloon_rig_init_cfg(&rig, cases[i].cfg);
		for (int again = 0; again < 2; again++) {
			for (unsigned int q = 0; q < VIRTIO_MAX_QUEUES; q++) {
				fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_SEL, q);
				cr_assert_eq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_QUEUE_NUM_MAX),
					     q < cases[i].nr ? 256 : 0, "queue %u", q);
			}
			cr_assert(fake_driver_negotiate(&rig.drv, BIT(VIRTIO_F_VERSION_1)));
			fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
		}
		balloon_rig_destroy(&rig);
	}
}

Test(balloon_setup, what_is_not_configured_is_not_offered_and_cannot_be_accepted)
{
	static const uint64_t bits[] = { OOM, HINT_VQ, POISON, REPORT_VQ, WS_VQ };

	balloon_rig_init_cfg(&rig, (struct balloon_cfg){ 0 });
	cr_expect_eq(fake_driver_device_features(&rig.drv) & (ALL | POISON), TELL | STATS_VQ);
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
		cr_expect_not(fake_driver_negotiate(&rig.drv, BIT(VIRTIO_F_VERSION_1) | bits[i]));
	cr_expect(fake_driver_negotiate(&rig.drv, BIT(VIRTIO_F_VERSION_1)));
	down();
	balloon_rig_init(&rig);
	cr_expect_eq(fake_driver_device_features(&rig.drv) & (ALL | POISON), ALL | POISON);
}

/* --- inflate and deflate ----------------------------------------------------------------------- */

Test(balloon_setup, without_must_tell_host_pages_go_before_the_request_is_answered)
{
	start(ALL & ~TELL);
	cr_expect(inflate(FREE, 256));
	cr_expect_eq(resident(FREE, MiB), 0);
	cr_expect(untouched(FREE + MiB, BALLOON_BOOT - FREE - MiB));
	cr_expect_eq(balloon_rig_info(&rig).waiting_bytes, 0);
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT - MiB);
	cr_expect(deflate(FREE, 256));
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT);
	cr_expect_eq(resident(FREE, MiB), 0, "it comes when it is touched");
}

static unsigned int asked_queue, nr_punches, nr_too_late;

static void look_at_answers(int fd, int mode, off_t offset, off_t bytes)
{
	(void)fd, (void)mode, (void)offset, (void)bytes;
	nr_punches++;
	nr_too_late += fake_queue_used_idx(&rig.drv.queues[asked_queue]) != 0;
}

Test(balloon_setup, the_host_has_the_pages_before_the_driver_has_its_answer)
{
	start(ALL & ~TELL);
	blk_rig_after_fallocate = look_at_answers;
	asked_queue = INFLATE;
	cr_expect(inflate(FREE, 256));
	cr_expect_eq(nr_punches, 1);
	asked_queue = REPORT;
	cr_expect(report(FREE + UNIT, UNIT));
	cr_expect_eq(nr_punches, 2);
	cr_expect_eq(nr_too_late, 0);
	blk_rig_after_fallocate = NULL;
}

Test(balloon, with_must_tell_host_they_wait_for_the_rest_of_their_unit)
{
	cr_expect(inflate(FREE, 256));
	cr_expect_eq(resident(FREE, MiB), MiB);
	cr_expect_eq(balloon_rig_info(&rig).waiting_bytes, MiB);
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT - MiB, "ballooned all the same");
	cr_expect(inflate(FREE + MiB, 256));
	cr_expect_eq(resident(FREE, UNIT), 0);
	cr_expect(untouched(FREE + UNIT, BALLOON_BOOT - FREE - UNIT));
}

Test(balloon, what_waits_goes_a_tenth_of_a_second_after_the_last_page_came)
{
	cr_expect(inflate(FREE, 10));
	balloon_rig_run(&rig, 10 * MS);
	cr_expect_eq(resident(FREE, 10 * PAGE), 10 * PAGE);
	balloon_rig_run(&rig, 300 * MS);
	cr_expect_eq(resident(FREE, 10 * PAGE), 0);
	cr_expect(untouched(FREE + 10 * PAGE, UNIT));
	cr_expect_eq(balloon_rig_info(&rig).waiting_bytes, 0);
}

Test(balloon, scattered_pages_that_wait_all_go_over_several_turns_of_the_loop)
{
	for (uint64_t i = 0; i < 300; i++)
		cr_assert(inflate(FREE + i * 2 * PAGE, 1));
	balloon_rig_run(&rig, 500 * MS);
	cr_expect_eq(balloon_rig_info(&rig).waiting_bytes, 0);
	cr_expect_eq(resident(FREE, 600 * PAGE), 300 * PAGE);
}

Test(balloon, a_page_deflated_while_it_waits_keeps_what_was_in_it)
{
	cr_expect(inflate(FREE, 10));
	cr_expect(deflate(FREE + 2 * PAGE, 3));
	balloon_rig_run(&rig, 300 * MS);
	cr_expect(untouched(FREE + 2 * PAGE, 3 * PAGE));
	cr_expect_eq(resident(FREE, 10 * PAGE), 3 * PAGE);
	cr_expect_eq(balloon_rig_info(&rig).counters.inflated_pages, 10);
	cr_expect_eq(balloon_rig_info(&rig).counters.deflated_pages, 3);
}

Test(balloon, where_the_host_refuses_it_is_tried_again_later)
{
	balloon_rig_host_refuses(&rig, true);
	cr_expect(inflate(FREE, 10));
	balloon_rig_run(&rig, 300 * MS);
	cr_expect_eq(balloon_rig_info(&rig).waiting_bytes, 10 * PAGE);
	cr_expect(untouched(FREE, UNIT));
	cr_expect_leq(rig.returned.counters.discards, 2, "and not at once");
	balloon_rig_host_refuses(&rig, false);
	balloon_rig_run(&rig, 1500 * MS);
	cr_expect_eq(resident(FREE, 10 * PAGE), 0);
}

Test(balloon, elastic_memory_can_be_ballooned_and_counts_like_boot_memory)
{
	cr_assert_eq(elastic_plug(&rig.mem.elastic, 0, 1), 0);
	cr_expect(inflate(FAKE_ELASTIC_BASE, 512));
	cr_expect_eq(out(RETURNED_BALLOONED), UNIT);
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT - UNIT);
	cr_expect(deflate(FAKE_ELASTIC_BASE, 512));
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT);
}

/* --- the target -------------------------------------------------------------------------------- */

Test(balloon, a_target_is_published_interrupts_and_is_a_job)
{
	unsigned int jobs = rig.nr_jobs;

	balloon_resize(rig.b, BALLOON_BOOT - 4 * MiB, 0);
	cr_expect_eq(config(NUM_PAGES), 1024);
	cr_expect(config_interrupt());
	cr_expect_eq(balloon_job(rig.b).state, RESIZE_RUNNING);
	cr_expect_eq(rig.nr_jobs, jobs + 1);
	for (uint64_t i = 0; i < 4; i++) {
		cr_expect_eq(balloon_job(rig.b).state, RESIZE_RUNNING);
		cr_expect(inflate(FREE + i * MiB, 256));
	}
	cr_expect_eq(balloon_job(rig.b).state, RESIZE_DONE);
	cr_expect_eq(balloon_job(rig.b).moved_bytes, 4 * MiB);
	cr_expect_eq(rig.nr_jobs, jobs + 2);
	cr_expect_eq(rig.nr_sizes, 4);
	balloon_resize(rig.b, BALLOON_BOOT, 0);
	cr_expect_eq(config(NUM_PAGES), 0);
	for (uint64_t i = 0; i < 4; i++)
		cr_expect(deflate(FREE + i * MiB, 256));
	cr_expect_eq(balloon_job(rig.b).state, RESIZE_DONE);
	cr_expect_eq(balloon_job(rig.b).id, 2);
}

Test(balloon, a_target_is_rounded_up_to_pages_and_never_more_than_there_is)
{
	balloon_resize(rig.b, BALLOON_BOOT - 10 * PAGE + 1, 0);
	cr_expect_eq(config(NUM_PAGES), 9);
	cr_expect_eq(balloon_rig_info(&rig).target_bytes, BALLOON_BOOT - 9 * PAGE);
	balloon_resize(rig.b, BALLOON_BOOT + GiB, 0);
	cr_expect_eq(config(NUM_PAGES), 0);
	balloon_resize(rig.b, 0, 0);
	cr_expect_eq(config(NUM_PAGES), BALLOON_BOOT / PAGE);
}

Test(balloon, a_new_target_cancels_the_running_job)
{
	balloon_resize(rig.b, BALLOON_BOOT - MiB, 0);
	balloon_resize(rig.b, BALLOON_BOOT - 2 * MiB, 0);
	cr_expect_eq(balloon_job(rig.b).id, 2);
	cr_expect_eq(balloon_job(rig.b).state, RESIZE_RUNNING);
	cr_expect_eq(rig.nr_jobs, 3, "started, cancelled, started");
}

Test(balloon, cancel_makes_what_is_reached_the_target)
{
	cr_expect_eq(balloon_cancel(rig.b), -ENOENT);
	balloon_resize(rig.b, BALLOON_BOOT - 4 * MiB, 0);
	cr_expect(inflate(FREE, 300));
	fake_driver_take_interrupts(&rig.drv);
	cr_expect_eq(balloon_cancel(rig.b), 0);
	cr_expect_eq(config(NUM_PAGES), 300);
	cr_expect(config_interrupt());
	cr_expect_eq(balloon_job(rig.b).state, RESIZE_CANCELLED);
	cr_expect_eq(balloon_cancel(rig.b), -ENOENT);
}

Test(balloon, deadline_ends_the_job_and_leaves_the_target)
{
	balloon_resize(rig.b, BALLOON_BOOT - 4 * MiB, loop_now(rig.loop) + 50 * MS);
	cr_expect(inflate(FREE, 1));
	balloon_rig_run(&rig, 120 * MS);
	cr_expect_eq(balloon_job(rig.b).state, RESIZE_SHORT);
	cr_expect_eq(config(NUM_PAGES), 1024);
	cr_expect_eq(rig.nr_jobs, 2);
}

Test(balloon, a_driver_that_does_nothing_is_interrupted_again)
{
	balloon_resize(rig.b, BALLOON_BOOT - 4 * MiB, 0);
	cr_expect(config_interrupt());
	balloon_rig_run(&rig, 400 * MS);
	cr_expect(config_interrupt());
	cr_expect_eq(balloon_job(rig.b).nr_raises, 2);
}

Test(balloon_setup, a_job_without_a_driver_says_so_and_goes_on_when_one_comes)
{
	balloon_rig_init(&rig);
	balloon_resize(rig.b, BALLOON_BOOT - MiB, 0);
	cr_expect_eq(balloon_job(rig.b).reason, RESIZE_NO_DRIVER);
	cr_expect_not(balloon_rig_info(&rig).driver_ready);
	fake_driver_start(&rig.drv, ALL);
	cr_expect_eq(config(NUM_PAGES), 256);
	cr_expect(inflate(FREE, 256));
	cr_expect_eq(balloon_job(rig.b).state, RESIZE_DONE);
	cr_expect(balloon_rig_info(&rig).driver_ready);
}

Test(balloon, a_reset_of_the_device_forgets_the_driver_and_what_it_had_out)
{
	balloon_resize(rig.b, BALLOON_BOOT - 4 * MiB, 0);
	cr_expect(inflate(FREE, 512));
	set_config(ACTUAL, 512);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	cr_expect_eq(balloon_rig_info(&rig).claimed_bytes, 0);
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT);
	cr_expect_eq(balloon_job(rig.b).reason, RESIZE_NO_DRIVER);
	cr_expect_eq(config(NUM_PAGES), 1024, "the target stays");
	fake_driver_start(&rig.drv, ALL);
	cr_expect(inflate(FREE, 512));
	cr_expect(inflate(FREE + UNIT, 512));
	cr_expect_eq(balloon_job(rig.b).state, RESIZE_DONE);
}

Test(balloon, a_reset_of_the_machine_keeps_target_and_job_with_all_memory_back)
{
	balloon_resize(rig.b, BALLOON_BOOT - 4 * MiB, 0);
	cr_expect(inflate(FREE, 600));
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	page_ledger_reset(&rig.returned);
	balloon_system_reset(rig.b);
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT);
	cr_expect_eq(balloon_rig_info(&rig).waiting_bytes, 0);
	cr_expect_eq(balloon_job(rig.b).state, RESIZE_RUNNING);
	cr_expect_eq(balloon_job(rig.b).moved_bytes, 0);
	memset((char *)rig.mem.boot.host + FREE, 0x5a, 4 * MiB);
	balloon_rig_run(&rig, 250 * MS);
	cr_expect(untouched(FREE, 4 * MiB), "no timer takes it from the next guest");
	fake_driver_start(&rig.drv, ALL);
	for (uint64_t i = 0; i < 4; i++)
		cr_expect(inflate(FREE + i * MiB, 256));
	cr_expect_eq(balloon_job(rig.b).state, RESIZE_DONE);
}

/* --- configuration space ----------------------------------------------------------------------- */

Test(balloon, of_the_configuration_two_fields_are_the_drivers)
{
	balloon_resize(rig.b, BALLOON_BOOT - MiB, 0);
	set_config(NUM_PAGES, 7);
	set_config(CMD_ID, 8);
	set_config(ACTUAL, 0x01020304);
	cr_expect_eq(config(NUM_PAGES), 256);
	cr_expect_eq(config(CMD_ID), VIRTIO_BALLOON_CMD_ID_STOP);
	cr_expect_eq(config(ACTUAL), 0x01020304);
	cr_expect_eq(balloon_rig_info(&rig).claimed_bytes, 0x01020304 * PAGE);
	/* Byte by byte, as a driver may. */
	fake_driver_access(&rig.drv, VIRTIO_MMIO_CONFIG + ACTUAL + 3, 1, true, 0xff);
	cr_expect_eq(config(ACTUAL), 0xff020304);
	/* Across two fields. */
	fake_driver_access(&rig.drv, VIRTIO_MMIO_CONFIG, 8, true, UINT64_C(0x0000000900000003));
	cr_expect_eq(config(NUM_PAGES), 256);
	cr_expect_eq(config(ACTUAL), 9);
}

/* --- reporting, and the poison ----------------------------------------------------------------- */

Test(balloon, reported_memory_goes_before_the_answer_and_is_no_balloon)
{
	struct fake_buffer two[] = { { GPA(FREE), UNIT, true },
				     { GPA(FREE + 3 * UNIT), 16 * PAGE, true } };

	fake_queue_add(&rig.drv.queues[REPORT], two, 2);
	fake_driver_kick(&rig.drv, REPORT);
	cr_expect(fake_queue_poll(&rig.drv.queues[REPORT], NULL, NULL));
	cr_expect_eq(resident(FREE, UNIT), 0);
	cr_expect_eq(resident(FREE + 3 * UNIT, UNIT), UNIT - 16 * PAGE);
	cr_expect(untouched(FREE + UNIT, 2 * UNIT));
	cr_expect_eq(out(RETURNED_REPORTED), UNIT + 16 * PAGE);
	cr_expect_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT);
	cr_expect_eq(balloon_rig_info(&rig).counters.reports, 1);
}

/* As a driver sets up that fills its free memory with VALUE. */
static void start_poisoned(uint64_t features, uint32_t value)
{
	balloon_rig_init(&rig);
	fill();
	cr_assert(fake_driver_negotiate(&rig.drv, features | BIT(VIRTIO_F_VERSION_1)));
	set_config(POISONVAL, value);
	for (unsigned int i = 0; i <= WS_NOTIFY; i++)
		cr_assert(fake_driver_setup_queue(&rig.drv, i, 64));
	fake_driver_add_status(&rig.drv, VIRTIO_CONFIG_S_DRIVER_OK);
	cr_assert_eq(config(POISONVAL), value);
}

Test(balloon_setup, memory_with_a_poison_in_it_is_left_alone_when_reported_or_hinted)
{
	start_poisoned(ALL | POISON, 0xaaaaaaaa);
	cr_expect(report(FREE, UNIT));
	cr_expect_eq(balloon_rig_info(&rig).counters.kept_bytes, UNIT);
	cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + NS_PER_S), 0);
	cr_expect(send_id(config(CMD_ID)));
	cr_expect(hint(FREE, UNIT));
	cr_expect(send_id(VIRTIO_BALLOON_CMD_ID_STOP));
	cr_expect_eq(balloon_rig_info(&rig).reclaim.state, RECLAIM_DONE);
	cr_expect_eq(balloon_rig_info(&rig).reclaim.hinted_bytes, UNIT);
	cr_expect_eq(balloon_rig_info(&rig).reclaim.freed_bytes, 0);
	cr_expect(untouched(FREE, BALLOON_BOOT - FREE));
	/* What is inflated, the guest does not look at. */
	cr_expect(inflate(FREE, 512));
	cr_expect_eq(resident(FREE, UNIT), 0);
}

Test(balloon_setup, a_poison_of_zeros_or_one_not_negotiated_is_none)
{
	start_poisoned(ALL | POISON, 0);
	cr_expect(report(FREE, UNIT));
	cr_expect_eq(resident(FREE, UNIT), 0);
	down();
	start_poisoned(ALL, 0xaaaaaaaa);
	cr_expect(report(FREE, UNIT));
	cr_expect_eq(resident(FREE, UNIT), 0);
}

Test(balloon_setup, a_poison_said_after_driver_ok_does_not_count)
{
	start_poisoned(ALL | POISON, 0xaaaaaaaa);
	set_config(POISONVAL, 0);
	cr_expect_eq(config(POISONVAL), 0xaaaaaaaa);
	cr_expect(report(FREE, UNIT));
	cr_expect(untouched(FREE, UNIT));
}

/* --- statistics -------------------------------------------------------------------------------- */

Test(balloon, statistics_are_held_until_they_are_asked_for_again)
{
	struct fake_queue *q = &rig.drv.queues[STATS];

	cr_expect_eq(balloon_rig_info(&rig).stats_s, 0);
	cr_expect_eq(balloon_rig_info(&rig).stats.value[4], UINT64_MAX);
	send_stat(STATS, 4, 1000);
	cr_expect_not(fake_queue_poll(q, NULL, NULL));
	cr_expect_eq(balloon_rig_info(&rig).stats.value[4], 1000);
	cr_expect_gt(balloon_rig_info(&rig).stats_s, 0);
	cr_expect_eq(rig.nr_stats, 1);
	cr_expect_eq(balloon_ask_stats(rig.b), 0);
	cr_expect(fake_queue_poll(q, NULL, NULL));
	cr_expect_eq(balloon_ask_stats(rig.b), 0, "the guest has it already");
	cr_expect_not(fake_queue_poll(q, NULL, NULL));
	send_stat(STATS, 4, 2000);
	cr_expect_eq(balloon_rig_info(&rig).stats.value[4], 2000);
	cr_expect_eq(rig.nr_stats, 2);
}

Test(balloon, statistics_are_polled_and_a_guest_that_never_answers_is_borne)
{
	struct fake_queue *q = &rig.drv.queues[STATS];

	send_stat(STATS, 4, 1000);
	balloon_poll_stats(rig.b, 1);
	cr_expect_eq(balloon_rig_info(&rig).poll_s, 1);
	balloon_rig_run(&rig, 50 * MS);
	cr_expect(fake_queue_poll(q, NULL, NULL));
	balloon_rig_run(&rig, 1200 * MS); /* not answered meanwhile */
	cr_expect_not(fake_queue_poll(q, NULL, NULL));
	send_stat(STATS, 4, 2000);
	balloon_rig_run(&rig, 1200 * MS);
	cr_expect(fake_queue_poll(q, NULL, NULL));
	send_stat(STATS, 4, 3000);
	balloon_poll_stats(rig.b, 0);
	balloon_rig_run(&rig, 1200 * MS);
	cr_expect_not(fake_queue_poll(q, NULL, NULL));
}

Test(balloon, a_buffer_held_at_a_reset_is_forgotten)
{
	send_stat(STATS, 4, 1000);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	cr_expect_eq(balloon_ask_stats(rig.b), -ENODEV);
	fake_driver_start(&rig.drv, ALL);
	cr_expect_eq(balloon_ask_stats(rig.b), 0);
	cr_expect_eq(fake_queue_used_idx(&rig.drv.queues[STATS]), 0);
	send_stat(STATS, 4, 2000);
	cr_expect_not(fake_driver_needs_reset(&rig.drv), "the first one of this driver");
}

/* A stopped queue is not served any more, whoever holds buffers of it. */
Test(balloon, a_buffer_held_of_a_stopped_queue_stays)
{
	send_stat(STATS, 4, 1000);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_SEL, STATS);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_READY, 0);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_READY, 1);
	cr_expect_eq(balloon_ask_stats(rig.b), 0);
	cr_expect_eq(fake_queue_used_idx(&rig.drv.queues[STATS]), 0);
	cr_expect(inflate(FREE, 1), "others go on");
}

/* The buffer is the driver's again: nothing is written into it. */
Test(balloon, a_notification_does_not_go_into_a_buffer_of_a_stopped_queue)
{
	struct fake_buffer buffer = { fake_alloc(&rig.mem, 140, 16), 140, true };

	fake_queue_add(&rig.drv.queues[WS_NOTIFY], &buffer, 1);
	fake_driver_kick(&rig.drv, WS_NOTIFY);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_SEL, WS_NOTIFY);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_READY, 0);
	cr_expect_eq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_QUEUE_READY), 0);
	cr_expect_eq(balloon_ask_working_set(rig.b, 2), 0);
	cr_expect(gm_is_zero(&rig.mem.gm, buffer.at, 140));
	cr_expect_eq(fake_queue_used_idx(&rig.drv.queues[WS_NOTIFY]), 0);
	cr_expect(inflate(FREE, 1), "others go on");
}

/* --- hinting ----------------------------------------------------------------------------------- */

/* What vCPUs write shows in the log that is fetched while they stand. */
static uint64_t dirty[BALLOON_BOOT / PAGE_BYTES / 64];

static void fetch_log(struct balloon_rig *r)
{
	if (r->logging)
		dirty_pages_merge(&r->written, GPA(0), dirty, BALLOON_BOOT / PAGE);
	memset(dirty, 0, sizeof(dirty));
}

static void vcpu_write(uint64_t at, uint8_t value, size_t bytes)
{
	memset((char *)rig.mem.boot.host + at, value, bytes);
	for (uint64_t page = at / PAGE; page * PAGE < at + bytes; page++)
		dirty[page / 64] |= UINT64_C(1) << page % 64;
}

/* A run that the guest has begun. */
static void begin(void)
{
	memset(dirty, 0, sizeof(dirty));
	rig.on_freeze = fetch_log;
	cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + 60 * NS_PER_S), 0);
	cr_assert(send_id(config(CMD_ID)));
}

static struct reclaim run(void) { return balloon_rig_info(&rig).reclaim; }

Test(balloon, a_reclaim_from_start_to_end)
{
	cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + 60 * NS_PER_S), 0);
	cr_expect(config_interrupt());
	cr_expect(rig.logging);
	cr_expect_eq(rig.nr_runs, 1);
	cr_expect_eq(balloon_reclaim(rig.b, loop_now(rig.loop)), -EBUSY);
	cr_expect_gt(config(CMD_ID), VIRTIO_BALLOON_CMD_ID_DONE);
	cr_expect(hint(FREE, UNIT), "of no run");
	cr_expect(untouched(FREE, UNIT));
	cr_expect_eq(rig.nr_freezes, 0, "for nothing no vCPU stops");
	cr_expect(send_id(config(CMD_ID)));
	cr_expect(hint(FREE, 2 * UNIT));
	cr_expect(hint(FREE + 4 * UNIT, 100 * PAGE));
	cr_expect_eq(resident(FREE, 2 * UNIT), 0);
	cr_expect_eq(resident(FREE + 4 * UNIT, UNIT), UNIT - 100 * PAGE);
	cr_expect(untouched(FREE + 2 * UNIT, 2 * UNIT));
	cr_expect_eq(out(RETURNED_HINTED), 2 * UNIT + 100 * PAGE);
	fake_driver_take_interrupts(&rig.drv);
	cr_expect(send_id(VIRTIO_BALLOON_CMD_ID_STOP));
	cr_expect_eq(config(CMD_ID), VIRTIO_BALLOON_CMD_ID_DONE);
	cr_expect(config_interrupt(), "the guest may use its memory again");
	cr_expect_not(rig.logging);
	cr_expect_eq(rig.nr_runs, 2);
	cr_expect_eq(run().state, RECLAIM_DONE);
	cr_expect_eq(run().hinted_bytes, 2 * UNIT + 100 * PAGE);
	cr_expect_eq(run().freed_bytes, 2 * UNIT + 100 * PAGE);
	cr_expect_eq(run().written_bytes, 0);
	cr_expect_eq(run().nr_batches, 2);
	cr_expect(hint(FREE + 2 * UNIT, UNIT), "after the end");
	cr_expect(untouched(FREE + 2 * UNIT, UNIT));
	/* And another one. */
	begin();
	cr_expect(hint(FREE + 2 * UNIT, UNIT));
	cr_expect_eq(resident(FREE + 2 * UNIT, UNIT), 0);
	cr_expect_eq(run().id, 2);
}

Test(balloon, many_hints_in_one_kick_stop_the_vcpus_seldom)
{
	begin();
	for (uint64_t i = 0; i < 40; i++)
		fake_queue_add(&rig.drv.queues[HINT],
			       &(struct fake_buffer){ GPA(FREE + i * 32 * PAGE), 16 * PAGE, true },
			       1);
	fake_driver_kick(&rig.drv, HINT);
	cr_expect_eq(resident(FREE, 40 * 32 * PAGE), 40 * 16 * PAGE);
	cr_expect_eq(run().freed_bytes, 40 * 16 * PAGE);
	cr_expect_leq(rig.nr_freezes, 3);
	cr_expect_eq(run().nr_batches, rig.nr_freezes);
	for (int i = 0; i < 40; i++)
		cr_expect(fake_queue_poll(&rig.drv.queues[HINT], NULL, NULL));
}

Test(balloon, memory_named_before_the_id_in_the_same_kick_is_not_taken)
{
	gpa_t at = fake_alloc(&rig.mem, 4, 16);
	le32 id;

	cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + 60 * NS_PER_S), 0);
	id = le32_of(config(CMD_ID));
	fake_write(&rig.mem, at, &id, sizeof(id));
	fake_queue_add(&rig.drv.queues[HINT], &(struct fake_buffer){ GPA(FREE), UNIT, true }, 1);
	fake_queue_add(&rig.drv.queues[HINT], &(struct fake_buffer){ at, 4, false }, 1);
	fake_queue_add(&rig.drv.queues[HINT], &(struct fake_buffer){ GPA(FREE + UNIT), UNIT, true },
		       1);
	fake_driver_kick(&rig.drv, HINT);
	cr_expect(untouched(FREE, UNIT));
	cr_expect_eq(resident(FREE + UNIT, UNIT), 0);
}

Test(balloon, memory_named_before_a_stop_in_the_same_kick_is_taken_after_it_is_not)
{
	gpa_t stop = fake_alloc(&rig.mem, 4, 16);
	le32 id = le32_of(VIRTIO_BALLOON_CMD_ID_STOP);

	fake_write(&rig.mem, stop, &id, sizeof(id));
	begin();
	fake_queue_add(&rig.drv.queues[HINT], &(struct fake_buffer){ GPA(FREE), UNIT, true }, 1);
	fake_queue_add(&rig.drv.queues[HINT], &(struct fake_buffer){ stop, 4, false }, 1);
	fake_queue_add(&rig.drv.queues[HINT], &(struct fake_buffer){ GPA(FREE + UNIT), UNIT, true },
		       1);
	fake_driver_kick(&rig.drv, HINT);
	cr_expect_eq(resident(FREE, UNIT), 0);
	cr_expect(untouched(FREE + UNIT, UNIT));
	cr_expect_eq(run().state, RECLAIM_DONE);
	for (int i = 0; i < 3; i++)
		cr_expect(fake_queue_poll(&rig.drv.queues[HINT], NULL, NULL));
}

/* Case 35: ids of other runs, and out of order. */
Test(balloon, hints_with_a_stale_id_are_not_taken)
{
	uint32_t old;

	begin();
	old = config(CMD_ID);
	cr_assert_eq(balloon_cancel_reclaim(rig.b), 0);
	cr_assert_eq(balloon_cancel_reclaim(rig.b), -ENOENT);
	cr_expect_eq(run().state, RECLAIM_CANCELLED);
	cr_expect_eq(config(CMD_ID), VIRTIO_BALLOON_CMD_ID_DONE);
	cr_expect(hint(FREE, UNIT));
	cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + 60 * NS_PER_S), 0);
	cr_expect_neq(config(CMD_ID), old);
	cr_expect(hint(FREE, UNIT), "the guest is still at the run before");
	cr_expect(send_id(old) && hint(FREE, UNIT));
	cr_expect(send_id(VIRTIO_BALLOON_CMD_ID_STOP) && hint(FREE, UNIT));
	cr_expect(send_id(VIRTIO_BALLOON_CMD_ID_DONE) && hint(FREE, UNIT));
	cr_expect(untouched(FREE, UNIT));
	cr_expect_eq(run().state, RECLAIM_RUNNING);
	cr_expect_eq(run().hinted_bytes, 0);
	cr_expect(send_id(config(CMD_ID)) && hint(FREE, UNIT));
	cr_expect_eq(resident(FREE, UNIT), 0);
}

Test(balloon, a_page_that_a_vcpu_wrote_after_the_id_is_kept_with_its_unit)
{
	begin();
	vcpu_write(FREE + UNIT + 7 * PAGE, 0x77, 1);
	cr_expect(hint(FREE, 3 * UNIT));
	cr_expect_eq(resident(FREE, UNIT), 0);
	cr_expect_eq(resident(FREE + UNIT, UNIT), UNIT);
	cr_expect_eq(resident(FREE + 2 * UNIT, UNIT), 0);
	cr_expect_eq(((char *)rig.mem.boot.host)[FREE + UNIT + 7 * PAGE], 0x77);
	cr_expect_eq(run().written_bytes, UNIT);
	cr_expect_eq(run().freed_bytes, 2 * UNIT);
}

Test(balloon, a_page_written_between_the_command_and_the_guests_id_is_kept)
{
	rig.on_freeze = fetch_log;
	cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + 60 * NS_PER_S), 0);
	vcpu_write(FREE, 0x77, 1);
	cr_expect(send_id(config(CMD_ID)) && hint(FREE, PAGE));
	cr_expect_eq(((char *)rig.mem.boot.host)[FREE], 0x77);
	cr_expect_eq(run().freed_bytes, 0);
}

Test(balloon, a_guest_that_clears_what_it_names_needs_no_log)
{
	begin();
	vcpu_write(FREE, 0, UNIT);
	cr_expect(hint(FREE, UNIT));
	cr_expect_eq(resident(FREE, UNIT), 0);
	cr_expect_not(rig.logging, "faults for nothing");
	vcpu_write(FREE + 2 * UNIT, 0, UNIT);
	cr_expect(hint(FREE + 2 * UNIT, UNIT));
	cr_expect_eq(resident(FREE + 2 * UNIT, UNIT), 0);
	cr_expect(send_id(VIRTIO_BALLOON_CMD_ID_STOP));
	cr_expect_eq(run().state, RECLAIM_DONE);
	/* It is remembered, until something else turns up. */
	begin();
	cr_expect_not(rig.logging);
	cr_expect(hint(FREE + UNIT, 2 * UNIT));
	cr_expect(untouched(FREE + UNIT, UNIT), "who knows who wrote it, and when");
	cr_expect_eq(run().written_bytes, UNIT);
	cr_expect_eq(run().freed_bytes, UNIT);
	cr_assert_eq(balloon_cancel_reclaim(rig.b), 0);
	begin();
	cr_expect(rig.logging, "the latest was not all clear");
	cr_expect(hint(FREE + UNIT, UNIT));
	cr_expect_eq(resident(FREE + UNIT, UNIT), 0);
}

Test(balloon, another_driver_may_clear_nothing)
{
	begin();
	vcpu_write(FREE, 0, UNIT);
	cr_expect(hint(FREE, UNIT));
	cr_expect_not(rig.logging);
	fake_driver_start(&rig.drv, ALL);
	begin();
	cr_expect(rig.logging);
}

Test(balloon, zeros_that_a_vcpu_wrote_may_go)
{
	begin();
	vcpu_write(FREE, 0, UNIT);
	vcpu_write(FREE + UNIT, 0, UNIT);
	vcpu_write(FREE + 2 * UNIT - 1, 1, 1);
	cr_expect(hint(FREE, 2 * UNIT));
	cr_expect_eq(resident(FREE, UNIT), 0);
	cr_expect_eq(resident(FREE + UNIT, UNIT), UNIT, "not all zeros");
	cr_expect_eq(((char *)rig.mem.boot.host)[FREE + 2 * UNIT - 1], 1);
}

Test(balloon, a_page_that_a_device_wrote_is_kept)
{
	static const uint8_t byte = 0x66;

	begin();
	fake_write(&rig.mem, GPA(FREE + UNIT - 1), &byte, 1);
	cr_expect(hint(FREE, 2 * UNIT));
	cr_expect_eq(resident(FREE, UNIT), UNIT);
	cr_expect_eq(((char *)rig.mem.boot.host)[FREE + UNIT - 1], 0x66);
	cr_expect_eq(resident(FREE + UNIT, UNIT), 0);
	/* Zeros of a device as those of a vCPU. */
	memset((char *)rig.mem.boot.host + FREE + 2 * UNIT, 0, UNIT);
	cr_assert_eq(gm_zero(&rig.mem.gm, GPA(FREE + 2 * UNIT), PAGE), 0);
	cr_expect(hint(FREE + 2 * UNIT, UNIT));
	cr_expect_eq(resident(FREE + 2 * UNIT, UNIT), 0);
}

static void write_at_last(struct balloon_rig *r)
{
	vcpu_write(FREE, 0x55, 1);
	fetch_log(r);
}

Test(balloon, what_a_vcpu_writes_just_before_it_stands_is_kept)
{
	begin();
	rig.on_freeze = write_at_last;
	cr_expect(hint(FREE, UNIT));
	cr_expect_eq(((char *)rig.mem.boot.host)[FREE], 0x55);
	cr_expect_eq(resident(FREE, UNIT), UNIT);
}

Test(balloon, a_log_of_one_run_is_not_that_of_the_next)
{
	begin();
	vcpu_write(FREE, 0x77, 1);
	cr_expect(hint(FREE, UNIT));
	cr_expect(send_id(VIRTIO_BALLOON_CMD_ID_STOP));
	cr_expect_eq(resident(FREE, UNIT), UNIT);
	begin();
	cr_expect(hint(FREE, UNIT));
	cr_expect_eq(resident(FREE, UNIT), 0, "not written since this run's id");
}

Test(balloon, a_reclaim_ends_at_its_deadline_also_when_the_guest_never_begins)
{
	cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + 30 * MS), 0);
	fake_driver_take_interrupts(&rig.drv);
	balloon_rig_run(&rig, 100 * MS);
	cr_expect_eq(run().state, RECLAIM_SHORT);
	cr_expect_eq(run().reason, RECLAIM_SILENT);
	cr_expect_not(rig.logging);
	cr_expect(config_interrupt());
	cr_expect_eq(rig.nr_runs, 2);
	cr_assert_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + 30 * MS), 0);
	cr_expect(send_id(config(CMD_ID)) && hint(FREE, UNIT));
	balloon_rig_run(&rig, 100 * MS);
	cr_expect_eq(run().reason, RECLAIM_DEADLINE);
	cr_expect_eq(run().freed_bytes, UNIT);
	cr_expect(hint(FREE + UNIT, UNIT));
	cr_expect(untouched(FREE + UNIT, UNIT));
}

Test(balloon, a_host_that_cannot_log_or_stop_the_vcpus_takes_nothing)
{
	rig.log_error = -ENOMEM;
	cr_expect_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + NS_PER_S), -ENOMEM);
	cr_expect_eq(run().state, RECLAIM_NONE);
	cr_expect_eq(config(CMD_ID), VIRTIO_BALLOON_CMD_ID_STOP);
	rig.log_error = 0;
	begin();
	rig.freeze_error = -EIO;
	cr_expect(hint(FREE, UNIT), "the buffer comes back all the same");
	cr_expect(untouched(FREE, UNIT));
	cr_expect_eq(run().state, RECLAIM_SHORT);
	cr_expect_eq(run().reason, RECLAIM_HOST);
	cr_expect_not(rig.logging);
}

Test(balloon, hinted_memory_that_the_host_refuses_is_not_called_freed)
{
	begin();
	balloon_rig_host_refuses(&rig, true);
	cr_expect(hint(FREE, UNIT));
	balloon_rig_host_refuses(&rig, false);
	cr_expect_eq(run().freed_bytes, 0);
	cr_expect_eq(out(RETURNED_HINTED), 0);
	cr_expect(untouched(FREE, UNIT));
}

static void reset_it(struct balloon_rig *r)
{
	fake_driver_set_reg(&r->drv, VIRTIO_MMIO_STATUS, 0);
}

static void reset_and_start_it(struct balloon_rig *r)
{
	reset_it(r);
	fake_driver_start(&r->drv, ALL);
}

/* Neither taken nor given back: the chains were another driver's. */
static void expect_nothing_taken(uint16_t used, const struct fake_queue *ring)
{
	cr_expect(untouched(FREE, 3 * UNIT));
	cr_expect_eq(fake_queue_used_idx(ring), used);
	cr_expect_eq(run().state, RECLAIM_SHORT);
	cr_expect_eq(run().reason, RECLAIM_NO_DRIVER);
	cr_expect_eq(config(CMD_ID), VIRTIO_BALLOON_CMD_ID_STOP);
	cr_expect_not(rig.logging);
	cr_expect_not(rig.frozen);
}

Test(balloon, a_driver_that_resets_the_device_before_it_stands_loses_nothing)
{
	struct fake_queue before;

	begin();
	before = rig.drv.queues[HINT];
	rig.on_freeze = reset_it;
	cr_expect_not(hint(FREE, UNIT));
	expect_nothing_taken(before.avail_idx, &before);
	rig.on_freeze = NULL;
	fake_driver_start(&rig.drv, ALL);
	begin();
	cr_expect(hint(FREE, UNIT));
	cr_expect_eq(resident(FREE, UNIT), 0);
}

static void stop_hints(struct balloon_rig *r)
{
	fake_driver_set_reg(&r->drv, VIRTIO_MMIO_QUEUE_SEL, HINT);
	fake_driver_set_reg(&r->drv, VIRTIO_MMIO_QUEUE_READY, 0);
}

Test(balloon, nor_does_one_that_stops_the_queue_in_that_moment)
{
	struct fake_queue before;

	begin();
	before = rig.drv.queues[HINT];
	rig.on_freeze = stop_hints;
	cr_expect_not(hint(FREE, UNIT));
	expect_nothing_taken(before.avail_idx, &before);
	cr_expect(inflate(FREE, 1), "others go on");
}

Test(balloon, nor_does_the_driver_that_takes_its_place_in_that_moment)
{
	struct fake_queue before;

	begin();
	before = rig.drv.queues[HINT];
	rig.on_freeze = reset_and_start_it;
	for (int i = 0; i < 3; i++)
		fake_queue_add(&rig.drv.queues[HINT], &(struct fake_buffer){ GPA(FREE), UNIT, true },
			       1);
	fake_driver_kick(&rig.drv, HINT);
	expect_nothing_taken(before.avail_idx, &before);
	cr_expect_eq(fake_queue_used_idx(&rig.drv.queues[HINT]), 0);
	cr_expect(balloon_rig_info(&rig).driver_ready);
	cr_expect(inflate(FREE, 512));
	begin();
	cr_expect(hint(FREE + UNIT, UNIT));
	cr_expect_eq(resident(FREE, 2 * UNIT), 0);
}

Test(balloon, a_driver_reset_ends_the_run_and_the_next_one_can_start_at_once)
{
	begin();
	cr_expect(hint(FREE, UNIT));
	reset_it(&rig);
	cr_expect_eq(run().state, RECLAIM_SHORT);
	cr_expect_eq(run().reason, RECLAIM_NO_DRIVER);
	cr_expect_eq(balloon_reclaim(rig.b, loop_now(rig.loop) + NS_PER_S), -ENODEV);
	fake_driver_start(&rig.drv, ALL);
	cr_expect_eq(config(CMD_ID), VIRTIO_BALLOON_CMD_ID_STOP);
	begin();
	cr_expect(hint(FREE + UNIT, UNIT));
	cr_expect_eq(run().freed_bytes, UNIT);
	cr_expect(rig.logging);
}

Test(balloon, a_reset_of_the_machine_ends_the_run)
{
	begin();
	reset_it(&rig);
	page_ledger_reset(&rig.returned);
	balloon_system_reset(rig.b);
	cr_expect_eq(run().reason, RECLAIM_NO_DRIVER);
	cr_expect_not(rig.logging);
	cr_expect_eq(rig.nr_runs, 2);
}

/* --- working sets ------------------------------------------------------------------------------ */

/* Hands over a buffer for the next notification; where it is. */
static gpa_t offer_buffer(void)
{
	gpa_t at = fake_alloc(&rig.mem, sizeof(struct balloon_ws_notify), 16);

	fake_queue_add(&rig.drv.queues[WS_NOTIFY],
		       &(struct fake_buffer){ at, sizeof(struct balloon_ws_notify), true }, 1);
	fake_driver_kick(&rig.drv, WS_NOTIFY);
	return at;
}

Test(balloon, working_sets_are_passed_on_and_their_buffers_come_back)
{
	for (uint32_t i = 0; i < 5; i++) {
		cr_expect(send_working_set(WS_REPORT, i));
		cr_expect_eq(rig.last_working_set.node, i);
		cr_expect_eq(rig.last_working_set.nr_bins, 1);
		cr_expect_eq(rig.last_working_set.bins[0].anon_bytes, 77);
	}
	cr_expect_eq(rig.nr_working_sets, 5);
}

Test(balloon, a_request_waits_for_a_buffer_or_a_buffer_for_a_request)
{
	struct fake_queue *q = &rig.drv.queues[WS_NOTIFY];
	struct working_set_config cfg = { .node = 3,
					  .report_threshold_ms = 100,
					  .nr_ages = 1,
					  .age_ms = { 5000 } };
	struct balloon_ws_notify n;
	uint32_t used;
	gpa_t at;

	cr_expect_eq(balloon_ask_working_set(rig.b, 2), 0);
	cr_expect_eq(balloon_ask_working_set(rig.b, 2), -EBUSY);
	cr_expect_eq(balloon_configure_working_set(rig.b, &cfg), -EBUSY);
	at = offer_buffer();
	cr_expect(fake_queue_poll(q, NULL, &used));
	cr_expect_eq(used, sizeof(n));
	fake_read(&rig.mem, at, &n, sizeof(n));
	cr_expect_eq(le16_get(n.op), BALLOON_WS_REQUEST);
	cr_expect_eq(le16_get(n.node_id), 2);
	at = offer_buffer();
	cr_expect_not(fake_queue_poll(q, NULL, NULL));
	cr_expect_eq(balloon_configure_working_set(rig.b, &cfg), 0);
	cr_expect(fake_queue_poll(q, NULL, &used));
	fake_read(&rig.mem, at, &n, sizeof(n));
	cr_expect_eq(le16_get(n.op), BALLOON_WS_CONFIG);
	cr_expect_eq(le32_get(n.report_threshold), 100);
	cr_expect_eq(le32_get(n.idle_age[0]), 5000);
	cfg.nr_ages = 0;
	cr_expect_eq(balloon_configure_working_set(rig.b, &cfg), -EINVAL);
}

Test(balloon, a_request_that_waits_at_a_reset_is_forgotten)
{
	cr_expect_eq(balloon_ask_working_set(rig.b, 2), 0);
	reset_it(&rig);
	cr_expect_eq(balloon_ask_working_set(rig.b, 2), -ENODEV);
	fake_driver_start(&rig.drv, ALL);
	offer_buffer();
	cr_expect_not(fake_queue_poll(&rig.drv.queues[WS_NOTIFY], NULL, NULL));
	reset_it(&rig);
	fake_driver_start(&rig.drv, ALL);
	cr_expect_eq(balloon_ask_working_set(rig.b, 2), 0, "the buffer was the last driver's");
	cr_expect_eq(fake_queue_used_idx(&rig.drv.queues[WS_NOTIFY]), 0);
}
