/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_balloon.c - the balloon device: takes messages off its queues, checks them, acts on
 * memory (vmm/memory/returned.h), answers.
 */
#include "devices/virtio_balloon.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "vmm/base/log.h"

/* Linux sends 256 in a request, Windows 1024. */
#define MAX_PFNS 1024
/* Ballooned pages wait for the rest of their 2 MiB, for so long after the last one came ... */
#define QUIET_NS (100 * NS_PER_MS)
/* ... and after the first one, and so much of them at most: pages in random order are worth it. */
#define WAIT_NS NS_PER_S
#define WAITING_MAX_BYTES (256 * MiB)
/* Of what waits, in one turn of the loop: each call takes 5 us to 0.4 ms. */
#define FLUSH_CALLS 32
/* Hints handled while the vCPUs stand. */
#define HINT_BATCH 16
/* So long a kick may take of the loop; the request that it is at is served to its end. */
#define KICK_NS (10 * NS_PER_MS)

enum role { INFLATE, DEFLATE, STATS, HINT, REPORT, WS_REPORT, WS_NOTIFY, NR_ROLES };
/* What hinted memory was found to be. */
enum found { UNWRITTEN, CLEARED, IN_USE, NR_FOUND };

struct balloon {
	struct virtio_dev dev;
	struct balloon_cfg cfg;
	struct balloon_env env;
	enum role roles[VIRTIO_MAX_QUEUES]; /* of each queue, NR_ROLES: there is no such queue */
	uint32_t target_pages, claimed_pages, poison_val;
	struct balloon_counters counters;
	struct loop_timer flush_timer;
	uint64_t waiting_since_ns; /* while anything waits */

	struct resize_job job;

	struct balloon_stats stats;
	uint64_t stats_s;
	bool stats_held;
	struct chain stats_buffer; /* the guest's, held until a sample is wanted */
	uint64_t poll_s;
	struct loop_timer poll_timer;

	struct reclaim reclaim;
	bool run_open; /* it is running, or its end has not been settled */
	bool logging;
	bool clears;		  /* the guest clears what it names, by its latest hints */
	uint64_t found[NR_FOUND]; /* bytes, in these */
	uint32_t nr_resets;
	/* What reclaim_changed() was told last. */
	uint32_t told_run;
	enum reclaim_state told_run_state;
	struct loop_timer reclaim_timer;
	struct chain *hints; /* HINT_BATCH of them */

	bool ws_held, ws_waits;
	struct chain ws_buffer;		  /* the guest's, for the next notification */
	struct balloon_ws_notify ws_next; /* with ws_waits */
};

static struct balloon *balloon_of(struct virtio_dev *dev)
{
	return container_of(dev, struct balloon, dev);
}

static uint64_t size_bytes(const struct balloon *b)
{
	uint64_t out = returned_bytes(b->env.returned, RETURNED_BALLOONED);

	/* A guest may balloon elastic memory, and more than it was asked for. */
	return b->cfg.boot_bytes - min_u64(out, b->cfg.boot_bytes);
}

static uint64_t target_bytes(const struct balloon *b)
{
	return b->cfg.boot_bytes - b->target_pages * BALLOON_PAGE_BYTES;
}

static void stop_log(struct balloon *b)
{
	if (b->logging)
		b->env.log_stop(b->env.ctx);
	b->logging = false;
}

/* A run that has ended, whoever ended it, needs no log any more. */
static void settle_reclaim(struct balloon *b)
{
	bool running = b->reclaim.state == RECLAIM_RUNNING;

	loop_timer_move(b->env.loop, &b->reclaim_timer, running ? b->reclaim.deadline_ns : 0);
	if (running || !b->run_open)
		return;
	b->run_open = false;
	stop_log(b);
	virtio_config_changed(&b->dev); /* DONE: the guest may use its memory again */
}

