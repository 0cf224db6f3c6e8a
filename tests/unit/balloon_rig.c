/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_rig.c - a balloon with all it stands on. */
#include "tests/unit/balloon_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void count_size(void *ctx) { ((struct balloon_rig *)ctx)->nr_sizes++; }
static void count_job(void *ctx) { ((struct balloon_rig *)ctx)->nr_jobs++; }
static void count_stats(void *ctx) { ((struct balloon_rig *)ctx)->nr_stats++; }
static void count_run(void *ctx) { ((struct balloon_rig *)ctx)->nr_runs++; }

static void take_working_set(void *ctx, const struct working_set *ws)
{
	struct balloon_rig *r = ctx;

	r->nr_working_sets++;
	r->last_working_set = *ws;
}

static int log_start(void *ctx)
{
	struct balloon_rig *r = ctx;

	cr_assert_not(r->logging);
	if (r->log_error)
		return r->log_error;
	cr_assert_eq(dirty_pages_start(&r->written, &r->mem.gm), 0);
	r->logging = true;
	return 0;
}

static void log_stop(void *ctx)
{
	struct balloon_rig *r = ctx;

	cr_assert(r->logging);
	r->logging = false;
	dirty_pages_stop(&r->written, &r->mem.gm);
}

static int freeze(void *ctx)
{
	struct balloon_rig *r = ctx;

	cr_assert_not(r->frozen);
	if (r->on_freeze)
		r->on_freeze(r);
	if (r->freeze_error)
		return r->freeze_error;
	r->nr_freezes++;
	r->frozen = true;
	return 0;
}

static void thaw(void *ctx)
{
	struct balloon_rig *r = ctx;

	cr_assert(r->frozen);
	r->frozen = false;
}

static struct huge *huge_of(void *ctx, const struct gm_region *mem)
{
	struct balloon_rig *r = ctx;

	return mem->ram == &r->mem.boot ? &r->boot_huge : &r->mem.elastic.huge;
}

void balloon_rig_init_cfg(struct balloon_rig *r, struct balloon_cfg cfg)
{
	*r = (struct balloon_rig){ .cfg = cfg, .saved_fd = -1 };
	r->cfg.boot_bytes = BALLOON_BOOT;
	fake_memory_init(&r->mem, BALLOON_BOOT, BALLOON_ELASTIC, 2 * MiB);
	cr_assert_eq(loop_new(&r->loop), 0);
	fake_clock_init(&r->clock, r->loop);
	cr_assert_eq(huge_init(&r->boot_huge, HUGE_AUTO, &r->mem.boot, NULL), 0);
	cr_assert_eq(page_ledger_init(&r->returned, &r->mem.gm, huge_of, r), 0);
	r->mem.elastic.returned = &r->returned;
	cr_assert_eq(balloon_new(&r->b, &r->cfg,
				 &(struct balloon_env){ .loop = r->loop,
							.gm = &r->mem.gm,
							.returned = &r->returned,
							.written = &r->written,
							.log_start = log_start,
							.log_stop = log_stop,
							.freeze = freeze,
							.thaw = thaw,
							.size_changed = count_size,
							.job_changed = count_job,
							.stats_arrived = count_stats,
							.reclaim_changed = count_run,
							.working_set_arrived = take_working_set,
							.ctx = r }),
		     0);
	fake_driver_init(&r->drv, &r->mem, balloon_dev(r->b));
}

void balloon_rig_init(struct balloon_rig *r)
{
	balloon_rig_init_cfg(r, (struct balloon_cfg){ .deflate_on_oom = true,
						      .reporting = true,
						      .hinting = true,
						      .working_set = true });
}

void balloon_rig_destroy(struct balloon_rig *r)
{
	balloon_rig_host_refuses(r, false);
	balloon_free(r->b);
	page_ledger_destroy(&r->returned);
	huge_destroy(&r->boot_huge);
	loop_free(r->loop);
	fake_memory_destroy(&r->mem);
}

/* A descriptor that may only read can't discard. */
void balloon_rig_host_refuses(struct balloon_rig *r, bool refuses)
{
	struct ram *ram = &r->mem.boot;
	char path[64];

	if (refuses == (r->saved_fd >= 0))
		return;
	if (!refuses) {
		close(ram->fd);
		ram->fd = r->saved_fd;
		r->saved_fd = -1;
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ram->fd);
	r->saved_fd = ram->fd;
	ram->fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(ram->fd, 0);
}

bool balloon_rig_pages(struct balloon_rig *r, unsigned int queue, gpa_t at, unsigned int nr)
{
	le32 pfns[1024];

	cr_assert_leq(nr, ARRAY_SIZE(pfns));
	for (unsigned int i = 0; i < nr; i++)
		pfns[i] = le32_of((uint32_t)(at.v / PAGE_BYTES + i));
	return fake_driver_request(&r->drv, queue, pfns, nr * (uint32_t)sizeof(*pfns), NULL, 0,
				   NULL) &&
	       !fake_driver_needs_reset(&r->drv);
}

static void stop(void *ctx) { loop_stop(ctx); }

void balloon_rig_run(struct balloon_rig *r, uint64_t ns)
{
	struct loop_timer end = { .fn = stop, .ctx = r->loop };

	loop_timer_set(r->loop, &end, loop_now(r->loop) + ns);
	cr_assert_eq(loop_run(r->loop), 0);
	loop_timer_cancel(r->loop, &end);
}

struct balloon_info balloon_rig_info(const struct balloon_rig *r)
{
	struct balloon_info info;

	balloon_info(r->b, &info);
	return info;
}

uint64_t balloon_rig_resident(const struct balloon_rig *r)
{
	return balloon_rig_range_resident(r, GPA(0), BALLOON_BOOT);
}

uint64_t balloon_rig_range_resident(const struct balloon_rig *r, gpa_t at, uint64_t bytes)
{
	uint64_t resident;

	cr_assert_eq(ram_range_resident(&r->mem.boot, at.v, bytes, &resident), 0);
	return resident;
}
