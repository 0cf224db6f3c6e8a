/* SPDX-License-Identifier: Apache-2.0 */
/* guard.c - what is guarded: arming, disarming, page tables, counters. */
#include "vmm/memory/guard.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/memory/guard_state.h"
#include "vmm/memory/guard_thread.h"
#include "vmm/memory/uffd.h"

#define STUCK_NS NS_PER_S
#define DEFAULT_MAX_MAP_COUNT 65530u

/* One mapping more for each border; half of the limit is left to everything else. */
static unsigned int max_splits(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned int max;

	if (!f || fscanf(f, "%u", &max) != 1)
		max = DEFAULT_MAX_MAP_COUNT;
	if (f)
		fclose(f);
	return max / 2;
}

int guard_new(struct guard **out, int *status_fd) { return guard_new_from(out, NULL, status_fd); }

int guard_new_from(struct guard **out, const char *uffd_path, int *status_fd)
{
	struct guard *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return fail(-ENOMEM, "guard");
	*g = (struct guard){ .uffd = -1, .stop_fd = -1, .status_fd = status_fd };
	g->max_splits = max_splits();
	pthread_mutex_init(&g->lock, NULL);
	/* Touched and, if allowed, locked: the thread must never wait for a page of its own. */
	g->zeros = aligned_alloc(CHUNK_BYTES, CHUNK_BYTES);
	r = g->zeros ? event_new(&g->stop_fd) : fail(-ENOMEM, "guard");
	if (!r)
		r = uffd_open(&g->uffd, uffd_path);
	if (r) {
		guard_free(g);
		return r;
	}
	memset(g->zeros, 0, CHUNK_BYTES);
	(void)mlock(g->zeros, CHUNK_BYTES);
	*out = g;
	return 0;
}

int guard_start(struct guard *g)
{
	int r = pthread_create(&g->thread, NULL, guard_main, g);

	if (r)
		return fail(-r, "guard thread");
	g->has_thread = true;
	return 0;
}

