/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_mem_job.c - resize jobs on a real device, main loop and clock. The job's own rules
 * are in test_resize.c; here the times are short and the bounds wide.
 */
#include "tests/unit/vmem_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/clock.h"

#define ACK VIRTIO_MEM_RESP_ACK
#define MS  NS_PER_MS

static struct vmem_rig rig;

/* 32 blocks, for a guest with small memory blocks. */
static void device_only(void)
{
	vmem_rig_init_cfg(&rig, (struct vmem_cfg){ .id = "vm0",
						   .addr = FAKE_ELASTIC_BASE,
						   .region_bytes = 64 * MiB,
						   .block_bytes = VMEM_BLOCK,
						   .memory_block_bytes = 8 * MiB });
}

static void up(void)
{
	device_only();
	vmem_rig_start(&rig, 0);
	rig.drv.nr_interrupts = 0;
}

static void down(void) { vmem_rig_destroy(&rig); }

TestSuite(virtio_mem_job, .init = up, .fini = down, .timeout = 240);
TestSuite(virtio_mem_job_setup, .fini = down, .timeout = 240);

static struct resize_status job(void) { return vmem_job(rig.v); }

Test(virtio_mem_job, grow_is_done_when_the_driver_has_plugged_the_target)
{
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, 0), 0);
	cr_expect_eq(rig.drv.nr_interrupts, 1);
	cr_expect_eq(vmem_rig_info(&rig).requested_bytes, 16 * MiB);
	cr_expect_eq(job().state, RESIZE_RUNNING);
	cr_expect_eq(rig.nr_job_changes, 1);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	cr_expect_eq(job().plugged_bytes, 8 * MiB);
	cr_expect_eq(job().state, RESIZE_RUNNING);
	cr_assert_eq(vmem_rig_plug(&rig, 4, 4), ACK);
	cr_expect_eq(job().state, RESIZE_DONE);
	cr_expect_eq(rig.nr_job_changes, 2);
	cr_expect_eq(rig.last_job_state, RESIZE_DONE);
}

Test(virtio_mem_job, config_interrupt_comes_again_while_the_driver_is_silent)
{
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, 0), 0);
	vmem_rig_run(&rig, 1200 * MS); /* at 0, 250 and 750 ms; the next would be at 1750 ms */
	cr_expect_eq(rig.drv.nr_interrupts, 3);
	cr_expect_eq(job().nr_raises, 3);
	cr_expect_eq(job().reason, RESIZE_SILENT);
	cr_expect_eq(job().nr_ignored, 3);
}

Test(virtio_mem_job, job_ends_short_at_its_deadline_and_leaves_the_target_to_the_guest)
{
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, loop_now(rig.loop) + 300 * MS), 0);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 3), ACK);
	rig.drv.nr_interrupts = 0;
	vmem_rig_run(&rig, 1500 * MS);
	cr_expect_eq(job().state, RESIZE_SHORT);
	cr_expect_eq(rig.last_job_state, RESIZE_SHORT);
	cr_expect_eq(job().plugged_bytes, 6 * MiB);
	cr_expect(job().elapsed_ns >= 300 * MS && job().elapsed_ns < 1000 * MS);
	cr_expect_leq(rig.drv.nr_interrupts, 1, "none after the end");
	cr_expect_eq(vmem_rig_info(&rig).requested_bytes, 16 * MiB);
	/* The guest finds what it lacked, later; the next job is done with it at once. */
	cr_assert_eq(vmem_rig_plug(&rig, 3, 5), ACK);
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, 0), 0);
	cr_expect_eq(job().state, RESIZE_DONE);
	cr_expect_eq(job().id, 2);
}

Test(virtio_mem_job, deadline_in_the_past_ends_the_job_on_the_next_turn)
{
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, 1), 0);
	vmem_rig_run(&rig, 20 * MS);
	cr_expect_eq(job().state, RESIZE_SHORT);
}

