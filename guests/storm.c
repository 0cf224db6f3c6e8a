/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm.c - rounds=N (default 1000) times CPU 0 plugs, unplugs or verifies a block at random, at most
 * half of the region at a time, and goes on until there were attacks=N (default 1000); CPU 1 reads
 * and writes blocks that are not plugged all the while, mostly the one that is just being plugged or
 * unplugged. seed=N (default 1): another order of it all.
 *
 * What the attacker writes tells when: a tag and the number of the attack. A block is the owner's
 * from the answer on; an attack that began before may still be under way, so the owner waits for
 * its end. Words of attacks made between the request and then are lawful, everything else in a
 * block just plugged is stale.
 *
 * The owner uses one page in each spread=N (default 1).
 * Prints "rounds N attacks N verified N corrupted N stale N leaked N late N" in the end: words of
 * the owner's that changed; words older than the request in fresh blocks; words of the owner's
 * seen by the attacker in unplugged blocks; lawful words as above.
 */
#include "guests/vmem.h"

#define MAX_BLOCKS 256
#define TAG UINT64_C(0xa77a)
#define NOWHERE UINT32_MAX

enum state { UNPLUGGED, CHANGING, PLUGGED };

static struct vmem vmem;
static uint32_t nr_blocks, nr_plugged;
/* The state and, above it, how often it has changed. */
static uint32_t states[MAX_BLOCKS];
static uint64_t seeds[MAX_BLOCKS];
static uint32_t changing = NOWHERE, attacked = NOWHERE;
static uint64_t nr_attacks, nr_leaked, spread;
static bool over, attacker_gone;
static uint64_t nr_rounds, nr_verified, nr_corrupted, nr_stale, nr_late;

static uint64_t next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

static uint64_t block(uint32_t i) { return vmem.addr + i * vmem.block_bytes; }

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)

static enum state state_of(uint32_t state) { return (enum state)(state & 3); }

static void set_state(uint32_t i, enum state state)
{
	STORE(states[i], ((states[i] >> 2) + 1) << 2 | state);
}

/* --- the attacker ------------------------------------------------------------------------------ */

static void attack_at(uint64_t at, uint32_t i, uint32_t before, bool write)
{
	uint64_t found;

	if (write) {
		write64(at, TAG << 48 | LOAD(nr_attacks));
		return;
	}
	found = read64(at);
	if (found && found >> 48 != TAG && state_of(before) == UNPLUGGED &&
	    LOAD(states[i]) == before)
		nr_leaked++;
}

static void attacker(unsigned int cpu)
{
	uint64_t random = 88172645463325252 + cpu + cmdline_u64("seed", 1);

	while (!LOAD(over)) {
		uint64_t r = next(&random);
		uint32_t i = LOAD(changing), before;

		if (i == NOWHERE || r % 4 == 0)
			i = (uint32_t)(r >> 8) % nr_blocks;
		/* First said, then looked: the owner does it the other way round. */
		STORE(nr_attacks, nr_attacks + 1);
		STORE(attacked, i);
		before = LOAD(states[i]);
		if (state_of(before) != PLUGGED)
			attack_at(block(i) + (r >> 16) % (vmem.block_bytes / 8) * 8, i, before,
				  r & 16);
		STORE(attacked, NOWHERE);
	}
	STORE(attacker_gone, true);
}

/* --- the owner --------------------------------------------------------------------------------- */

static uint64_t word(uint64_t at, uint64_t seed)
{
	return ((at ^ seed << 40) * UINT64_C(0x9e3779b97f4a7c15) & ~(UINT64_C(0xffff) << 48)) |
	       UINT64_C(0x0b0b) << 48;
}

/* The owner's word after the one at AT. */
static uint64_t after(uint64_t at)
{
	at += 8;
	return at % PAGE_BYTES ? at : at + (spread - 1) * PAGE_BYTES;
}

