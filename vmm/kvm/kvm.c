/* SPDX-License-Identifier: Apache-2.0 */
/* kvm.c - one virtual machine of /dev/kvm. */
#include "vmm/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/base/inherited_fds.h"
#include "vmm/base/log.h"
#include "vmm/kvm/arch.h"

static const struct {
	unsigned int capability;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
	{ KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
	{ KVM_CAP_SYNC_MMU, "KVM_CAP_SYNC_MMU" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
	{ KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
	{ KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM" },
};

static int open_failed(const char *where, int error)
{
	switch (error) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		fail_usage("%s: not there; load kvm-intel or kvm-amd, and enable virtualisation in "
			   "the firmware or, inside a VM, nesting on its host", where);
		return -ENOENT;
	case EACCES:
	case EPERM:
		fail_usage("%s: no permission; add the user to the group that owns it (usually: "
			   "adduser USER kvm, then log in again)", where);
		return -EACCES;
	default:
		return fail(-error, "open %s", where);
	}
}

static int open_device(const char *where)
{
	int fd;

	if (inherited_fds_is_fd(where))
		return inherited_fds_fd("--kvm", where);
	fd = open(where, O_RDWR | O_CLOEXEC);
	return fd < 0 ? open_failed(where, errno) : fd;
}

static int check_capabilities(const char *where, int fd)
{
	char missing[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].capability) <= 0)
			used += (size_t)snprintf(missing + used, sizeof(missing) - used, " %s",
						 needed[i].name);
	if (!used)
		return 0;
	fail_usage("%s lacks%s; a newer host kernel has it", where, missing);
	return -ENODEV;
}

int kvm_open(struct kvm *kvm, const char *path)
{
	const char *where = path ? path : KVM_DEVICE;
	auto_close int fd = open_device(where);
	struct arch_model *model;
	int version, run_bytes, max_vcpus, max_slots, r;

	if (fd < 0)
		return fd;
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version < 0) {
		fail_usage("%s is not KVM; see what was put there in its place", where);
		return -ENODEV;
	}
	if (version != KVM_API_VERSION) {
		fail_usage("%s: API version %d, this program needs %d", where, version,
			   KVM_API_VERSION);
		return -ENODEV;
	}
	r = check_capabilities(where, fd);
	if (r)
		return r;
	run_bytes = ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_bytes < 0)
		return fail(-errno, "KVM_GET_VCPU_MMAP_SIZE");
	max_vcpus = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	max_slots = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	r = arch_model_new(&model, fd);
	if (r)
		return r;
	*kvm = (struct kvm){ .fd = take_fd(&fd),
			     .run_bytes = (size_t)run_bytes,
			     .max_vcpus = max_vcpus > 0 ? (unsigned int)max_vcpus : 1,
			     .max_slots = max_slots > 0 ? (uint32_t)max_slots : 32,
			     .model = model };
	return 0;
}

void kvm_close(struct kvm *kvm)
{
	if (kvm->run_bytes) {
		arch_model_free(kvm->model);
		close(kvm->fd);
	}
	*kvm = (struct kvm){ .fd = -1 };
}

unsigned int kvm_phys_bits(const struct kvm *kvm) { return arch_phys_bits(kvm->model); }

/*
 * Where KVM can (Linux 5.2), reading its log of written pages does not empty it, which would write-
 * protect them anew: nobody asks whether a page was written twice.
 */
static void keep_log_until_asked(int vm_fd)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
				      .args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE } };

	(void)ioctl(vm_fd, KVM_ENABLE_CAP, &cap);
}

int vm_create(struct vm *vm, const struct kvm *kvm)
{
	auto_close int fd = -1;
	int r;

	do
		fd = ioctl(kvm->fd, KVM_CREATE_VM, 0);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return fail(-errno, "KVM_CREATE_VM");
	*vm = (struct vm){ .fd = fd, .kvm = kvm };
	keep_log_until_asked(fd);
	r = arch_vm_init(vm);
	if (r) {
		*vm = (struct vm){ .fd = -1 };
		return r;
	}
	take_fd(&fd);
	return 0;
}

void vm_destroy(struct vm *vm)
{
	if (vm->kvm)
		close(vm->fd);
	free(vm->slots);
	*vm = (struct vm){ .fd = -1 };
}

/* --- memory slots ------------------------------------------------------------------------------ */

struct vm_slot {
	gpa_t base;
	void *host;
	uint64_t bytes; /* 0: there is none */
	bool read_only;
};

