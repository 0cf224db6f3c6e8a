/* SPDX-License-Identifier: Apache-2.0 */
/* recorder.c - events of a machine, kept. */
#include "tests/unit/recorder.h"

#include <assert.h>

static void keep(void *ctx, const struct vm_event *event)
{
	struct recorder *r = ctx;

	assert(r->nr < RECORDER_MAX);
	r->events[r->nr++] = *event;
}

void recorder_init(struct recorder *r)
{
	*r = (struct recorder){ 0 };
	vm_sinks_add(&r->sinks, (struct vm_sink){ keep, r });
}

void recorder_forget(struct recorder *r) { r->nr = 0; }

unsigned int recorder_count(const struct recorder *r, enum vm_event_kind kind)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < r->nr; i++)
		nr += r->events[i].kind == kind;
	return nr;
}

const struct vm_event *recorder_last(const struct recorder *r, enum vm_event_kind kind)
{
	for (unsigned int i = r->nr; i > 0; i--)
		if (r->events[i - 1].kind == kind)
			return &r->events[i - 1];
	return NULL;
}
