/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.h - processor: time, exceptions, interrupts, mappings, other CPUs. */
#ifndef EBB_GUESTS_CPU_H
#define EBB_GUESTS_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "guests/io.h"
#include "guests/layout.h"

static inline uint64_t cpu_tsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}
/* Cycles after which a device that does not answer is taken for dead; several seconds. */
#define CPU_PATIENCE_CYCLES UINT64_C(40000000000)

/* How fast cpu_tsc() runs, by kvmclock. CPU 0 only. */
uint64_t cpu_cycles_per_ms(void);
void cpu_wait_ms(uint64_t ms);

/* Calls FN(ARG), in the ring of the caller, which is 3; the exception that ended it, or -1. */
int cpu_try(void (*fn)(uint64_t arg), uint64_t arg);
uint64_t cpu_rdmsr(uint32_t msr);
void cpu_wrmsr(uint32_t msr, uint64_t value);
/* Interrupts of devices come, on CPU 0, in cpu_wait_interrupt() alone. */
void cpu_enable_interrupts(void);
/* A pin of the I/O APIC, active high. */
void cpu_route_gsi(uint32_t gsi, bool level);
/* Halts until one comes; not at all if it came since the last one was ended. */
void cpu_wait_interrupt(void);
/* A device that holds its line is to be told first, or the interrupt comes again. */
void cpu_end_interrupt(void);
/* Ends the VM by an exception that cannot be delivered. */
__attribute__((noreturn)) void cpu_triple_fault(void);

/* Lets this CPU use AVX; false: it has none. */
bool cpu_enable_avx(void);

/* Maps [START, START + BYTES) one to one, ring 3 too, by 2 MiB pages. */
void cpu_map(uint64_t start, uint64_t bytes);

/*
 * Starts every other CPU of the device tree, one after the other; each runs FN(its index) in
 * ring 3 and stops. Returns the number of CPUs that run, this one included. Without a tree the
 * command line's cpus=N says how many there are, their APIC ids count from 0.
 */
unsigned int cpu_start_others(void (*fn)(unsigned int cpu));

/* Waits until NR CPUs have come here; usable again afterwards. */
struct barrier {
	unsigned int arrived, round;
};
void barrier_wait(struct barrier *barrier, unsigned int nr);

#endif
