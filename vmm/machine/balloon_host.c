/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_host.c - the balloon in its machine. */
#include "vmm/machine/balloon_host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/balloon.h"
#include "vmm/monitor/working_set.h"

/* --- what was written, for hinting ------------------------------------------------------------- */

static int log_start(void *ctx)
{
	struct machine *m = ctx;
	int r = written_start(&m->ballooning.written, &m->gm);

	if (r)
		return fail(r, "log of written pages");
	r = vm_log_writes(&m->vm, true);
	if (r)
		written_stop(&m->ballooning.written, &m->gm);
	return r;
}

static void log_stop(void *ctx)
{
	struct machine *m = ctx;

	/* What KVM does not end now ends with its VM; it has logged that. */
	(void)!vm_log_writes(&m->vm, false);
	written_stop(&m->ballooning.written, &m->gm);
}

static void thaw(void *ctx)
{
	struct machine *m = ctx;

	if (m->state == MACHINE_RUNNING)
		vcpus_resume(m->vcpus);
}

static void add_written(void *ctx, gpa_t base, const uint64_t *bitmap, uint64_t nr_pages)
{
	written_merge(ctx, base, bitmap, nr_pages);
}

static int freeze(void *ctx)
{
	struct machine *m = ctx;
	int r;

	/* A disk's read under way might fill what is all zeros now. The vCPUs need not stand yet:
	 * only this thread begins requests. */
	disks_drain(m);
	r = vcpus_pause(m->vcpus) ? 0 : -EBUSY;
	if (r)
		log_warn("reclaim: a vCPU waits in the kernel for memory and can't be stopped");
	else if (m->vm.logging)
		r = vm_written(&m->vm, GPA(0), UINT64_MAX, add_written, &m->ballooning.written);
	if (r)
		thaw(m);
	return r;
}

/* --- fresh statistics -------------------------------------------------------------------------- */

static void answer_all(struct machine *m, bool fresh)
{
	struct ballooning *b = &m->ballooning;
	unsigned int nr = b->nr_waiting;

	b->nr_waiting = 0;
	loop_timer_cancel(m->loop, &b->patience);
	for (unsigned int i = 0; i < nr; i++)
		commands_guest_stats(m, b->waiting[i], fresh);
}

static void stats_arrived(void *ctx) { answer_all(ctx, true); }
static void on_patience(void *ctx) { answer_all(ctx, false); }

int ballooning_wait_stats(struct machine *m)
{
	struct ballooning *b = &m->ballooning;
	int r;

	if (b->nr_waiting == BALLOON_MAX_WAITING)
		return -EBUSY;
	r = balloon_ask_stats(b->balloon);
	if (r)
		return r;
	if (!b->nr_waiting)
		loop_timer_set(m->loop, &b->patience, loop_now(m->loop) + BALLOON_STATS_PATIENCE_NS);
	b->waiting[b->nr_waiting++] = qmp_defer(m->qmp);
	return 0;
}

/* --- working set ------------------------------------------------------------------------------- */

static void working_set_arrived(void *ctx, const struct working_set *ws)
{
	struct working_set_record record = { .source = WORKING_SET_BALLOON, .ws = *ws };

	if (ws->error)
		snprintf(record.error, sizeof(record.error), "%s", strerror((int)ws->error));
	commands_working_set(ctx, &record);
}

/* --- what others are to hear ------------------------------------------------------------------- */

static void size_changed(void *ctx)
{
	commands_balloon_changed(ctx);
	autosizing_facts_changed(ctx);
}

static void reclaim_changed(void *ctx)
{
	touching_end(ctx, "a reclaim was run");
	commands_reclaim_changed(ctx);
	autosizing_facts_changed(ctx);
}

/* --- from start to end ------------------------------------------------------------------------- */

static struct huge *huge_of(void *ctx, const struct gm_region *mem)
{
	struct machine *m = ctx;

	for (unsigned int i = 0; i < m->nr_elastic; i++)
		if (mem->ram == &m->elastic[i].elastic.ram)
			return &m->elastic[i].elastic.huge;
	return &m->huging.boot;
}

int ballooning_open(struct machine *m)
{
	struct ballooning *b = &m->ballooning;
	int r = returned_init(&b->returned, &m->gm, huge_of, m);

	for (unsigned int i = 0; i < m->nr_elastic && !r; i++)
		m->elastic[i].elastic.returned = &b->returned;
	return r;
}

int ballooning_add(struct machine *m)
{
	const struct config *c = m->cfg;
	struct balloon_cfg cfg = { .boot_bytes = c->boot_bytes,
				   .deflate_on_oom = !c->no_deflate_on_oom,
				   .reporting = !c->no_reporting,
				   .hinting = !c->no_hinting,
				   .working_set = c->working_set };
	struct balloon_env env = { .loop = m->loop,
				   .gm = &m->gm,
				   .returned = &m->ballooning.returned,
				   .written = &m->ballooning.written,
				   .log_start = log_start,
				   .log_stop = log_stop,
				   .freeze = freeze,
				   .thaw = thaw,
				   .size_changed = size_changed,
				   .job_changed = commands_balloon_job_changed,
				   .stats_arrived = stats_arrived,
				   .reclaim_changed = reclaim_changed,
				   .working_set_arrived = working_set_arrived,
				   .ctx = m };

	m->ballooning.patience = (struct loop_timer){ .fn = on_patience, .ctx = m };
	return c->no_balloon ? 0 : balloon_new(&m->ballooning.balloon, &cfg, &env);
}

void ballooning_reset(struct machine *m)
{
	returned_reset(&m->ballooning.returned);
	if (m->ballooning.balloon)
		balloon_system_reset(m->ballooning.balloon);
}

void ballooning_close(struct machine *m)
{
	loop_timer_cancel(m->loop, &m->ballooning.patience);
	balloon_free(m->ballooning.balloon);
	returned_destroy(&m->ballooning.returned);
}
