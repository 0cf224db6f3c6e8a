/* SPDX-License-Identifier: Apache-2.0 */
/*
 * autosizer.h - the guest's agent and the policy (vmm/policy/autosize.h) in their machine: what the
 * guest says and what the host knows goes in, and what is decided is done, by the resize jobs of
 * elastic memory and of the balloon. Somebody else's hand on a size suspends it.
 * Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_AUTOSIZER_H
#define EBB_MACHINE_AUTOSIZER_H

#include "vmm/agent/port.h"
#include "vmm/base/clock.h"
#include "vmm/base/loop.h"
#include "vmm/base/run_clock.h"
#include "vmm/machine/balloon_host.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/working_set_store.h"
#include "vmm/policy/autosize.h"

#define AGENT_INTERVAL_MS 2000 /* of its status */
/* After a reclaim: what was taken for it comes back, and what was said meanwhile is still under way. */
#define AUTOSIZER_RECLAIM_NS NS_PER_S

/* What the agent has said of its guest. */
struct agent_report {
	uint64_t at_ns; /* of the run clock; 0: nothing yet */
	uint64_t at_s;	/* time of day */
	struct autosize_status status;
	uint64_t swap_free_bytes;
};

struct autosizer_env {
	const struct config *cfg;
	struct loop *loop;
	struct vm_memory *memory;
	struct balloon_host *balloon;
	struct working_set_store *store;
	const struct vm_sinks *sinks;
};

struct autosizer {
	struct autosizer_env env;
	bool on; /* there is an agent's port, and so a policy */
	struct run_clock clock;
	struct agent_port port;
	struct agent_report report, before; /* the latest, and the one before it */
	uint64_t nr_needs;

	struct autosize policy;
	bool hinting; /* as the policy knows it */
	uint32_t cache_age_s;
	const char *suspended_by; /* NULL: it is not */
	struct autosize_decision told; /* by an event */
	struct loop_timer timer;
};

/* The machine has no agent's port: the calls below find it off. */
void autosizer_init(struct autosizer *a, const struct autosizer_env *env);
/*
 * After all devices. GUEST: the guest's end of the agent's port, HOST: what is to be connected to it.
 * 0 or -errno, logged.
 */
int must_check autosizer_open(struct autosizer *a, struct guest_end guest, struct host_end *host);
void autosizer_close(struct autosizer *a);
/* The VM stands, or goes on. */
void autosizer_hold(struct autosizer *a, bool hold);
/* The machine is reset: devices are, and elastic memory is unplugged. */
void autosizer_reset(struct autosizer *a);

/* What the guest shall have, in bytes, boot memory included: as decided or, suspended, as somebody
 * else has set it. */
uint64_t autosizer_size_bytes(const struct autosizer *a);
/* Of the VM's running: it stands while the VM does. */
uint64_t autosizer_now_ns(const struct autosizer *a);

/* Plugged or ballooned memory, or a reclaim, is not as before. */
void autosizer_facts_changed(struct autosizer *a);
/* BY, a constant, has set a size that is ours: it is suspended from now on. */
void autosizer_overridden(struct autosizer *a, const char *by);
/* Limits but for `suspended`, and an age of page cache; SUSPENDED_BY, a constant; NULL: it is not. */
void autosizer_set(struct autosizer *a, const struct autosize_limits *limits, uint32_t cache_age_s,
		   const char *suspended_by);

/* Asks the agent for the working set of NODE; below 0: of all. -ENODEV: none that can is there. */
int must_check autosizer_ask_working_set(struct autosizer *a, int node);

#endif
