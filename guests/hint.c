/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hint.c - free page hinting as Linux does it: waits for the id of a run, hints every block of
 * size=N (default 4M) in blocks=N (default: as many as there are) and holds them until DONE; a new
 * id goes on with what is left. All the while CPU 1 takes back every second block as soon as it is
 * hinted, which Linux's shrinker may do without a word to the device, and writes to each of its
 * pages over and over. Half of these blocks are in its hands before the device is notified of them:
 * there a device that discards what it is told of loses writes for certain. take=0 leaves that out,
 * and CPU 1. With clear=1 it clears a block before it hints it, as kernels do with all that they
 * allocate (init_on_alloc, Debian's default).
 *
 * A page taken back holds two words: one written at once and never again, and one that changes each
 * round. After DONE the other blocks are in use, too: each page of theirs must be as it was or
 * zero, is then written, and must stay so, settle=N ms later (default 200).
 *
 * Prints "area START bytes N", "ready", "run ID hinted N" at the end of each run, and in the end
 * "hinted N taken N kept N gone N rounds N lost N": blocks; gone are those that read as zeros
 * altogether, kept the others that were not taken; how often CPU 1 has been round; and the words
 * that were lost. A lost word fails.
 */
#include "guests/pattern.h"
#include "guests/spare.h"
#include "guests/vballoon.h"

#define MAX_BLOCKS 4096
#define POLL_CYCLES 400000 /* a fraction of a millisecond */

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)

enum seed { BEFORE = 1, FIRST, AFTER, ROUND };

static struct vballoon balloon;
static struct range area;
static uint64_t block_bytes;
static uint32_t nr_blocks, nr_hinted;
static bool taking, clearing, over, taker_gone;

/* CPU 1's */
static uint32_t taken; /* it has seen so many hints */
static uint64_t rounds[MAX_BLOCKS], nr_rounds, nr_lost;

static uint64_t block(uint32_t i) { return area.start + i * block_bytes; }
static bool is_taken(uint32_t i) { return i & 1; }

/* --- CPU 1 ------------------------------------------------------------------------------------- */

static void expect(uint64_t at, uint64_t value)
{
	uint64_t found = read64(at);

	if (found == value)
		return;
	if (!nr_lost++)
		print("lost: 0x%lx holds 0x%lx, not 0x%lx\n", at, found, value);
}

/* The first word of a page stays, the last one says which round it is. */
#define LAST (PAGE_BYTES - 8)

static void take(uint32_t i)
{
	for (uint64_t at = block(i); at < block(i + 1); at += PAGE_BYTES) {
		write64(at, pattern_word(at, FIRST));
		write64(at + LAST, pattern_word(at, ROUND));
	}
}

static void check_taken(uint32_t i)
{
	for (uint64_t at = block(i); at < block(i + 1); at += PAGE_BYTES) {
		expect(at, pattern_word(at, FIRST));
		expect(at + LAST, pattern_word(at, ROUND + rounds[i]));
	}
}

static void write_again(uint32_t i)
{
	rounds[i]++;
	for (uint64_t at = block(i); at < block(i + 1); at += PAGE_BYTES) {
		expect(at, pattern_word(at, FIRST));
		expect(at + LAST, pattern_word(at, ROUND + rounds[i] - 1));
		write64(at + LAST, pattern_word(at, ROUND + rounds[i]));
	}
}

static void take_new(void)
{
	for (uint32_t nr = LOAD(nr_hinted); taken < nr; STORE(taken, taken + 1))
		if (is_taken(taken))
			take(taken);
}

static void taker(unsigned int cpu)
{
	(void)cpu;
	while (!LOAD(over)) {
		take_new();
		for (uint32_t i = 0; i < taken && !LOAD(over); i++) {
			if (is_taken(i))
				write_again(i);
			take_new();
		}
		nr_rounds += taken > 1;
		cpu_pause();
	}
	take_new();
	STORE(taker_gone, true);
}

/* --- CPU 0, the driver ------------------------------------------------------------------------- */

/*
 * What the device wants, looked up when it has announced a change, as Linux does it: once a run has
 * begun, QEMU's shows another value without a word.
 */
