/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - what one VM process is made of, and what ends it from outside. */
#include "vmm/process/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "vmm/base/clock.h"
#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/base/loop.h"
#include "vmm/base/signals.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/platform.h"
#include "vmm/machine/run_state.h"
#include "vmm/monitor/monitor.h"
#include "vmm/process/service.h"

struct process {
	const struct config *cfg;
	struct loop *loop;
	struct service service;
	int signal_fd; /* -1: not open */
	struct monitor monitor;
	struct vm_sinks sinks;
	struct machine *machine; /* NULL: not built yet */
	struct loop_timer timeout;
	bool asked_to_end; /* one signal was answered with the power button */
};

static const struct machine_parts *parts(const struct process *p)
{
	return machine_parts(p->machine);
}

/* The first signal asks the guest to end, the second one does not ask. */
static void on_signal(void *ctx, uint32_t events)
{
	struct process *p = ctx;
	struct run_state *run = parts(p)->run;
	int signo = signals_taken(p->signal_fd);

	(void)events;
	if (!signo)
		return;
	if (signo == SIGHUP && p->cfg->log_file) {
		log_reopen();
		return;
	}
	/* A VM that stands for its dump alone runs again, and hears of it. */
	dump_abort(parts(p)->dump, "a signal asks the VM to end");
	if (!p->asked_to_end && run->state == MACHINE_RUNNING) {
		p->asked_to_end = true;
		run_state_power_button(run);
		log_warn("signal %d: power button pressed; once more stops the VM at once", signo);
		return;
	}
	run_state_end(run, 128 + signo, false, "host-signal");
}

static void on_timeout(void *ctx)
{
	struct process *p = ctx;
	char text[64];

	snprintf(text, sizeof(text), "the VM's time (--timeout=%.9g s) is over",
		 (double)p->cfg->timeout_ns / (double)NS_PER_S);
	platform_log_with_console(parts(p)->platform, text);
	dump_abort(parts(p)->dump, "the VM's time is over");
	run_state_end(parts(p)->run, EXIT_TIMEOUT, false, "host-signal");
}

/* Before any thread exists, so that all of them leave the signals alone. */
static int watch_signals(struct process *p)
{
	int r = signals_open(&p->signal_fd);

	return r ? r : loop_add(p->loop, p->signal_fd, EPOLLIN, on_signal, p);
}

static int build(struct process *p)
{
	int r = loop_new(&p->loop);

	if (!r)
		r = service_open(&p->service, p->loop, p->cfg->pid_file);
	if (!r)
		r = watch_signals(p);
	if (!r)
		r = monitor_open(&p->monitor, p->loop, p->cfg);
	if (!r)
		r = machine_new(&p->machine, p->cfg, p->loop, &p->sinks);
	if (r)
		return r;
	monitor_attach(&p->monitor, parts(p), &p->sinks);
	vm_sinks_add(&p->sinks, (struct vm_sink){ service_tell, NULL });
	return machine_start(p->machine);
}

int process_new(struct process **out, const struct config *cfg)
{
	struct process *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return fail(-ENOMEM, "process");
	p->cfg = cfg;
	p->signal_fd = -1;
	r = build(p);
	if (r) {
		process_free(p);
		return r;
	}
	*out = p;
	return 0;
}

int process_run(struct process *p)
{
	int r;

	p->timeout = (struct loop_timer){ .fn = on_timeout, .ctx = p };
	if (p->cfg->timeout_ns)
		loop_timer_set(p->loop, &p->timeout, loop_now(p->loop) + p->cfg->timeout_ns);
	service_ready(&p->service, parts(p)->run->state);
	r = loop_run(p->loop);
	loop_timer_cancel(p->loop, &p->timeout);
	return r ? EXIT_CRASH : parts(p)->run->exit_code;
}

void process_free(struct process *p)
{
	machine_free(p->machine);
	service_close(&p->service);
	auto_close_fn(&p->signal_fd);
	if (p->loop) {
		loop_lock(p->loop);
		monitor_close(&p->monitor);
		loop_unlock(p->loop);
	}
	loop_free(p->loop);
	free(p);
}
