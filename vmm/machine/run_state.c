/* SPDX-License-Identifier: Apache-2.0 */
/* run_state.c - start, pause, reset and end of a machine, and who may ask for them. */
#include "vmm/machine/run_state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/base/signals.h"
#include "vmm/monitor/monitor.h"

/* What vCPU threads ask for; the first one counts. */
static void request(struct machine *m, enum machine_request what)
{
	if (m->request == REQUEST_NONE)
		m->request = what;
	event_raise(&m->request_fd);
}

void lifecycle_guest_power_off(void *ctx) { request(ctx, REQUEST_POWER_OFF); }
void lifecycle_guest_reset(void *ctx) { request(ctx, REQUEST_RESET); }

void lifecycle_guest_panicked(void *ctx) { request(ctx, REQUEST_PANIC); }

/* Told to whom it may interest; it must not stand in the way of a request. */
void lifecycle_crash_kernel(void *ctx)
{
	struct machine *m = ctx;

	m->crash_kernel = true;
	event_raise(&m->request_fd);
}

void lifecycle_debug_exit(void *ctx, uint8_t code)
{
	struct machine *m = ctx;

	if (m->request == REQUEST_NONE)
		m->debug_exit_code = code;
	request(m, REQUEST_DEBUG_EXIT);
}

void lifecycle_console_quit(void *ctx) { machine_end(ctx, EXIT_POWER_OFF, false, "host-ui"); }

/* The first signal asks the guest to end, the second one does not ask. */
static void on_signal(void *ctx, uint32_t events)
{
	struct machine *m = ctx;
	int signo = signals_taken(m->signal_fd);

	(void)events;
	if (!signo)
		return;
	if (signo == SIGHUP && m->cfg->log_file) {
		log_reopen();
		return;
	}
	/* A VM that stands for its dump alone runs again, and hears of it. */
	dump_abort(m, "a signal asks the VM to end");
	if (!m->asked_to_end && m->state == MACHINE_RUNNING) {
		m->asked_to_end = true;
		machine_power_button(m);
		log_warn("signal %d: power button pressed; once more stops the VM at once", signo);
		return;
	}
	machine_end(m, 128 + signo, false, "host-signal");
}

/* The machine stops where it is: memory and registers stay for whoever looks. */
static void hold(struct machine *m, enum machine_state state)
{
	bool running = m->state == MACHINE_RUNNING;

	if (running)
		(void)vcpus_pause(m->vcpus);
	machine_hold_devices(m, true);
	/* What other vCPUs asked for on their way to where they stand is not done. */
	m->request = REQUEST_NONE;
	(void)event_taken(m->request_fd);
	m->state = state;
	service_status(m);
	if (running)
		qmp_event(m->qmp, "STOP", NULL);
}

static void guest_ended(struct machine *m, int code, const char *reason)
{
	if (!m->actions.power_off_pauses) {
		machine_end(m, code, true, reason);
		return;
	}
	commands_event_cause(m, "SHUTDOWN", true, reason);
	hold(m, MACHINE_SHUTDOWN);
}

/* It can't go on: what follows by the action that is set, in STATE or with exit code CODE. */
static void gave_up(struct machine *m, enum machine_state state, int code)
{
	bool pauses = m->actions.crash_pauses;

	if (state == MACHINE_PANICKED)
		commands_panicked(m, pauses ? "pause" : "poweroff");
	if (pauses) {
		log_warn("the VM is paused (--panic, set-action); system_reset or quit is left");
		hold(m, state);
		return;
	}
	m->state = state;
	machine_end(m, code, true, "guest-panic");
}

static void crashed(struct machine *m)
{
	log_error("the guest crashed: %s", m->crash_text);
	gave_up(m, m->guest_crashed ? MACHINE_PANICKED : MACHINE_INTERNAL_ERROR, EXIT_CRASH);
}

/* An error, with what the console showed last. */
static void log_with_console(struct machine *m, const char *what)
{
	char tail[CONSOLE_EXCERPT_BYTES];

	log_error("%s; the console's last lines:\n%s", what, console_excerpt(m->console, tail));
}

static void panicked(struct machine *m)
{
	log_with_console(m, "the guest has panicked");
	gave_up(m, MACHINE_PANICKED, EXIT_PANIC);
}

static void on_timeout(void *ctx)
{
	struct machine *m = ctx;
	char text[64];

	snprintf(text, sizeof(text), "the VM's time (--timeout=%.9g s) is over",
		 (double)m->cfg->timeout_ns / (double)NS_PER_S);
	log_with_console(m, text);
	dump_abort(m, "the VM's time is over");
	machine_end(m, EXIT_TIMEOUT, false, "host-signal");
}

