/* SPDX-License-Identifier: Apache-2.0 */
/* test_balloon_host.c - the host's side of the balloon: what hinting needs of KVM, and events. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "devices/virtio_balloon_wire.h"
#include "tests/unit/fake_device.h"
#include "tests/unit/part_rig.h"
#include "tests/unit/stderr_text.h"

#define BIT(feature) (UINT64_C(1) << (feature))
#define STATS_VQ     BIT(VIRTIO_BALLOON_F_STATS_VQ)
#define OOM	     BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM)
#define HINT_VQ	     BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT)
#define REPORT_VQ    BIT(VIRTIO_BALLOON_F_REPORTING)
#define WS_VQ	     BIT(BALLOON_F_WS_REPORTING)
#define ALL	     (STATS_VQ | OOM | HINT_VQ | REPORT_VQ | WS_VQ)
/* With all of them. */
enum { INFLATE, DEFLATE, STATS, HINT, REPORT, WS_REPORT };

#define UNIT RAM_HUGE_BYTES
#define FREE (32 * MiB) /* the tests' memory from here on */

static struct part_rig rig;
static struct fake_driver drv;

static void setup(void)
{
	part_rig_config(&rig);
	rig.cfg.working_set = true;
	part_rig_init(&rig);
	part_rig_add_devices(&rig);
	part_rig_drive(&rig, &drv, balloon_dev(rig.balloon.balloon), ALL);
	recorder_forget(&rig.told);
}

static void alone(void) { part_rig_config(&rig); }
static void teardown(void) { part_rig_destroy(&rig); }

TestSuite(balloon_host, .init = setup, .fini = teardown, .timeout = 240);
TestSuite(balloon_host_setup, .init = alone, .fini = teardown, .timeout = 240);

static struct balloon_info info(void)
{
	struct balloon_info i;

	balloon_info(rig.balloon.balloon, &i);
	return i;
}

static uint64_t resident(uint64_t at, uint64_t bytes)
{
	uint64_t nr;

	cr_assert_eq(ram_range_resident(&rig.memory.boot, at, bytes, &nr), 0);
	return nr;
}

static void vcpu_writes(uint64_t at, uint8_t value)
{
	memset((char *)rig.memory.boot.host + at, value, 1);
	rig.dirty[at / 4096 / 64] |= UINT64_C(1) << at / 4096 % 64;
}

/* --- a reclaim --------------------------------------------------------------------------------- */

/* One that the guest has begun; NR units of its memory are in use. */
static void begin(unsigned int nr)
{
	le32 id;

	memset((char *)rig.memory.boot.host + FREE, 0x5a, nr * UNIT);
	cr_assert_eq(balloon_reclaim(rig.balloon.balloon, loop_now(rig.loop) + 60 * NS_PER_S), 0);
	id = le32_of((uint32_t)fake_driver_config(
		&drv, offsetof(struct balloon_config, free_page_hint_cmd_id), 4));
	cr_assert(fake_driver_request(&drv, HINT, &id, sizeof(id), NULL, 0, NULL));
}

static void hint(uint64_t at, uint32_t bytes)
{
	fake_queue_add(&drv.queues[HINT], &(struct fake_buffer){ GPA(at), bytes, true }, 1);
	fake_driver_kick(&drv, HINT);
	cr_assert(fake_queue_poll(&drv.queues[HINT], NULL, NULL));
}

Test(balloon_host, a_reclaim_is_told_at_both_ends_and_logs_writes_between_them)
{
	cr_expect_not(balloon_host_reclaims(&rig.balloon));
	begin(1);
	cr_expect(balloon_host_reclaims(&rig.balloon));
	cr_expect_eq(part_rig_told(&rig, VM_RECLAIM), 1);
	cr_expect(rig.logging);
	cr_expect_not_null(rig.memory.gm.written, "devices' writes are noted");
	cr_assert_eq(balloon_cancel_reclaim(rig.balloon.balloon), 0);
	cr_expect_not(balloon_host_reclaims(&rig.balloon));
	cr_expect_eq(part_rig_told(&rig, VM_RECLAIM), 2);
	cr_expect_not(rig.logging);
	cr_expect_null(rig.memory.gm.written);
}

Test(balloon_host, what_was_named_is_taken_while_disks_and_vcpus_stand)
{
	begin(2);
	vcpu_writes(FREE + UNIT, 1);
	hint(FREE, 2 * UNIT);
	cr_expect_eq(rig.nr_drains, 1);
	cr_expect_eq(rig.nr_fetches, 1);
	cr_expect_eq(rig.run.nr_parks, 1);
	cr_expect_eq(rig.run.nr_unparks, 1);
	cr_expect_eq(resident(FREE, UNIT), 0);
	cr_expect_eq(resident(FREE + UNIT, UNIT), UNIT, "written meanwhile");
	cr_expect_eq(info().reclaim.freed_bytes, UNIT);
}

