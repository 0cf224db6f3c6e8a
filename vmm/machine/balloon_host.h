/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon_host.h - the balloon in its machine: what it needs of KVM, and who hears of it.
 * Thread: the loop.
 */
#ifndef EBB_MACHINE_BALLOON_HOST_H
#define EBB_MACHINE_BALLOON_HOST_H

#include "devices/virtio_balloon.h"
#include "vmm/memory/returned.h"
#include "vmm/memory/written.h"

/* Clients that can wait for a sample of statistics at once, and for how long. */
#define BALLOON_MAX_WAITING 16
#define BALLOON_STATS_PATIENCE_NS NS_PER_S

struct machine;
struct qmp_session;

struct ballooning {
	struct returned returned;
	struct written written;
	struct balloon *balloon; /* NULL: --balloon=off */
	unsigned int nr_waiting;
	struct qmp_session *waiting[BALLOON_MAX_WAITING];
	struct loop_timer patience;
};

/* The ledger of what comes back page by page; after all memory was added. 0 or -errno, logged. */
int must_check ballooning_open(struct machine *m);
/* The device, unless --balloon=off. The caller puts it behind a transport. */
int must_check ballooning_add(struct machine *m);
/* The machine is reset, boot memory discarded. */
void ballooning_reset(struct machine *m);
/* With the device lock; no vCPU runs any more. */
void ballooning_close(struct machine *m);

/*
 * Has the client whose command runs answered with a sample of the guest's statistics that is taken
 * after this, or with an error when there is none in time. -ENODEV: no driver; -EBUSY: too many
 * wait.
 */
int must_check ballooning_wait_stats(struct machine *m);

#endif