static int set_slot(const struct vm *vm, uint32_t number, const struct vm_slot *slot, bool logging)
{
	struct kvm_userspace_memory_region region = {
		.slot = number,
		.flags = (slot->read_only ? KVM_MEM_READONLY : 0) |
			 (logging && !slot->read_only ? KVM_MEM_LOG_DIRTY_PAGES : 0),
		.guest_phys_addr = slot->base.v,
		.memory_size = slot->bytes,
		.userspace_addr = (uintptr_t)slot->host,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

/* Room to remember slot NUMBER. */
static int need_slots(struct vm *vm, uint32_t number)
{
	struct vm_slot *slots;
	uint32_t nr = vm->nr_slots;

	if (number < nr)
		return 0;
	slots = reallocarray(vm->slots, number + 1, sizeof(*slots));
	if (!slots)
		return fail(-ENOMEM, "memory slot %u", number);
	memset(slots + nr, 0, (number + 1 - nr) * sizeof(*slots));
	vm->slots = slots;
	vm->nr_slots = number + 1;
	return 0;
}

int vm_add_slot(struct vm *vm, uint32_t slot, gpa_t base, void *host, uint64_t bytes,
		bool read_only)
{
	struct vm_slot new = { base, host, bytes, read_only };
	int r = need_slots(vm, slot);

	if (r)
		return r;
	r = set_slot(vm, slot, &new, vm->logging);
	if (r)
		return fail(r, "memory slot %u of %llu bytes at %#llx", slot,
			    (unsigned long long)bytes, (unsigned long long)base.v);
	vm->slots[slot] = new;
	return 0;
}

int vm_remove_slot(struct vm *vm, uint32_t slot)
{
	struct vm_slot none = { 0 };
	int r = set_slot(vm, slot, &none, false);

	if (r)
		return fail(r, "remove memory slot %u", slot);
	vm->slots[slot] = none;
	return 0;
}

int vm_log_writes(struct vm *vm, bool on)
{
	int r = 0;

	if (vm->logging == on || !vm->kvm)
		return 0;
	vm->logging = on;
	for (uint32_t i = 0; i < vm->nr_slots && !r; i++)
		if (vm->slots[i].bytes && !vm->slots[i].read_only)
			r = set_slot(vm, i, &vm->slots[i], on);
	if (!r)
		return 0;
	fail(r, "%s log of written pages", on ? "start the" : "end the");
	if (on)
		(void)!vm_log_writes(vm, false);
	return r;
}

int vm_written(struct vm *vm, gpa_t at, uint64_t bytes,
	       void (*fn)(void *ctx, gpa_t base, const uint64_t *bitmap, uint64_t nr_pages),
	       void *ctx)
{
	for (uint32_t i = 0; i < vm->nr_slots; i++) {
		const struct vm_slot *s = &vm->slots[i];
		uint64_t nr_pages = s->bytes / (4 * KiB);
		struct kvm_dirty_log log = { .slot = i };

		if (!s->bytes || s->read_only || at.v >= s->base.v + s->bytes ||
		    s->base.v >= at.v + bytes)
			continue;
		log.dirty_bitmap = calloc((nr_pages + 63) / 64, sizeof(uint64_t));
		if (!log.dirty_bitmap)
			return fail(-ENOMEM, "log of written pages");
		if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log)) {
			int r = fail(-errno, "KVM_GET_DIRTY_LOG of slot %u", i);

			free(log.dirty_bitmap);
			return r;
		}
		fn(ctx, s->base, log.dirty_bitmap, nr_pages);
		free(log.dirty_bitmap);
	}
	return 0;
}

/* --- interrupts and doorbells ------------------------------------------------------------------ */

int vm_create_irqchip(struct vm *vm)
{
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0))
		return fail(-errno, "KVM_CREATE_IRQCHIP");
	return arch_vm_route_irqs(vm);
}

int vm_irqfd(struct vm *vm, int event_fd, uint32_t gsi)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)event_fd, .gsi = gsi };

	if (ioctl(vm->fd, KVM_IRQFD, &irqfd))
		return fail(-errno, "KVM_IRQFD for GSI %u", gsi);
	return 0;
}

int vm_nmi(struct vm *vm) { return arch_vm_nmi(vm); }

int vm_ioeventfd(struct vm *vm, int event_fd, gpa_t at, uint32_t value)
{
	struct kvm_ioeventfd doorbell = {
		.datamatch = value,
		.addr = at.v,
		.len = 4,
		.fd = event_fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	if (ioctl(vm->fd, KVM_IOEVENTFD, &doorbell))
		return fail(-errno, "KVM_IOEVENTFD at %#llx", (unsigned long long)at.v);
	return 0;
}
