/* SPDX-License-Identifier: Apache-2.0 */
/* dump.c - a core file written beside the loop's other work. */
#include "vmm/dump/dump.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/kvm/vcpu.h"

/* The longest that others wait, but for a disk that makes us wait. */
#define TURN_NS (5 * NS_PER_MS)

const char *dump_state_name(enum dump_state state)
{
	static const char *const name[] = { [DUMP_NONE] = "none", [DUMP_ACTIVE] = "active",
					    [DUMP_COMPLETED] = "completed",
					    [DUMP_FAILED] = "failed" };

	return name[state];
}

static void finish(struct dump *d, const char *error)
{
	d->state = error ? DUMP_FAILED : DUMP_COMPLETED;
	if (d->is_watched)
		loop_remove(d->env.loop, d->writer.fd);
	loop_timer_cancel(d->env.loop, &d->timer);
	close(d->writer.fd);
	core_writer_free(&d->writer);
	d->env.ended(d->env.ctx, error);
	if (d->resume)
		d->env.resume(d->env.ctx, "the VM stays paused after the dump");
}

static void write_on(struct dump *d)
{
	uint64_t until_ns = clock_ns() + TURN_NS;
	char text[128];
	int r;

	do
		r = core_write_some(&d->writer, d->env.gm);
	while (r > 0 && clock_ns() < until_ns);
	d->done_bytes = d->writer.done_bytes;
	if (!r) {
		finish(d, NULL);
	} else if (r < 0 && (r != -EAGAIN || !d->is_watched)) {
		snprintf(text, sizeof(text), "after %llu of %llu bytes: %s",
			 (unsigned long long)d->done_bytes, (unsigned long long)d->total_bytes,
			 strerror(-r));
		finish(d, text);
	} else if (!d->is_watched) {
		loop_timer_set(d->env.loop, &d->timer, loop_now(d->env.loop));
	}
}

static void on_timer(void *ctx) { write_on(ctx); }

static void on_room(void *ctx, uint32_t events)
{
	(void)events;
	write_on(ctx);
}

static int open_writer(struct dump *d, int fd)
{
	auto_free void *notes = NULL;
	struct core_file core;
	size_t notes_bytes;
	int r = d->env.notes(d->env.ctx, &notes, &notes_bytes);

	if (!r)
		r = core_file_new(&core, d->env.gm, vcpu_elf_machine(), notes, notes_bytes);
	if (r)
		return r;
	r = core_writer_init(&d->writer, &core, fd);
	if (r)
		core_file_free(&core);
	return r;
}

static int prepare(struct dump *d, int fd)
{
	int r = open_writer(d, fd);

	if (r)
		return r;
	r = loop_add(d->env.loop, fd, EPOLLOUT, on_room, d);
	d->is_watched = !r;
	if (!r || r == -EPERM) /* a regular file is always ready */
		return 0;
	core_writer_free(&d->writer);
	return r;
}

int dump_start(struct dump *d, int fd)
{
	const struct dump_env *env = &d->env;
	bool ran = env->is_running(env->ctx);
	struct dump before = *d;
	int r;

	assert(!dump_is_active(d));
	env->pause(env->ctx);
	*d = (struct dump){ .env = before.env, .timer = { .fn = on_timer, .ctx = d },
			    .resume = ran };
	/* They may just have been made, and be on their way to where they wait. */
	r = env->is_parked(env->ctx) ? prepare(d, fd) : -EBUSY;
	if (r) {
		*d = before;
		if (ran)
			env->resume(env->ctx, "the VM stays paused");
		return r;
	}
	d->state = DUMP_ACTIVE;
	d->total_bytes = d->writer.core.bytes;
	if (!d->is_watched)
		loop_timer_set(env->loop, &d->timer, loop_now(env->loop));
	return 0;
}

void dump_abort(struct dump *d, const char *error)
{
	if (dump_is_active(d))
		finish(d, error);
}

void dump_stay_paused(struct dump *d) { d->resume = false; }