Test(virtio_mem_job, new_job_cancels_the_running_one)
{
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, 0), 0);
	cr_assert_eq(vmem_resize(rig.v, 8 * MiB, 0), 0);
	cr_expect_eq(rig.nr_job_changes, 3, "started, cancelled, started");
	cr_expect_eq(job().id, 2);
	cr_expect_eq(job().state, RESIZE_RUNNING);
	cr_expect_eq(job().target_bytes, 8 * MiB);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 8), VIRTIO_MEM_RESP_NACK);
}

Test(virtio_mem_job, refused_job_leaves_the_running_one_alone)
{
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, 0), 0);
	cr_expect_eq(vmem_resize(rig.v, 3, 0), -EINVAL);
	cr_expect_eq(vmem_resize(rig.v, 128 * MiB, 0), -ERANGE);
	cr_expect_eq(job().id, 1);
	cr_expect_eq(job().state, RESIZE_RUNNING);
}

Test(virtio_mem_job, cancel_stops_the_guest_where_it_is)
{
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, 0), 0);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 3), ACK);
	rig.drv.nr_interrupts = 0;
	cr_assert_eq(vmem_cancel(rig.v), 0);
	cr_expect_eq(rig.drv.nr_interrupts, 1);
	cr_expect_eq(job().state, RESIZE_CANCELLED);
	cr_expect_eq(vmem_rig_info(&rig).requested_bytes, 6 * MiB);
	cr_expect_eq(vmem_rig_plug(&rig, 3, 1), VIRTIO_MEM_RESP_NACK);
	cr_expect_eq(vmem_cancel(rig.v), -ENOENT);
	vmem_rig_run(&rig, 400 * MS);
	cr_expect_eq(job().nr_raises, 1, "none after the end");
}

Test(virtio_mem_job, plain_request_cancels_the_job)
{
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, 0), 0);
	cr_assert_eq(vmem_request(rig.v, 32 * MiB), 0);
	cr_expect_eq(job().state, RESIZE_CANCELLED);
	cr_expect_eq(vmem_rig_info(&rig).requested_bytes, 32 * MiB);
}

Test(virtio_mem_job_setup, job_without_a_driver_says_so_and_goes_on_when_it_comes)
{
	device_only();
	cr_assert_eq(vmem_resize(rig.v, 8 * MiB, 0), 0);
	cr_expect_eq(job().state, RESIZE_RUNNING);
	cr_expect_eq(job().reason, RESIZE_NO_DRIVER);
	vmem_rig_run(&rig, 300 * MS);
	cr_expect_eq(rig.drv.nr_interrupts, 0);
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_expect_eq(job().reason, RESIZE_UNHINDERED);
	rig.drv.nr_interrupts = 0;
	vmem_rig_run(&rig, 400 * MS);
	cr_expect_eq(rig.drv.nr_interrupts, 1);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	cr_expect_eq(job().state, RESIZE_DONE);
}

Test(virtio_mem_job, device_reset_during_a_job_is_a_missing_driver_until_it_is_back)
{
	cr_assert_eq(vmem_resize(rig.v, 8 * MiB, 0), 0);
	virtio_mmio_reset(&rig.drv.mmio);
	cr_expect_eq(job().reason, RESIZE_NO_DRIVER);
	vmem_rig_run(&rig, 300 * MS); /* the timer of before finds nobody */
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	cr_expect_eq(job().state, RESIZE_DONE);
}

Test(virtio_mem_job, driver_that_broke_the_device_is_missing_too)
{
	struct fake_buffer half = { fake_alloc(&rig.mem, 16, 16), 12, false };

	cr_assert_eq(vmem_resize(rig.v, 8 * MiB, 0), 0);
	cr_assert_not(vmem_rig_ask_at(&rig, NULL, &half, 1));
	cr_expect_eq(job().reason, RESIZE_NO_DRIVER);
}

