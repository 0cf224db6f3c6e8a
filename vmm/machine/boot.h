/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - one boot: the VM of KVM with its vCPUs, from the files that were named to the registers of
 * the boot CPU. The machine's memory and devices outlive it. Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_BOOT_H
#define EBB_MACHINE_BOOT_H

#include "vmm/config/config.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/vcpu.h"

struct boot_env {
	const struct config *cfg;
	const struct kvm *kvm;
	const struct guest_mem *gm;
	struct vcpu_env vcpu;
	/* The VM is there: gives it its memory slots; then, once it has vCPUs, its interrupts and
	 * doorbells. 0 or -errno, logged. */
	int (*add_memory)(void *ctx);
	int (*connect)(void *ctx);
	void *ctx;
};

struct boot {
	struct boot_env env;
	struct vm vm;
	struct vcpus *vcpus; /* NULL: between two boots */
	uint64_t nr_boots;
	uint64_t nr_exits_before; /* of the VMs of earlier boots */
};

void boot_init(struct boot *b, const struct boot_env *env);
/*
 * A new VM at the kernel's entry, its vCPUs paused. NR_VIRTIO devices are described to the guest.
 * Opens, checks and loads kernel and initrd into boot memory, which is fresh. 0 or -errno, logged;
 * boot_leave() also after a failure.
 */
int must_check boot_enter(struct boot *b, unsigned int nr_virtio);
/* The vCPUs and the VM go. No effect when there are none. */
void boot_leave(struct boot *b);
/* KVM_RUN calls that came back to user space, over all boots. */
uint64_t boot_nr_exits(const struct boot *b);

#endif
