/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump.h - writes the guest's memory and registers to a file, pipe or socket as an ELF core file
 * (core_writer.h), in pieces between the loop's other work, while the VM is paused.
 * Thread: the loop, with the device lock.
 */
#ifndef EBB_DUMP_DUMP_H
#define EBB_DUMP_DUMP_H

#include "vmm/base/loop.h"
#include "vmm/dump/core_writer.h"

enum dump_state { DUMP_NONE, DUMP_ACTIVE, DUMP_COMPLETED, DUMP_FAILED };
#define DUMP_STATES "none|active|completed|failed"

/* The VM as a dump needs it. Thread: the loop, with the device lock. */
struct dump_env {
	struct loop *loop;
	const struct guest_mem *gm;
	bool (*is_running)(void *ctx);
	void (*pause)(void *ctx);
	/* Whether all vCPUs have come to where they wait. */
	bool (*is_parked)(void *ctx);
	/* The VM goes on, if it is paused and may; what stands in the way is logged with BEFORE. */
	void (*resume)(void *ctx, const char *before);
	/* vcpus_notes() of its vCPUs. */
	int (*notes)(void *ctx, void **notes, size_t *bytes);
	/* At the end of each dump; ERROR is NULL when all of it is written. The VM still stands. */
	void (*ended)(void *ctx, const char *error);
	void *ctx;
};

/* Zeroed memory, but for ENV: there was none yet. */
struct dump {
	struct dump_env env;
	enum dump_state state; /* of the latest one */
	uint64_t done_bytes, total_bytes;

	/* The rest is that of the dump under way. */
	struct core_writer writer;
	bool is_watched; /* the loop says when the file takes more */
	bool resume;	 /* the VM ran before */
	struct loop_timer timer;
};

/*
 * Pauses the VM and starts to write to FD, which belongs to the dump if that succeeds; at its end,
 * after env.ended(), the VM runs again if it ran before. No dump may be under way. -EBUSY: a vCPU
 * can't be stopped; other -errno, logged. The VM runs as before then.
 */
int must_check dump_start(struct dump *d, int fd);
/* A dump under way fails, with that error; no effect otherwise. */
void dump_abort(struct dump *d, const char *error);
/* The VM does not run again at the end of the dump under way. */
void dump_stay_paused(struct dump *d);
static inline bool dump_is_active(const struct dump *d) { return d->state == DUMP_ACTIVE; }
const char *dump_state_name(enum dump_state state);

#endif
