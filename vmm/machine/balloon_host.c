/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_host.c - the host's side of the balloon. */
#include "vmm/machine/balloon_host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/log.h"

/* --- what was written, for hinting ------------------------------------------------------------- */

static int log_start(void *ctx)
{
	struct balloon_host *b = ctx;
	struct guest_mem *gm = &b->env.memory->gm;
	int r = dirty_pages_start(&b->written, gm);

	if (r)
		return fail(r, "log of written pages");
	r = b->env.write_log.log(b->env.write_log.ctx, true);
	if (r)
		dirty_pages_stop(&b->written, gm);
	return r;
}

static void log_stop(void *ctx)
{
	struct balloon_host *b = ctx;

	/* What KVM does not end now ends with its VM; it has logged that. */
	(void)b->env.write_log.log(b->env.write_log.ctx, false);
	dirty_pages_stop(&b->written, &b->env.memory->gm);
}

static void thaw(void *ctx)
{
	struct balloon_host *b = ctx;

	b->env.run.unpark(b->env.run.ctx);
}

static void add_written(void *to, gpa_t base, const uint64_t *bitmap, uint64_t nr_pages)
{
	dirty_pages_merge(to, base, bitmap, nr_pages);
}

static int freeze(void *ctx)
{
	struct balloon_host *b = ctx;
	const struct write_log *log = &b->env.write_log;
	int r;

	/* A disk's read under way might fill what is all zeros now. The vCPUs need not stand yet:
	 * only this thread begins requests. */
	b->env.drain(b->env.ctx);
	r = b->env.run.park(b->env.run.ctx) ? 0 : -EBUSY;
	if (r)
		log_warn("reclaim: a vCPU waits in the kernel for memory and can't be stopped");
	else if (log->is_logging(log->ctx))
		r = log->written(log->ctx, add_written, &b->written);
	if (r)
		thaw(b);
	return r;
}

/* --- what others are to hear ------------------------------------------------------------------- */

static void tell(struct balloon_host *b, enum vm_event_kind kind)
{
	if (b->balloon) /* else it is being built */
		vm_tell_kind(b->env.sinks, kind);
}

static void size_changed(void *ctx) { tell(ctx, VM_BALLOON_SIZE); }
static void job_changed(void *ctx) { tell(ctx, VM_BALLOON_JOB); }
static void stats_arrived(void *ctx) { tell(ctx, VM_BALLOON_STATS); }
static void reclaim_changed(void *ctx) { tell(ctx, VM_RECLAIM); }

static void working_set_arrived(void *ctx, const struct working_set *ws)
{
	struct balloon_host *b = ctx;
	struct working_set_record record = { .source = WORKING_SET_BALLOON, .ws = *ws };

	if (ws->error)
		snprintf(record.error, sizeof(record.error), "%s", strerror((int)ws->error));
	working_set_store_put(b->env.store, &record);
}

/* --- from start to end ------------------------------------------------------------------------- */

static struct huge *huge_of(void *ctx, const struct gm_region *region)
{
	return vm_memory_huge(ctx, region);
}

int balloon_host_open(struct balloon_host *b, const struct balloon_host_env *env)
{
	struct vm_memory *mem = env->memory;
	int r;

	*b = (struct balloon_host){ .env = *env };
	r = page_ledger_init(&b->returned, &mem->gm, huge_of, mem);
	for (unsigned int i = 0; i < mem->nr_elastic && !r; i++)
		mem->elastic[i].elastic.returned = &b->returned;
	return r;
}

int balloon_host_add(struct balloon_host *b, struct virtio_slots *slots)
{
	const struct config *c = b->env.cfg;
	struct balloon_cfg cfg = { .boot_bytes = c->boot_bytes,
				   .deflate_on_oom = !c->no_deflate_on_oom,
				   .reporting = !c->no_reporting,
				   .hinting = !c->no_hinting,
				   .working_set = c->working_set };
	struct balloon_env env = { .loop = b->env.loop,
				   .gm = &b->env.memory->gm,
				   .returned = &b->returned,
				   .written = &b->written,
				   .log_start = log_start,
				   .log_stop = log_stop,
				   .freeze = freeze,
				   .thaw = thaw,
				   .size_changed = size_changed,
				   .job_changed = job_changed,
				   .stats_arrived = stats_arrived,
				   .reclaim_changed = reclaim_changed,
				   .working_set_arrived = working_set_arrived,
				   .ctx = b };
	int r = c->no_balloon ? 0 : balloon_new(&b->balloon, &cfg, &env);

	return r || !b->balloon ? r : virtio_slots_add(slots, balloon_dev(b->balloon));
}

void balloon_host_remove(struct balloon_host *b)
{
	balloon_free(b->balloon);
	b->balloon = NULL;
}

void balloon_host_close(struct balloon_host *b) { page_ledger_destroy(&b->returned); }

void balloon_host_reset(struct balloon_host *b)
{
	page_ledger_reset(&b->returned);
	if (b->balloon)
		balloon_system_reset(b->balloon);
}

bool balloon_host_reclaims(const struct balloon_host *b)
{
	struct balloon_info info;

	if (!b->balloon)
		return false;
	balloon_info(b->balloon, &info);
	return info.reclaim.state == RECLAIM_RUNNING;
}
