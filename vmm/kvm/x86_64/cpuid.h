/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid.h - the processor the guest sees. */
#ifndef EBB_KVM_X86_64_CPUID_H
#define EBB_KVM_X86_64_CPUID_H

#include <linux/kvm.h>

#include "vmm/base/types.h"

#define CPUID_MAX_ENTRIES 256

struct cpuid_table {
	union {
		struct kvm_cpuid2 head;
		uint8_t room[sizeof(struct kvm_cpuid2) +
			     CPUID_MAX_ENTRIES * sizeof(struct kvm_cpuid_entry2)];
	};
};

/* What the host's KVM can give. It costs a quarter of a millisecond. */
int must_check cpuid_supported(int kvm_fd, struct cpuid_table *table);
/*
 * Makes TABLE that of CPU number ID of NR; may be applied again for another ID. TSC_DEADLINE: KVM
 * has that timer.
 */
void cpuid_adapt(struct cpuid_table *table, bool tsc_deadline, unsigned int id, unsigned int nr);
/* Guest-physical address width (leaf 0x80000008). */
unsigned int cpuid_phys_bits(const struct cpuid_table *table);

#endif
