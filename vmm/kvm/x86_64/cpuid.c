/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.c - the processor the guest sees: what the host's KVM supports, with a topology of our own
 * (one package, one thread a core) and the paravirtual timers that replace PIT and PIC.
 */
#include "vmm/kvm/x86_64/cpuid.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "vmm/base/log.h"

#define LEAF1_ECX_X2APIC (UINT32_C(1) << 21)
#define LEAF1_ECX_TSC_DEADLINE (UINT32_C(1) << 24)
#define LEAF1_ECX_HYPERVISOR (UINT32_C(1) << 31)
#define LEAF1_EDX_HTT (UINT32_C(1) << 28)
#define AMD_ECX_CMP_LEGACY (UINT32_C(1) << 1)

int cpuid_supported(int kvm_fd, struct cpuid_table *table)
{
	table->head.nent = CPUID_MAX_ENTRIES;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, &table->head))
		return fail(-errno, "KVM_GET_SUPPORTED_CPUID");
	return 0;
}

static unsigned int bits_for(unsigned int nr)
{
	unsigned int bits = 0;

	while (1U << bits < nr)
		bits++;
	return bits;
}

/* Leaf 0xb and 0x1f, Extended Topology: one thread a core, NR cores. */
static void set_topology(struct kvm_cpuid_entry2 *e, unsigned int id, unsigned int nr)
{
	static const uint32_t level_type[] = { 1, 2 }; /* thread, core */

	e->eax = e->index == 0 ? 0 : e->index == 1 ? bits_for(nr) : 0;
	e->ebx = e->index == 0 ? 1 : e->index == 1 ? nr : 0;
	e->ecx = e->index | (e->index < 2 ? level_type[e->index] << 8 : 0);
	e->edx = id;
}

static void adapt(struct kvm_cpuid_entry2 *e, bool tsc_deadline, unsigned int id, unsigned int nr)
{
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | (nr & 0xff) << 16 | id << 24;
		e->ecx |= LEAF1_ECX_HYPERVISOR | LEAF1_ECX_X2APIC;
		if (tsc_deadline)
			e->ecx |= LEAF1_ECX_TSC_DEADLINE;
		e->edx = nr > 1 ? e->edx | LEAF1_EDX_HTT : e->edx & ~LEAF1_EDX_HTT;
		break;
	case 4: /* Deterministic Cache Parameters: no cache is shared, except the last level */
		if (!(e->eax & 0x1f))
			break;
		e->eax &= 0x3fff;
		e->eax |= ((1U << bits_for(nr)) - 1) << 26;
		if ((e->eax >> 5 & 7) >= 3)
			e->eax |= ((1U << bits_for(nr)) - 1) << 14;
		break;
	case 0xb:
	case 0x1f:
		set_topology(e, id, nr);
		break;
	case 0x80000001:
		e->ecx = nr > 1 ? e->ecx | AMD_ECX_CMP_LEGACY : e->ecx & ~AMD_ECX_CMP_LEGACY;
		break;
	case 0x80000008: /* AMD: bits of the core id, number of cores minus one */
		e->ecx = (e->ecx & ~0xf0ffU) | bits_for(nr) << 12 | (nr - 1);
		break;
	case 0x8000001d: /* AMD cache topology, as leaf 4 */
		if (!(e->eax & 0x1f))
			break;
		e->eax &= 0x3fff;
		if ((e->eax >> 5 & 7) >= 3)
			e->eax |= (nr - 1) << 14;
		break;
	case 0x8000001e: /* AMD: one thread a core, one node */
		e->eax = id;
		e->ebx = id & 0xff;
		e->ecx = 0;
		break;
	}
}

void cpuid_adapt(struct cpuid_table *table, bool tsc_deadline, unsigned int id, unsigned int nr)
{
	for (uint32_t i = 0; i < table->head.nent; i++)
		adapt(&table->head.entries[i], tsc_deadline, id, nr);
}

unsigned int cpuid_phys_bits(const struct cpuid_table *table)
{
	for (uint32_t i = 0; i < table->head.nent; i++)
		if (table->head.entries[i].function == 0x80000008)
			return table->head.entries[i].eax & 0xff;
	return 36;
}