Test(virtio_mem_job, busy_answer_is_the_reason_with_its_cause)
{
	char text[256];
	struct resize_status s;

	cr_assert_eq(vmem_request(rig.v, 8 * MiB), 0);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	cr_assert_eq(vmem_resize(rig.v, 0, loop_now(rig.loop) + 100 * MS), 0);
	vmem_rig_host_refuses(&rig, true);
	cr_assert_eq(vmem_rig_unplug(&rig, 0, 4), VIRTIO_MEM_RESP_BUSY);
	vmem_rig_run(&rig, 200 * MS);
	s = job();
	cr_expect_eq(s.state, RESIZE_SHORT);
	cr_expect_eq(s.reason, RESIZE_BUSY);
	cr_expect_not_null(strstr(resize_explain(&s, text, sizeof(text)),
				  "the host did not take the memory back"));
}

Test(virtio_mem_job_setup, region_without_a_whole_guest_memory_block_is_the_reason)
{
	vmem_rig_init(&rig, 64 * MiB); /* memory blocks of 128 MiB */
	vmem_rig_start(&rig, 0);
	cr_assert_eq(vmem_resize(rig.v, 8 * MiB, loop_now(rig.loop) + MS), 0);
	vmem_rig_run(&rig, 20 * MS);
	cr_expect_eq(job().state, RESIZE_SHORT);
	cr_expect_eq(job().reason, RESIZE_USABLE_REGION);
}

Test(virtio_mem_job, system_reset_lets_the_job_run_on_to_its_target)
{
	cr_assert_eq(vmem_request(rig.v, 32 * MiB), 0);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 16), ACK);
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, 0), 0);
	cr_assert_eq(vmem_rig_unplug(&rig, 12, 4), ACK);
	vmem_system_reset(rig.v);
	virtio_mmio_reset(&rig.drv.mmio);
	cr_expect_eq(job().state, RESIZE_RUNNING);
	cr_expect_eq(job().plugged_bytes, 0);
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 8), ACK);
	cr_expect_eq(job().state, RESIZE_DONE);
}

Test(virtio_mem_job, system_reset_during_a_shrink_to_nothing_ends_it)
{
	cr_assert_eq(vmem_request(rig.v, 32 * MiB), 0);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 16), ACK);
	cr_assert_eq(vmem_resize(rig.v, 0, 0), 0);
	vmem_system_reset(rig.v);
	cr_expect_eq(job().state, RESIZE_DONE);
	cr_expect_eq(rig.last_job_state, RESIZE_DONE);
}

/* The callback of one job starts the next. */
static unsigned int nr_chained;

static void start_next(void *ctx, struct vmem *v)
{
	(void)ctx;
	if (vmem_job(v).state == RESIZE_DONE && nr_chained++ < 3)
		cr_assert_eq(vmem_resize(v, (nr_chained + 1) * VMEM_BLOCK, 0), 0);
}

Test(virtio_mem_job_setup, callback_may_start_the_next_job)
{
	device_only();
	vmem_free(rig.v);
	cr_assert_eq(vmem_new(&rig.v, &rig.cfg,
			      &(struct vmem_env){ .loop = rig.loop,
						  .gm = &rig.mem.gm,
						  .elastic = &rig.mem.elastic,
						  .job_changed = start_next }),
		     0);
	fake_driver_init(&rig.drv, &rig.mem, vmem_dev(rig.v));
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_assert_eq(vmem_resize(rig.v, VMEM_BLOCK, 0), 0);
	for (uint32_t i = 0; i < 4; i++)
		cr_assert_eq(vmem_rig_plug(&rig, i, 1), ACK);
	cr_expect_eq(job().id, 4);
	cr_expect_eq(job().state, RESIZE_DONE);
}

Test(virtio_mem_job, device_freed_while_a_job_runs_leaves_no_timer_behind)
{
	cr_assert_eq(vmem_resize(rig.v, 16 * MiB, 0), 0);
	vmem_free(rig.v);
	rig.v = NULL;
	vmem_rig_run(&rig, 400 * MS);
}