void guard_stop(struct guard *g)
{
	if (g->has_thread) {
		event_raise(&g->stop_fd);
		pthread_join(g->thread, NULL);
		g->has_thread = false;
	}
	auto_close_fn(&g->uffd);
	g->uffd = -1;
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	guard_stop(g);
	while (g->regions) {
		struct guard_region *r = g->regions;

		g->regions = r->next;
		free(r->flags);
		free(r->counts);
		free(r);
	}
	auto_close_fn(&g->stop_fd);
	free(g->zeros);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* --- registration ------------------------------------------------------------------------------ */

struct span {
	uint32_t first, nr;
};

static char *host_of(const struct guard_region *r, struct span s)
{
	return (char *)r->ram->host + s.first * UNIT_BYTES;
}

static uint64_t offset_of(struct span s) { return s.first * UNIT_BYTES; }
static uint64_t bytes_of(struct span s) { return s.nr * UNIT_BYTES; }

static bool any(const struct guard_region *r, struct span s, uint8_t mask, uint8_t value)
{
	for (uint32_t i = s.first; i < s.first + s.nr; i++)
		if ((r->flags[i] & mask) == value)
			return true;
	return false;
}

static void set_flags(struct guard_region *r, struct span s, uint8_t set, uint8_t clear)
{
	for (uint32_t i = s.first; i < s.first + s.nr; i++) {
		if (r->flags[i] & clear & UNIT_TABLE)
			r->guard->status.nr_tables--;
		r->flags[i] = (uint8_t)((r->flags[i] & ~clear) | set);
	}
}

/* Borders between registered and other units that touch S. */
static unsigned int borders(const struct guard_region *r, struct span s)
{
	uint32_t start = s.first ? s.first : 1, end = s.first + s.nr;
	unsigned int nr = 0;

	if (end == r->nr_units)
		end--;
	for (uint32_t i = start; i <= end; i++)
		nr += (r->flags[i - 1] ^ r->flags[i]) & UNIT_REGISTERED ? 1 : 0;
	return nr;
}

static void set_registered(struct guard_region *r, struct span s, bool registered)
{
	unsigned int before = borders(r, s);

	set_flags(r, s, registered ? UNIT_REGISTERED : 0, registered ? 0 : UNIT_REGISTERED);
	r->guard->status.nr_splits += borders(r, s) - before;
}

/* Whether there is room for the borders when S becomes uniform, unlike what is around it. */
static bool room_for_borders(const struct guard_region *r, struct span s)
{
	unsigned int before = borders(r, s);

	return before >= 2 || r->guard->status.nr_splits + 2 - before <= r->guard->max_splits;
}

/* Units in S may be registered already. NOHUGEPAGE second: nothing is missing there before. */
static int do_register(struct guard_region *r, struct span s)
{
	int uffd = r->guard->uffd, ret = uffd_register(uffd, host_of(r, s), bytes_of(s));

	if (!ret)
		ret = ram_allow_huge(r->ram, offset_of(s), bytes_of(s), false);
	if (!ret) {
		set_registered(r, s, true);
		return 0;
	}
	/* Half done, perhaps. What the books call unregistered must be: nobody answers there. */
	for (uint32_t i = s.first; i < s.first + s.nr; i++) {
		struct span unit = { i, 1 };

		if (!(r->flags[i] & UNIT_REGISTERED) &&
		    uffd_unregister(uffd, host_of(r, unit), bytes_of(unit)))
			guard_break(r->guard, ret);
	}
	return ret;
}

/* The mapping of a violated unit holds a page table: only a new one can be huge. */
static int do_unregister(struct guard_region *r, struct span s)
{
	bool remap = any(r, s, UNIT_TABLE, UNIT_TABLE);
	int uffd = r->guard->uffd;
	int ret = remap ? ram_remap(r->ram, offset_of(s), bytes_of(s), true) :
			  uffd_unregister(uffd, host_of(r, s), bytes_of(s));

	if (ret) {
		/* It may be half done. As it was is right as well, only slower. */
		if (uffd_register(uffd, host_of(r, s), bytes_of(s)))
			guard_break(r->guard, ret);
		return ret;
	}
	/* Where this fails, pages stay small. */
	if (!remap && ram_allow_huge(r->ram, offset_of(s), bytes_of(s), true))
		log_debug("guard: no huge pages at %#llx", (unsigned long long)offset_of(s));
	set_registered(r, s, false);
	return 0;
}

static struct span group_of(const struct guard_region *r, uint32_t unit)
{
	const uint32_t group = GROUP_BYTES / UNIT_BYTES;
	uint32_t first = unit / group * group;

	return (struct span){ first, (uint32_t)min_u64(group, r->nr_units - first) };
}

/* The part of S in the group of its first unit. */
static struct span piece_of(const struct guard_region *r, struct span s)
{
	struct span group = group_of(r, s.first);

	return (struct span){ s.first, (uint32_t)min_u64(s.nr, group.first + group.nr - s.first) };
}

static int arm_piece(struct guard_region *r, struct span s)
{
	int ret = 0;

	if (any(r, s, UNIT_REGISTERED, 0)) {
		ret = room_for_borders(r, s) ? do_register(r, s) : -ENOMEM;
		if (ret == -ENOMEM)
			ret = do_register(r, group_of(r, s.first));
	}
	if (!ret)
		set_flags(r, s, UNIT_ARMED, 0);
	return ret;
}

static int disarm_piece(struct guard_region *r, struct span s)
{
	const uint8_t both = UNIT_ARMED | UNIT_REGISTERED;
	struct span group = group_of(r, s.first);
	/* Units of the group are lawful and registered, for want of borders. */
	bool wide = any(r, group, both, UNIT_REGISTERED), stay;
	int ret;

	set_flags(r, s, 0, UNIT_ARMED);
	stay = wide ? any(r, group, UNIT_ARMED, UNIT_ARMED) : !room_for_borders(r, s);
	ret = stay ? 0 : do_unregister(r, wide ? group : s);
	if (ret == -ENOMEM)
		ret = 0; /* stays registered: served by events */
	set_flags(r, s, ret ? UNIT_ARMED : 0, ret ? 0 : UNIT_TABLE);
	return ret;
}

/* --- the calls --------------------------------------------------------------------------------- */

static struct span span_of(const struct guard_region *r, uint64_t offset, uint64_t bytes)
{
	assert(bytes && is_aligned(offset | bytes, UNIT_BYTES));
	assert(range_inside(offset, bytes, 0, r->ram->bytes));
	return (struct span){ unit_at(offset), (uint32_t)(bytes / UNIT_BYTES) };
}

/* Does DO for each piece of S; when one fails, UNDO for those before it. */
static int for_pieces(struct guard_region *r, struct span s,
		      int (*doit)(struct guard_region *, struct span),
		      int (*undo)(struct guard_region *, struct span))
{
	struct span left = s, piece;
	int ret;

	for (; left.nr; left.first += piece.nr, left.nr -= piece.nr) {
		piece = piece_of(r, left);
		ret = doit(r, piece);
		if (ret)
			break;
	}
	if (!left.nr)
		return 0;
	for (s.nr = left.first - s.first; s.nr; s.first += piece.nr, s.nr -= piece.nr) {
		piece = piece_of(r, s);
		if (undo(r, piece))
			guard_break(r->guard, ret);
	}
	return ret;
}

int guard_add(struct guard *g, struct guard_region **out, struct ram *ram)
{
	struct guard_region *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return fail(-ENOMEM, "guard");
	*r = (struct guard_region){ .guard = g,
				    .ram = ram,
				    .nr_units = (uint32_t)(ram->bytes / UNIT_BYTES) };
	r->flags = calloc(r->nr_units, sizeof(*r->flags));
	r->counts = calloc(r->nr_units, sizeof(*r->counts));
	r->next = g->regions;
	g->regions = r;
	if (!r->flags || !r->counts)
		return fail(-ENOMEM, "guard");
	ret = do_register(r, (struct span){ 0, r->nr_units });
	if (ret)
		return fail(ret, "guard: register %llu bytes with userfaultfd",
			    (unsigned long long)ram->bytes);
	set_flags(r, (struct span){ 0, r->nr_units }, UNIT_ARMED, 0);
	*out = r;
	return 0;
}

int guard_arm(struct guard_region *r, uint64_t offset, uint64_t bytes)
{
	struct span s = span_of(r, offset, bytes);
	int ret;

	pthread_mutex_lock(&r->guard->lock);
	ret = for_pieces(r, s, arm_piece, disarm_piece);
	pthread_mutex_unlock(&r->guard->lock);
	if (ret)
		log_guest("guard: %llu bytes at %#llx can't be armed: %s",
			  (unsigned long long)bytes, (unsigned long long)offset, strerror(-ret));
	return ret;
}

/* Chunks of violations in the range; its discard as a whole takes them along. */
static int clear_range(struct guard_region *r, uint64_t offset, uint64_t bytes, bool discard)
{
	struct guard *g = r->guard;
	struct chunk c;
	int ret = discard ? ram_discard(r->ram, offset, bytes) : 0;

	while (!ret && chunk_ring_take(&g->ring, r, offset, bytes, &c))
		if (!discard)
			ret = ram_discard(r->ram, c.offset, CHUNK_BYTES);
	return ret;
}

int guard_disarm(struct guard_region *r, uint64_t offset, uint64_t bytes, bool discard)
{
	struct span s = span_of(r, offset, bytes);
	int ret;

	pthread_mutex_lock(&r->guard->lock);
	/* First: a chunk that is taken away later would take the guest's lawful memory. */
	ret = clear_range(r, offset, bytes, discard);
	if (!ret) {
		ret = for_pieces(r, s, disarm_piece, arm_piece);
		/* What the guest touched while pieces were lawful would raise no event again. */
		if (ret && discard && ram_discard(r->ram, offset, bytes))
			guard_break(r->guard, ret);
	}
	pthread_mutex_unlock(&r->guard->lock);
	if (ret)
		log_guest("guard: %llu bytes at %#llx can't be given to the guest: %s",
			  (unsigned long long)bytes, (unsigned long long)offset, strerror(-ret));
	return ret;
}

void guard_give_up(struct guard *g)
{
	pthread_mutex_lock(&g->lock);
	guard_break(g, -EIO);
	pthread_mutex_unlock(&g->lock);
}

/* Maps a run of armed units anew: without page tables, registered as before. */
static int renew(struct guard_region *r, struct span s)
{
	int ret = ram_remap(r->ram, offset_of(s), bytes_of(s), false);

	if (!ret)
		ret = uffd_register(r->guard->uffd, host_of(r, s), bytes_of(s));
	/* Whoever touched it in between, a thread of the kernel perhaps. */
	if (!ret)
		ret = ram_discard(r->ram, offset_of(s), bytes_of(s));
	if (!ret)
		set_flags(r, s, 0, UNIT_TABLE);
	return ret;
}

static int renew_all(struct guard_region *r)
{
	struct span s = { 0 };
	int ret = 0;

	for (; s.first < r->nr_units && !ret; s.first += s.nr) {
		bool armed = r->flags[s.first] & UNIT_ARMED;

		for (s.nr = 1; s.first + s.nr < r->nr_units &&
			       !(r->flags[s.first + s.nr] & UNIT_ARMED) == !armed;)
			s.nr++;
		if (armed && any(r, s, UNIT_TABLE, UNIT_TABLE))
			ret = renew(r, s);
	}
	return ret;
}

int guard_reclaim_tables(struct guard *g)
{
	int ret = 0;

	pthread_mutex_lock(&g->lock);
	while (!ret && g->ring.nr)
		ret = guard_drop_oldest(g);
	for (struct guard_region *r = g->regions; r && !ret; r = r->next)
		ret = renew_all(r);
	if (ret)
		guard_break(g, ret);
	pthread_mutex_unlock(&g->lock);
	return ret ? fail(ret, "guard: renew the mappings of memory that was given back") : 0;
}

void guard_set_reads_lawful(struct guard_region *r, bool lawful)
{
	pthread_mutex_lock(&r->guard->lock);
	r->info.reads_lawful = lawful;
	pthread_mutex_unlock(&r->guard->lock);
}

void guard_refused(struct guard_region *r, uint64_t offset, bool is_write)
{
	struct unit_count *unit = &r->counts[unit_at(offset)];

	pthread_mutex_lock(&r->guard->lock);
	if (is_write) {
		r->info.counts.refused_writes++;
		unit->writes++;
	} else if (r->info.reads_lawful) {
		r->info.counts.lawful_reads++;
	} else {
		r->info.counts.refused_reads++;
		unit->reads++;
	}
	if (is_write || !r->info.reads_lawful) {
		r->info.last_offset = offset;
		r->info.last_tid = 0;
		guard_tell(r->guard);
	}
	pthread_mutex_unlock(&r->guard->lock);
}

struct guard_info guard_info(struct guard_region *r)
{
	struct guard_info info;

	pthread_mutex_lock(&r->guard->lock);
	info = r->info;
	pthread_mutex_unlock(&r->guard->lock);
	return info;
}

void guard_range_counts(struct guard_region *r, uint64_t offset, uint64_t bytes, uint64_t *reads,
			uint64_t *writes)
{
	struct span s = span_of(r, offset, bytes);

	*reads = *writes = 0;
	pthread_mutex_lock(&r->guard->lock);
	for (uint32_t i = s.first; i < s.first + s.nr; i++) {
		*reads += r->counts[i].reads;
		*writes += r->counts[i].writes;
	}
	pthread_mutex_unlock(&r->guard->lock);
}

static struct guard_status snapshot(struct guard *g, bool tell_again)
{
	struct guard_status status;

	pthread_mutex_lock(&g->lock);
	status = g->status;
	status.nr_chunks = g->ring.nr;
	if (tell_again)
		g->news_told = false;
	pthread_mutex_unlock(&g->lock);
	return status;
}

struct guard_status guard_peek(struct guard *g) { return snapshot(g, false); }
struct guard_status guard_take_status(struct guard *g) { return snapshot(g, true); }

bool guard_is_stuck(struct guard *g, uint64_t now_ns)
{
	uint64_t turns = __atomic_load_n(&g->nr_turns, __ATOMIC_RELAXED);
	struct pollfd p = { .fd = g->uffd, .events = POLLIN };
	/* An event that was taken does not show in the descriptor any more. */
	bool waiting = __atomic_load_n(&g->answering, __ATOMIC_RELAXED) || poll(&p, 1, 0) == 1;

	if (!waiting || turns != g->seen_turns) {
		g->seen_turns = turns;
		g->waiting_since_ns = 0;
		return false;
	}
	if (!g->waiting_since_ns)
		g->waiting_since_ns = now_ns;
	return now_ns - g->waiting_since_ns >= STUCK_NS;
}
