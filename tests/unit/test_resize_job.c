/* SPDX-License-Identifier: Apache-2.0 */
/* test_resize_job.c - what stands around a resize job: on a device that is only a size. */
#include "devices/resize_job.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "tests/unit/fake_clock.h"

#define MS NS_PER_MS

static struct loop *loop;
static struct fake_clock clock_of_loop;
static struct virtio_dev dev;
static struct resize_job job;
static uint64_t size, target;
/* What happened, in letters: i(nterrupt), t(arget), s(ize changed), j(ob changed), T(ell). */
static char happened[64];

static void note(const char *letter)
{
	size_t nr = strlen(happened);

	cr_assert_lt(nr + 1, sizeof(happened));
	happened[nr] = *letter;
	happened[nr + 1] = 0;
}

static void on_config_changed(struct virtio_transport *t)
{
	(void)t;
	note("i");
}

static struct virtio_transport transport = { .config_changed = on_config_changed };

static uint64_t size_bytes(const void *ctx)
{
	(void)ctx;
	return size;
}

static void set_target(void *ctx, uint64_t bytes)
{
	(void)ctx;
	target = bytes;
	note("t");
}

static void size_changed(void *ctx)
{
	(void)ctx;
	note("s");
}

static void job_changed(void *ctx)
{
	(void)ctx;
	note("j");
}

static void tell_all(void *ctx)
{
	(void)ctx;
	note("T");
	resize_job_tell(&job);
}

static void open_job(void (*tell)(void *ctx))
{
	resize_job_init(&job, RESIZE_BALLOON,
			&(struct resize_job_env){ .loop = loop,
						  .dev = &dev,
						  .size_bytes = size_bytes,
						  .set_target = set_target,
						  .tell = tell,
						  .size_changed = size_changed,
						  .job_changed = job_changed });
}

static void setup(void)
{
	cr_assert_eq(loop_new(&loop), 0);
	fake_clock_init(&clock_of_loop, loop);
	dev.transport = &transport;
	dev.status = VIRTIO_CONFIG_S_DRIVER_OK;
	size = 8 * MiB;
	open_job(NULL);
}

static void teardown(void)
{
	resize_job_destroy(&job);
	loop_free(loop);
}

TestSuite(resize_job, .init = setup, .fini = teardown, .timeout = 240);

static void run_for(uint64_t ns) { fake_clock_run(&clock_of_loop, loop, ns); }

/* The driver brings the size to BYTES with a request. */
static void request(uint64_t bytes)
{
	size = bytes;
	resize_job_answered(&job, RESIZE_ACCEPTED, NULL);
	resize_job_tell(&job);
}

/* What has happened since the last call. */
static const char *news(void)
{
	static char last[sizeof(happened)];

	memcpy(last, happened, sizeof(last));
	memset(happened, 0, sizeof(happened));
	return last;
}

Test(resize_job, target_comes_before_its_interrupt_and_the_callbacks_last)
{
	resize_job_start(&job, 4 * MiB, 0);
	cr_expect_str_eq(news(), "tij");
	cr_expect_eq(target, 4 * MiB);
	request(6 * MiB);
	cr_expect_str_eq(news(), "s");
	request(4 * MiB);
	cr_expect_str_eq(news(), "sj", "the size is told before the job that is done by it");
	cr_expect_eq(resize_job_status(&job).state, RESIZE_DONE);
	resize_job_tell(&job);
	cr_expect_str_eq(news(), "", "no news");
}

Test(resize_job, start_tells_of_the_job_that_it_cancels)
{
	resize_job_start(&job, 4 * MiB, 0);
	(void)news();
	resize_job_start(&job, 2 * MiB, 0);
	cr_expect_str_eq(news(), "jtij");
	cr_expect_eq(resize_job_status(&job).id, 2);
}

Test(resize_job, cancel_makes_the_size_that_is_reached_the_target)
{
	cr_expect_eq(resize_job_cancel(&job), -ENOENT);
	cr_expect_str_eq(news(), "");
	resize_job_start(&job, 4 * MiB, 0);
	request(6 * MiB);
	(void)news();
	cr_assert_eq(resize_job_cancel(&job), 0);
	cr_expect_str_eq(news(), "tij");
	cr_expect_eq(target, 6 * MiB);
	cr_expect_eq(resize_job_status(&job).state, RESIZE_CANCELLED);
}

Test(resize_job, target_without_a_job_ends_a_running_one)
{
	resize_job_set_target(&job, 4 * MiB);
	cr_expect_str_eq(news(), "ti");
	resize_job_start(&job, 2 * MiB, 0);
	(void)news();
	resize_job_set_target(&job, 4 * MiB);
	cr_expect_str_eq(news(), "tij");
	cr_expect_eq(resize_job_status(&job).id, 1);
	run_for(10 * NS_PER_S);
	cr_expect_str_eq(news(), "", "nobody is interrupted without a job");
}

Test(resize_job, interrupts_come_by_the_clock_until_the_deadline)
{
	resize_job_start(&job, 4 * MiB, loop_now(loop) + NS_PER_S);
	(void)news();
	run_for(751 * MS);
	cr_expect_str_eq(news(), "ii");
	run_for(NS_PER_S);
	cr_expect_str_eq(news(), "j");
	cr_expect_eq(resize_job_status(&job).state, RESIZE_SHORT);
}

Test(resize_job, driver_that_went_unseen_is_noticed_when_an_interrupt_is_due)
{
	resize_job_start(&job, 4 * MiB, 0);
	(void)news();
	dev.status = 0;
	run_for(NS_PER_S);
	cr_expect_str_eq(news(), "");
	cr_expect_eq(resize_job_status(&job).reason, RESIZE_NO_DRIVER);
}

Test(resize_job, system_reset_may_end_the_job)
{
	resize_job_start(&job, 4 * MiB, 0);
	(void)news();
	size = 4 * MiB;
	resize_job_system_reset(&job);
	cr_expect_str_eq(news(), "sj");
	cr_expect_eq(resize_job_status(&job).state, RESIZE_DONE);
}

Test(resize_job, device_with_more_to_tell_tells_it_each_time)
{
	open_job(tell_all);
	resize_job_start(&job, 4 * MiB, 0);
	cr_expect_str_eq(news(), "tiTj");
	run_for(300 * MS);
	cr_expect_str_eq(news(), "iT");
	cr_assert_eq(resize_job_cancel(&job), 0);
	cr_expect_str_eq(news(), "tiTj");
	resize_job_system_reset(&job);
	cr_expect_str_eq(news(), "T");
}