/* Last of all, in the loop's thread: a callback may start the next job, or run. */
static void publish(struct balloon *b)
{
	bool run = b->told_run != b->reclaim.id || b->told_run_state != b->reclaim.state;

	settle_reclaim(b);
	b->told_run = b->reclaim.id;
	b->told_run_state = b->reclaim.state;
	resize_job_tell(&b->job);
	if (run && b->env.reclaim_changed)
		b->env.reclaim_changed(b->env.ctx);
}

/* --- inflate and deflate ----------------------------------------------------------------------- */

/* Without the promise to ask first, a page may be in use again before we hear of it: none waits. */
static bool may_wait(const struct balloon *b)
{
	return virtio_has(&b->dev, VIRTIO_BALLOON_F_MUST_TELL_HOST);
}

/* After an inflation, before which some pages have WAITED already. */
static void flush(struct balloon *b, bool waited)
{
	uint64_t now = loop_now(b->env.loop);
	bool full = returned_waiting_bytes(b->env.returned) > WAITING_MAX_BYTES;

	if (!may_wait(b))
		(void)returned_flush(b->env.returned, UINT32_MAX);
	else if (full)
		(void)returned_flush(b->env.returned, FLUSH_CALLS);
	if (!returned_waiting_bytes(b->env.returned))
		return;
	if (!waited)
		b->waiting_since_ns = now;
	loop_timer_set(b->env.loop, &b->flush_timer,
		       min_u64(now + QUIET_NS, b->waiting_since_ns + WAIT_NS));
}

static void on_quiet(void *ctx)
{
	struct balloon *b = ctx;
	uint64_t before = returned_waiting_bytes(b->env.returned);

	if (!returned_flush(b->env.returned, FLUSH_CALLS))
		return;
	/* The rest in the next turn; where the host refuses, later. */
	if (returned_waiting_bytes(b->env.returned) < before)
		loop_timer_set(b->env.loop, &b->flush_timer, 1);
	else
		loop_timer_set(b->env.loop, &b->flush_timer, loop_now(b->env.loop) + NS_PER_S);
}

static const char *serve_pages(struct balloon *b, struct chain *c, bool inflate)
{
	uint32_t bytes = chain_readable(c), nr = bytes / (uint32_t)sizeof(le32);
	uint64_t *counter = inflate ? &b->counters.inflated_pages : &b->counters.deflated_pages;
	bool waited = returned_waiting_bytes(b->env.returned);
	le32 pfns[MAX_PFNS];

	if (!bytes || bytes % sizeof(le32))
		return "an array of pages of a bad length";
	if (nr > MAX_PFNS)
		return "more than 1024 pages in a request";
	if (chain_read(c, pfns, bytes))
		return "an array of pages in memory that does not exist";
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t at = le32_get(pfns[i]) * BALLOON_PAGE_BYTES;

		if (!gm_valid(b->env.gm, GPA(at), BALLOON_PAGE_BYTES))
			return inflate ? "inflated with memory that does not exist"
				       : "deflated by memory that does not exist";
	}
	for (uint32_t i = 0; i < nr; i++) {
		gpa_t at = GPA(le32_get(pfns[i]) * BALLOON_PAGE_BYTES);
		int r = inflate ? returned_inflate(b->env.returned, at)
				: returned_deflate(b->env.returned, at);

		assert(!r);
	}
	*counter += nr;
	if (inflate)
		flush(b, waited);
	resize_job_answered(&b->job, RESIZE_ACCEPTED, NULL);
	return NULL;
}

static const char *serve_inflate(struct balloon *b, struct chain *c) { return serve_pages(b, c, true); }
static const char *serve_deflate(struct balloon *b, struct chain *c) { return serve_pages(b, c, false); }

/* --- reporting --------------------------------------------------------------------------------- */

/* Reported memory must keep the guest's pattern, which a discard would not. */
static bool is_poisoned(const struct balloon *b)
{
	return virtio_has(&b->dev, VIRTIO_BALLOON_F_PAGE_POISON) && b->poison_val;
}

