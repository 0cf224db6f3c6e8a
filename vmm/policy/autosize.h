/* SPDX-License-Identifier: Apache-2.0 */
/*
 * autosize.h - how much memory a guest shall have: decides, and does nothing else. What the guest
 * says and what the host knows goes in, a size and a reserve come out. No I/O; the monotonic time is
 * an argument and never goes back.
 *
 * Sizes are of RAM: boot and plugged memory. Between min and max (the lower one of max and ceiling)
 * a guest in need gets what it asks for at once, as far as a token bucket has it. A guest that is
 * calm gives back a part of what it has spare each time, the less the nearer it comes to its
 * headroom (as Senpai does), and stops for long when that hurt. The reserve is a small balloon in
 * boot memory: it is let go of first, which takes no memory in the guest, and taken again when the
 * guest is calm.
 *
 * A size is never at the end of one of the guest's memory blocks, except at max: what comes next
 * goes into a block that exists, and needs no new memmap.
 *
 * All that a guest says is untrusted: it moves the result within the limits, and no faster than the
 * bucket.
 */
#ifndef EBB_POLICY_AUTOSIZE_H
#define EBB_POLICY_AUTOSIZE_H

#include "vmm/base/token_bucket.h"
#include "vmm/base/types.h"

/* What the operator may change while the VM runs. */
struct autosize_limits {
	uint64_t min_bytes, max_bytes; /* boot memory <= min <= max */
	uint64_t ceiling_bytes;	       /* the host is short: max for now; below min it is min */
	uint32_t rate_mib;	       /* MiB a second that may be granted, on the average; >= 1 */
	bool suspended;		       /* the size stays as it is */
};

struct autosize_cfg {
	uint64_t boot_bytes;
	uint64_t block_bytes;	     /* sizes above boot memory are multiples of this */
	uint64_t memory_block_bytes; /* of the guest's hotplug; a multiple of block_bytes */
	uint64_t reserve_bytes;	     /* 0: none; in boot memory */
	uint32_t burst_mib;	     /* what the bucket holds */
};

/* A guest's account of itself; UINT64_MAX: not said. */
struct autosize_status {
	uint64_t total_bytes, available_bytes, free_bytes, file_bytes;
	uint64_t some_us, full_us; /* stall times since boot */
	uint64_t refault_bytes, evicted_bytes, oom_kills;
};

enum autosize_agent {
	AUTOSIZE_NO_AGENT, /* no size is decided without one */
	AUTOSIZE_AGENT,
	AUTOSIZE_AGENT_SILENT, /* or broken: nothing is taken or given */
};

enum autosize_why {
	AUTOSIZE_GRANTED,
	AUTOSIZE_RATE,
	AUTOSIZE_MAX,
	AUTOSIZE_CEILING,
	AUTOSIZE_SUSPENDED,
};

/* What the guest shall have. */
struct autosize_decision {
	uint64_t size_bytes;	/* of RAM */
	uint64_t reserve_bytes; /* ballooned by the reserve */
};

/* What the host knows. */
struct autosize_facts {
	uint64_t ram_bytes;	/* boot memory and what is plugged */
	uint64_t reserve_bytes; /* ballooned; less again than it was: the guest took it, being out of memory */
	bool hinting;		/* a reclaim takes all free memory for a moment: no pressure counts */
};

struct autosize {
	struct autosize_cfg cfg;
	struct autosize_limits limits;
	struct token_bucket bucket; /* MiB */
	struct autosize_decision decision;

	/* The rest is its own. */
	enum autosize_agent agent;
	struct autosize_facts facts;
	struct autosize_status status; /* the latest */
	uint64_t status_ns;	       /* when it was given; 0: not yet, or it says nothing of now */
	bool fresh;		       /* nothing was taken or given since */
	uint64_t unrest_ns;	       /* the latest need or stall; when all this began */
	uint64_t taken_ns;	       /* when memory went away last; 0: long ago */
	uint64_t step_ns;	       /* when the last step down was decided; 0: none yet */
	uint64_t pause_ns;	       /* how long nothing is taken after it hurt */
	uint64_t paused_until_ns;
	uint64_t most_reserve_bytes; /* ballooned since the reserve was decided */
	uint64_t spare_bytes; /* what the guest offered and was not taken yet */
	struct {
		uint64_t at_ns; /* 0: none yet */
		bool took; /* the reserve, without a word */
		uint64_t asked_bytes, granted_bytes;
		enum autosize_why why;
	} need; /* the latest */
};

/* RAM_BYTES: boot memory and what is requested at start. */
void autosize_init(struct autosize *a, const struct autosize_cfg *cfg,
		   const struct autosize_limits *limits, uint64_t ram_bytes, uint64_t now_ns);
void autosize_set_limits(struct autosize *a, const struct autosize_limits *limits, uint64_t now_ns);
/* The machine is reset: elastic memory is unplugged, the balloon empty, the agent gone. */
void autosize_reset(struct autosize *a, uint64_t now_ns);

/* What happened. The decision may be another one after each of these. */
void autosize_agent(struct autosize *a, enum autosize_agent agent, uint64_t now_ns);
void autosize_status(struct autosize *a, const struct autosize_status *status, uint64_t now_ns);
struct autosize_answer {
	uint64_t granted_bytes;
	enum autosize_why why;
};
struct autosize_answer autosize_need(struct autosize *a, uint64_t bytes,
				     const struct autosize_status *status, uint64_t now_ns);
void autosize_spare(struct autosize *a, uint64_t bytes, uint64_t now_ns);

/* Whenever they change. */
void autosize_facts(struct autosize *a, const struct autosize_facts *facts, uint64_t now_ns);

/* Call it at autosize_next_ns(); earlier calls do no harm. */
struct autosize_decision autosize_tick(struct autosize *a, uint64_t now_ns);
/* When autosize_tick() may decide anew by itself; 0: never, as things are. */
uint64_t autosize_next_ns(const struct autosize *a);

/* Why it is as it is, one sentence with its figures. Result: BUF. */
const char *autosize_explain(const struct autosize *a, uint64_t now_ns, char *buf, size_t bytes);
const char *autosize_why_name(enum autosize_why why);

#endif
