/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_hinting.c - takes the free memory that a guest names in a run of free page hinting. */
#include "devices/balloon_hinting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Hints handled while the vCPUs stand. */
#define HINT_BATCH 16

static uint64_t now_of(const struct balloon_hinting *h) { return loop_now(h->env.loop); }

static void stop_log(struct balloon_hinting *h)
{
	if (h->logging)
		h->env.log_stop(h->env.ctx);
	h->logging = false;
}

/* A run that has ended, whoever ended it, needs no log any more. */
static void close_run(struct balloon_hinting *h)
{
	bool running = h->run.state == RECLAIM_RUNNING;

	loop_timer_move(h->env.loop, &h->deadline_timer, running ? h->run.deadline_ns : 0);
	if (running || !h->run_open)
		return;
	h->run_open = false;
	stop_log(h);
	virtio_config_changed(h->env.queues->dev); /* DONE: the guest may use its memory again */
}

bool balloon_hinting_settle(struct balloon_hinting *h)
{
	bool news = h->settled_id != h->run.id || h->settled_state != h->run.state;

	close_run(h);
	h->settled_id = h->run.id;
	h->settled_state = h->run.state;
	return news;
}

/* --- what hinted memory is --------------------------------------------------------------------- */

/* All that a guest can have. It names a page once in a run: who names more is not read after. */
static uint64_t memory_bytes(const struct guest_mem *gm)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < gm->nr_regions; i++)
		bytes += gm->regions[i].bytes;
	return bytes;
}

/*
 * Memory that was not written since before the run's id was published may go: whoever takes it back
 * meanwhile expects nothing in it. So may zeros, which stay zeros: kernels that clear memory when
 * they allocate it (init_on_alloc, Debian's default) do so with what they name. Once a guest is
 * known for it, zeros alone go, and no log is kept.
 */
static enum balloon_found look_at(const struct balloon_hinting *h, gpa_t at, uint64_t bytes)
{
	const struct guest_mem *gm = h->env.queues->dev->gm;

	if (h->logging && !dirty_pages_any(h->env.written, at, bytes))
		return BALLOON_UNWRITTEN;
	return h->run.hinted_bytes <= memory_bytes(gm) && gm_is_zero(gm, at, bytes) ?
		       BALLOON_CLEARED :
		       BALLOON_IN_USE;
}

static void give(struct balloon_hinting *h, gpa_t at, uint64_t bytes)
{
	if (bytes && !page_ledger_give(h->env.returned, RETURNED_HINTED, at, bytes))
		h->run.freed_bytes += bytes;
}

/* By whole units, those that may go in as long runs as there are; the vCPUs stand. */
static void take_place(struct balloon_hinting *h, gpa_t at, uint32_t bytes)
{
	uint64_t end = at.v + bytes, next;
	gpa_t run = at;

	for (; at.v < end; at = GPA(next)) {
		enum balloon_found found;

		next = min_u64(align_down(at.v, RAM_HUGE_BYTES) + RAM_HUGE_BYTES, end);
		found = look_at(h, at, next - at.v);
		h->found[found] += next - at.v;
		if (found != BALLOON_IN_USE)
			continue;
		h->run.written_bytes += next - at.v;
		give(h, run, at.v - run.v);
		run = GPA(next);
	}
	give(h, run, end - run.v);
}

/* All the memory that a chain names. NULL, or what is wrong with it. */
static const char *take_hint(struct balloon_hinting *h, struct chain *c, bool poisoned)
{
	gpa_t at;
	uint32_t bytes;

	if (!chain_writable_valid(c))
		return "hinted at memory that does not exist";
	while (chain_take_place(c, &at, &bytes)) {
		h->run.hinted_bytes += bytes;
		if (!poisoned)
			take_place(h, at, bytes);
	}
	return NULL;
}

/* --- the queue --------------------------------------------------------------------------------- */

/* From what was found in the latest batch; a guest that clears its memory needs no log. */
static void judge_guest(struct balloon_hinting *h)
{
	if (h->found[BALLOON_UNWRITTEN] || h->found[BALLOON_IN_USE])
		h->clears = false;
	else if (h->found[BALLOON_CLEARED])
		h->clears = true;
	if (h->clears)
		stop_log(h);
}

/*
 * The first of NR chains that is wrong is the last one served. Until all vCPUs stand they may reset
 * the device: then the chains are not the driver's any more.
 */