static const char *serve_report(struct balloon *b, struct chain *c)
{
	gpa_t at;
	uint32_t bytes;

	b->counters.reports++;
	if (!chain_writable_valid(c))
		return "reported memory that does not exist";
	while (chain_take_place(c, &at, &bytes)) {
		if (is_poisoned(b))
			b->counters.kept_bytes += bytes;
		else if (returned_give(b->env.returned, RETURNED_REPORTED, at, bytes) == -EFAULT)
			return "reported memory that does not exist";
	}
	return NULL;
}

/* --- statistics -------------------------------------------------------------------------------- */

static const char *serve_stats(struct balloon *b, struct chain *c)
{
	char entries[BALLOON_MAX_STATS * BALLOON_STAT_BYTES];
	uint32_t bytes = chain_readable(c);
	const char *wrong;

	if (bytes > sizeof(entries))
		return "more than 256 statistics";
	if (chain_read(c, entries, bytes))
		return "statistics in memory that does not exist";
	wrong = balloon_stats_parse(&b->stats, entries, bytes);
	if (!wrong)
		b->stats_s = (uint64_t)time(NULL);
	return wrong;
}

static void kick_stats(struct balloon *b, unsigned int queue)
{
	bool arrived = false;
	const char *wrong;
	struct chain c;

	while (virtio_pop(&b->dev, queue, &c)) {
		wrong = b->stats_held ? "a second buffer of statistics" : serve_stats(b, &c);
		if (wrong) {
			virtio_push(&b->dev, queue, &c);
			virtio_notify(&b->dev, queue);
			virtio_broken(&b->dev, wrong);
			return;
		}
		b->stats_held = arrived = true;
		b->stats_buffer = c;
	}
	if (arrived && b->env.stats_arrived)
		b->env.stats_arrived(b->env.ctx);
}

/* The queue of a role; -ENODEV: the driver has none, or is not there. */
static int queue_of(const struct balloon *b, enum role role)
{
	if (!virtio_live(&b->dev))
		return -ENODEV;
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++)
		if (b->roles[i] == role)
			return (int)i;
	return -ENODEV;
}

int balloon_ask_stats(struct balloon *b)
{
	int queue = queue_of(b, STATS);

	if (queue < 0)
		return queue;
	/* Else it is with the guest already, which will answer. */
	if (b->stats_held) {
		b->stats_held = false;
		virtio_push(&b->dev, (unsigned int)queue, &b->stats_buffer);
		virtio_notify(&b->dev, (unsigned int)queue);
	}
	return 0;
}

static void on_poll(void *ctx)
{
	struct balloon *b = ctx;

	(void)!balloon_ask_stats(b);
	loop_timer_set(b->env.loop, &b->poll_timer, loop_now(b->env.loop) + b->poll_s * NS_PER_S);
}

void balloon_poll_stats(struct balloon *b, uint64_t interval_s)
{
	b->poll_s = interval_s;
	loop_timer_move(b->env.loop, &b->poll_timer,
			interval_s ? loop_now(b->env.loop) + NS_PER_MS : 0);
}

/* --- hinting ----------------------------------------------------------------------------------- */

/* All that a guest can have. It names a page once in a run: who names more is not read after. */
static uint64_t memory_bytes(const struct balloon *b)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < b->env.gm->nr_regions; i++)
		bytes += b->env.gm->regions[i].bytes;
	return bytes;
}

/*
 * Memory that was not written since before the run's id was published may go: whoever takes it back
 * meanwhile expects nothing in it. So may zeros, which stay zeros: kernels that clear memory when
 * they allocate it (init_on_alloc, Debian's default) do so with what they name. Once a guest is
 * known for it, zeros alone go, and no log is kept.
 */
static enum found look_at_hint(const struct balloon *b, gpa_t at, uint64_t bytes)
{
	if (b->logging && !written_any(b->env.written, at, bytes))
		return UNWRITTEN;
	return b->reclaim.hinted_bytes <= memory_bytes(b) && gm_is_zero(b->env.gm, at, bytes) ?
		       CLEARED :
		       IN_USE;
}

static void give_hint(struct balloon *b, gpa_t at, uint64_t bytes)
{
	if (bytes && !returned_give(b->env.returned, RETURNED_HINTED, at, bytes))
		b->reclaim.freed_bytes += bytes;
}