static uint32_t command(void)
{
	static uint32_t last;
	static bool looked;

	if (!looked || virtio_take_interrupt(&balloon.dev) & VIRTIO_INTERRUPT_CONFIG)
		last = vballoon_hint_cmd(&balloon);
	looked = true;
	return last;
}

static void clear(uint32_t i)
{
	for (uint64_t at = block(i); at < block(i + 1); at += sizeof(uint64_t))
		write64(at, 0);
}

static void run(uint32_t id)
{
	uint32_t i = nr_hinted;

	vballoon_hint_begin(&balloon, id);
	for (; i < nr_blocks && command() == id; i++) {
		if (clearing)
			clear(i);
		vballoon_hint(&balloon, (struct range){ block(i), block_bytes });
		STORE(nr_hinted, i + 1);
		while (taking && i % 4 == 1 && LOAD(taken) <= i)
			cpu_pause();
		vballoon_hint_kick(&balloon);
	}
	vballoon_hint_end(&balloon);
	print("run 0x%x hinted %u\n", id, i);
}

static void follow(void)
{
	uint32_t active = VIRTIO_BALLOON_CMD_ID_STOP;

	for (;;) {
		uint32_t cmd = command();
		uint64_t start = cpu_tsc();

		if (cmd == VIRTIO_BALLOON_CMD_ID_DONE && nr_hinted)
			return;
		if (cmd > VIRTIO_BALLOON_CMD_ID_DONE && cmd != active)
			run(active = cmd);
		while (cpu_tsc() - start < POLL_CYCLES)
			cpu_pause();
	}
}

/* Whether all of the block is gone; none of its pages may be half of both. */
static bool is_gone(uint32_t i)
{
	bool gone = true;

	for (uint64_t at = block(i); at < block(i + 1); at += PAGE_BYTES) {
		if (!read64(at)) {
			pattern_check_zero(at, PAGE_BYTES);
		} else {
			pattern_check(at, PAGE_BYTES, BEFORE);
			gone = false;
		}
	}
	return gone;
}

int guest_main(void)
{
	uint64_t settle = cmdline_u64("settle", 200);
	uint32_t nr_taken = 0, nr_kept = 0, nr_gone = 0;

	taking = !cmdline_is("take", "0");
	clearing = cmdline_is("clear", "1");
	block_bytes = cmdline_u64("size", 4 * MiB);
	area = spare_run(block_bytes);
	nr_blocks = (uint32_t)cmdline_u64("blocks", area.bytes / block_bytes);
	CHECK(nr_blocks && nr_blocks <= MAX_BLOCKS && nr_blocks * block_bytes <= area.bytes);
	pattern_write(area.start, nr_blocks * block_bytes, BEFORE);
	cpu_cycles_per_ms();
	vballoon_open(&balloon, VBALLOON_BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT), 0);
	CHECK(vballoon_has(&balloon, VIRTIO_BALLOON_F_FREE_PAGE_HINT));
	if (taking)
		CHECK_EQ(cpu_start_others(taker), 2);
	print("area 0x%lx bytes %lu\nready\n", area.start, nr_blocks * block_bytes);

	follow();
	for (uint32_t i = 0; i < nr_hinted; i++) {
		if (taking && is_taken(i)) {
			nr_taken++;
			continue;
		}
		if (is_gone(i))
			nr_gone++;
		else
			nr_kept++;
		pattern_write(block(i), block_bytes, AFTER);
	}
	cpu_wait_ms(settle);
	STORE(over, true);
	while (taking && !LOAD(taker_gone))
		cpu_pause();
	for (uint32_t i = 0; i < nr_blocks; i++) {
		if (i >= nr_hinted)
			pattern_check(block(i), block_bytes, BEFORE);
		else if (taking && is_taken(i))
			check_taken(i);
		else
			pattern_check(block(i), block_bytes, AFTER);
	}
	print("hinted %u taken %u kept %u gone %u rounds %lu lost %lu\n", nr_hinted, nr_taken,
	      nr_kept, nr_gone, nr_rounds, nr_lost);
	CHECK(!nr_lost);
	PASS();
}
