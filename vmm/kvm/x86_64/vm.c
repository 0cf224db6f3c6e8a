/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c - what a VM needs on x86 beside its memory: reserved pages and interrupt routing. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/base/log.h"
#include "vmm/base/platform.h"
#include "vmm/kvm/arch.h"
#include "vmm/kvm/kvm.h"

/* Linux 6.12: without this quirk, removing one slot leaves the mappings of others alone. */
#ifndef KVM_X86_QUIRK_SLOT_ZAP_ALL
#define KVM_X86_QUIRK_SLOT_ZAP_ALL (1 << 7)
#endif

/*
 * Four pages below 4 GiB, outside memory and devices, that KVM needs on Intel processors without
 * unrestricted guest mode (kernel doc, KVM API, KVM_SET_TSS_ADDR and KVM_SET_IDENTITY_MAP_ADDR).
 */
#define IDENTITY_MAP_ADDR UINT64_C(0xfeffc000)
#define TSS_ADDR UINT64_C(0xfeffd000)

/* Of an interrupt message (Intel SDM, Message Signalled Interrupts). */
#define MSI_TO_ALL (0xffu << 12)
#define MSI_DELIVER_NMI (4u << 8)

/* Where KVM has it, and only there. */
static int enable(struct vm *vm, uint32_t capability, uint64_t value, const char *name)
{
	struct kvm_enable_cap cap = { .cap = capability, .args = { value } };
	int has = ioctl(vm->fd, KVM_CHECK_EXTENSION, capability);

	if (has <= 0 || ((uint64_t)has & value) != value)
		return 0;
	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap) ? fail(-errno, "%s", name) : 0;
}

/*
 * Slots go without a trace in other memory, and an instruction that KVM can't carry out where no
 * memory is comes to us, which would be #UD in ring 3 otherwise (arch_vcpu_refuse()).
 */
static int choose_behaviour(struct vm *vm)
{
	int r = enable(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_SLOT_ZAP_ALL,
		       "KVM_CAP_DISABLE_QUIRKS2");

	return r ? r : enable(vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1,
			      "KVM_CAP_EXIT_ON_EMULATION_FAILURE");
}

int arch_vm_init(struct vm *vm)
{
	uint64_t identity_map = IDENTITY_MAP_ADDR;

	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map))
		return fail(-errno, "KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDR))
		return fail(-errno, "KVM_SET_TSS_ADDR");
	return choose_behaviour(vm);
}

/*
 * KVM's default table also feeds the PIC and moves GSI 0 to pin 2. The guest was told of neither
 * (MADT without overrides, hardware-reduced ACPI), so the table is replaced: GSI n is pin n.
 */
int arch_vm_route_irqs(struct vm *vm)
{
	union {
		struct kvm_irq_routing head;
		uint8_t room[sizeof(struct kvm_irq_routing) +
			     IOAPIC_PINS * sizeof(struct kvm_irq_routing_entry)];
	} table;

	memset(&table, 0, sizeof(table));
	table.head.nr = IOAPIC_PINS;
	for (uint32_t i = 0; i < IOAPIC_PINS; i++) {
		struct kvm_irq_routing_entry *entry = &table.head.entries[i];

		entry->gsi = i;
		entry->type = KVM_IRQ_ROUTING_IRQCHIP;
		entry->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		entry->u.irqchip.pin = i;
	}
	if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, &table))
		return fail(-errno, "KVM_SET_GSI_ROUTING");
	return 0;
}

/* As an interrupt message to all: KVM_NMI would wait for a vCPU that runs. */
int arch_vm_nmi(struct vm *vm)
{
	struct kvm_msi msi = { .address_lo = (uint32_t)LAPIC_BASE | MSI_TO_ALL,
			       .data = MSI_DELIVER_NMI };

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &msi) < 0 ? fail(-errno, "KVM_SIGNAL_MSI") : 0;
}