/* By whole units, those that may go in as long runs as there are; the vCPUs stand. */
static void take_hint(struct balloon *b, gpa_t at, uint32_t bytes)
{
	uint64_t end = at.v + bytes, next;
	gpa_t run = at;

	for (; at.v < end; at = GPA(next)) {
		enum found found;

		next = min_u64(align_down(at.v, RAM_HUGE_BYTES) + RAM_HUGE_BYTES, end);
		found = look_at_hint(b, at, next - at.v);
		b->found[found] += next - at.v;
		if (found != IN_USE)
			continue;
		b->reclaim.written_bytes += next - at.v;
		give_hint(b, run, at.v - run.v);
		run = GPA(next);
	}
	give_hint(b, run, end - run.v);
}

/* All the memory that a chain names. NULL, or what is wrong with it. */
static const char *take_hints(struct balloon *b, struct chain *c)
{
	gpa_t at;
	uint32_t bytes;

	if (!chain_writable_valid(c))
		return "hinted at memory that does not exist";
	while (chain_take_place(c, &at, &bytes)) {
		b->reclaim.hinted_bytes += bytes;
		if (!is_poisoned(b))
			take_hint(b, at, bytes);
	}
	return NULL;
}

/*
 * The first of NR chains that is wrong is the last one served. Until all vCPUs stand they may reset
 * the device: then the chains are not the driver's any more.
 */
static const char *serve_hints(struct balloon *b, unsigned int nr)
{
	uint32_t nr_resets = b->nr_resets;
	const char *wrong = NULL;

	if (b->env.freeze(b->env.ctx)) {
		reclaim_end(&b->reclaim, RECLAIM_SHORT, RECLAIM_HOST, loop_now(b->env.loop));
		return NULL;
	}
	b->reclaim.nr_batches++;
	memset(b->found, 0, sizeof(b->found));
	for (unsigned int i = 0; i < nr && !wrong && nr_resets == b->nr_resets; i++)
		wrong = take_hints(b, &b->hints[i]);
	b->env.thaw(b->env.ctx);
	if (nr_resets != b->nr_resets)
		return wrong;
	if (b->found[UNWRITTEN] || b->found[IN_USE])
		b->clears = false;
	else if (b->found[CLEARED])
		b->clears = true;
	if (b->clears)
		stop_log(b);
	return wrong;
}

static const char *serve_hint_id(struct balloon *b, struct chain *c)
{
	le32 id;

	if (chain_readable(c) != sizeof(id) || chain_read_obj(c, &id))
		return "a command id that is not of 4 bytes that exist";
	(void)!reclaim_guest_id(&b->reclaim, le32_get(id), loop_now(b->env.loop));
	return NULL;
}

/* Memory is gathered, up to the next id, so that the vCPUs stand seldom. */
static void kick_hints(struct balloon *b, unsigned int queue)
{
	uint64_t end_ns = clock_ns() + KICK_NS;
	uint32_t nr_resets = b->nr_resets;
	const char *wrong = NULL;
	unsigned int nr;

	do {
		bool is_id = false;

		for (nr = 0; nr < HINT_BATCH && !is_id; nr += !is_id) {
			if (!virtio_pop(&b->dev, queue, &b->hints[nr]))
				break;
			is_id = chain_readable(&b->hints[nr]);
		}
		if (nr && reclaim_takes(&b->reclaim))
			wrong = serve_hints(b, nr);
		if (nr_resets != b->nr_resets)
			return;
		for (unsigned int i = 0; i < nr; i++)
			virtio_push(&b->dev, queue, &b->hints[i]);
		if (is_id) {
			if (!wrong)
				wrong = serve_hint_id(b, &b->hints[nr]);
			virtio_push(&b->dev, queue, &b->hints[nr]);
			nr = HINT_BATCH;
		}
		if (clock_ns() >= end_ns)
			virtio_yield(&b->dev);
	} while (nr == HINT_BATCH && !wrong);
	virtio_notify(&b->dev, queue);
	if (wrong)
		virtio_broken(&b->dev, wrong);
}

