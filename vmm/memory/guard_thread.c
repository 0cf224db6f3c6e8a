/* SPDX-License-Identifier: Apache-2.0 */
/* guard_thread.c - answers each access to armed memory, and takes the answers away again. */
#include "vmm/memory/guard_thread.h"

#include <errno.h>
#include <poll.h>
#include <sys/resource.h>

#include "vmm/base/log.h"
#include "vmm/memory/guard_state.h"
#include "vmm/memory/uffd.h"

#define PAGE_BYTES (4 * KiB)
#define EVENTS_AT_ONCE 16
/* The mapping is changing under us: so often is enough, the next attempt starts afresh. */
#define COPY_TRIES 1000
/* Between attempts when the host has no memory. */
#define RETRY_NS (10 * NS_PER_MS)
/*
 * A violation is answered each so long, after a few at once. The attacker sleeps meanwhile: what an
 * attack takes of the host's processors, and of the guest's by flushes of their TLBs, is bounded.
 */
#define PACE_NS (NS_PER_MS / 10)
#define PACE_BURST_NS (EVENTS_AT_ONCE * PACE_NS)

static struct guard_region *region_of(struct guard *g, const char *at, uint64_t *offset)
{
	for (struct guard_region *r = g->regions; r; r = r->next) {
		const char *host = r->ram->host;

		if (at < host || at >= host + r->ram->bytes)
			continue;
		*offset = (uint64_t)(at - host);
		return r;
	}
	return NULL;
}

static void count(struct guard_region *r, uint64_t offset, const struct uffd_event *e)
{
	struct unit_count *unit = &r->counts[unit_at(offset)];

	r->guard->due_ns += PACE_NS;
	if (!e->is_write && r->info.reads_lawful) {
		r->info.counts.lawful_reads++;
		return;
	}
	if (e->is_write) {
		r->info.counts.writes++;
		unit->writes++;
	} else {
		r->info.counts.reads++;
		unit->reads++;
	}
	r->info.last_offset = align_down(offset, PAGE_BYTES);
	r->info.last_tid = e->tid;
	log_debug("guard: thread %u %s %#llx of a region, which was given back", e->tid,
		  e->is_write ? "writes to" : "reads", (unsigned long long)offset);
	guard_tell(r->guard);
}

/* Fills what is missing of [OFFSET, OFFSET + BYTES) from its start; stops at what is there. */
static int fill(struct guard_region *r, uint64_t offset, uint64_t bytes, bool protect,
		uint64_t *filled)
{
	struct guard *g = r->guard;
	char *at = (char *)r->ram->host + offset;

	*filled = 0;
	for (unsigned int i = 0; i < COPY_TRIES && *filled < bytes; i++) {
		uint64_t copied;
		int ret = uffd_copy(g->uffd, at + *filled, g->zeros, bytes - *filled, protect,
				    &copied);

		*filled += copied;
		if (ret == -EEXIST || ret == -ENOENT)
			return 0; /* there already, or given to the guest meanwhile */
		if (ret && ret != -EAGAIN)
			return ret;
	}
	return 0;
}

/* The faulting page exists afterwards, with as much of its chunk as was missing. */
static int fill_chunk(struct guard_region *r, uint64_t offset, bool protect)
{
	uint64_t chunk = align_down(offset, CHUNK_BYTES), filled;
	int ret = fill(r, chunk, CHUNK_BYTES, protect, &filled);

	if (ret || filled > offset - chunk)
		return ret;
	return fill(r, align_down(offset, PAGE_BYTES), PAGE_BYTES, protect, &filled);
}

static int contain(struct guard_region *r, uint64_t offset)
{
	struct guard *g = r->guard;
	uint64_t chunk = align_down(offset, CHUNK_BYTES), page = align_down(offset, PAGE_BYTES);
	uint64_t filled;
	uint8_t *flags = &r->flags[unit_at(offset)];
	int ret;

	/*
	 * Two vCPUs at once. To try to fill what is there would charge the memfd with one page more
	 * for a moment, above the bound when the ring is full.
	 */
	if (chunk_ring_has(&g->ring, r, chunk))
		return ram_next_data(r->ram, page) == page ? 0 : fill(r, page, PAGE_BYTES, true, &filled);
	/* Room first: the bound holds at any moment. */
	ret = chunk_ring_full(&g->ring) ? guard_drop_oldest(g) : 0;
	if (ret)
		return ret;
	/* Also when part of it fails, which may have left something. */
	chunk_ring_add(&g->ring, r, chunk, clock_ns() + GUARD_EXPIRY_NS);
	if (!(*flags & UNIT_TABLE)) {
		*flags |= UNIT_TABLE;
		g->status.nr_tables++;
		if (g->status.nr_tables > GUARD_TABLES_MAX)
			guard_tell(g);
	}
	return fill_chunk(r, offset, true);
}

