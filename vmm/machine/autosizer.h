/* SPDX-License-Identifier: Apache-2.0 */
/*
 * autosizer.h - the guest's agent and the policy (vmm/policy/autosize.h) in their machine: what the
 * guest says and what the host knows goes in, and what is decided is done, by the resize jobs of
 * elastic memory and of the balloon. Somebody else's hand on a size suspends it.
 * Thread: the loop.
 */
#ifndef EBB_MACHINE_AUTOSIZER_H
#define EBB_MACHINE_AUTOSIZER_H

#include "vmm/agent/port.h"
#include "vmm/base/loop.h"
#include "vmm/base/run_clock.h"
#include "vmm/policy/autosize.h"

#define AGENT_INTERVAL_MS 2000 /* of its status */
/* After a reclaim: what was taken for it comes back, and what was said meanwhile is still under way. */
#define AUTOSIZING_RECLAIM_NS NS_PER_S

struct machine;

/* What the agent has said of its guest. */
struct agent_report {
	uint64_t at_ns; /* of the run clock; 0: nothing yet */
	uint64_t at_s;	/* time of day */
	struct autosize_status status;
	uint64_t swap_free_bytes;
};

struct autosizing {
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

/* After all devices and ports. 0 or -errno, logged. */
int must_check autosizing_open(struct machine *m);
void autosizing_close(struct machine *m);
/* The VM stands, or goes on. */
void autosizing_hold(struct machine *m, bool hold);
/* The machine is reset: devices are, and elastic memory is unplugged. */
void autosizing_reset(struct machine *m);

/* What the guest shall have: as decided or, suspended, as somebody else has set it. */
uint64_t autosizing_size_bytes(const struct machine *m);

/* Plugged or ballooned memory, or a reclaim, is not as before. */
void autosizing_facts_changed(struct machine *m);
/* BY, a constant, is about to set a size that is ours: it is suspended from now on. */
void autosizing_overridden(struct machine *m, const char *by);
/* Limits but for `suspended`, and T of page cache; SUSPENDED_BY, a constant; NULL: it is not. */
void autosizing_set(struct machine *m, const struct autosize_limits *limits, uint32_t cache_age_s,
		    const char *suspended_by);

/* Asks the agent for the working set of NODE; below 0: of all. -ENODEV: none that can is there. */
int must_check autosizing_ask_working_set(struct machine *m, int node);

#endif