static void on_reclaim_deadline(void *ctx)
{
	struct balloon *b = ctx;

	reclaim_expire(&b->reclaim, loop_now(b->env.loop));
	publish(b);
}

int balloon_reclaim(struct balloon *b, uint64_t deadline_ns)
{
	int r = queue_of(b, HINT);

	if (r < 0)
		return r;
	if (b->reclaim.state == RECLAIM_RUNNING)
		return -EBUSY;
	settle_reclaim(b); /* one that a reset has ended */
	/* With a log each page that the guest clears is a fault more, and of use to nobody. */
	r = b->clears ? 0 : b->env.log_start(b->env.ctx);
	if (r)
		return r;
	b->logging = !b->clears;
	b->run_open = true;
	reclaim_start(&b->reclaim, deadline_ns, loop_now(b->env.loop));
	virtio_config_changed(&b->dev);
	publish(b);
	return 0;
}

int balloon_cancel_reclaim(struct balloon *b)
{
	if (b->reclaim.state != RECLAIM_RUNNING)
		return -ENOENT;
	reclaim_end(&b->reclaim, RECLAIM_CANCELLED, RECLAIM_UNHINDERED, loop_now(b->env.loop));
	publish(b);
	return 0;
}

/* --- working set ------------------------------------------------------------------------------- */

static const char *serve_working_set(struct balloon *b, struct chain *c)
{
	struct balloon_ws_report report;
	struct working_set ws;
	const char *wrong;

	if (chain_readable(c) != sizeof(report) || chain_read_obj(c, &report))
		return "a working set that is not of 776 bytes that exist";
	wrong = working_set_parse(&ws, &report);
	if (!wrong && b->env.working_set_arrived)
		b->env.working_set_arrived(b->env.ctx, &ws);
	return wrong;
}

/* When both are there, the notification and the buffer for it. */
static const char *send_working_set(struct balloon *b, unsigned int queue)
{
	const char *wrong = NULL;

	if (!b->ws_held || !b->ws_waits)
		return NULL;
	if (chain_write_obj(&b->ws_buffer, &b->ws_next))
		wrong = "less than 140 bytes for a notification, or in memory that does not exist";
	b->ws_held = b->ws_waits = false;
	virtio_push(&b->dev, queue, &b->ws_buffer);
	virtio_notify(&b->dev, queue);
	return wrong;
}

static void kick_notify(struct balloon *b, unsigned int queue)
{
	const char *wrong = NULL;
	struct chain c;

	while (!wrong && virtio_pop(&b->dev, queue, &c)) {
		if (b->ws_held) {
			virtio_push(&b->dev, queue, &c);
			wrong = "a second buffer for notifications";
			break;
		}
		b->ws_held = true;
		b->ws_buffer = c;
		wrong = send_working_set(b, queue);
	}
	if (wrong)
		virtio_broken(&b->dev, wrong);
}

static int notify_working_set(struct balloon *b, struct balloon_ws_notify notify)
{
	int queue = queue_of(b, WS_NOTIFY);
	const char *wrong;

	if (queue < 0)
		return queue;
	if (b->ws_waits)
		return -EBUSY;
	b->ws_waits = true;
	b->ws_next = notify;
	wrong = send_working_set(b, (unsigned int)queue);
	if (wrong)
		virtio_broken(&b->dev, wrong);
	return 0;
}

int balloon_ask_working_set(struct balloon *b, uint16_t node)
{
	return notify_working_set(b, working_set_request(node));
}

int balloon_configure_working_set(struct balloon *b, const struct working_set_config *cfg)
{
	if (!working_set_config_valid(cfg))
		return -EINVAL;
	return notify_working_set(b, working_set_configure(cfg));
}

/* --- the rest of the device -------------------------------------------------------------------- */

