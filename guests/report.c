/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c - free page reporting: writes bytes=N (default 64M) of spare memory, reports every
 * every=N-th (default 2) piece of size=N (default 2M) bytes, 32 in a report as Linux does it or
 * batch=N, in the order of their addresses or with order=random; then what was reported must read
 * as zeros, what lies between must have its pattern, and what was reported is written and read
 * again. All of it rounds=N times (default 1).
 * poison=N (default 0) is told to the device; one other than 0 must have what is reported left
 * alone. poison=off leaves PAGE_POISON out.
 *
 * Prints "step written ROUND", "reported N pieces of N bytes ns N", "step reported ROUND", "step
 * used ROUND"; with wait=1 waits for a byte after each step.
 */
#include "guests/pattern.h"
#include "guests/random.h"
#include "guests/spare.h"
#include "guests/vballoon.h"

#define MAX_PIECES (1u << 18)

static struct vballoon balloon;
static struct range area;
static uint64_t piece_bytes;
static uint32_t reported[MAX_PIECES], nr_reported, nr_pieces, every;

static uint64_t piece(uint32_t i) { return area.start + i * piece_bytes; }

static bool is_reported(uint32_t i) { return i % every == every - 1; }

/* One chain for each BATCH of pieces; how long all of it took. */
static uint64_t report(uint32_t batch)
{
	uint64_t cycles = 0;

	for (uint32_t i = 0; i < nr_reported; i += batch) {
		uint32_t nr = nr_reported - i < batch ? nr_reported - i : batch;
		struct range ranges[VBALLOON_REPORT_RANGES];

		for (uint32_t j = 0; j < nr; j++)
			ranges[j] = (struct range){ piece(reported[i + j]), piece_bytes };
		cycles -= cpu_tsc();
		vballoon_report(&balloon, ranges, nr);
		cycles += cpu_tsc();
	}
	return cycles;
}

/* KEPT: the device had to leave what was reported alone. */
static void check(uint64_t seed, bool kept)
{
	for (uint32_t i = 0; i < nr_pieces; i++) {
		if (is_reported(i) && !kept)
			pattern_check_zero(piece(i), piece_bytes);
		else
			pattern_check(piece(i), piece_bytes, seed);
	}
}

static void one_round(uint32_t round, uint32_t batch, bool kept)
{
	uint64_t bytes = nr_pieces * piece_bytes, cycles;

	pattern_write(area.start, bytes, round);
	step("written %u", round);
	cycles = report(batch);
	print("reported %u pieces of %lu bytes ns %lu\n", nr_reported, piece_bytes,
	      cycles * 1000000 / cpu_cycles_per_ms());
	step("reported %u", round);
	check(round, kept);
	for (uint32_t i = 0; i < nr_pieces; i++)
		if (is_reported(i))
			pattern_write(piece(i), piece_bytes, round);
	pattern_check(area.start, bytes, round);
	step("used %u", round);
}

int guest_main(void)
{
	uint32_t batch = (uint32_t)cmdline_u64("batch", VBALLOON_REPORT_RANGES);
	uint32_t nr_rounds = (uint32_t)cmdline_u64("rounds", 1);
	uint32_t poison = cmdline_is("poison", "off") ? 0 : (uint32_t)cmdline_u64("poison", 0);
	uint64_t features = VBALLOON_BIT(VIRTIO_BALLOON_F_REPORTING);

	if (!cmdline_is("poison", "off"))
		features |= VBALLOON_BIT(VIRTIO_BALLOON_F_PAGE_POISON);
	piece_bytes = cmdline_u64("size", HUGE_BYTES);
	every = (uint32_t)cmdline_u64("every", 2);
	area = spare_run(piece_bytes > HUGE_BYTES ? piece_bytes : HUGE_BYTES);
	nr_pieces = (uint32_t)(cmdline_u64("bytes", 64 * MiB) / piece_bytes);
	CHECK(batch && every && nr_pieces && area.bytes >= nr_pieces * piece_bytes);
	for (uint32_t i = 0; i < nr_pieces; i++) {
		if (!is_reported(i))
			continue;
		CHECK(nr_reported < MAX_PIECES);
		reported[nr_reported++] = i;
	}
	if (cmdline_is("order", "random"))
		shuffle(reported, nr_reported, cmdline_u64("seed", 1));
	cpu_cycles_per_ms();
	vballoon_open(&balloon, features, poison);
	CHECK(vballoon_has(&balloon, VIRTIO_BALLOON_F_REPORTING));
	CHECK(!poison || vballoon_has(&balloon, VIRTIO_BALLOON_F_PAGE_POISON));
	print("area 0x%lx bytes %lu\n", area.start, nr_pieces * piece_bytes);
	for (uint32_t round = 1; round <= nr_rounds; round++)
		one_round(round, batch, poison);
	PASS();
}
