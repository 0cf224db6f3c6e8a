/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_virtio_balloon.c - the balloon device beside a plain model of the guest's pages
 * (balloon_model.h).
 *
 * An input is a list of steps: messages by the rules and against them, on all queues; what the host
 * does; what vCPUs and devices write; elastic blocks that come and go; steps of a driver without
 * rules (wild_driver.h). After each step everything that can be seen is compared: configuration,
 * job, run of hints, counters, sizes, and of each page whether the host holds memory for it (as the
 * host says) and what is written there. What a driver without rules has brought about is learned
 * from the device. Time is ours: it passes in steps of its own, and at no cost.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/syscall.h>

#include "tests/fuzz/balloon_model.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wild_driver.h"
#include "vmm/base/log.h"

#define STEPS_MAX 96
/* Messages, behind the rings; those that the device holds have places of their own. */
#define MESSAGE_AT UINT64_C(0x14000)
#define STATS_AT   UINT64_C(0x1a000)
#define NOTIFY_AT  UINT64_C(0x1b000)
#define PFNS_MAX   1024
#define QUIET_MS   100
#define WAIT_MS    1000
#define HINT_BATCH 16 /* hints that the device takes at once */

#define BIT64(n) (UINT64_C(1) << (n))

enum role { INFLATE, DEFLATE, STATS, HINT, REPORT, WS_REPORT, WS_NOTIFY, NR_ROLES };

static struct balloon_rig rig;
static struct balloon_model model;
static struct fuzz_stream in;
static bool live; /* a driver that follows the rules is there */
static uint64_t features;
static struct balloon_config config; /* as seen last */
static uint32_t generation;

/* What the device shows beside pages. */
static struct {
	uint64_t target_bytes, job_target, job_deadline;
	uint32_t job_id, claimed, poison;
	enum resize_state job;
	uint32_t run_id, cmd_id, last_cmd_id, guest_id;
	enum reclaim_state run;
	uint64_t run_deadline, hinted, freed, written;
	bool logs, clears; /* the run; the guest, by its latest hints */
	uint64_t found[NR_MODEL_FOUND]; /* in these */
	unsigned int batch;
	uint64_t inflated, deflated, reports, kept_bytes;
	uint64_t quiet_at; /* what waits goes then; 0: nothing waits */
	uint64_t waits_since;
	uint64_t poll_s;
	bool stats_held, ws_held, ws_waits;
	uint16_t ws_node;
} seen;

/* Time. */

static uint64_t now;

/* Whoever asks for monotonic time is told ours; the fuzzer itself asks for the time of day. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
	if (clock != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, clock, t);
	*t = (struct timespec){ (time_t)(now / NS_PER_S), (long)(now % NS_PER_S) };
	return 0;
}

/* Pages that were written, by now or before. */
static uint32_t touched[4 * STEPS_MAX], nr_touched;
/* What vCPUs wrote since the log was read: KVM's, as the device gets it. */
static uint64_t logged[MODEL_PAGES / 64];

static char *host_of(uint32_t page)
{
	return page < MODEL_BOOT_PAGES
		       ? (char *)rig.mem.boot.host + page * PAGE_BYTES
		       : (char *)rig.mem.elastic.ram.host + (page - MODEL_BOOT_PAGES) * PAGE_BYTES;
}

static bool exists(uint32_t page) { return bm_exists(&model, bm_at(page), PAGE_BYTES); }

static void vcpu_writes(uint32_t page, uint64_t word)
{
	*(volatile uint64_t *)(host_of(page) + PAGE_BYTES / 2) = word;
	logged[page / 64] |= BIT64(page % 64);
	bm_write(&model, page, word);
	if (nr_touched < ARRAY_SIZE(touched))
		touched[nr_touched++] = page;
}

/* Setting up. */

static void set_up(void)
{
	uint8_t how = fuzz_u8(&in);

	log_set_level(LOG_ERROR);
	now = NS_PER_S;
	balloon_rig_init_cfg(&rig, (struct balloon_cfg){ .deflate_on_oom = !(how & 1),
							 .reporting = !(how & 2),
							 .hinting = !(how & 4),
							 .working_set = !(how & 8) });
	loop_use_clock(rig.loop, NULL); /* the host's, which is ours */
	/* A page of the host's is then a page of ours. */
	fuzz_check(!ram_forbid_huge(&rig.mem.boot) && !ram_forbid_huge(&rig.mem.elastic.ram));
	for (unsigned int i = 0; i < NR_ROLES; i++)
		fake_queue_init(&rig.drv.queues[i], &rig.mem, 8);
	bm_init(&model);
	memset(&seen, 0, sizeof(seen));
	seen.target_bytes = BALLOON_BOOT;
	memset(logged, 0, sizeof(logged));
	nr_touched = 0;
	live = false;
	features = 0;
	config = (struct balloon_config){ 0 };
	generation = 0;
}

static uint64_t size_bytes(void)
{
	uint64_t out = model.nr[MODEL_BALLOONED] * PAGE_BYTES;

	return out < BALLOON_BOOT ? BALLOON_BOOT - out : 0;
}

/* Comparing. */