static void fill(uint32_t i)
{
	seeds[i] = nr_rounds;
	for (uint64_t at = block(i); at < block(i + 1); at = after(at))
		write64(at, word(at, seeds[i]));
}

static void verify(uint32_t i)
{
	uint64_t wrong = 0;

	for (uint64_t at = block(i); at < block(i + 1); at = after(at))
		wrong += read64(at) != word(at, seeds[i]);
	if (wrong)
		print("block %u: %lu words corrupted\n", i, wrong);
	nr_corrupted += wrong;
	nr_verified++;
}

/* Attacks up to number BEFORE were over when the block was asked for. */
static void check_fresh(uint32_t i, uint64_t before)
{
	uint64_t stale = 0;

	for (uint64_t at = block(i); at < block(i + 1); at = after(at)) {
		uint64_t v = read64(at);

		if (!v)
			continue;
		if (v >> 48 == TAG && (v & ~(TAG << 48)) > before)
			nr_late++;
		else
			stale++;
	}
	if (stale)
		print("block %u: %lu words stale\n", i, stale);
	nr_stale += stale;
}

static void begin(uint32_t i)
{
	set_state(i, CHANGING);
	STORE(changing, i);
}

static void end(uint32_t i, enum state state)
{
	set_state(i, state);
	STORE(changing, NOWHERE);
	while (LOAD(attacked) == i && !LOAD(attacker_gone))
		cpu_pause();
}

static void plug(uint32_t i)
{
	uint64_t before;

	begin(i);
	/* The one that may be under way has this number. */
	before = LOAD(nr_attacks);
	before -= before ? 1 : 0;
	vmem_plug(&vmem, block(i), vmem.block_bytes);
	end(i, PLUGGED);
	check_fresh(i, before);
	fill(i);
	nr_plugged++;
}

static void unplug(uint32_t i)
{
	verify(i);
	begin(i);
	vmem_unplug(&vmem, block(i), vmem.block_bytes);
	end(i, UNPLUGGED);
	nr_plugged--;
}

static void own(uint64_t rounds, uint64_t attacks)
{
	uint64_t random = cmdline_u64("seed", 1) * 1000003;

	while (nr_rounds < rounds || LOAD(nr_attacks) < attacks) {
		uint64_t r = next(&random);
		uint32_t i = (uint32_t)(r >> 8) % nr_blocks;

		if (state_of(states[i]) == UNPLUGGED && nr_plugged < nr_blocks / 2)
			plug(i);
		else if (state_of(states[i]) == UNPLUGGED)
			continue;
		else if (r & 1)
			unplug(i);
		else
			verify(i);
		nr_rounds++;
	}
}

int guest_main(void)
{
	CHECK(vmem_open(&vmem, 0));
	vmem_wait_requested(&vmem);
	nr_blocks = (uint32_t)(vmem.region_bytes / vmem.block_bytes);
	CHECK(nr_blocks <= MAX_BLOCKS);
	spread = cmdline_u64("spread", 1);
	CHECK(spread && vmem.block_bytes / PAGE_BYTES % spread == 0);
	step("start");
	CHECK_EQ(cpu_start_others(attacker), 2);
	own(cmdline_u64("rounds", 1000), cmdline_u64("attacks", 1000));
	STORE(over, true);
	while (!LOAD(attacker_gone))
		cpu_pause();
	for (uint32_t i = 0; i < nr_blocks; i++)
		if (state_of(states[i]) == PLUGGED)
			verify(i);
	print("rounds %lu attacks %lu verified %lu corrupted %lu stale %lu leaked %lu late %lu\n",
	      nr_rounds, nr_attacks, nr_verified, nr_corrupted, nr_stale, nr_leaked, nr_late);
	step("over %u", nr_plugged);
	vmem_unplug_all(&vmem);
	step("end");
	CHECK(!nr_corrupted && !nr_stale && !nr_leaked);
	PASS();
}
