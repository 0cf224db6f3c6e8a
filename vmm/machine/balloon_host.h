/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_host.h - the host's side of the balloon: the ledger of what the guest gave back page by
 * page, the device, and what that needs of KVM for hinting (a log of writes, the vCPUs standing).
 * Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_BALLOON_HOST_H
#define EBB_MACHINE_BALLOON_HOST_H

#include "devices/virtio_balloon.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/run_control.h"
#include "vmm/machine/virtio_slots.h"
#include "vmm/machine/working_set_store.h"
#include "vmm/memory/dirty_pages.h"
#include "vmm/memory/page_ledger.h"

/* KVM's log of what vCPUs write, as kvm.h has it. */
struct write_log {
	int (*log)(void *ctx, bool on);
	bool (*is_logging)(void *ctx);
	int (*written)(void *ctx, void (*fn)(void *to, gpa_t base, const uint64_t *bitmap,
					     uint64_t nr_pages), void *to);
	void *ctx;
};

struct balloon_host_env {
	const struct config *cfg;
	struct loop *loop;
	struct vm_memory *memory;
	struct run_control run;
	struct write_log write_log;
	/* Requests of disks that are under way have ended: none fills a page from now on. */
	void (*drain)(void *ctx);
	void *ctx;
	struct working_set_store *store;
	const struct vm_sinks *sinks;
};

struct balloon_host {
	struct balloon_host_env env;
	struct page_ledger returned;
	struct dirty_pages written;
	struct balloon *balloon; /* NULL: --balloon=off */
};

/* The ledger, over all memory. 0 or -errno, logged; balloon_host_close() also after a failure. */
int must_check balloon_host_open(struct balloon_host *b, const struct balloon_host_env *env);
/* The device in SLOTS, unless --balloon=off. */
int must_check balloon_host_add(struct balloon_host *b, struct virtio_slots *slots);
/* The device goes; no vCPU runs any more. */
void balloon_host_remove(struct balloon_host *b);
void balloon_host_close(struct balloon_host *b);
/* The machine is reset, boot memory discarded. */
void balloon_host_reset(struct balloon_host *b);
/* Whether a reclaim is under way. */
bool balloon_host_reclaims(const struct balloon_host *b);

#endif
