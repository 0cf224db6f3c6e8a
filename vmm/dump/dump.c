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
#include "vmm/machine/machine.h"

/* The longest that others wait, but for a disk that makes us wait. */
#define TURN_NS (5 * NS_PER_MS)

const char *dump_state_name(enum dump_state state)
{
	static const char *const name[] = { [DUMP_NONE] = "none", [DUMP_ACTIVE] = "active",
					    [DUMP_COMPLETED] = "completed",
					    [DUMP_FAILED] = "failed" };

	return name[state];
}

static void finish(struct machine *m, const char *error)
{
	struct dump *d = &m->dump;

	d->state = error ? DUMP_FAILED : DUMP_COMPLETED;
	if (d->is_watched)
		loop_remove(m->loop, d->writer.fd);
	loop_timer_cancel(m->loop, &d->timer);
	close(d->writer.fd);
	core_writer_free(&d->writer);
	d->ended(d->ctx, error);
	if (d->resume && m->state == MACHINE_PAUSED && machine_resume(m))
		log_warn("the VM stays paused after the dump: %s", machine_forbids(m));
}

static void write_on(struct machine *m)
{
	struct dump *d = &m->dump;
	uint64_t until_ns = clock_ns() + TURN_NS;
	char text[128];
	int r;

	do
		r = core_write_some(&d->writer, &m->gm);
	while (r > 0 && clock_ns() < until_ns);
	d->done_bytes = d->writer.done_bytes;
	if (!r) {
		finish(m, NULL);
	} else if (r < 0 && (r != -EAGAIN || !d->is_watched)) {
		snprintf(text, sizeof(text), "after %llu of %llu bytes: %s",
			 (unsigned long long)d->done_bytes, (unsigned long long)d->total_bytes,
			 strerror(-r));
		finish(m, text);
	} else if (!d->is_watched) {
		loop_timer_set(m->loop, &d->timer, loop_now(m->loop));
	}
}

static void on_timer(void *ctx) { write_on(ctx); }

static void on_room(void *ctx, uint32_t events)
{
	(void)events;
	write_on(ctx);
}

static int open_writer(struct machine *m, struct core_writer *w, int fd)
{
	auto_free void *notes = NULL;
	struct core_file core;
	size_t notes_bytes;
	int r = vcpus_notes(m->vcpus, &notes, &notes_bytes);

	if (!r)
		r = core_file_new(&core, &m->gm, vcpu_elf_machine(), notes, notes_bytes);
	if (r)
		return r;
	r = core_writer_init(w, &core, fd);
	if (r)
		core_file_free(&core);
	return r;
}

static int prepare(struct machine *m, struct dump *d, int fd)
{
	int r = open_writer(m, &d->writer, fd);

	if (r)
		return r;
	r = loop_add(m->loop, fd, EPOLLOUT, on_room, m);
	d->is_watched = !r;
	if (!r || r == -EPERM) /* a regular file is always ready */
		return 0;
	core_writer_free(&d->writer);
	return r;
}

int dump_start(struct machine *m, int fd, void (*ended)(void *ctx, const char *error), void *ctx)
{
	bool ran = m->state == MACHINE_RUNNING;
	struct dump d = { .timer = { .fn = on_timer, .ctx = m }, .ended = ended, .ctx = ctx,
			  .resume = ran };
	int r;

	assert(!dump_is_active(&m->dump));
	machine_pause(m);
	/* They may just have been made, and be on their way to where they wait. */
	r = vcpus_pause(m->vcpus) ? prepare(m, &d, fd) : -EBUSY;
	if (r) {
		if (ran && machine_resume(m))
			log_warn("the VM stays paused: %s", machine_forbids(m));
		return r;
	}
	d.state = DUMP_ACTIVE;
	d.total_bytes = d.writer.core.bytes;
	m->dump = d;
	if (!d.is_watched)
		loop_timer_set(m->loop, &m->dump.timer, loop_now(m->loop));
	return 0;
}

void dump_abort(struct machine *m, const char *error)
{
	if (dump_is_active(&m->dump))
		finish(m, error);
}

void dump_stay_paused(struct machine *m) { m->dump.resume = false; }