static const char *serve_hints(struct balloon_hinting *h, unsigned int nr, bool poisoned)
{
	uint32_t nr_resets = h->nr_resets;
	const char *wrong = NULL;

	if (h->env.freeze(h->env.ctx)) {
		reclaim_end(&h->run, RECLAIM_SHORT, RECLAIM_HOST, now_of(h));
		return NULL;
	}
	h->run.nr_batches++;
	memset(h->found, 0, sizeof(h->found));
	for (unsigned int i = 0; i < nr && !wrong && nr_resets == h->nr_resets; i++)
		wrong = take_hint(h, &h->hints[i], poisoned);
	h->env.thaw(h->env.ctx);
	if (nr_resets == h->nr_resets)
		judge_guest(h);
	return wrong;
}

static const char *serve_id(struct balloon_hinting *h, struct chain *c)
{
	le32 id;

	if (chain_readable(c) != sizeof(id) || chain_read_obj(c, &id))
		return "a command id that is not of 4 bytes that exist";
	(void)!reclaim_guest_id(&h->run, le32_get(id), now_of(h));
	return NULL;
}

/*
 * Memory is gathered, up to the next id, so that the vCPUs stand seldom. The number of hints in
 * h->hints; IS_ID: an id follows them there.
 */
static unsigned int gather(struct balloon_hinting *h, unsigned int queue, bool *is_id)
{
	unsigned int nr;

	*is_id = false;
	for (nr = 0; nr < HINT_BATCH; nr++) {
		if (!virtio_pop(h->env.queues->dev, queue, &h->hints[nr]))
			break;
		*is_id = chain_readable(&h->hints[nr]);
		if (*is_id)
			break;
	}
	return nr;
}

void balloon_hinting_kick(struct balloon_hinting *h, unsigned int queue, bool poisoned)
{
	struct virtio_dev *dev = h->env.queues->dev;
	uint64_t end_ns = clock_ns() + BALLOON_KICK_NS;
	uint32_t nr_resets = h->nr_resets;
	const char *wrong = NULL;
	unsigned int nr;
	bool is_id;

	do {
		nr = gather(h, queue, &is_id);
		if (nr && reclaim_takes(&h->run))
			wrong = serve_hints(h, nr, poisoned);
		if (nr_resets != h->nr_resets)
			return;
		for (unsigned int i = 0; i < nr; i++)
			virtio_push(dev, queue, &h->hints[i]);
		if (is_id) {
			if (!wrong)
				wrong = serve_id(h, &h->hints[nr]);
			virtio_push(dev, queue, &h->hints[nr]);
		}
		if (clock_ns() >= end_ns)
			virtio_yield(dev);
	} while ((is_id || nr == HINT_BATCH) && !wrong);
	virtio_notify(dev, queue);
	if (wrong)
		virtio_broken(dev, wrong);
}

void balloon_hinting_driver_gone(struct balloon_hinting *h)
{
	reclaim_driver_gone(&h->run, now_of(h));
}

void balloon_hinting_reset(struct balloon_hinting *h)
{
	h->nr_resets++;
	h->clears = false;
	balloon_hinting_driver_gone(h);
}

/* --- the host's side --------------------------------------------------------------------------- */

static void on_deadline(void *ctx)
{
	struct balloon_hinting *h = ctx;

	reclaim_expire(&h->run, now_of(h));
	h->env.expired(h->env.owner);
}

int balloon_hinting_init(struct balloon_hinting *h, const struct balloon_hinting_env *env)
{
	*h = (struct balloon_hinting){ .env = *env,
				       .deadline_timer = { .fn = on_deadline, .ctx = h },
				       .hints = calloc(HINT_BATCH, sizeof(*h->hints)) };
	return h->hints ? 0 : -ENOMEM;
}

void balloon_hinting_destroy(struct balloon_hinting *h)
{
	stop_log(h);
	loop_timer_cancel(h->env.loop, &h->deadline_timer);
	free(h->hints);
}

int balloon_hinting_start(struct balloon_hinting *h, uint64_t deadline_ns)
{
	int r = balloon_queues_find(h->env.queues, BALLOON_ROLE_HINT);

	if (r < 0)
		return r;
	if (h->run.state == RECLAIM_RUNNING)
		return -EBUSY;
	close_run(h); /* one that a reset has ended */
	/* With a log each page that the guest clears is a fault more, and of use to nobody. */
	r = h->clears ? 0 : h->env.log_start(h->env.ctx);
	if (r)
		return r;
	h->logging = !h->clears;
	h->run_open = true;
	reclaim_start(&h->run, deadline_ns, now_of(h));
	virtio_config_changed(h->env.queues->dev);
	return 0;
}

int balloon_hinting_cancel(struct balloon_hinting *h)
{
	if (h->run.state != RECLAIM_RUNNING)
		return -ENOENT;
	reclaim_end(&h->run, RECLAIM_CANCELLED, RECLAIM_UNHINDERED, now_of(h));
	return 0;
}