/* Each message at once, one after the other. */
static void serve_all(struct balloon *b, unsigned int queue,
		      const char *(*serve)(struct balloon *, struct chain *))
{
	uint64_t end_ns = clock_ns() + KICK_NS;
	struct chain c;

	while (virtio_pop(&b->dev, queue, &c)) {
		const char *wrong = serve(b, &c);

		virtio_push(&b->dev, queue, &c);
		if (wrong) {
			virtio_notify(&b->dev, queue);
			virtio_broken(&b->dev, wrong);
		}
		if (clock_ns() >= end_ns)
			virtio_yield(&b->dev);
	}
	virtio_notify(&b->dev, queue);
}

static void kick(struct virtio_dev *dev, unsigned int queue)
{
	struct balloon *b = balloon_of(dev);

	resize_job_driver(&b->job, true);
	switch (b->roles[queue]) {
	case INFLATE:
		serve_all(b, queue, serve_inflate);
		break;
	case DEFLATE:
		serve_all(b, queue, serve_deflate);
		break;
	case STATS:
		kick_stats(b, queue);
		break;
	case HINT:
		kick_hints(b, queue);
		break;
	case REPORT:
		serve_all(b, queue, serve_report);
		break;
	case WS_REPORT:
		serve_all(b, queue, serve_working_set);
		break;
	case WS_NOTIFY:
		kick_notify(b, queue);
		break;
	case NR_ROLES:
		break;
	}
	resize_job_driver(&b->job, virtio_live(dev));
	/* A broken driver names no more: nothing is noted for it until the deadline. */
	if (!virtio_live(dev))
		reclaim_driver_gone(&b->reclaim, loop_now(b->env.loop));
	publish(b);
}

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

/* Sets who is who among the queues. */
static bool features_ok(struct virtio_dev *dev, uint64_t chosen)
{
	static const struct {
		enum role role;
		int feature; /* -1: always there */
	} order[] = {
		{ INFLATE, -1 },
		{ DEFLATE, -1 },
		{ STATS, VIRTIO_BALLOON_F_STATS_VQ },
		{ HINT, VIRTIO_BALLOON_F_FREE_PAGE_HINT },
		{ REPORT, VIRTIO_BALLOON_F_REPORTING },
		{ WS_REPORT, BALLOON_F_WS_REPORTING },
		{ WS_NOTIFY, BALLOON_F_WS_REPORTING },
	};
	struct balloon *b = balloon_of(dev);
	unsigned int nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (order[i].feature < 0 || chosen >> order[i].feature & 1)
			b->roles[nr++] = order[i].role;
	while (nr < VIRTIO_MAX_QUEUES)
		b->roles[nr++] = NR_ROLES;
	return true;
}

static bool has_queue(const struct virtio_dev *dev, unsigned int queue)
{
	return container_of(dev, const struct balloon, dev)->roles[queue] != NR_ROLES;
}

/*
 * May run on a vCPU thread, so timers stay: what they find when they fire is no driver. What was
 * ballooned is the guest's again: the next driver knows nothing of it (kexec, a driver that failed),
 * its kernel uses all memory.
 */
static void reset(struct virtio_dev *dev)
{
	struct balloon *b = balloon_of(dev);

	b->nr_resets++;
	b->stats_held = b->ws_held = b->ws_waits = b->clears = false;
	b->claimed_pages = b->poison_val = 0;
	returned_deflate_all(b->env.returned);
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++)
		b->roles[i] = NR_ROLES;
	resize_job_driver(&b->job, false);
	reclaim_driver_gone(&b->reclaim, loop_now(b->env.loop));
}

static struct balloon_config config_of(const struct balloon *b)
{
	return (struct balloon_config){
		.num_pages = le32_of(b->target_pages),
		.actual = le32_of(b->claimed_pages),
		.free_page_hint_cmd_id = le32_of(b->reclaim.cmd_id),
		.poison_val = le32_of(b->poison_val),
	};
}

static void config_read(struct virtio_dev *dev, void *config)
{
	struct balloon_config wire = config_of(balloon_of(dev));

	memcpy(config, &wire, sizeof(wire));
}