/* A guest that clears what it names needs none. */
Test(balloon_host, a_log_that_is_off_is_not_asked)
{
	begin(3);
	memset((char *)rig.memory.boot.host + FREE, 0, UNIT);
	rig.dirty[FREE / 4096 / 64] = UINT64_MAX;
	for (unsigned int i = 0; i < UNIT / 4096 / 64; i++)
		rig.dirty[FREE / 4096 / 64 + i] = UINT64_MAX;
	hint(FREE, UNIT);
	cr_expect_not(rig.logging);
	cr_expect_eq(rig.nr_fetches, 1);
	hint(FREE + UNIT, UNIT);
	cr_expect_eq(rig.nr_fetches, 1);
	cr_expect_eq(rig.run.nr_parks, 2);
}

static void expect_run_ended_by_host(void)
{
	cr_expect_eq(info().reclaim.state, RECLAIM_SHORT);
	cr_expect_eq(info().reclaim.reason, RECLAIM_HOST);
	cr_expect_eq(info().reclaim.freed_bytes, 0);
	cr_expect_eq(resident(FREE, UNIT), UNIT);
	cr_expect_eq(rig.run.nr_parks, 1);
	cr_expect_eq(rig.run.nr_unparks, 1, "the vCPUs go on");
	cr_expect_not(rig.logging);
	cr_expect_eq(part_rig_told(&rig, VM_RECLAIM), 2);
}

Test(balloon_host, a_vcpu_that_cannot_be_stopped_ends_the_run)
{
	begin(1);
	rig.run.refuses_to_park = true;
	stderr_keep();
	hint(FREE, UNIT);
	cr_expect_not_null(strstr(stderr_text(), "reclaim: a vCPU waits in the kernel"));
	cr_expect_eq(rig.nr_fetches, 0);
	expect_run_ended_by_host();
}

Test(balloon_host, a_log_that_cannot_be_read_ends_the_run)
{
	begin(1);
	rig.written_error = -EIO;
	hint(FREE, UNIT);
	cr_expect_eq(rig.nr_fetches, 1);
	expect_run_ended_by_host();
}

Test(balloon_host, a_log_that_cannot_begin_is_an_error_and_nothing_is_noted)
{
	rig.log_error = -ENOSPC;
	cr_expect_eq(balloon_reclaim(rig.balloon.balloon, loop_now(rig.loop) + NS_PER_S), -ENOSPC);
	cr_expect_null(rig.memory.gm.written);
	cr_expect_not(balloon_host_reclaims(&rig.balloon));
	cr_expect_eq(part_rig_told(&rig, VM_RECLAIM), 0);
	rig.log_error = 0;
	begin(1);
}

Test(balloon_host, a_log_that_cannot_end_is_over_all_the_same)
{
	begin(1);
	rig.log_error = -EIO;
	cr_assert_eq(balloon_cancel_reclaim(rig.balloon.balloon), 0);
	cr_expect_null(rig.memory.gm.written);
	cr_expect_not(balloon_host_reclaims(&rig.balloon));
}

/* --- events ------------------------------------------------------------------------------------ */

static void inflate(uint64_t at)
{
	le32 pfn = le32_of((uint32_t)(at / 4096));

	cr_assert(fake_driver_request(&drv, INFLATE, &pfn, sizeof(pfn), NULL, 0, NULL));
}

Test(balloon_host, size_job_and_statistics_are_told)
{
	struct {
		le16 tag;
		le64 value;
	} __attribute__((packed)) stat = { le16_of(VIRTIO_BALLOON_S_AVAIL), le64_of(4711) };

	inflate(FREE);
	cr_expect_eq(info().size_bytes, PART_BOOT - 4096);
	cr_expect_eq(part_rig_told(&rig, VM_BALLOON_SIZE), 1);
	cr_expect_eq(part_rig_told(&rig, VM_BALLOON_JOB), 0);
	balloon_resize(rig.balloon.balloon, PART_BOOT - 4 * 4096, 0);
	cr_expect_eq(part_rig_told(&rig, VM_BALLOON_JOB), 1);
	cr_assert_eq(balloon_cancel(rig.balloon.balloon), 0);
	cr_expect_eq(part_rig_told(&rig, VM_BALLOON_JOB), 2);
	/* The device holds the buffer. */
	cr_expect_not(fake_driver_request(&drv, STATS, &stat, sizeof(stat), NULL, 0, NULL));
	cr_expect_eq(part_rig_told(&rig, VM_BALLOON_STATS), 1);
	cr_expect_eq(info().stats.value[VIRTIO_BALLOON_S_AVAIL], 4711);
}

static void send_working_set(struct balloon_ws_report *ws)
{
	cr_assert(fake_driver_request(&drv, WS_REPORT, ws, sizeof(*ws), NULL, 0, NULL));
}

