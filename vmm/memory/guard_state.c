/* SPDX-License-Identifier: Apache-2.0 */
/* guard_state.c - what is told of the guard, and chunks that go. */
#include "vmm/memory/guard_state.h"

#include <string.h>

#include "vmm/base/event.h"
#include "vmm/base/log.h"

void guard_tell(struct guard *g)
{
	if (g->news_told)
		return;
	g->news_told = true;
	event_raise(g->status_fd);
}

void guard_fail(struct guard *g, int error)
{
	if (g->status.error == error)
		return;
	g->status.error = error;
	if (error)
		log_error("guard: no answer to an access to memory that was given back: %s",
			  strerror(-error));
	guard_tell(g);
}

void guard_break(struct guard *g, int error)
{
	if (!g->status.broken)
		log_error("guard: memory that was given back can't be guarded any more: %s",
			  strerror(-error));
	g->status.broken = error;
	guard_tell(g);
}

int guard_drop_oldest(struct guard *g)
{
	const struct chunk *c = chunk_ring_oldest(&g->ring);
	const struct guard_region *r = c->region;
	int ret = ram_discard(r->ram, c->offset, CHUNK_BYTES);

	if (!ret)
		chunk_ring_drop_oldest(&g->ring);
	return ret;
}