/* -errno: whoever waits has no answer yet. */
static int answer(struct guard *g, const struct uffd_event *e)
{
	uint64_t offset, page;
	struct guard_region *r = region_of(g, e->at, &offset);
	uint8_t flags = r ? r->flags[unit_at(offset)] : 0;
	char *host;
	int ret;

	if (!r)
		return 0;
	host = r->ram->host;
	page = align_down(offset, PAGE_BYTES);
	/* Given to the guest meanwhile. A new mapping, unlike unregistering, has woken nobody. */
	if (!(flags & UNIT_REGISTERED))
		return uffd_wake(g->uffd, host + page, PAGE_BYTES);
	if (!(flags & UNIT_ARMED)) {
		ret = fill_chunk(r, offset, false);
	} else if (e->is_protected) {
		/* Gone meanwhile: the access comes again as a missing one, and counts then. */
		if (!chunk_ring_has(&g->ring, r, align_down(offset, CHUNK_BYTES)))
			return uffd_wake(g->uffd, host + page, PAGE_BYTES);
		ret = 0;
	} else {
		ret = contain(r, offset);
		if (ret == -ENOMEM && g->ring.nr) {
			/* What older violations hold is enough for this one. */
			ret = guard_drop_oldest(g);
			if (!ret)
				ret = contain(r, offset);
		}
	}
	/* A write is let through here, or it would raise a second event. */
	if (!ret && e->is_write)
		ret = uffd_unprotect(g->uffd, host + page, PAGE_BYTES);
	if (ret == -ENOENT)
		ret = 0;
	if (ret)
		return ret;
	if (flags & UNIT_ARMED)
		count(r, offset, e);
	return uffd_wake(g->uffd, host + align_down(offset, CHUNK_BYTES), CHUNK_BYTES);
}

static void take_events(struct guard *g)
{
	struct uffd_event events[EVENTS_AT_ONCE], failed[EVENTS_AT_ONCE];
	unsigned int nr_failed = 0;
	uint64_t start_ns = clock_ns();
	int nr = uffd_read(g->uffd, events, EVENTS_AT_ONCE), error = nr < 0 ? nr : 0;

	__atomic_store_n(&g->answering, nr > 0, __ATOMIC_RELAXED);
	pthread_mutex_lock(&g->lock);
	for (int i = 0; i < nr; i++) {
		int ret = answer(g, &events[i]);

		if (!ret)
			continue;
		error = ret;
		failed[nr_failed++] = events[i];
	}
	if (nr)
		guard_fail(g, error);
	g->status.nr_answers += nr > 0 ? (unsigned int)nr - nr_failed : 0;
	g->status.busy_ns += clock_ns() - start_ns;
	pthread_mutex_unlock(&g->lock);
	__atomic_store_n(&g->answering, false, __ATOMIC_RELAXED);
	if (!error)
		return;
	/* The loop pauses the VM. Who is woken asks again: no access is forgotten. */
	nanosleep(&(struct timespec){ .tv_nsec = (long)RETRY_NS }, NULL);
	for (unsigned int i = 0; i < nr_failed; i++) {
		char *page = (char *)align_down((uintptr_t)failed[i].at, PAGE_BYTES);

		if (uffd_wake(g->uffd, page, PAGE_BYTES))
			return;
	}
}

/* Milliseconds until the next chunk is due; -1: there is none. */
static int expire(struct guard *g)
{
	const struct chunk *oldest;
	int ms = -1;

	pthread_mutex_lock(&g->lock);
	while ((oldest = chunk_ring_oldest(&g->ring))) {
		uint64_t now = clock_ns(), due = oldest->expires_ns;
		int ret;

		if (due > now) {
			ms = (int)((due - now + NS_PER_MS - 1) / NS_PER_MS);
			break;
		}
		ret = guard_drop_oldest(g);
		if (ret) {
			guard_fail(g, ret);
			ms = (int)(RETRY_NS / NS_PER_MS);
			break;
		}
		guard_fail(g, 0);
	}
	pthread_mutex_unlock(&g->lock);
	return ms;
}

static void keep_pace(struct guard *g)
{
	uint64_t now = clock_ns();

	if (g->due_ns + PACE_BURST_NS < now)
		g->due_ns = now - PACE_BURST_NS;
	if (g->due_ns > now)
		nanosleep(&(struct timespec){ .tv_nsec = (long)(g->due_ns - now) }, NULL);
}

void *guard_main(void *arg)
{
	struct guard *g = arg;
	struct pollfd fds[] = { { .fd = g->stop_fd, .events = POLLIN },
				{ .fd = g->uffd, .events = POLLIN } };

	pthread_setname_np(pthread_self(), "guard");
	/* vCPUs wait for it. Where it may not, it is as good as they are. */
	(void)setpriority(PRIO_PROCESS, 0, -10);
	while (!fds[0].revents) {
		if (poll(fds, ARRAY_SIZE(fds), expire(g)) < 0 && errno != EINTR)
			fds[1].revents = 0;
		if (fds[1].revents) {
			take_events(g);
			keep_pace(g);
		}
		__atomic_fetch_add(&g->nr_turns, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}