/* Two of the four fields are the driver's; what it writes to the others has no effect. */
static void config_write(struct virtio_dev *dev, size_t offset, const void *src, size_t bytes)
{
	struct balloon *b = balloon_of(dev);
	struct balloon_config wire = config_of(b);

	memcpy((char *)&wire + offset, src, bytes);
	b->claimed_pages = le32_get(wire.actual);
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		return; /* what is said of the poison counts from before */
	b->poison_val = le32_get(wire.poison_val);
}

static const struct virtio_ops ops = {
	.name = "virtio-balloon",
	.id = VIRTIO_ID_BALLOON,
	.nr_queues = NR_ROLES,
	/* Linux has one request under way in most, 32 ranges in a report, and as many blocks of
	 * hints as fit. A full queue is what one kick may take of the loop. */
	.queue_size = { 256, 256, 256, 256, 256, 256, 256 },
	.features = features,
	.features_ok = features_ok,
	.has_queue = has_queue,
	.kick = kick,
	.reset = reset,
	.config_read = config_read,
	.config_write = config_write,
	.config_bytes = sizeof(struct balloon_config),
};

/* --- what the resize job asks of the device, and tells it -------------------------------------- */

static uint64_t job_size(const void *ctx) { return size_bytes(ctx); }

static void job_set_target(void *ctx, uint64_t bytes)
{
	struct balloon *b = ctx;

	b->target_pages = (uint32_t)((b->cfg.boot_bytes - bytes) / BALLOON_PAGE_BYTES);
}

static void job_tell(void *ctx) { publish(ctx); }

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
	resize_job_init(&b->job, RESIZE_BALLOON,
			&(struct resize_job_env){ .loop = b->env.loop,
						  .dev = &b->dev,
						  .size_bytes = job_size,
						  .set_target = job_set_target,
						  .tell = job_tell,
						  .size_changed = job_size_changed,
						  .job_changed = job_changed,
						  .ctx = b });
}

int balloon_new(struct balloon **out, const struct balloon_cfg *cfg, const struct balloon_env *env)
{
	struct balloon *b = calloc(1, sizeof(*b));

	assert(cfg->boot_bytes / BALLOON_PAGE_BYTES <= UINT32_MAX);
	if (b)
		b->hints = calloc(HINT_BATCH, sizeof(*b->hints));
	if (!b || !b->hints) {
		free(b);
		return fail(-ENOMEM, "balloon");
	}
	b->dev.ops = &ops;
	b->dev.gm = env->gm;
	b->cfg = *cfg;
	b->env = *env;
	init_job(b);
	balloon_stats_init(&b->stats);
	b->flush_timer = (struct loop_timer){ .fn = on_quiet, .ctx = b };
	b->poll_timer = (struct loop_timer){ .fn = on_poll, .ctx = b };
	b->reclaim_timer = (struct loop_timer){ .fn = on_reclaim_deadline, .ctx = b };
	*out = b;
	return 0;
}

void balloon_free(struct balloon *b)
{
	if (!b)
		return;
	stop_log(b);
	loop_timer_cancel(b->env.loop, &b->flush_timer);
	resize_job_destroy(&b->job);
	loop_timer_cancel(b->env.loop, &b->poll_timer);
	loop_timer_cancel(b->env.loop, &b->reclaim_timer);
	free(b->hints);
	free(b);
}

struct virtio_dev *balloon_dev(struct balloon *b) { return &b->dev; }

void balloon_system_reset(struct balloon *b)
{
	loop_timer_cancel(b->env.loop, &b->flush_timer);
	reclaim_driver_gone(&b->reclaim, loop_now(b->env.loop));
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

void balloon_info(const struct balloon *b, struct balloon_info *info)
{
	*info = (struct balloon_info){
		.driver_ready = virtio_live(&b->dev),
		.features = b->dev.features,
		.target_bytes = target_bytes(b),
		.size_bytes = size_bytes(b),
		.claimed_bytes = b->claimed_pages * BALLOON_PAGE_BYTES,
		.waiting_bytes = returned_waiting_bytes(b->env.returned),
		.poll_s = b->poll_s,
		.stats = b->stats,
		.stats_s = b->stats_s,
		.reclaim = b->reclaim,
		.counters = b->counters,
	};
}
