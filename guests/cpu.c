/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c - exceptions, ring 0 on request, page tables and the start of other CPUs. */
#include <cpuid.h>

#include "guests/cpu.h"
#include "guests/devtree.h"
#include "guests/lib.h"
#include "guests/runtime.h"
#include "vmm/base/platform.h"

#define LAPIC_SPURIOUS (LAPIC_BASE + 0xf0)
#define LAPIC_ENABLE 0x1ff
#define LAPIC_LVT_LINT0 (LAPIC_BASE + 0x350)
#define LVT_MASKED 0x10000
#define LAPIC_EOI (LAPIC_BASE + 0xb0)
#define LAPIC_ICR_LOW (LAPIC_BASE + 0x300)
#define LAPIC_ICR_HIGH (LAPIC_BASE + 0x310)
#define ICR_INIT 0x00004500
#define ICR_STARTUP 0x00004600
#define IOAPIC_INDEX IOAPIC_BASE
#define IOAPIC_DATA (IOAPIC_BASE + 0x10)
#define IOAPIC_REDIRECTION(gsi) (0x10 + 2 * (gsi))
#define REDIRECTION_LEVEL 0x8000

struct idt_gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};
#define GATE_INTERRUPT 0x8e
#define GATE_DPL3 0x60

struct idt_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* start.S */
extern struct idt_gate idt[];
extern uint64_t pml4[512];
extern const char exception_stubs[], ring0_gate[], device_gate[],
	trampoline[], trampoline_end[];
extern uint32_t cpu_starting;

uint32_t cpu_starting; /* the index that the next CPU takes */
static unsigned int nr_running = 1;
static void (*cpu_job)(unsigned int cpu);

static void set_gate(unsigned int vector, uint64_t to, uint8_t type)
{
	idt[vector] = (struct idt_gate){
		.offset_low = (uint16_t)to,
		.selector = SEL_CODE64,
		.type = type,
		.offset_middle = (uint16_t)(to >> 16),
		.offset_high = (uint32_t)(to >> 32),
	};
}

void cpu_entry(uint32_t cpu, uint32_t start_info)
{
	if (cpu) {
		void (*job)(unsigned int) = cpu_job;

		__atomic_fetch_add(&nr_running, 1, __ATOMIC_SEQ_CST);
		job(cpu);
		cpu_stop();
	}
	for (unsigned int i = 0; i < NR_EXCEPTIONS; i++)
		set_gate(i, (uint64_t)exception_stubs + i * EXCEPTION_STUB_BYTES, GATE_INTERRUPT);
	set_gate(RING0_VECTOR, (uint64_t)ring0_gate, GATE_INTERRUPT | GATE_DPL3);
	set_gate(DEVICE_VECTOR, (uint64_t)device_gate, GATE_INTERRUPT);
	lib_init(start_info);
	guest_exit((uint32_t)guest_main());
}

void cpu_exception(const struct exception_frame *frame, uint64_t cr2)
{
	FAIL("exception %u error 0x%x rip 0x%lx rsp 0x%lx cs 0x%x cr2 0x%lx",
	     (unsigned int)frame->vector, (unsigned int)frame->error, frame->rip, frame->rsp,
	     (unsigned int)frame->cs, cr2);
}

static uint64_t do_rdmsr(uint64_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"((uint32_t)msr));
	return (uint64_t)hi << 32 | lo;
}

uint64_t cpu_rdmsr(uint32_t msr)
{
	return ring0(do_rdmsr, msr);
}

struct msr_value {
	uint32_t msr;
	uint64_t value;
};

static uint64_t do_wrmsr(uint64_t arg)
{
	const struct msr_value *m = (const void *)arg;

	__asm__ volatile("wrmsr"
			 :
			 : "c"(m->msr), "a"((uint32_t)m->value), "d"((uint32_t)(m->value >> 32))
			 : "memory");
	return 0;
}

void cpu_wrmsr(uint32_t msr, uint64_t value)
{
	struct msr_value m = { msr, value };

	ring0(do_wrmsr, (uint64_t)&m);
}

/* The pvclock ABI: time = (cycles << tsc_shift) * tsc_to_system_mul >> 32, in nanoseconds. */
struct pvclock {
	uint32_t version, pad;
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, pad2[2];
};
#define MSR_KVM_SYSTEM_TIME 0x4b564d01
#define MSR_KVM_SYSTEM_TIME_ON 1

uint64_t cpu_cycles_per_ms(void)
{
	static volatile struct pvclock clock __attribute__((aligned(64)));
	static uint64_t cycles;

	if (cycles)
		return cycles;
	cpu_wrmsr(MSR_KVM_SYSTEM_TIME, (uint64_t)&clock | MSR_KVM_SYSTEM_TIME_ON);
	CHECK(clock.tsc_to_system_mul);
	cycles = (UINT64_C(1000000) << 32) / clock.tsc_to_system_mul;
	cycles = clock.tsc_shift < 0 ? cycles << -clock.tsc_shift : cycles >> clock.tsc_shift;
	cpu_wrmsr(MSR_KVM_SYSTEM_TIME, 0);
	return cycles;
}

void cpu_wait_ms(uint64_t ms)
{
	uint64_t cycles = ms * cpu_cycles_per_ms(), start = cpu_tsc();

	while (cpu_tsc() - start < cycles)
		cpu_pause();
}

#define CR4_OSXSAVE (1u << 18)
#define XCR0_X87_SSE_AVX 7

