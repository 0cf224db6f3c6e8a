/* SPDX-License-Identifier: Apache-2.0 */
/* run_state.c - start, pause, reset and end of a machine. */
#include "vmm/machine/run_state.h"

#include <errno.h>

#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"

/* --- telling ----------------------------------------------------------------------------------- */

static void enter(struct run_state *s, enum machine_state state)
{
	struct vm_event event = { .kind = VM_STATE, .run = { state, s->ending } };

	s->state = state;
	vm_tell(s->env.sinks, &event);
}

static void tell_cause(struct run_state *s, enum vm_event_kind kind, bool guest, const char *reason)
{
	struct vm_event event = { .kind = kind, .cause = { guest, reason } };

	vm_tell(s->env.sinks, &event);
}

/* --- stand and go ------------------------------------------------------------------------------ */

/* The machine stops where it is: memory and registers stay for whoever looks. */
static void hold(struct run_state *s, enum machine_state state)
{
	bool running = s->state == MACHINE_RUNNING;

	if (running)
		(void)s->env.park(s->env.ctx);
	s->env.hold(s->env.ctx, true);
	/* What other vCPUs asked for on their way to where they stand is not done. */
	s->env.drop_requests(s->env.ctx);
	enter(s, state);
	if (running)
		vm_tell_kind(s->env.sinks, VM_STOPPED);
}

void run_state_pause(struct run_state *s)
{
	dump_stay_paused(s->env.dump);
	if (s->state != MACHINE_RUNNING)
		return;
	if (!s->env.park(s->env.ctx))
		log_error("a vCPU waits in the kernel for memory and can't be stopped there; it "
			  "will not run guest code while the VM is paused");
	s->env.hold(s->env.ctx, true);
	enter(s, MACHINE_PAUSED);
	vm_tell_kind(s->env.sinks, VM_STOPPED);
}

const char *run_state_forbids(const struct run_state *s)
{
	const char *why = s->env.forbids(s->env.ctx);

	if (why)
		return why;
	if (dump_is_active(s->env.dump))
		return "a dump is being written; query-dump tells how far it is";
	switch (s->state) {
	case MACHINE_SHUTDOWN:
		return "the guest has powered off; system_reset boots it again";
	case MACHINE_PANICKED:
		return "the guest has crashed or panicked; system_reset boots it again";
	case MACHINE_INTERNAL_ERROR:
		return "KVM can't carry on with it; system_reset boots it again";
	default:
		return NULL;
	}
}

int run_state_resume(struct run_state *s)
{
	if (s->state == MACHINE_RUNNING)
		return 0;
	if (run_state_forbids(s))
		return -EPERM;
	s->env.resumed(s->env.ctx);
	s->state = MACHINE_RUNNING;
	s->env.hold(s->env.ctx, false);
	s->env.unpark(s->env.ctx);
	enter(s, MACHINE_RUNNING);
	vm_tell_kind(s->env.sinks, VM_RESUMED);
	return 0;
}

void run_state_power_button(struct run_state *s)
{
	s->env.power_button(s->env.ctx);
	vm_tell_kind(s->env.sinks, VM_POWER_BUTTON);
}

/* --- reset and end ----------------------------------------------------------------------------- */

void run_state_reset(struct run_state *s, bool guest)
{
	if (s->ending)
		return;
	dump_abort(s->env.dump, "the machine was reset meanwhile");
	if (s->env.reboot(s->env.ctx)) {
		log_error("reset failed; the VM ends");
		s->state = MACHINE_INTERNAL_ERROR;
		run_state_end(s, EXIT_CRASH, guest, "host-error");
		return;
	}
	tell_cause(s, VM_RESET, guest, guest ? "guest-reset" : "host-qmp-system-reset");
	if (s->state == MACHINE_RUNNING)
		s->env.unpark(s->env.ctx);
	enter(s, s->state == MACHINE_RUNNING || s->state == MACHINE_PAUSED ? s->state :
									     MACHINE_PRELAUNCH);
}

