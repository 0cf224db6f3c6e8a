/* SPDX-License-Identifier: Apache-2.0 */
/* requests.c - the mailbox between vCPU threads and the loop. */
#include "vmm/machine/requests.h"

#include <sys/epoll.h>

#include "vmm/base/event.h"

static void make(struct requests *r, struct vm_request request)
{
	if (r->first.kind == REQUEST_NONE)
		r->first = request;
	event_raise(&r->fd);
}

void requests_power_off(void *ctx)
{
	make(ctx, (struct vm_request){ .kind = REQUEST_POWER_OFF });
}

void requests_reset(void *ctx) { make(ctx, (struct vm_request){ .kind = REQUEST_RESET }); }

void requests_debug_exit(void *ctx, uint8_t code)
{
	make(ctx, (struct vm_request){ .kind = REQUEST_DEBUG_EXIT, .exit_code = code });
}

void requests_panicked(void *ctx) { make(ctx, (struct vm_request){ .kind = REQUEST_PANIC }); }

void requests_crash_kernel(void *ctx)
{
	struct requests *r = ctx;

	r->crash_kernel = true;
	event_raise(&r->fd);
}

void requests_vcpu_ended(void *ctx, enum vcpu_end end, const char *text)
{
	struct requests *r = ctx;
	struct vm_request crash = { .kind = REQUEST_CRASH,
				    .text = text,
				    .guest_crashed = end == VCPU_TRIPLE_FAULT };

	loop_lock(r->env.loop);
	if (end == VCPU_RESET)
		requests_reset(r);
	else if (end == VCPU_SHUTDOWN)
		requests_power_off(r);
	else
		make(r, crash);
	loop_unlock(r->env.loop);
}

static void on_request(void *ctx, uint32_t events)
{
	struct requests *r = ctx;
	struct vm_request request = r->first;
	bool crash_kernel = r->crash_kernel;

	(void)events;
	if (!event_taken(r->fd))
		return;
	r->first = (struct vm_request){ 0 };
	r->crash_kernel = false;
	if (crash_kernel)
		r->env.crash_kernel(r->env.ctx);
	if (request.kind != REQUEST_NONE)
		r->env.made(r->env.ctx, &request);
}

int requests_open(struct requests *r, const struct requests_env *env)
{
	int e;

	*r = (struct requests){ .env = *env, .fd = -1 };
	e = event_new(&r->fd);
	return e ? e : loop_add(env->loop, r->fd, EPOLLIN, on_request, r);
}

void requests_close(struct requests *r)
{
	if (!r->env.loop)
		return;
	if (r->fd >= 0)
		loop_remove(r->env.loop, r->fd);
	auto_close_fn(&r->fd);
}

void requests_drop(struct requests *r)
{
	r->first = (struct vm_request){ 0 };
	r->crash_kernel = false;
	(void)event_taken(r->fd);
}
