/* SPDX-License-Identifier: Apache-2.0 */
/* smp.c - starts every CPU of the device tree; all of them count under one lock. */
#include "guests/cpu.h"
#include "guests/devtree.h"
#include "guests/lib.h"

#define ROUNDS 1000

static struct spinlock lock;
static uint64_t counter;
static unsigned int nr_done;

static void work(unsigned int cpu)
{
	(void)cpu;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		spin_lock(&lock);
		counter++;
		spin_unlock(&lock);
	}
	__atomic_fetch_add(&nr_done, 1, __ATOMIC_SEQ_CST);
}

int guest_main(void)
{
	uint32_t ids[MAX_CPUS];
	unsigned int nr = devtree_cpus(ids, MAX_CPUS);

	for (unsigned int i = 0; i < nr; i++)
		for (unsigned int j = 0; j < i; j++)
			CHECK(ids[i] != ids[j]);
	CHECK_EQ(cpu_start_others(work), nr);
	work(0);
	while (__atomic_load_n(&nr_done, __ATOMIC_SEQ_CST) < nr)
		cpu_pause();
	CHECK_EQ(counter, nr * ROUNDS);
	print("%u CPUs\n", nr);
	PASS();
}
