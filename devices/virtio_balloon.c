/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_balloon.c - the balloon device: what its parts have in common. Each queue goes to the part
 * that serves it (balloon_pages, balloon_hinting, balloon_stats_queue, balloon_ws_queues); here are
 * features, resets, the job that brings the balloon to its target, and the host's side. The parts
 * know balloon_queues, and neither this file nor each other.
 */
#include "devices/virtio_balloon.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>

#include "devices/balloon_hinting.h"
#include "devices/balloon_pages.h"
#include "devices/balloon_queues.h"
#include "devices/balloon_space.h"
#include "devices/balloon_stats_queue.h"
#include "devices/balloon_ws_queues.h"
#include "devices/resize_job.h"
#include "vmm/base/log.h"

struct balloon {
	struct virtio_dev dev;
	struct balloon_cfg cfg;
	struct balloon_env env;
	struct resize_job job;
	struct balloon_space space;
	struct balloon_queues queues;
	struct balloon_pages pages;
	struct balloon_hinting hinting;
	struct balloon_stats_queue stats;
	struct balloon_ws_queues working_set;
};

static struct balloon *balloon_of(struct virtio_dev *dev)
{
	return container_of(dev, struct balloon, dev);
}

static uint64_t size_bytes(const struct balloon *b)
{
	uint64_t out = page_ledger_bytes(b->env.returned, RETURNED_BALLOONED);

	/* A guest may balloon elastic memory, and more than it was asked for. */
	return b->cfg.boot_bytes - min_u64(out, b->cfg.boot_bytes);
}

static uint64_t target_bytes(const struct balloon *b)
{
	return b->cfg.boot_bytes - b->space.target_pages * BALLOON_PAGE_BYTES;
}

/* Last of all, in the loop's thread: a callback may start the next job, or run. */
static void publish(void *ctx)
{
	struct balloon *b = ctx;
	bool run = balloon_hinting_settle(&b->hinting);

	resize_job_tell(&b->job);
	if (run && b->env.reclaim_changed)
		b->env.reclaim_changed(b->env.ctx);
}

/* --- queues ------------------------------------------------------------------------------------ */

static const char *serve_pages(struct balloon *b, struct chain *c, bool inflate)
{
	const char *wrong = balloon_pages_serve(&b->pages, c, inflate);

	if (!wrong)
		resize_job_answered(&b->job, RESIZE_ACCEPTED, NULL);
	return wrong;
}

static const char *serve_inflate(void *b, struct chain *c) { return serve_pages(b, c, true); }
static const char *serve_deflate(void *b, struct chain *c) { return serve_pages(b, c, false); }

static const char *serve_report(void *ctx, struct chain *c)
{
	struct balloon *b = ctx;

	return balloon_pages_report(&b->pages, c, balloon_space_is_poisoned(&b->space));
}

static void serve(struct balloon *b, unsigned int queue)
{
	switch (b->queues.role[queue]) {
	case BALLOON_ROLE_INFLATE:
		balloon_queues_serve(&b->queues, queue, serve_inflate, b);
		break;
	case BALLOON_ROLE_DEFLATE:
		balloon_queues_serve(&b->queues, queue, serve_deflate, b);
		break;
	case BALLOON_ROLE_STATS:
		balloon_stats_queue_kick(&b->stats, queue);
		break;
	case BALLOON_ROLE_HINT:
		balloon_hinting_kick(&b->hinting, queue, balloon_space_is_poisoned(&b->space));
		break;
	case BALLOON_ROLE_REPORT:
		balloon_queues_serve(&b->queues, queue, serve_report, b);
		break;
	case BALLOON_ROLE_WS_REPORT:
		balloon_queues_serve(&b->queues, queue, balloon_ws_queues_report, &b->working_set);
		break;
	case BALLOON_ROLE_WS_NOTIFY:
		balloon_ws_queues_kick(&b->working_set, queue);
		break;
	case BALLOON_NR_ROLES:
		break;
	}
}

static void kick(struct virtio_dev *dev, unsigned int queue)
{
	struct balloon *b = balloon_of(dev);

	resize_job_driver(&b->job, true);
	serve(b, queue);
	resize_job_driver(&b->job, virtio_live(dev));
	/* A broken driver names no more: nothing is noted for it until the deadline. */
	if (!virtio_live(dev))
		balloon_hinting_driver_gone(&b->hinting);
	publish(b);
}

/* Sets who is who among the queues. */
static bool features_ok(struct virtio_dev *dev, uint64_t chosen)
{
	balloon_queues_choose(&balloon_of(dev)->queues, chosen);
	return true;
}