void run_state_end(struct run_state *s, int code, bool guest, const char *reason)
{
	bool broken = s->state == MACHINE_INTERNAL_ERROR || s->state == MACHINE_PANICKED;

	if (s->ending)
		return;
	s->ending = true;
	s->exit_code = code;
	enter(s, broken ? s->state : MACHINE_SHUTDOWN);
	tell_cause(s, VM_ENDED, guest, reason);
	loop_stop(s->env.loop);
}

/* --- what the guest asks for ------------------------------------------------------------------- */

static void guest_ended(struct run_state *s, int code, const char *reason)
{
	if (!s->actions.power_off_pauses) {
		run_state_end(s, code, true, reason);
		return;
	}
	tell_cause(s, VM_ENDED, true, reason);
	hold(s, MACHINE_SHUTDOWN);
}

/* It can't go on: what follows by the action that is set, in STATE or with exit code CODE. */
static void gave_up(struct run_state *s, enum machine_state state, int code)
{
	struct vm_event event = { .kind = VM_PANICKED, .pauses = s->actions.crash_pauses };

	if (state == MACHINE_PANICKED)
		vm_tell(s->env.sinks, &event);
	if (event.pauses) {
		log_warn("the VM is paused (--panic, set-action); system_reset or quit is left");
		hold(s, state);
		return;
	}
	s->state = state;
	run_state_end(s, code, true, "guest-panic");
}

static void crashed(struct run_state *s, const struct vm_request *request)
{
	log_error("the guest crashed: %s", request->text);
	gave_up(s, request->guest_crashed ? MACHINE_PANICKED : MACHINE_INTERNAL_ERROR, EXIT_CRASH);
}

static void panicked(struct run_state *s)
{
	s->env.log(s->env.ctx, "the guest has panicked");
	gave_up(s, MACHINE_PANICKED, EXIT_PANIC);
}

void run_state_requested(void *ctx, const struct vm_request *request)
{
	struct run_state *s = ctx;

	switch (request->kind) {
	case REQUEST_POWER_OFF:
		guest_ended(s, EXIT_POWER_OFF, "guest-shutdown");
		break;
	case REQUEST_RESET:
		if (s->actions.reboot_ends)
			guest_ended(s, EXIT_NO_REBOOT, "guest-reset");
		else
			run_state_reset(s, true);
		break;
	case REQUEST_DEBUG_EXIT:
		run_state_end(s, request->exit_code, true, "guest-shutdown");
		break;
	case REQUEST_CRASH:
		crashed(s, request);
		break;
	case REQUEST_PANIC:
		panicked(s);
		break;
	case REQUEST_NONE:
		break;
	}
}

void run_state_crash_kernel(void *ctx)
{
	struct run_state *s = ctx;

	log_guest("the guest has panicked and starts its crash kernel");
	vm_tell_kind(s->env.sinks, VM_CRASH_KERNEL);
}

/* --- for other parts --------------------------------------------------------------------------- */

static bool is_running(void *ctx) { return ((struct run_state *)ctx)->state == MACHINE_RUNNING; }

static bool park(void *ctx)
{
	struct run_state *s = ctx;

	return s->env.park(s->env.ctx);
}

static void unpark(void *ctx)
{
	struct run_state *s = ctx;

	if (s->state == MACHINE_RUNNING)
		s->env.unpark(s->env.ctx);
}

static void pause_vm(void *ctx) { run_state_pause(ctx); }

static void end(void *ctx, int code, bool guest, const char *reason)
{
	run_state_end(ctx, code, guest, reason);
}

struct run_control run_state_control(struct run_state *s)
{
	return (struct run_control){ .is_running = is_running,
				     .park = park,
				     .unpark = unpark,
				     .pause = pause_vm,
				     .end = end,
				     .ctx = s };
}

void run_state_init(struct run_state *s, const struct run_env *env,
		    const struct run_actions *actions)
{
	*s = (struct run_state){ .env = *env, .actions = *actions };
}
