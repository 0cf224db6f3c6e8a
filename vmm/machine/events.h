/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - what the parts of a machine tell to whom it may concern: typed facts, by one sink.
 * Parts know neither control clients nor a service manager; the process adds those who listen.
 * Thread: the loop, with the device lock.
 */
#ifndef EBB_MACHINE_EVENTS_H
#define EBB_MACHINE_EVENTS_H

#include "vmm/agent/session.h"
#include "vmm/machine/state.h"
#include "vmm/memory/guard.h"
#include "vmm/memory/working_sets.h"

enum vm_event_kind {
	/* The machine as a whole. */
	VM_STATE,	   /* `run`: it is in another state */
	VM_STOPPED,	   /* the vCPUs stand */
	VM_RESUMED,	   /* they run */
	VM_POWER_BUTTON,   /* pressed; the guest decides */
	VM_RESET,	   /* `cause`: it begins anew */
	VM_ENDED,	   /* `cause`: the guest has powered off, or the process ends */
	VM_PANICKED,	   /* `pauses`: the guest has crashed or panicked */
	VM_CRASH_KERNEL,   /* the guest has panicked and goes on with a kernel for that */
	VM_DUMP_ENDED,	   /* `text`: why it failed; NULL: it did not */
	/* Elastic memory; `device` is its number in vm_memory. */
	VM_MEMORY_SIZE,	   /* `device` has another plugged size */
	VM_MEMORY_JOB,	   /* a resize job of `device` has started or ended */
	VM_VIOLATION,	   /* `violation`: the guest used memory that it gave back */
	VM_GUARD_STOP,	   /* `text`: the VM was paused on account of the guard */
	/* The balloon. */
	VM_BALLOON_SIZE,
	VM_BALLOON_JOB,
	VM_BALLOON_STATS,  /* statistics were sent that were asked for */
	VM_RECLAIM,	   /* a reclaim has started or ended */
	/* The guest by its own word. */
	VM_WORKING_SET,	   /* `working_set`, which is kept */
	VM_AGENT,	   /* `agent`: its state is another one */
	VM_AUTOSIZE,	   /* limits or a decision have changed */
	VM_GUEST_LOW,	   /* `low`: the guest is short of memory, and what it was answered */
};

struct vm_event {
	enum vm_event_kind kind;
	union {
		struct {
			enum machine_state state;
			bool ending; /* the process is on its way out */
		} run;
		struct {
			bool guest;	    /* asked for it; else the host */
			const char *reason; /* as in QMP's ShutdownCause */
		} cause;
		bool pauses; /* the VM stands now; else it ends */
		const char *text;
		unsigned int device;
		struct {
			unsigned int device;
			const struct guard_info *info;
		} violation;
		const struct working_set_record *working_set;
		enum agent_state agent;
		struct {
			const struct agent_message *need;
			const struct autosize_answer *answer;
		} low;
	};
};

/* What an event points to is valid during the call. It must not end or reset the machine. */
struct vm_sink {
	void (*tell)(void *ctx, const struct vm_event *event);
	void *ctx;
};

#define VM_MAX_SINKS 4
/* Zeroed memory: nobody listens. */
struct vm_sinks {
	unsigned int nr;
	struct vm_sink sink[VM_MAX_SINKS];
};

/* From now on SINK hears all events, after those that were added before. */
void vm_sinks_add(struct vm_sinks *sinks, struct vm_sink sink);
void vm_tell(const struct vm_sinks *sinks, const struct vm_event *event);
/* An event of which the kind says all. */
void vm_tell_kind(const struct vm_sinks *sinks, enum vm_event_kind kind);

#endif