static bool has_queue(const struct virtio_dev *dev, unsigned int queue)
{
	const struct balloon *b = container_of(dev, const struct balloon, dev);

	return b->queues.role[queue] != BALLOON_NR_ROLES;
}

/* --- the rest of the device -------------------------------------------------------------------- */

static uint64_t features(struct virtio_dev *dev)
{
	const struct balloon_cfg *cfg = &balloon_of(dev)->cfg;
	uint64_t bits = UINT64_C(1) << VIRTIO_BALLOON_F_MUST_TELL_HOST |
			UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ;

	if (cfg->deflate_on_oom)
		bits |= UINT64_C(1) << VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
	if (cfg->hinting)
		bits |= UINT64_C(1) << VIRTIO_BALLOON_F_FREE_PAGE_HINT;
	/* Without it, a guest that clears memory when it is freed would not report any. */
	if (cfg->hinting || cfg->reporting)
		bits |= UINT64_C(1) << VIRTIO_BALLOON_F_PAGE_POISON;
	if (cfg->reporting)
		bits |= UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING;
	if (cfg->working_set)
		bits |= UINT64_C(1) << BALLOON_F_WS_REPORTING;
	return bits;
}

/*
 * May run on a vCPU thread, so timers stay: what they find when they fire is no driver. What was
 * ballooned is the guest's again: the next driver knows nothing of it (kexec, a driver that failed),
 * its kernel uses all memory.
 */
static void reset(struct virtio_dev *dev)
{
	struct balloon *b = balloon_of(dev);

	balloon_space_reset(&b->space);
	page_ledger_deflate_all(b->env.returned);
	balloon_queues_choose(&b->queues, features(dev));
	balloon_stats_queue_reset(&b->stats);
	balloon_ws_queues_reset(&b->working_set);
	balloon_hinting_reset(&b->hinting);
	resize_job_driver(&b->job, false);
}

/* May run on a vCPU thread, as reset(). Other queues hold nothing beyond a kick. */
static void stop_queue(struct virtio_dev *dev, unsigned int queue)
{
	struct balloon *b = balloon_of(dev);

	switch (b->queues.role[queue]) {
	case BALLOON_ROLE_STATS:
		balloon_stats_queue_reset(&b->stats);
		break;
	case BALLOON_ROLE_HINT:
		balloon_hinting_reset(&b->hinting);
		break;
	case BALLOON_ROLE_WS_NOTIFY:
		balloon_ws_queues_reset(&b->working_set);
		break;
	default:
		break;
	}
}

static void config_read(struct virtio_dev *dev, void *config)
{
	const struct balloon *b = balloon_of(dev);

	balloon_space_read(&b->space, b->hinting.run.cmd_id, config);
}

static void config_write(struct virtio_dev *dev, size_t offset, const void *src, size_t bytes)
{
	balloon_space_write(&balloon_of(dev)->space, offset, src, bytes);
}

static const struct virtio_ops ops = {
	.name = "virtio-balloon",
	.id = VIRTIO_ID_BALLOON,
	.nr_queues = BALLOON_NR_ROLES,
	/* Linux has one request under way in most, 32 ranges in a report, and as many blocks of
	 * hints as fit. A full queue is what one kick may take of the loop. */
	.queue_size = { 256, 256, 256, 256, 256, 256, 256 },
	.features = features,
	.features_ok = features_ok,
	.has_queue = has_queue,
	.kick = kick,
	.reset = reset,
	.stop_queue = stop_queue,
	.config_read = config_read,
	.config_write = config_write,
	.config_bytes = sizeof(struct balloon_config),
};

/* --- what the resize job asks of the device, and tells it -------------------------------------- */

static uint64_t job_size(const void *ctx) { return size_bytes(ctx); }

static void job_set_target(void *ctx, uint64_t bytes)
{
	struct balloon *b = ctx;

	b->space.target_pages = (uint32_t)((b->cfg.boot_bytes - bytes) / BALLOON_PAGE_BYTES);
}

static void job_size_changed(void *ctx)
{
	struct balloon *b = ctx;

	if (b->env.size_changed)
		b->env.size_changed(b->env.ctx);
}

static void job_changed(void *ctx)
{
	struct balloon *b = ctx;

	if (b->env.job_changed)
		b->env.job_changed(b->env.ctx);
}

static void init_job(struct balloon *b)
{
	struct resize_job_env env = {
		.loop = b->env.loop,
		.dev = &b->dev,
		.size_bytes = job_size,
		.set_target = job_set_target,
		.tell = publish,
		.size_changed = job_size_changed,
		.job_changed = job_changed,
		.ctx = b,
	};

	resize_job_init(&b->job, RESIZE_BALLOON, &env);
}

