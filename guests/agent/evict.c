/* SPDX-License-Identifier: Apache-2.0 */
/* evict.c - page cache that was not used for long goes. */
#include "guests/agent/evict.h"

#include "guests/agent/file.h"
#include "guests/agent/text.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* A piece, of one list and of all; and the pause after one, in which shortage is looked for. */
#define PIECE_BYTES (16 * MiB)
#define RUN_BYTES   (64 * MiB)
#define PAUSE_MS    50

#define STEP_MIN_MS 250
/* Calm: stalled for less than a hundredth of the time. */
#define STALL_DIVISOR 100
/* Page cache that is read again hurts: so much of what went lately, or so much. */
#define REFAULT_DIVISOR 8
#define REFAULT_BYTES	(4 * MiB)
#define PAUSE_MAX	8 /* steps */
/* What may go in a step: at first, at least, at most. */
#define WINDOW_BYTES	 (16 * MiB)
#define WINDOW_MIN_BYTES (4 * MiB)
#define WINDOW_MAX_BYTES (16 * GiB)
#define WINDOW_FACTOR	 4

static struct text words;

bool evict_open(struct evict *e, const struct lru_gen *gens, const char *root)
{
	static const char *const paths[] = { "/sys/fs/cgroup/memory.reclaim",
					     "/sys/fs/cgroup/unified/memory.reclaim" };

	*e = (struct evict){ .gens = gens, .reclaim = -1 };
	for (unsigned int i = 0; i < ARRAY_SIZE(paths) && gens->write < 0 && e->reclaim < 0; i++)
		e->reclaim = file_open(root, paths[i], O_WRONLY | O_APPEND);
	return gens->write >= 0 || e->reclaim >= 0;
}

void evict_age(struct evict *e, uint64_t age_s, uint64_t now)
{
	uint64_t age_ms = min_u64(age_s, INT64_MAX / 1000) * 1000;

	if (age_ms == e->age_ms)
		return;
	e->age_ms = age_ms;
	e->nr = 0;
	e->window = WINDOW_BYTES;
	e->pause = 1;
	e->wait = 0;
	e->stepping = false;
	e->next_ms = age_ms && (e->gens->write >= 0 || e->reclaim >= 0) ? now : 0;
}

static uint64_t page_bytes(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

/* The list's entry; NULL: there is none, and no room. */
static struct evict_list *entry(struct evict *e, const struct lru_list *list)
{
	for (unsigned int i = 0; i < e->nr; i++)
		if (e->lists[i].cgroup == list->cgroup && e->lists[i].node == list->node)
			return &e->lists[i];
	if (e->nr == EVICT_LISTS)
		return NULL;
	e->lists[e->nr] = (struct evict_list){ .cgroup = list->cgroup, .node = list->node };
	return &e->lists[e->nr++];
}

/* FN for each list; without generations the inactive one is all that there is. */
static void each_list(struct evict *e, const struct memory *m,
		      void (*fn)(void *ctx, const struct lru_list *list))
{
	struct lru_list inactive = { .nr = LRU_GENS_YOUNG + 1 };

	if (e->gens->write >= 0) {
		lru_gen_each(e->gens, fn, e);
		return;
	}
	inactive.gen[0].file_pages = m->cold_file / page_bytes();
	fn(e, &inactive);
}

/* A step begins: how much of each list is old. */
static void step_list(void *ctx, const struct lru_list *list)
{
	struct evict *e = ctx;
	struct evict_list *l = entry(e, list);
	uint64_t pages = lru_list_cold(list);

	if (!l)
		return;
	l->seen = true;
	cold_step(&l->cold, pages);
	l->todo = cold_old(&l->cold, pages);
}

/* FN for each list; those that are gone, with their cgroups, make room. */
static void visit_lists(struct evict *e, const struct memory *m,
			void (*fn)(void *ctx, const struct lru_list *list))
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < e->nr; i++)
		e->lists[i].seen = false;
	each_list(e, m, fn);
	for (unsigned int i = 0; i < e->nr; i++)
		if (e->lists[i].seen)
			e->lists[kept++] = e->lists[i];
	e->nr = kept;
}

static bool all_done(const struct evict *e)
{
	for (unsigned int i = 0; i < e->nr; i++)
		if (e->lists[i].asked || (e->lists[i].todo && e->room))
			return false;
	return true;
}

/* Pages of generation SEQ. */
static uint64_t gen_pages(const struct lru_list *list, uint64_t seq)
{
	for (unsigned int i = 0; i < list->nr; i++)
		if (list->gen[i].seq == seq)
			return list->gen[i].file_pages;
	return 0;
}

static int reclaim(struct evict *e, uint64_t bytes, bool has_swap)
{
	int r = -EINVAL;

	for (int i = 0; i < 2 && r == -EINVAL; i++) {
		/* An older kernel would swap, too: then nothing goes. */
		if (e->no_swappiness && has_swap)
			return -EOPNOTSUPP;
		words.used = 0;
		text_put_number(&words, bytes);
		text_put(&words, e->no_swappiness ? "\n" : " swappiness=0\n");
		r = file_write(e->reclaim, text_of(&words));
		e->no_swappiness |= r == -EINVAL;
	}
	return r;
}

struct piece {
	struct evict *e;
	const struct memory *m;
	uint64_t room; /* bytes that may be asked for now, of all lists */
};

