/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_state.h - whether the VM runs, and what follows when it can't: pause, resume, reset, end, by
 * whoever asks. Thread: the loop, with the device lock, which a pause lets go of while it waits for
 * the vCPUs.
 */
#ifndef EBB_MACHINE_RUN_STATE_H
#define EBB_MACHINE_RUN_STATE_H

#include "vmm/dump/dump.h"
#include "vmm/machine/events.h"
#include "vmm/machine/requests.h"
#include "vmm/machine/run_control.h"

/* What follows when the guest does something; false is the default. */
struct run_actions {
	bool reboot_ends;      /* as with --no-reboot; else it boots again */
	bool power_off_pauses; /* kept for a look or a reset; else the process ends */
	bool crash_pauses;     /* the same; also a panic */
};

/* The machine as its running needs it. */
struct run_env {
	struct loop *loop;
	const struct vm_sinks *sinks;
	struct dump *dump;
	/* All vCPUs have left the guest; false: one waits in the kernel, and will not run guest code
	 * either. They go on. */
	bool (*park)(void *ctx);
	void (*unpark)(void *ctx);
	/* No device takes requests of its guest from now on, what is under way is waited for; or they
	 * do again. */
	void (*hold)(void *ctx, bool hold);
	/* Takes the VM down, gives its memory back, resets the devices, boots again. -errno, logged. */
	int (*reboot)(void *ctx);
	/* What the guest has asked for and nobody has done yet is not done. */
	void (*drop_requests)(void *ctx);
	/* Why the VM must not run, and the way out; NULL: it may. It goes on. */
	const char *(*forbids)(void *ctx);
	void (*resumed)(void *ctx);
	void (*power_button)(void *ctx);
	/* Logs an error with what the console showed last. */
	void (*log)(void *ctx, const char *what);
	void *ctx;
};

struct run_state {
	struct run_env env;
	enum machine_state state;
	struct run_actions actions;
	bool ending; /* the process is on its way out, with EXIT_CODE */
	int exit_code;
};

/* In prelaunch. */
void run_state_init(struct run_state *s, const struct run_env *env,
		    const struct run_actions *actions);
/* What other parts get of it; S outlives them. */
struct run_control run_state_control(struct run_state *s);

/* No effect when the VM stands already; after a dump under way it stays so. */
void run_state_pause(struct run_state *s);
/* -EPERM: run_state_forbids() it. No effect when it runs. */
int must_check run_state_resume(struct run_state *s);
/* Why the VM can't run, and the way out; NULL: it can. */
const char *run_state_forbids(const struct run_state *s);
/* Presses the power button; the guest decides what follows. */
void run_state_power_button(struct run_state *s);
/*
 * A new VM in this process: boot memory given back, kernel loaded again, devices reset, elastic
 * memory unplugged with its targets kept. GUEST says who asked. On failure the machine ends. A
 * machine that could not run is in prelaunch then. A dump under way fails.
 */
void run_state_reset(struct run_state *s, bool guest);
/* The loop ends, and the process with exit code CODE. REASON as in QMP's ShutdownCause. */
void run_state_end(struct run_state *s, int code, bool guest, const char *reason);

/* What the guest asks for (requests_env); CTX is the struct run_state. */
void run_state_requested(void *ctx, const struct vm_request *request);
void run_state_crash_kernel(void *ctx);

#endif