static int init_hinting(struct balloon *b)
{
	struct balloon_hinting_env env = {
		.queues = &b->queues,
		.loop = b->env.loop,
		.returned = b->env.returned,
		.written = b->env.written,
		.log_start = b->env.log_start,
		.log_stop = b->env.log_stop,
		.freeze = b->env.freeze,
		.thaw = b->env.thaw,
		.ctx = b->env.ctx,
		.expired = publish,
		.owner = b,
	};

	return balloon_hinting_init(&b->hinting, &env);
}

int balloon_new(struct balloon **out, const struct balloon_cfg *cfg, const struct balloon_env *env)
{
	struct balloon *b = calloc(1, sizeof(*b));

	assert(is_aligned(cfg->boot_bytes, BALLOON_PAGE_BYTES) &&
	       cfg->boot_bytes / BALLOON_PAGE_BYTES <= UINT32_MAX);
	if (!b)
		return fail(-ENOMEM, "balloon");
	b->dev.ops = &ops;
	b->dev.gm = env->gm;
	b->cfg = *cfg;
	b->env = *env;
	b->space.dev = b->queues.dev = &b->dev;
	if (init_hinting(b)) {
		free(b);
		return fail(-ENOMEM, "balloon");
	}
	balloon_pages_init(&b->pages, &b->dev, env->loop, env->returned);
	balloon_stats_queue_init(&b->stats, &b->queues, env->loop, env->stats_arrived, env->ctx);
	balloon_ws_queues_init(&b->working_set, &b->queues, env->working_set_arrived, env->ctx);
	init_job(b);
	*out = b;
	return 0;
}

void balloon_free(struct balloon *b)
{
	if (!b)
		return;
	balloon_hinting_destroy(&b->hinting);
	balloon_pages_stop(&b->pages);
	balloon_stats_queue_destroy(&b->stats);
	resize_job_destroy(&b->job);
	free(b);
}

struct virtio_dev *balloon_dev(struct balloon *b) { return &b->dev; }

void balloon_system_reset(struct balloon *b)
{
	balloon_pages_stop(&b->pages);
	balloon_hinting_driver_gone(&b->hinting);
	resize_job_system_reset(&b->job);
}

/* --- the host's side --------------------------------------------------------------------------- */

void balloon_resize(struct balloon *b, uint64_t ram_bytes, uint64_t deadline_ns)
{
	ram_bytes = min_u64(align_up(ram_bytes, BALLOON_PAGE_BYTES), b->cfg.boot_bytes);
	resize_job_start(&b->job, ram_bytes, deadline_ns);
}

int balloon_cancel(struct balloon *b) { return resize_job_cancel(&b->job); }

struct resize_status balloon_job(const struct balloon *b) { return resize_job_status(&b->job); }

void balloon_poll_stats(struct balloon *b, uint64_t interval_s)
{
	balloon_stats_queue_poll(&b->stats, interval_s);
}

int balloon_ask_stats(struct balloon *b) { return balloon_stats_queue_ask(&b->stats); }

int balloon_reclaim(struct balloon *b, uint64_t deadline_ns)
{
	int r = balloon_hinting_start(&b->hinting, deadline_ns);

	if (!r)
		publish(b);
	return r;
}

int balloon_cancel_reclaim(struct balloon *b)
{
	int r = balloon_hinting_cancel(&b->hinting);

	if (!r)
		publish(b);
	return r;
}

int balloon_ask_working_set(struct balloon *b, uint16_t node)
{
	return balloon_ws_queues_ask(&b->working_set, node);
}

int balloon_configure_working_set(struct balloon *b, const struct working_set_config *cfg)
{
	return balloon_ws_queues_configure(&b->working_set, cfg);
}

void balloon_info(const struct balloon *b, struct balloon_info *info)
{
	*info = (struct balloon_info){
		.driver_ready = virtio_live(&b->dev),
		.features = b->dev.features,
		.target_bytes = target_bytes(b),
		.size_bytes = size_bytes(b),
		.claimed_bytes = b->space.claimed_pages * BALLOON_PAGE_BYTES,
		.waiting_bytes = page_ledger_waiting_bytes(b->env.returned),
		.poll_s = b->stats.poll_s,
		.stats = b->stats.latest,
		.stats_s = b->stats.latest_s,
		.reclaim = b->hinting.run,
		.counters = { .inflated_pages = b->pages.inflated_pages,
			      .deflated_pages = b->pages.deflated_pages,
			      .reports = b->pages.reports,
			      .kept_bytes = b->pages.kept_bytes },
	};
}