/* The next piece of a list, from the oldest generation that has something. */
static void piece_of(struct piece *p, struct evict_list *l, const struct lru_list *list)
{
	unsigned int i = 0;
	uint64_t pages;
	int r;

	if (l->asked) {
		uint64_t left = over(l->pages, gen_pages(list, l->seq));

		/* Also pages that the kernel found to be in use, and made younger. */
		cold_left(&l->cold, left);
		/* Nothing that can go is there, dirty pages for instance. */
		l->todo = left ? over(l->todo, left) : 0;
		l->asked = false;
	}
	while (i + LRU_GENS_YOUNG < list->nr && !list->gen[i].file_pages)
		i++;
	if (i + LRU_GENS_YOUNG >= list->nr) {
		l->todo = 0;
		return;
	}
	pages = min_u64(min_u64(p->room, PIECE_BYTES) / page_bytes(), list->gen[i].file_pages);
	pages = min_u64(pages, l->todo);
	if (!pages)
		return;
	r = p->e->gens->write >= 0 ? lru_gen_evict(p->e->gens, list, list->gen[i].seq, pages)
				   : reclaim(p->e, pages * page_bytes(), p->m->swap_total != 0);
	/* -EAGAIN: some of it went. */
	if (r < 0 && r != -EAGAIN) {
		agent_note("no eviction: ", error_text(r), NULL);
		l->todo = 0;
		return;
	}
	p->room -= pages * page_bytes();
	p->e->room = over(p->e->room, pages * page_bytes());
	l->seq = list->gen[i].seq;
	l->pages = list->gen[i].file_pages;
	l->asked = true;
}

static struct piece piece;

static void piece_list(void *ctx, const struct lru_list *list)
{
	struct evict_list *l = entry(ctx, list);

	if (!l)
		return;
	l->seen = true;
	if (l->todo || l->asked)
		piece_of(&piece, l, list);
}

static void take_pieces(struct evict *e, const struct memory *m)
{
	piece = (struct piece){ e, m, min_u64(e->room, RUN_BYTES) };
	visit_lists(e, m, piece_list);
}

/* A new generation, if that does not mix old pages with older ones: then nobody could tell which
 * of them are old enough. Sooner or later it must begin all the same. */
static void age_list(void *ctx, const struct lru_list *list)
{
	struct evict *e = ctx;

	if (list->nr < LRU_GENS || !list->gen[0].file_pages ||
	    list->gen[list->nr - 1].age_ms >= 2 * e->age_ms)
		lru_gen_age(e->gens, list);
}

/* Whether this step evicts. */
static bool may_evict(struct evict *e, const struct memory *m, const struct psi *psi, uint64_t now)
{
	uint64_t refault = over(m->refault, e->refault_before);
	uint64_t some_ms = over(psi->some_us, e->some_before) / 1000, span = now - e->at_before;
	uint64_t went = e->evicted - e->evicted_before;
	bool hurts = refault > REFAULT_BYTES + went / REFAULT_DIVISOR;
	bool first = !e->at_before;

	e->refault_before = m->refault;
	e->some_before = psi->some_us;
	e->at_before = now;
	e->evicted_before = e->evicted;
	if (first)
		return false;
	if (hurts) {
		e->window = max_u64(e->window / 2, WINDOW_MIN_BYTES);
		e->wait = e->pause;
		e->pause = e->pause < PAUSE_MAX ? 2 * e->pause : PAUSE_MAX;
		agent_note("page cache that was evicted is read again: less goes, and later", NULL);
		return false;
	}
	if (e->wait) {
		e->wait--;
		return false;
	}
	if (went >= e->window / 2) {
		e->window = min_u64(e->window * WINDOW_FACTOR, WINDOW_MAX_BYTES);
		e->pause = e->pause > 1 ? e->pause / 2 : 1;
	} else if (!went && e->window > WINDOW_BYTES) {
		/* The kernel forgets, too. */
		e->window = max_u64(e->window / WINDOW_FACTOR, WINDOW_BYTES);
	}
	return some_ms * STALL_DIVISOR <= span;
}

static void begin_step(struct evict *e, const struct memory *m, const struct psi *psi, uint64_t now)
{
	bool may = may_evict(e, m, psi, now);

	visit_lists(e, m, step_list);
	e->room = may ? e->window : 0;
	e->step_ms = now + max_u64(e->age_ms / COLD_STEPS, STEP_MIN_MS);
	e->stepping = true;
}

void evict_run(struct evict *e, const struct memory_files *files, struct memory *m, struct psi *psi,
	       uint64_t now)
{
	uint64_t before;

	if (!e->next_ms || now < e->next_ms || memory_read(files, m) < 0)
		return;
	memory_read_events(files, m);
	before = m->reclaimed;
	if (!e->stepping) {
		psi_read(psi);
		begin_step(e, m, psi, now);
	}
	if (!all_done(e)) {
		take_pieces(e, m);
		memory_read_events(files, m);
		e->evicted += over(m->reclaimed, before);
	}
	e->next_ms = now + PAUSE_MS;
	if (!all_done(e))
		return;
	if (e->gens->write >= 0)
		lru_gen_each(e->gens, age_list, e);
	/* What our own writes waited for is no sign of anything. */
	psi_read(psi);
	e->some_before = psi->some_us;
	e->stepping = false;
	e->next_ms = e->step_ms;
}
