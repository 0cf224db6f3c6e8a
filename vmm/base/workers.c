/* SPDX-License-Identifier: Apache-2.0 */
/* workers.c - threads that do for the loop what may take long. */
#include "vmm/base/workers.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>

#include "vmm/base/event.h"
#include "vmm/base/log.h"

/* Work, first come first served. */
struct queue {
	struct work *first, **end;
};

struct workers {
	struct loop *loop;
	void (*done)(void *ctx, struct work *list);
	void *ctx;
	int done_fd; /* raised when `finished` gets its first */
	unsigned int max;
	/* The device lock guards it. */
	struct queue submitted;
	/* Guards all below. */
	pthread_mutex_t lock;
	pthread_cond_t wanted, idle;
	bool stop;
	struct queue waiting, finished;
	unsigned int nr_threads, nr_idle, nr_running;
	pthread_t threads[];
};

static void make_empty(struct queue *q) { *q = (struct queue){ NULL, &q->first }; }

static void append(struct queue *q, struct work *work)
{
	work->next = NULL;
	*q->end = work;
	q->end = &work->next;
}

static struct work *take_first(struct queue *q)
{
	struct work *work = q->first;

	q->first = work->next;
	if (!q->first)
		q->end = &q->first;
	return work;
}

static struct work *take_all(struct queue *q)
{
	struct work *list = q->first;

	make_empty(q);
	return list;
}

static void *worker_main(void *ctx);

/*
 * One more thread is to look at what waits: an idle one, else a new one; else one that is busy will.
 * True: WANTED is to be signalled, once the lock is let go of, which the thread wants at once.
 */
static bool want_one(struct workers *w)
{
	if (!w->waiting.first || w->nr_idle)
		return w->waiting.first;
	if (w->nr_threads < w->max &&
	    !pthread_create(&w->threads[w->nr_threads], NULL, worker_main, w))
		w->nr_threads++;
	return false;
}

static void unlock_and_wake(struct workers *w)
{
	bool wake = want_one(w);

	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->wanted);
}

static void run_one(struct workers *w)
{
	struct work *work = take_first(&w->waiting);
	bool first;

	w->nr_running++;
	/* The others are woken one by the other, so that nobody has to wake them all. */
	unlock_and_wake(w);
	work->run(work);
	pthread_mutex_lock(&w->lock);
	w->nr_running--;
	first = !w->finished.first;
	append(&w->finished, work);
	if (!w->nr_running && !w->waiting.first)
		pthread_cond_broadcast(&w->idle);
	if (!first)
		return;
	pthread_mutex_unlock(&w->lock);
	event_raise(&w->done_fd);
	pthread_mutex_lock(&w->lock);
}

static void *worker_main(void *ctx)
{
	struct workers *w = ctx;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		if (w->waiting.first) {
			run_one(w);
			continue;
		}
		w->nr_idle++;
		pthread_cond_wait(&w->wanted, &w->lock);
		w->nr_idle--;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void hand_back(struct workers *w)
{
	struct work *list;

	pthread_mutex_lock(&w->lock);
	list = take_all(&w->finished);
	pthread_mutex_unlock(&w->lock);
	if (list)
		w->done(w->ctx, list);
}

static void on_done(void *ctx, uint32_t events)
{
	struct workers *w = ctx;

	(void)events;
	if (event_taken(w->done_fd))
		hand_back(w);
}

static int start(struct workers *w)
{
	int r = event_new(&w->done_fd);

	if (!r)
		r = loop_add(w->loop, w->done_fd, EPOLLIN, on_done, w);
	if (r)
		return r;
	w->nr_threads += !pthread_create(&w->threads[0], NULL, worker_main, w);
	return w->nr_threads ? 0 : fail(-EAGAIN, "worker thread");
}

int workers_new(struct workers **out, struct loop *loop, unsigned int max,
		void (*done)(void *ctx, struct work *list), void *ctx)
{
	struct workers *w = calloc(1, sizeof(*w) + max * sizeof(*w->threads));
	int r;

	if (!w)
		return fail(-ENOMEM, "workers");
	w->loop = loop;
	w->max = max;
	w->done = done;
	w->ctx = ctx;
	w->done_fd = -1;
	make_empty(&w->submitted);
	make_empty(&w->waiting);
	make_empty(&w->finished);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wanted, NULL);
	pthread_cond_init(&w->idle, NULL);
	r = start(w);
	if (r) {
		workers_free(w);
		return r;
	}
	*out = w;
	return 0;
}

void workers_free(struct workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->wanted);
	pthread_mutex_unlock(&w->lock);
	for (unsigned int i = 0; i < w->nr_threads; i++)
		pthread_join(w->threads[i], NULL);
	if (w->done_fd >= 0)
		loop_remove(w->loop, w->done_fd);
	auto_close_fn(&w->done_fd);
	pthread_cond_destroy(&w->idle);
	pthread_cond_destroy(&w->wanted);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void workers_submit(struct workers *w, struct work *work) { append(&w->submitted, work); }

void workers_go(struct workers *w)
{
	if (!w->submitted.first)
		return;
	pthread_mutex_lock(&w->lock);
	*w->waiting.end = w->submitted.first;
	w->waiting.end = w->submitted.end;
	make_empty(&w->submitted);
	unlock_and_wake(w);
}

static void wait_idle(struct workers *w)
{
	while (w->nr_running || w->waiting.first)
		pthread_cond_wait(&w->idle, &w->lock);
}

void workers_drain(struct workers *w)
{
	workers_go(w);
	pthread_mutex_lock(&w->lock);
	wait_idle(w);
	pthread_mutex_unlock(&w->lock);
	hand_back(w);
}

void workers_cancel(struct workers *w)
{
	make_empty(&w->submitted);
	pthread_mutex_lock(&w->lock);
	make_empty(&w->waiting);
	wait_idle(w);
	make_empty(&w->finished);
	pthread_mutex_unlock(&w->lock);
}