static void check_config(void)
{
	struct balloon_config was = config;
	uint32_t was_generation = generation, words[4];

	for (uint32_t i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = (uint32_t)fake_driver_config(&rig.drv, 4 * i, 4);
	config = (struct balloon_config){ le32_of(words[0]), le32_of(words[1]), le32_of(words[2]),
					  le32_of(words[3]) };
	generation = fake_driver_reg(&rig.drv, VIRTIO_MMIO_CONFIG_GENERATION);
	fuzz_check(generation != was_generation || !was_generation ||
		   !memcmp(&config, &was, sizeof(config)));
	fuzz_check(words[0] == (BALLOON_BOOT - seen.target_bytes) / PAGE_BYTES);
	fuzz_check(words[1] == seen.claimed);
	fuzz_check(words[2] == seen.cmd_id);
	fuzz_check(words[3] == seen.poison);
}

static void check_info(void)
{
	struct balloon_info info = balloon_rig_info(&rig);
	struct resize_status job = balloon_job(rig.b);

	fuzz_check(info.target_bytes == seen.target_bytes);
	fuzz_check(info.size_bytes == size_bytes());
	fuzz_check(info.claimed_bytes == seen.claimed * PAGE_BYTES);
	fuzz_check(info.waiting_bytes == model.nr_waiting * PAGE_BYTES);
	fuzz_check(!model.nr_waiting || seen.quiet_at);
	for (unsigned int how = 0; how < NR_RETURNED; how++)
		fuzz_check(page_ledger_bytes(&rig.returned, how) == model.nr[how] * PAGE_BYTES);
	fuzz_check(info.counters.inflated_pages == seen.inflated);
	fuzz_check(info.counters.deflated_pages == seen.deflated);
	fuzz_check(info.counters.reports == seen.reports);
	fuzz_check(info.counters.kept_bytes == seen.kept_bytes);
	fuzz_check(job.id == seen.job_id && job.state == seen.job);
	fuzz_check(!job.id || job.target_bytes == seen.job_target);
	fuzz_check(info.reclaim.id == seen.run_id && info.reclaim.state == seen.run);
	fuzz_check(info.reclaim.hinted_bytes == seen.hinted);
	fuzz_check(info.reclaim.freed_bytes == seen.freed);
	fuzz_check(info.reclaim.written_bytes == seen.written);
	fuzz_check(!rig.frozen);
	fuzz_check(seen.run != RECLAIM_RUNNING || rig.logging == seen.logs);
}

/* The host's own word, not the product's: it holds nothing but what was used and not given back since. */
static void check_held(const struct ram *ram, uint32_t base)
{
	off_t at = 0;

	while ((at = lseek(ram->fd, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(ram->fd, at, SEEK_HOLE);

		fuzz_check(end > at);
		for (uint32_t i = base + (uint32_t)((uint64_t)at / PAGE_BYTES);
		     i < base + (uint32_t)((uint64_t)end / PAGE_BYTES); i++)
			fuzz_check(i < MODEL_FIRST || model.pages[i].held);
		at = end;
	}
	fuzz_check(errno == ENXIO);
}

static void check_pages(void)
{
	check_held(&rig.mem.boot, 0);
	check_held(&rig.mem.elastic.ram, MODEL_BOOT_PAGES);
	for (uint32_t i = 0; i < nr_touched; i++) {
		const struct bm_page *p = &model.pages[touched[i]];
		uint64_t word = 0;

		/* Where the host holds nothing, and that was just looked at, zeros are read. */
		if (p->held)
			memcpy(&word, host_of(touched[i]) + PAGE_BYTES / 2, sizeof(word));
		fuzz_check(word == p->word);
	}
}

/* Every page's place, at the end: it takes a while. */
static void check_sets(void)
{
	for (uint32_t i = 0; i < MODEL_PAGES; i++) {
		bool boot = i < MODEL_BOOT_PAGES;
		const struct ledger_region *g = &rig.returned.regions[boot ? 0 : 1];
		uint32_t page = boot ? i : i - (uint32_t)MODEL_BOOT_PAGES;

		for (unsigned int how = 0; how < NR_RETURNED; how++)
			fuzz_check(page_set_has(&g->sets[how], page) ==
				   (model.pages[i].how == how));
		fuzz_check(page_set_has(&g->waiting, page) == model.pages[i].waits);
	}
}

static void check_all(void)
{
	check_config();
	check_info();
	check_pages();
}

/* What happened, in the model's view. */

static void run_ended(enum reclaim_state how, uint32_t cmd_id)
{
	if (seen.run == RECLAIM_RUNNING) {
		seen.run = how;
		seen.cmd_id = cmd_id;
	}
}

static void driver_gone(void)
{
	bm_driver_gone(&model);
	run_ended(RECLAIM_SHORT, VIRTIO_BALLOON_CMD_ID_STOP);
	seen.cmd_id = VIRTIO_BALLOON_CMD_ID_STOP;
	seen.guest_id = 0;
	seen.claimed = seen.poison = 0;
	seen.stats_held = seen.ws_held = seen.ws_waits = seen.clears = false;
	live = false;
}

/* While the device served a queue: that ends the run as well. */
static void driver_broke(void)
{
	run_ended(RECLAIM_SHORT, VIRTIO_BALLOON_CMD_ID_STOP);
	seen.cmd_id = VIRTIO_BALLOON_CMD_ID_STOP;
	seen.guest_id = 0;
	live = false;
}

static void job_may_end(void)
{
	if (seen.job == RESIZE_RUNNING && size_bytes() == seen.job_target)
		seen.job = RESIZE_DONE;
}

static void time_passed(void)
{
	if (seen.job == RESIZE_RUNNING && seen.job_deadline && now >= seen.job_deadline)
		seen.job = RESIZE_SHORT;
	if (now >= seen.run_deadline)
		run_ended(RECLAIM_SHORT, VIRTIO_BALLOON_CMD_ID_DONE);
}

static void turn(uint64_t ns)
{
	now += ns;
	balloon_rig_run(&rig, 0);
	if (rig.drv.pending_kicks)
		fake_driver_serve(&rig.drv);
}

/* Until nothing waits; bounded by what can wait, 64 runs of it in a turn. */
static void let_flush(void)
{
	for (unsigned int i = 0; i < MODEL_PAGES / 2 / 64 + 2; i++)
		turn(NS_PER_MS);
	bm_flush(&model);
	seen.quiet_at = 0;
}

static void time_passes(void)
{
	static const uint16_t ms[] = { 1, 20, QUIET_MS - 1, QUIET_MS + 1, 500, 1500 };
	uint64_t pushed = fake_queue_used_idx(&rig.drv.queues[STATS]);

	turn(ms[fuzz_below(&in, ARRAY_SIZE(ms))] * NS_PER_MS);
	if (seen.quiet_at && now >= seen.quiet_at)
		let_flush();
	time_passed();
	/* A sample was asked for, now and again. */
	if (live && seen.poll_s && fake_queue_used_idx(&rig.drv.queues[STATS]) != pushed) {
		fuzz_check(seen.stats_held);
		fuzz_check(fake_queue_poll(&rig.drv.queues[STATS], NULL, NULL));
		seen.stats_held = false;
	}
}

/* What a driver without rules has done, which nobody here knows. */

static void learn_sets(void)
{
	for (uint32_t i = 0; i < MODEL_PAGES; i++) {
		bool boot = i < MODEL_BOOT_PAGES;
		const struct ledger_region *g = &rig.returned.regions[boot ? 0 : 1];
		uint32_t page = boot ? i : i - (uint32_t)MODEL_BOOT_PAGES;
		unsigned int how = 0;

		while (how < NR_RETURNED && !page_set_has(&g->sets[how], page))
			how++;
		bm_set(&model, i, how, false);
		if (rig.logging)
			model.pages[i].dirty |= dirty_pages_any(&rig.written, bm_at(i), PAGE_BYTES);
	}
}

/* One word and nothing else, as all pages of the model: else the guest clears it now. */
static void learn_page(uint32_t page)
{
	static const char zeros[PAGE_BYTES / 2];
	const char *host = host_of(page), *middle = host + PAGE_BYTES / 2;
	uint64_t word;

	memcpy(&word, middle, sizeof(word));
	model.pages[page].held = true;
	if (memcmp(host, zeros, sizeof(zeros)) ||
	    memcmp(middle + 8, zeros, sizeof(zeros) - 8) || word % 0x101 ||
	    word != (word & 0xff) * UINT64_C(0x0101010101010101)) {
		memset(host_of(page), 0, PAGE_BYTES);
		vcpu_writes(page, 0);
	}
	model.pages[page].word = *(const uint64_t *)middle;
}

static void learn_held(const struct ram *ram, uint32_t base)
{
	for (off_t at = 0; (at = lseek(ram->fd, at, SEEK_DATA)) >= 0;) {
		off_t end = lseek(ram->fd, at, SEEK_HOLE);

		for (uint32_t i = base + (uint32_t)((uint64_t)at / PAGE_BYTES);
		     i < base + (uint32_t)((uint64_t)end / PAGE_BYTES); i++)
			if (i >= MODEL_FIRST)
				learn_page(i);
		at = end;
	}
}

static void learn(void)
{
	struct balloon_info info;
	struct resize_status job;

	for (unsigned int i = 0; i < 128 && page_ledger_waiting_bytes(&rig.returned); i++)
		turn(i ? NS_PER_MS : QUIET_MS * NS_PER_MS);
	fuzz_check(!page_ledger_waiting_bytes(&rig.returned));
	seen.quiet_at = 0;
	learn_sets();
	for (uint32_t i = 0; i < MODEL_PAGES; i++) {
		model.pages[i].held = false;
		model.pages[i].word = 0;
	}
	learn_held(&rig.mem.boot, 0);
	learn_held(&rig.mem.elastic.ram, MODEL_BOOT_PAGES);
	info = balloon_rig_info(&rig);
	job = balloon_job(rig.b);
	/* No driver starts a job or a run, nor takes one back. */
	fuzz_check(job.state == seen.job || seen.job == RESIZE_RUNNING);
	fuzz_check(info.reclaim.state == seen.run || seen.run == RECLAIM_RUNNING);
	seen.job = job.state;
	seen.run = info.reclaim.state;
	seen.logs = rig.logging;
	seen.cmd_id = info.reclaim.cmd_id;
	seen.guest_id = info.reclaim.guest_id;
	seen.hinted = info.reclaim.hinted_bytes;
	seen.freed = info.reclaim.freed_bytes;
	seen.written = info.reclaim.written_bytes;
	seen.claimed = (uint32_t)(info.claimed_bytes / PAGE_BYTES);
	seen.poison = (uint32_t)fake_driver_config(&rig.drv, 12, 4);
	seen.inflated = info.counters.inflated_pages;
	seen.deflated = info.counters.deflated_pages;
	seen.reports = info.counters.reports;
	seen.kept_bytes = info.counters.kept_bytes;
}

/* Rules no more, until the next start(). */
static void go_wild(void)
{
	live = false;
	wild_step(&rig.drv, &in);
	learn();
}

/* The driver by the rules. */

static bool has(unsigned int feature) { return features >> feature & 1; }

/* The queue of a role, as Linux counts: those of declined features are not there; -1: none. */
static int queue_of(enum role role)
{
	const bool there[NR_ROLES] = { true, true, has(VIRTIO_BALLOON_F_STATS_VQ),
				       has(VIRTIO_BALLOON_F_FREE_PAGE_HINT),
				       has(VIRTIO_BALLOON_F_REPORTING),
				       has(BALLOON_F_WS_REPORTING), has(BALLOON_F_WS_REPORTING) };
	int queue = 0;

	for (enum role r = 0; r < role; r++)
		queue += there[r];
	return there[role] ? queue : -1;
}

static void write_config(uint32_t offset, unsigned int bytes, uint64_t value)
{
	uint8_t wire[16] = { 0 };
	bool before_ok = !(fake_driver_reg(&rig.drv, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_DRIVER_OK);
	le32 words[4] = { le32_of(0), le32_of(seen.claimed), le32_of(0), le32_of(seen.poison) };

	fake_driver_access(&rig.drv, VIRTIO_MMIO_CONFIG + offset, bytes, true, value);
	if (offset + bytes > sizeof(wire))
		return;
	memcpy(wire, words, sizeof(words));
	for (unsigned int i = 0; i < bytes; i++)
		wire[offset + i] = (uint8_t)(value >> (8 * i));
	memcpy(words, wire, sizeof(words));
	seen.claimed = le32_get(words[1]);
	if (before_ok)
		seen.poison = le32_get(words[3]);
}

static void start(void)
{
	uint16_t how = fuzz_u16(&in);
	uint64_t declined = (how & 0x7f) == 0x7f ? 0 : how & 0x7f;

	driver_gone();
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	rig.drv.pending_kicks = 0;
	wild_forget_memory(&rig.mem);
	features = fake_driver_device_features(&rig.drv) & ~(fuzz_u8(&in) & 1 ? declined : 0);
	if (how & 0x80)
		features &= ~BIT64(VIRTIO_RING_F_EVENT_IDX);
	if (how & 0x100)
		features &= ~BIT64(VIRTIO_RING_F_INDIRECT_DESC);
	fuzz_check(fake_driver_negotiate(&rig.drv, features));
	if (how & 0x200)
		write_config(12, 4, how);
	for (unsigned int i = 0; i < NR_ROLES; i++)
		fake_queue_init(&rig.drv.queues[i], &rig.mem,
				(int)i != queue_of(HINT) ? 8 : how & 0x400 ? 256 : 32);
	for (enum role r = 0; r < NR_ROLES; r++)
		if (queue_of(r) >= 0)
			fuzz_check(fake_driver_enable_queue(&rig.drv, (unsigned int)queue_of(r)));
	fake_driver_add_status(&rig.drv, VIRTIO_CONFIG_S_DRIVER_OK);
	fuzz_check(virtio_live(rig.drv.dev));
	live = true;
}

static bool poisoned(void) { return has(VIRTIO_BALLOON_F_PAGE_POISON) && seen.poison; }

/* Whether there is a driver with such a queue; made, if there is none. */
static bool ready(enum role role)
{
	if (!live)
		start();
	return queue_of(role) >= 0;
}

static void add(enum role role, const struct fake_buffer *buffers, unsigned int nr, bool indirect)
{
	struct fake_queue *q = &rig.drv.queues[queue_of(role)];
	uint64_t mark = rig.mem.next_free;

	if (indirect && has(VIRTIO_RING_F_INDIRECT_DESC))
		fake_queue_add_indirect(q, buffers, nr);
	else
		fake_queue_add(q, buffers, nr);
	fuzz_check(rig.mem.next_free <= MESSAGE_AT);
	rig.mem.next_free = mark;
}

/* One message, on its way back at once unless the device broke or holds it. */
static void send(enum role role, const struct fake_buffer *buffers, unsigned int nr, bool indirect,
		 bool breaks, bool held)
{
	struct fake_queue *q = &rig.drv.queues[queue_of(role)];

	add(role, buffers, nr, indirect);
	fake_driver_kick(&rig.drv, (unsigned int)queue_of(role));
	fuzz_check(fake_driver_needs_reset(&rig.drv) == breaks);
	if (breaks)
		driver_broke();
	else
		fuzz_check(fake_queue_poll(q, NULL, NULL) == !held);
}

/* A message of bytes, in one piece or in two, at AT. */
static void send_bytes(enum role role, gpa_t at, const void *bytes, uint32_t nr, uint8_t how,
		       bool breaks, bool held)
{
	uint32_t cut = how & 1 && nr > 1 ? 1 + fuzz_u16(&in) % (nr - 1) : nr;
	struct fake_buffer buffers[2] = { { at, cut, false },
					  { gpa_add(at, cut), nr - cut, false } };

	if (gm_valid(&rig.mem.gm, at, nr))
		fake_write(&rig.mem, at, bytes, nr);
	else
		breaks = true;
	send(role, buffers, cut < nr ? 2 : 1, how & 2, breaks, held);
}

/* Where it matters: near the borders of units, of both regions. Not among the driver's own. */
static uint32_t pick_page(void)
{
	uint8_t unit = fuzz_u8(&in), where = fuzz_u8(&in);
	uint32_t page = unit % (MODEL_PAGES / MODEL_UNIT) * MODEL_UNIT;

	if (where & 0x40)
		page += MODEL_UNIT - 1 - where % 8;
	else
		page += where & 0x80 ? where % 64 * 7 : where % 8;
	return page < MODEL_FIRST ? page + MODEL_FIRST : page;
}

static void send_pages(bool inflate)
{
	static le32 pfns[PFNS_MAX + 1];
	static uint32_t pages[PFNS_MAX];
	uint8_t how, wrong;
	uint32_t nr = 0, bytes;
	bool breaks = false;
	gpa_t at = GPA(MESSAGE_AT);

	if (!ready(inflate ? INFLATE : DEFLATE))
		return;
	how = fuzz_u8(&in);
	wrong = fuzz_u8(&in);
	for (unsigned int run = 0; run <= (how >> 2 & 3); run++) {
		uint32_t page = pick_page();
		uint8_t shape = fuzz_u8(&in);
		uint32_t count = shape & 0x80 ? MODEL_UNIT - page % MODEL_UNIT - (shape & 1)
					      : 1 + shape % 8;
		uint32_t step = shape & 0x40 ? 2 : 1;

		for (uint32_t i = 0; i < count && nr < PFNS_MAX; i += step, page += step) {
			if (page >= MODEL_PAGES)
				break;
			pages[nr] = page;
			pfns[nr++] = le32_of((uint32_t)(bm_at(page).v / PAGE_BYTES));
			breaks |= !exists(page);
		}
	}
	if (!nr)
		return;
	bytes = nr * (uint32_t)sizeof(le32);
	if (wrong >= 0xf8) {
		breaks = true;
		if (wrong == 0xf8)
			bytes = (PFNS_MAX + 1) * sizeof(le32);
		else if (wrong == 0xf9)
			bytes -= 1 + how % 3;
		else if (wrong == 0xfa)
			pfns[nr - 1] = le32_of(UINT32_MAX);
		else if (wrong == 0xfb)
			pfns[nr / 2] = le32_of((uint32_t)MODEL_BOOT_PAGES);
		else
			at = GPA(BALLOON_BOOT);
	}
	send_bytes(inflate ? INFLATE : DEFLATE, at, pfns, bytes, how, breaks, false);
	if (breaks)
		return;
	if (!model.nr_waiting)
		seen.waits_since = now;
	for (uint32_t i = 0; i < nr; i++)
		(inflate ? bm_inflate : bm_deflate)(&model, pages[i]);
	*(inflate ? &seen.inflated : &seen.deflated) += nr;
	if (inflate && !has(VIRTIO_BALLOON_F_MUST_TELL_HOST))
		bm_flush(&model);
	else if (inflate && model.nr_waiting)
		seen.quiet_at = min_u64(now + QUIET_MS * NS_PER_MS,
					seen.waits_since + WAIT_MS * NS_PER_MS);
	job_may_end();
}

/* A piece of memory that a report or a hint names. */
static struct fake_buffer pick_range(void)
{
	uint32_t page = pick_page();
	uint8_t shape = fuzz_u8(&in);
	gpa_t at = bm_at(page);
	uint64_t bytes = (1 + shape % 8) * PAGE_BYTES;

	if (shape >= 0xf8) {
		at = shape & 1 ? GPA(BALLOON_BOOT - PAGE_BYTES) : GPA(UINT64_MAX - 0x5ffff);
		bytes = 2 * PAGE_BYTES;
	} else if (shape >= 0xf0) {
		bytes = (page < MODEL_BOOT_PAGES ? BALLOON_BOOT : FAKE_ELASTIC_BASE + BALLOON_ELASTIC) -
			at.v + (shape & 1 ? 1 : 0);
	} else if (shape >= 0xa0) {
		if (page / MODEL_UNIT)
			at = bm_at(page / MODEL_UNIT * MODEL_UNIT);
		bytes = (1 + shape % 3) * RAM_HUGE_BYTES;
	} else if (shape >= 0x80) {
		at.v += fuzz_u16(&in) % PAGE_BYTES;
		bytes = UINT64_C(1) + fuzz_u16(&in);
	}
	return (struct fake_buffer){ at, (uint32_t)bytes, true };
}

static unsigned int pick_ranges(struct fake_buffer *buffers, unsigned int max, bool *valid)
{
	unsigned int nr = 1 + fuzz_below(&in, max);

	*valid = true;
	for (unsigned int i = 0; i < nr; i++) {
		buffers[i] = pick_range();
		*valid &= bm_exists(&model, buffers[i].at, buffers[i].bytes);
	}
	return nr;
}

static void send_report(void)
{
	struct fake_buffer buffers[4];
	unsigned int nr;
	bool valid;

	if (!ready(REPORT))
		return;
	nr = pick_ranges(buffers, ARRAY_SIZE(buffers), &valid);
	send(REPORT, buffers, nr, fuzz_u8(&in) & 1, !valid, false);
	seen.reports++;
	for (unsigned int i = 0; i < nr && valid; i++)
		if (poisoned())
			seen.kept_bytes += buffers[i].bytes;
		else
			bm_give(&model, MODEL_REPORTED, buffers[i].at, buffers[i].bytes);
}

/* Hints. */

/* What a vCPU does before it stands. */
static struct {
	bool writes, resets, reset;
	uint32_t page;
	uint64_t word;
} last_moment;

static void on_freeze(struct balloon_rig *r)
{
	if (last_moment.writes)
		vcpu_writes(last_moment.page, last_moment.word);
	last_moment.writes = false;
	if (last_moment.resets) {
		fake_driver_set_reg(&r->drv, VIRTIO_MMIO_STATUS, 0);
		last_moment.reset = true;
		last_moment.resets = false;
	}
	if (r->logging) {
		dirty_pages_merge(&r->written, GPA(0), logged, MODEL_BOOT_PAGES);
		dirty_pages_merge(&r->written, GPA(FAKE_ELASTIC_BASE), logged + MODEL_BOOT_PAGES / 64,
			      MODEL_PAGES - MODEL_BOOT_PAGES);
	}
	memset(logged, 0, sizeof(logged));
}

static bool run_takes(void)
{
	return seen.run == RECLAIM_RUNNING && seen.guest_id == seen.cmd_id;
}

struct hint {
	bool is_id, valid;
	uint32_t id;
	struct fake_buffer buffers[2];
	unsigned int nr;
};

static struct hint pick_hint(unsigned int i)
{
	uint8_t how = fuzz_u8(&in);
	struct hint h = { .valid = true };
	gpa_t at = GPA(MESSAGE_AT + 16 * i);
	le32 id;

	if (how >= 0x70) {
		h.nr = pick_ranges(h.buffers, ARRAY_SIZE(h.buffers), &h.valid);
		return h;
	}
	h.is_id = true;
	h.id = how < 0x40 ? seen.cmd_id : how < 0x58 ? VIRTIO_BALLOON_CMD_ID_STOP
	       : how < 0x60 ? seen.last_cmd_id : how;
	id = le32_of(h.id);
	fake_write(&rig.mem, at, &id, sizeof(id));
	h.valid = how != 0x6f && how != 0x6e;
	h.buffers[0] = (struct fake_buffer){ at, h.valid ? 4 : how == 0x6f ? 3 : 5, false };
	h.nr = 1;
	return h;
}

/* The vCPUs go on. A guest that clears all it names is taken at its zeros alone from then on. */
static void end_batch(void)
{
	const uint64_t *found = seen.found;

	if (found[MODEL_UNWRITTEN] + found[MODEL_CLEARED] + found[MODEL_IN_USE])
		seen.clears = !found[MODEL_UNWRITTEN] && !found[MODEL_IN_USE];
	if (seen.batch && seen.clears)
		seen.logs = false;
	memset(seen.found, 0, sizeof(seen.found));
	seen.batch = 0;
}

/* One message as if it came alone; false: it breaks the rules. */
static bool take_hint(const struct hint *h, bool refused)
{
	if (h->is_id) {
		end_batch();
		if (!h->valid)
			return false;
		if (run_takes() && h->id == VIRTIO_BALLOON_CMD_ID_STOP)
			run_ended(RECLAIM_DONE, VIRTIO_BALLOON_CMD_ID_DONE);
		seen.guest_id = h->id;
		return true;
	}
	if (!run_takes())
		return true;
	if (refused) {
		run_ended(RECLAIM_SHORT, VIRTIO_BALLOON_CMD_ID_DONE);
		return true;
	}
	seen.batch++;
	for (unsigned int i = 0; i < h->nr && h->valid; i++) {
		uint64_t found[NR_MODEL_FOUND] = { 0 };

		seen.hinted += h->buffers[i].bytes;
		if (poisoned())
			continue;
		/* Who names more than there is has nothing read any more. */
		bm_hint(&model, h->buffers[i].at, h->buffers[i].bytes, seen.logs,
			seen.hinted <= MODEL_PAGES * PAGE_BYTES, found);
		seen.freed += found[MODEL_UNWRITTEN] + found[MODEL_CLEARED];
		seen.written += found[MODEL_IN_USE];
		for (unsigned int what = 0; what < NR_MODEL_FOUND; what++)
			seen.found[what] += found[what];
	}
	if (seen.batch == HINT_BATCH || !h->valid)
		end_batch();
	return h->valid;
}

static void send_hints(void)
{
	static struct hint hints[24];
	uint8_t how;
	unsigned int nr, descs = 0, queue;
	bool breaks = false, refused;

	if (!ready(HINT))
		return;
	how = fuzz_u8(&in);
	last_moment.writes = how & 0x80;
	last_moment.resets = (how & 0x60) == 0x60;
	last_moment.reset = false;
	refused = (how & 0x70) == 0x40;
	last_moment.page = last_moment.writes ? pick_page() : 0;
	last_moment.word = (how & 1) * UINT64_C(0x2323232323232323);
	last_moment.writes &= exists(last_moment.page);
	queue = (unsigned int)queue_of(HINT);
	for (nr = 0; nr <= how % ARRAY_SIZE(hints) && descs < 30; nr++) {
		hints[nr] = pick_hint(nr);
		descs += hints[nr].nr;
		add(HINT, hints[nr].buffers, hints[nr].nr, false);
	}
	rig.freeze_error = refused ? -EBUSY : 0;
	fake_driver_kick(&rig.drv, queue);
	rig.freeze_error = 0;
	for (unsigned int i = 0; i < nr && !breaks; i++) {
		/* Up to where the driver was reset, which drops the rest. */
		if (last_moment.reset && !hints[i].is_id && run_takes()) {
			driver_gone();
			return;
		}
		breaks = !take_hint(&hints[i], refused);
	}
	end_batch();
	fuzz_check(!last_moment.reset);
	fuzz_check(fake_driver_needs_reset(&rig.drv) == breaks);
	if (breaks)
		driver_broke();
	for (unsigned int i = 0; i < nr && !breaks; i++)
		fuzz_check(fake_queue_poll(&rig.drv.queues[queue], NULL, NULL));
}

/* Statistics and working sets. */

static void send_stats(void)
{
	struct {
		uint8_t bytes[20][BALLOON_STAT_BYTES];
	} entries;
	uint8_t how;
	uint32_t nr, bytes;
	uint64_t want[BALLOON_NR_STATS];
	bool breaks;

	if (!ready(STATS))
		return;
	how = fuzz_u8(&in);
	nr = how % 20 + 1;
	memset(want, 0xff, sizeof(want));
	for (uint32_t i = 0; i < nr; i++) {
		uint16_t tag = (uint16_t)fuzz_below(&in, BALLOON_NR_STATS + 2);
		uint64_t value = fuzz_u16(&in);
		le16 wire_tag = le16_of(tag);
		le64 wire_value = le64_of(value);

		memcpy(entries.bytes[i], &wire_tag, 2);
		memcpy(entries.bytes[i] + 2, &wire_value, 8);
		if (tag < BALLOON_NR_STATS)
			want[tag] = value;
	}
	bytes = nr * BALLOON_STAT_BYTES - (how >= 0xf0 ? 1 + (how & 7) : 0);
	breaks = seen.stats_held || how >= 0xf0;
	/* The buffer that the device holds stays as it is. */
	send_bytes(STATS, GPA(seen.stats_held ? MESSAGE_AT : STATS_AT), &entries, bytes, how & 1,
		   breaks, true);
	if (breaks)
		return;
	seen.stats_held = true;
	fuzz_check(!memcmp(balloon_rig_info(&rig).stats.value, want, sizeof(want)));
}

static void send_working_set(void)
{
	struct balloon_ws_report report = { .node_id = le32_of(fuzz_u8(&in)) };
	unsigned int before = rig.nr_working_sets;
	uint8_t how = fuzz_u8(&in);
	struct working_set ws;
	bool breaks;

	if (!ready(WS_REPORT))
		return;
	if (how & 4)
		report.error = le32_of((uint32_t)-(how & 8 ? 22 : 5000));
	for (unsigned int i = 0; i < BALLOON_WS_BINS; i++) {
		report.bins[i].idle_age = le64_of(i == (how >> 3) ? UINT64_MAX : i + fuzz_u8(&in));
		report.bins[i].anon_bytes = le64_of(fuzz_u8(&in));
	}
	breaks = (how & 0xe0) == 0xe0 || balloon_ws_parse(&ws, &report);
	send_bytes(WS_REPORT, GPA(MESSAGE_AT), &report, sizeof(report) - ((how & 0xe0) == 0xe0),
		   how, breaks, false);
	fuzz_check(rig.nr_working_sets - before == !breaks);
	fuzz_check(breaks || !memcmp(&ws, &rig.last_working_set, sizeof(ws)));
}

/* What the device has to tell, if it has, is in the buffer, if it was there. */
static void check_notify(void)
{
	struct balloon_ws_notify told;
	uint32_t used = 0;

	if (!seen.ws_held || !seen.ws_waits)
		return;
	fuzz_check(fake_queue_poll(&rig.drv.queues[queue_of(WS_NOTIFY)], NULL, &used));
	fuzz_check(used == sizeof(told));
	fake_read(&rig.mem, GPA(NOTIFY_AT), &told, sizeof(told));
	fuzz_check(le16_get(told.op) == BALLOON_WS_REQUEST && le16_get(told.node_id) == seen.ws_node);
	seen.ws_held = seen.ws_waits = false;
}

static void send_notify_buffer(void)
{
	uint8_t how;
	struct fake_buffer buffer = { GPA(NOTIFY_AT), 140, true };
	bool breaks, held;

	if (!ready(WS_NOTIFY))
		return;
	how = fuzz_u8(&in);
	buffer.bytes = how >= 0xf0 && seen.ws_waits ? 139 : 140u + (how & 15);
	breaks = seen.ws_held || (seen.ws_waits && buffer.bytes < 140);
	held = seen.ws_held = !breaks;
	add(WS_NOTIFY, &buffer, 1, how & 16);
	fake_driver_kick(&rig.drv, (unsigned int)queue_of(WS_NOTIFY));
	fuzz_check(fake_driver_needs_reset(&rig.drv) == breaks);
	if (breaks)
		driver_broke();
	else if (held)
		check_notify();
}

/* The host. */

static void host_resizes(void)
{
	uint8_t how = fuzz_u8(&in);
	uint64_t bytes = how & 1 ? size_bytes() : fuzz_u16(&in) * (4 * KiB) % (BALLOON_BOOT + MiB);

	if (how & 2)
		bytes -= bytes ? 1 : 0;
	balloon_resize(rig.b, bytes, how & 4 ? now + 50 * NS_PER_MS : 0);
	bytes = min_u64((bytes + 4 * KiB - 1) / (4 * KiB) * (4 * KiB), BALLOON_BOOT);
	seen.target_bytes = seen.job_target = bytes;
	seen.job_deadline = how & 4 ? now + 50 * NS_PER_MS : 0;
	seen.job_id++;
	seen.job = RESIZE_RUNNING;
	job_may_end();
}

static void host_cancels(void)
{
	int r = balloon_cancel(rig.b);

	fuzz_check(r == (seen.job == RESIZE_RUNNING ? 0 : -ENOENT));
	if (r)
		return;
	seen.job = RESIZE_CANCELLED;
	seen.target_bytes = size_bytes();
}

static void host_reclaims(void)
{
	uint8_t how = fuzz_u8(&in);
	bool possible = live && queue_of(HINT) >= 0;
	int r, error = how >= 0xf0 ? -ENOMEM : 0;

	rig.log_error = error;
	r = balloon_reclaim(rig.b, now + (how & 1 ? 10 : 200) * NS_PER_MS);
	rig.log_error = 0;
	if (live || !virtio_live(rig.drv.dev))
		fuzz_check(r == (!possible				? -ENODEV
				 : seen.run == RECLAIM_RUNNING	? -EBUSY
				 : seen.clears			? 0
								: error));
	if (r)
		return;
	seen.logs = live ? !seen.clears : rig.logging;
	bm_forget_writes(&model);
	memset(logged, 0, sizeof(logged));
	seen.run_id++;
	seen.run = RECLAIM_RUNNING;
	seen.run_deadline = now + (how & 1 ? 10 : 200) * NS_PER_MS;
	seen.hinted = seen.freed = seen.written = 0;
	seen.cmd_id = balloon_rig_info(&rig).reclaim.cmd_id;
	fuzz_check(seen.cmd_id != seen.last_cmd_id && seen.cmd_id > VIRTIO_BALLOON_CMD_ID_DONE);
	seen.last_cmd_id = seen.cmd_id;
}

static void host_cancels_reclaim(void)
{
	int r = balloon_cancel_reclaim(rig.b);

	fuzz_check(r == (seen.run == RECLAIM_RUNNING ? 0 : -ENOENT));
	run_ended(RECLAIM_CANCELLED, VIRTIO_BALLOON_CMD_ID_DONE);
}

static void host_asks(void)
{
	uint8_t how = fuzz_u8(&in);
	int r;

	if (how & 1) {
		r = balloon_ask_stats(rig.b);
		if (!live)
			return;
		fuzz_check(r == (queue_of(STATS) < 0 ? -ENODEV : 0));
		if (!r)
			fuzz_check(fake_queue_poll(&rig.drv.queues[queue_of(STATS)], NULL, NULL) ==
				   seen.stats_held);
		seen.stats_held = false;
		return;
	}
	if (how & 2) {
		seen.poll_s = how >> 2 & 1;
		balloon_poll_stats(rig.b, seen.poll_s);
		return;
	}
	r = balloon_ask_working_set(rig.b, how);
	if (!live)
		return;
	fuzz_check(r == (queue_of(WS_NOTIFY) < 0 ? -ENODEV : seen.ws_waits ? -EBUSY : 0));
	if (r)
		return;
	seen.ws_waits = true;
	seen.ws_node = how;
	check_notify();
}

/* What came back by the guest's use is found, all of it. */
static void host_looks(void)
{
	uint64_t touched_pages = 0;

	while (!page_ledger_look(&rig.returned, NS_PER_S))
		;
	for (uint32_t i = 0; i < MODEL_PAGES; i++) {
		struct bm_page *p = &model.pages[i];

		if (p->how == MODEL_BALLOONED && !p->waits)
			touched_pages += p->held;
		else if (p->how != MODEL_BALLOONED && p->how != MODEL_KEPT &&
			 (i < MODEL_FIRST ? !page_set_has(&rig.returned.regions[0].sets[p->how], i)
					  : p->held))
			bm_set(&model, i, MODEL_KEPT, false);
	}
	/* A driver without rules may have ballooned its own pages. */
	for (uint32_t i = 0; i < MODEL_FIRST; i++)
		if (model.pages[i].how == MODEL_BALLOONED)
			return;
	fuzz_check(rig.returned.touched_bytes == touched_pages * PAGE_BYTES);
}

/* As the machine does it. */
static void system_reset(void)
{
	virtio_mmio_reset(&rig.drv.mmio);
	driver_gone();
	fuzz_check(!elastic_reset(&rig.mem.elastic));
	fuzz_check(!ram_discard(&rig.mem.boot, 0, BALLOON_BOOT));
	page_ledger_reset(&rig.returned);
	balloon_system_reset(rig.b);
	memset(model.plugged, 0, sizeof(model.plugged));
	bm_fresh(&model, 0, MODEL_PAGES);
	rig.drv.pending_kicks = 0;
	seen.quiet_at = 0;
	job_may_end();
}

static void move_block(void)
{
	uint32_t i = fuzz_below(&in, MODEL_BLOCKS);

	if (model.plugged[i]) {
		elastic_close(&rig.mem.elastic, i, 1);
		fuzz_check(!elastic_give_back(&rig.mem.elastic, i, 1));
	} else {
		fuzz_check(!elastic_plug(&rig.mem.elastic, i, 1));
	}
	model.plugged[i] = !model.plugged[i];
	bm_fresh(&model, (uint32_t)(MODEL_BOOT_PAGES + i * MODEL_BLOCK_PAGES), MODEL_BLOCK_PAGES);
}

/* The guest uses a page, by a vCPU or by a device; lawfully or not. */
static void use_page(void)
{
	uint32_t page = pick_page();
	uint8_t how = fuzz_u8(&in);
	uint64_t word = (how >> 2) * UINT64_C(0x0101010101010101);
	gpa_t at = GPA(bm_at(page).v + PAGE_BYTES / 2);

	if (!exists(page)) {
		fuzz_check(gm_write(&rig.mem.gm, at, &word, sizeof(word)) == -EFAULT);
		return;
	}
	if (how & 1) {
		vcpu_writes(page, word);
		return;
	}
	if (how & 2) {
		model.pages[page].held = true;
		fuzz_check(!gm_read(&rig.mem.gm, at, &word, sizeof(word)));
		fuzz_check(word == model.pages[page].word);
		return;
	}
	fuzz_check(!gm_write(&rig.mem.gm, at, &word, sizeof(word)));
	bm_write(&model, page, word);
	if (nr_touched < ARRAY_SIZE(touched))
		touched[nr_touched++] = page;
}

static void driver_resets(void)
{
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	driver_gone();
}

static void driver_configures(void)
{
	uint8_t how = fuzz_u8(&in);

	if (ready(INFLATE))
		write_config(how % 17, 1u << (how >> 6), fuzz_u32(&in));
}

static void step(void)
{
	switch (fuzz_below(&in, 32)) {
	case 0 ... 4:
		send_pages(true);
		break;
	case 5 ... 7:
		send_pages(false);
		break;
	case 8 ... 10:
		send_report();
		break;
	case 11 ... 14:
		send_hints();
		break;
	case 15:
		send_stats();
		break;
	case 16:
		send_working_set();
		break;
	case 17:
		send_notify_buffer();
		break;
	case 18:
		host_resizes();
		break;
	case 19:
		host_cancels();
		break;
	case 20:
		host_reclaims();
		break;
	case 21:
		if (fuzz_u8(&in) & 1)
			host_cancels_reclaim();
		else
			host_looks();
		break;
	case 22:
		host_asks();
		break;
	case 23:
		time_passes();
		break;
	case 24:
		move_block();
		break;
	case 25:
		switch (fuzz_below(&in, 8)) {
		case 0:
			system_reset();
			break;
		case 1:
		case 2:
			driver_resets();
			break;
		default:
			driver_configures();
			break;
		}
		break;
	case 26 ... 29:
		use_page();
		break;
	default:
		go_wild();
		return;
	}
	/* Whatever the host did, it may have met rings that lie anywhere. */
	if (!live && virtio_live(rig.drv.dev))
		learn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	in = (struct fuzz_stream){ data, bytes };
	set_up();
	rig.on_freeze = on_freeze;
	check_all();
	for (int i = 0; i < STEPS_MAX && in.left; i++) {
		step();
		check_all();
	}
	check_sets();
	balloon_rig_destroy(&rig);
	return 0;
}