Test(balloon_host, working_sets_are_kept_and_told)
{
	struct balloon_ws_report ws = { .node_id = le32_of(1) };

	ws.bins[0].idle_age = le64_of(UINT64_MAX);
	ws.bins[0].anon_bytes = le64_of(77);
	send_working_set(&ws);
	cr_assert_eq(part_rig_told(&rig, VM_WORKING_SET), 1);
	cr_expect_eq(rig.told.events[0].working_set->source, WORKING_SET_BALLOON);
	cr_expect_eq(rig.told.events[0].working_set->ws.node, 1);
	cr_expect_eq(rig.told.events[0].working_set->ws.bins[0].anon_bytes, 77);
	cr_expect_str_eq(rig.told.events[0].working_set->error, "");
}

Test(balloon_host, a_working_set_that_the_guest_has_not_got_says_why)
{
	struct balloon_ws_report ws = { .error = le32_of(0u - EINVAL) };

	send_working_set(&ws);
	cr_assert_eq(part_rig_told(&rig, VM_WORKING_SET), 1);
	cr_expect_str_eq(rig.told.events[0].working_set->error, strerror(EINVAL));
	cr_expect_eq(rig.told.events[0].working_set->ws.nr_bins, 0);
}

/* --- from start to end ------------------------------------------------------------------------- */

Test(balloon_host, a_reset_makes_memory_whole_and_keeps_the_target)
{
	balloon_resize(rig.balloon.balloon, PART_BOOT - UNIT, 0);
	inflate(FREE);
	cr_expect_eq(page_ledger_bytes(&rig.balloon.returned, RETURNED_BALLOONED), 4096);
	begin(1);
	balloon_host_reset(&rig.balloon);
	cr_expect_not(balloon_host_reclaims(&rig.balloon));
	cr_expect_eq(page_ledger_bytes(&rig.balloon.returned, RETURNED_BALLOONED), 0);
	cr_expect_eq(info().size_bytes, PART_BOOT);
	cr_expect_eq(info().target_bytes, PART_BOOT - UNIT);
}

Test(balloon_host, each_region_has_its_own_maker_of_huge_pages)
{
	cr_assert_eq(rig.balloon.returned.nr_regions, 2);
	cr_expect_eq(rig.balloon.returned.regions[0].huge, &rig.memory.boot_huge);
	cr_expect_eq(rig.balloon.returned.regions[1].huge, &rig.memory.elastic[0].elastic.huge);
	cr_expect_eq(rig.memory.elastic[0].elastic.returned, &rig.balloon.returned,
		     "which hears what is unplugged");
}

Test(balloon_host_setup, there_may_be_none)
{
	rig.cfg.no_balloon = true;
	part_rig_init(&rig);
	part_rig_add_devices(&rig);
	cr_expect_null(rig.balloon.balloon);
	cr_expect_eq(rig.slots.nr, 1);
	cr_expect_not(balloon_host_reclaims(&rig.balloon));
	balloon_host_reset(&rig.balloon);
	balloon_host_remove(&rig.balloon);
}

Test(balloon_host_setup, what_is_offered_is_what_was_configured)
{
	static const uint64_t bits[] = { OOM, REPORT_VQ, HINT_VQ, WS_VQ };

	part_rig_init(&rig);
	for (unsigned int on = 0; on < 1 << ARRAY_SIZE(bits); on++) {
		uint64_t want = STATS_VQ;

		rig.cfg.no_deflate_on_oom = !(on & 1);
		rig.cfg.no_reporting = !(on & 2);
		rig.cfg.no_hinting = !(on & 4);
		rig.cfg.working_set = on & 8;
		for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++)
			want |= on >> i & 1 ? bits[i] : 0;
		cr_assert_eq(balloon_host_add(&rig.balloon, &rig.slots), 0);
		fake_driver_init(&drv, &rig.guest, balloon_dev(rig.balloon.balloon));
		cr_expect_eq(fake_driver_device_features(&drv) & ALL, want, "%u", on);
		balloon_host_remove(&rig.balloon);
	}
}

Test(balloon_host_setup, a_machine_without_a_place_for_it_is_refused)
{
	static struct fake_device others[PLATFORM_MAX_VIRTIO];

	part_rig_init(&rig);
	for (unsigned int i = 0; i < PLATFORM_MAX_VIRTIO; i++) {
		fake_device_init(&others[i], &rig.memory.gm);
		cr_assert_eq(virtio_slots_add(&rig.slots, &others[i].dev), 0);
	}
	stderr_keep();
	cr_expect_eq(balloon_host_add(&rig.balloon, &rig.slots), -EINVAL);
	cr_expect_not_null(strstr(stderr_text(), "at most 16 virtio devices"));
}
