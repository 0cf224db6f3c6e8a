/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon.c - follows num_pages for ever as Linux does: inflates in requests of batch=N pages (at
 * most and by default 256), deflates the last ones first, and writes `actual` after each. All spare
 * memory is filled with a pattern at the start; what goes must still have it, what comes back is
 * written and read again. The pages go in the order of their addresses or, with order=random
 * seed=N, in another.
 * tell=0 leaves out MUST_TELL_HOST and then writes deflated pages before the device has answered;
 * reads them after.
 *
 * Prints "spare PAGES" and, when it is where the host wants it or has no more to give,
 * "size PAGES target PAGES moved PAGES requests N ns N cycles N": since the last such line, the
 * time from reading num_pages to having written actual, without the checks. Bytes on the serial
 * port: c checks all that is not in the balloon and prints "intact PAGES"; o deflates 256 pages,
 * as on want of memory, with DEFLATE_ON_OOM, and stays there until the target changes; q checks as
 * well and ends.
 */
#include "guests/pattern.h"
#include "guests/random.h"
#include "guests/spare.h"
#include "guests/vballoon.h"

#define MAX_PAGES (1u << 20)
#define POLL_CYCLES 4000000 /* a millisecond or two */

static struct vballoon balloon;
/* In the order in which they go: the first `actual` ones are in the balloon. */
static uint32_t pages[MAX_PAGES];
static uint32_t nr_pages, actual, batch;
static bool told;
static struct {
	uint64_t pages, requests, cycles;
} moved;

static void write_pages(const uint32_t *pfns, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		pattern_write(pfns[i] * PAGE_BYTES, PAGE_BYTES, 1);
}

static void check_pages(const uint32_t *pfns, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		pattern_check(pfns[i] * PAGE_BYTES, PAGE_BYTES, 1);
}

static void end_move(uint32_t nr)
{
	vballoon_set_actual(&balloon, actual);
	moved.cycles += cpu_tsc();
	moved.pages += nr;
	moved.requests++;
}

static void inflate(uint32_t nr)
{
	check_pages(&pages[actual], nr);
	moved.cycles -= cpu_tsc();
	vballoon_inflate(&balloon, &pages[actual], nr);
	actual += nr;
	end_move(nr);
}

static void deflate(uint32_t nr)
{
	const uint32_t *last = &pages[actual - nr];

	moved.cycles -= cpu_tsc();
	if (told) {
		vballoon_deflate(&balloon, last, nr);
	} else {
		uint16_t head = vballoon_begin_deflate(&balloon, last, nr);

		write_pages(last, nr);
		vballoon_end_deflate(&balloon, head);
	}
	actual -= nr;
	end_move(nr);
	if (told)
		write_pages(last, nr);
	check_pages(last, nr);
}

/* One request towards TARGET. */
static void follow(uint32_t target)
{
	uint32_t nr = actual < target ? target - actual : actual - target;

	if (nr > batch)
		nr = batch;
	if (actual < target)
		inflate(nr);
	else
		deflate(nr);
}

static void say_size(uint32_t target)
{
	print("size %u target %u moved %lu requests %lu ns %lu cycles %lu\n", actual, target,
	      moved.pages, moved.requests,
	      moved.cycles * 1000000 / cpu_cycles_per_ms(), moved.cycles);
	moved.pages = moved.requests = moved.cycles = 0;
}

static void check_all(void)
{
	check_pages(&pages[actual], nr_pages - actual);
	print("intact %u\n", nr_pages - actual);
}

static void fill(void)
{
	nr_pages = spare_pages(pages, MAX_PAGES);
	if (cmdline_is("order", "random"))
		shuffle(pages, nr_pages, cmdline_u64("seed", 1));
	write_pages(pages, nr_pages);
	check_pages(pages, nr_pages);
	print("spare %u\n", nr_pages);
}

static uint64_t features(void)
{
	uint64_t bits = VBALLOON_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);

	if (!cmdline_is("tell", "0"))
		bits |= VBALLOON_BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST);
	return bits;
}

int guest_main(void)
{
	uint32_t said = UINT32_MAX, held_for = UINT32_MAX;

	batch = (uint32_t)cmdline_u64("batch", VBALLOON_REQUEST_PAGES);
	CHECK(batch && batch <= VBALLOON_REQUEST_PAGES);
	told = !cmdline_is("tell", "0");
	fill();
	cpu_cycles_per_ms();
	vballoon_open(&balloon, features(), 0);
	vballoon_set_actual(&balloon, 0);
	for (;;) {
		uint64_t start = cpu_tsc();
		uint32_t wanted = vballoon_target(&balloon);
		uint32_t target = wanted < nr_pages ? wanted : nr_pages;
		int c;

		if (target != actual && wanted != held_for) {
			moved.cycles += cpu_tsc() - start;
			follow(target);
			held_for = UINT32_MAX;
			continue;
		}
		if (said != wanted)
			say_size(wanted);
		said = wanted;
		c = serial_poll();
		if (c == 'c' || c == 'q')
			check_all();
		if (c == 'q')
			PASS();
		if (c == 'o' && vballoon_has(&balloon, VIRTIO_BALLOON_F_DEFLATE_ON_OOM)) {
			deflate(actual < VBALLOON_REQUEST_PAGES ? actual : VBALLOON_REQUEST_PAGES);
			held_for = wanted;
			said = UINT32_MAX;
		}
		while (cpu_tsc() - start < POLL_CYCLES)
			cpu_pause();
	}
}