static uint64_t do_enable_avx(uint64_t unused)
{
	uint64_t cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSXSAVE));
	__asm__ volatile("xsetbv" : : "c"(0), "a"(XCR0_X87_SSE_AVX), "d"(0));
	return unused;
}

bool cpu_enable_avx(void)
{
	uint32_t a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_AVX))
		return false;
	ring0(do_enable_avx, 0);
	return true;
}

/* What firmware left on LINT0, the timer of a PIC, has the vector of an exception. */
void cpu_enable_interrupts(void)
{
	write32(LAPIC_LVT_LINT0, LVT_MASKED);
	write32(LAPIC_SPURIOUS, LAPIC_ENABLE);
}

static void write_ioapic(uint32_t index, uint32_t value)
{
	write32(IOAPIC_INDEX, index);
	write32(IOAPIC_DATA, value);
}

void cpu_route_gsi(uint32_t gsi, bool level)
{
	CHECK(gsi < IOAPIC_PINS);
	write_ioapic(IOAPIC_REDIRECTION(gsi) + 1, 0); /* to APIC id 0 */
	write_ioapic(IOAPIC_REDIRECTION(gsi), DEVICE_VECTOR | (level ? REDIRECTION_LEVEL : 0));
}

/* STI takes effect after HLT has begun, so none is missed; device_gate turns them off again. */
static uint64_t do_wait_interrupt(uint64_t unused)
{
	__asm__ volatile("sti; hlt" : : : "memory");
	return unused;
}

void cpu_end_interrupt(void) { write32(LAPIC_EOI, 0); }

void cpu_wait_interrupt(void) { ring0(do_wait_interrupt, 0); }

/* An unreadable interrupt table; an empty one is not enough for every host. */
static uint64_t do_triple_fault(uint64_t unused)
{
	static const struct idt_pointer unmapped = { 0xfff, UINT64_C(0xffffffff80000000) };

	__asm__ volatile("lidt %0; ud2" : : "m"(unmapped));
	return unused;
}

void cpu_triple_fault(void)
{
	ring0(do_triple_fault, 0);
	__builtin_unreachable();
}

/* The next table below ENTRY, made when it does not exist. */
static uint64_t *next_table(uint64_t *entry)
{
	if (!*entry)
		*entry = (uint64_t)page_alloc(1) | PAGE_PRESENT_RW_USER;
	return (uint64_t *)(*entry & ~(PAGE_BYTES - 1));
}

/* Only absent entries change, so no TLB holds anything stale. */
void cpu_map(uint64_t start, uint64_t bytes)
{
	uint64_t at = start & ~(HUGE_BYTES - 1);

	for (; at < start + bytes; at += HUGE_BYTES) {
		uint64_t *pdpt = next_table(&pml4[at >> 39 & 511]);
		uint64_t *pd = next_table(&pdpt[at >> 30 & 511]);

		pd[at >> 21 & 511] = at | PAGE_HUGE | PAGE_PRESENT_RW_USER;
	}
}

/* A page below 640 KiB that nothing uses; a CPU can only start there. */
static uint64_t place_trampoline(void)
{
	uint64_t page = PAGE_BYTES;

	while (boot_in_use((struct range){ page, PAGE_BYTES }))
		page += PAGE_BYTES;
	CHECK(page < 640 * KiB);
	memcpy((void *)page, trampoline, (size_t)(trampoline_end - trampoline));
	return page;
}

static void send_ipi(uint32_t apic_id, uint32_t command)
{
	write32(LAPIC_ICR_HIGH, apic_id << 24);
	write32(LAPIC_ICR_LOW, command);
}

static unsigned int find_cpus(uint32_t *apic_ids)
{
	unsigned int nr;

	if (boot.devtree.bytes)
		return devtree_cpus(apic_ids, MAX_CPUS);
	nr = (unsigned int)cmdline_u64("cpus", 1);
	CHECK(nr <= MAX_CPUS);
	for (unsigned int i = 0; i < nr; i++)
		apic_ids[i] = i;
	return nr;
}

unsigned int cpu_start_others(void (*fn)(unsigned int cpu))
{
	uint32_t apic_ids[MAX_CPUS];
	unsigned int nr = find_cpus(apic_ids);
	uint64_t page = place_trampoline();

	cpu_job = fn;
	write32(LAPIC_SPURIOUS, LAPIC_ENABLE);
	for (unsigned int cpu = 1; cpu < nr; cpu++) {
		uint64_t start = cpu_tsc();

		__atomic_store_n(&cpu_starting, cpu, __ATOMIC_SEQ_CST);
		send_ipi(apic_ids[cpu], ICR_INIT);
		send_ipi(apic_ids[cpu], ICR_STARTUP | (uint32_t)(page / PAGE_BYTES));
		while (__atomic_load_n(&nr_running, __ATOMIC_SEQ_CST) == cpu) {
			if (cpu_tsc() - start > CPU_PATIENCE_CYCLES)
				FAIL("CPU %u (APIC id %u) does not start", cpu, apic_ids[cpu]);
			cpu_pause();
		}
	}
	return nr;
}

void barrier_wait(struct barrier *barrier, unsigned int nr)
{
	unsigned int round = __atomic_load_n(&barrier->round, __ATOMIC_SEQ_CST);

	if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_SEQ_CST) == nr) {
		barrier->arrived = 0;
		__atomic_store_n(&barrier->round, round + 1, __ATOMIC_SEQ_CST);
		return;
	}
	while (__atomic_load_n(&barrier->round, __ATOMIC_SEQ_CST) == round)
		cpu_pause();
}