static void on_request(void *ctx, uint32_t events)
{
	struct machine *m = ctx;
	enum machine_request what = m->request;

	(void)events;
	if (!event_taken(m->request_fd))
		return;
	if (m->crash_kernel)
		commands_crash_kernel(m);
	m->crash_kernel = false;
	m->request = REQUEST_NONE;
	switch (what) {
	case REQUEST_POWER_OFF:
		guest_ended(m, EXIT_POWER_OFF, "guest-shutdown");
		break;
	case REQUEST_RESET:
		if (m->actions.reboot_ends)
			guest_ended(m, EXIT_NO_REBOOT, "guest-reset");
		else
			machine_reset(m, true);
		break;
	case REQUEST_DEBUG_EXIT:
		machine_end(m, m->debug_exit_code, true, "guest-shutdown");
		break;
	case REQUEST_CRASH:
		crashed(m);
		break;
	case REQUEST_PANIC:
		panicked(m);
		break;
	case REQUEST_NONE:
		break;
	}
}

/* On a vCPU thread, without the device lock. */
void lifecycle_vcpu_ended(void *ctx, enum vcpu_end end, const char *text)
{
	struct machine *m = ctx;

	loop_lock(m->loop);
	if (end == VCPU_RESET) {
		request(m, REQUEST_RESET);
	} else if (end == VCPU_SHUTDOWN) {
		request(m, REQUEST_POWER_OFF);
	} else {
		m->crash_text = text;
		m->guest_crashed = end == VCPU_TRIPLE_FAULT;
		request(m, REQUEST_CRASH);
	}
	loop_unlock(m->loop);
}

int lifecycle_open(struct machine *m)
{
	int r = event_new(&m->request_fd);

	if (!r)
		r = loop_add(m->loop, m->request_fd, EPOLLIN, on_request, m);
	if (!r)
		r = signals_open(&m->signal_fd);
	if (!r)
		r = loop_add(m->loop, m->signal_fd, EPOLLIN, on_signal, m);
	if (!r)
		r = commands_listen(m);
	return r;
}

int machine_run(struct machine *m)
{
	int r;

	m->timeout = (struct loop_timer){ .fn = on_timeout, .ctx = m };
	if (m->cfg->timeout_ns)
		loop_timer_set(m->loop, &m->timeout, loop_now(m->loop) + m->cfg->timeout_ns);
	service_ready(m);
	r = loop_run(m->loop);
	loop_timer_cancel(m->loop, &m->timeout);
	return r ? EXIT_CRASH : m->exit_code;
}

const char *machine_state_name(enum machine_state state)
{
	static const char *const name[] = {
		[MACHINE_PRELAUNCH] = "prelaunch",   [MACHINE_RUNNING] = "running",
		[MACHINE_PAUSED] = "paused",	     [MACHINE_SHUTDOWN] = "shutdown",
		[MACHINE_PANICKED] = "guest-panicked",
		[MACHINE_INTERNAL_ERROR] = "internal-error",
	};

	return name[state];
}

void machine_pause(struct machine *m)
{
	dump_stay_paused(m);
	if (m->state != MACHINE_RUNNING)
		return;
	if (!vcpus_pause(m->vcpus))
		log_error("a vCPU waits in the kernel for memory and can't be stopped there; it "
			  "will not run guest code while the VM is paused");
	machine_hold_devices(m, true);
	m->state = MACHINE_PAUSED;
	service_status(m);
	qmp_event(m->qmp, "STOP", NULL);
}

const char *machine_forbids(const struct machine *m)
{
	const char *why = guarding_forbids(m);

	if (why)
		return why;
	if (dump_is_active(&m->dump))
		return "a dump is being written; query-dump tells how far it is";
	switch (m->state) {
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

int machine_resume(struct machine *m)
{
	if (m->state == MACHINE_RUNNING)
		return 0;
	if (machine_forbids(m))
		return -EPERM;
	guarding_resumed(m);
	m->state = MACHINE_RUNNING;
	machine_hold_devices(m, false);
	vcpus_resume(m->vcpus);
	service_status(m);
	qmp_event(m->qmp, "RESUME", NULL);
	return 0;
}

void machine_power_button(struct machine *m)
{
	power_button(&m->power);
	qmp_event(m->qmp, "POWERDOWN", NULL);
}

void machine_reset(struct machine *m, bool guest)
{
	if (m->ending)
		return;
	dump_abort(m, "the machine was reset meanwhile");
	if (machine_reboot(m)) {
		log_error("reset failed; the VM ends");
		m->state = MACHINE_INTERNAL_ERROR;
		machine_end(m, EXIT_CRASH, guest, "host-error");
		return;
	}
	commands_event_cause(m, "RESET", guest, guest ? "guest-reset" : "host-qmp-system-reset");
	if (m->state == MACHINE_RUNNING)
		vcpus_resume(m->vcpus);
	else if (m->state != MACHINE_PAUSED)
		m->state = MACHINE_PRELAUNCH;
	service_status(m);
}

void machine_end(struct machine *m, int code, bool guest, const char *reason)
{
	if (m->ending)
		return;
	m->ending = true;
	if (m->state != MACHINE_INTERNAL_ERROR && m->state != MACHINE_PANICKED)
		m->state = MACHINE_SHUTDOWN;
	m->exit_code = code;
	service_status(m);
	commands_event_cause(m, "SHUTDOWN", guest, reason);
	loop_stop(m->loop);
}
