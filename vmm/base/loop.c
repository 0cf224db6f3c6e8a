/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - epoll, timers and the device lock. */
#include "vmm/base/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>

#include "vmm/base/clock.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"

/* More are raised at once. */
#define MAX_RAISED 32

/* One watched descriptor. Removed entries wait in `dead` until the current batch is done. */
struct watch {
	int fd;
	bool removed;
	loop_fd_fn fn;
	void *ctx;
	struct watch *next;
};

struct loop {
	int epoll_fd;
	struct loop_clock *clock;
	bool stopping;
	uint64_t turn; /* of run_timers() */
	pthread_mutex_t lock;
	struct watch *watches, *dead;
	struct loop_timer *timers; /* sorted by at_ns */
	unsigned int nr_raised;
	int raised[MAX_RAISED]; /* when the lock is let go of */
};

static uint64_t host_now(struct loop_clock *clock)
{
	(void)clock;
	return clock_ns();
}

static int host_wait(struct loop_clock *clock, int epoll_fd, struct epoll_event *events, int nr,
		     uint64_t until_ns)
{
	uint64_t now = until_ns == LOOP_NEVER ? 0 : clock_ns(), ms;

	(void)clock;
	if (until_ns == LOOP_NEVER)
		return epoll_wait(epoll_fd, events, nr, -1);
	ms = until_ns <= now ? 0 : (until_ns - now + NS_PER_MS - 1) / NS_PER_MS;
	return epoll_wait(epoll_fd, events, nr, (int)min_u64(ms, INT_MAX));
}

static struct loop_clock host_clock = { host_now, host_wait };

int loop_new(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return fail(-ENOMEM, "main loop");
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		free(loop);
		return fail(-errno, "epoll_create1");
	}
	pthread_mutex_init(&loop->lock, NULL);
	loop->clock = &host_clock;
	*out = loop;
	return 0;
}

static void free_list(struct watch **list)
{
	while (*list) {
		struct watch *w = *list;

		*list = w->next;
		free(w);
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	free_list(&loop->watches);
	free_list(&loop->dead);
	close(loop->epoll_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static struct watch *find(struct loop *loop, int fd)
{
	for (struct watch *w = loop->watches; w; w = w->next)
		if (w->fd == fd)
			return w;
	return NULL;
}

int loop_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *ctx)
{
	struct watch *w;

	if (find(loop, fd))
		return -EEXIST;
	w = calloc(1, sizeof(*w));
	if (!w)
		return fail(-ENOMEM, "main loop");
	*w = (struct watch){ .fd = fd, .fn = fn, .ctx = ctx, .next = loop->watches };
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd,
		      &(struct epoll_event){ .events = events, .data.ptr = w })) {
		free(w);
		return -errno; /* EPERM: a regular file; the caller knows what that means */
	}
	loop->watches = w;
	return 0;
}

void loop_modify(struct loop *loop, int fd, uint32_t events)
{
	struct watch *w = find(loop, fd);
	int r;

	assert(w);
	r = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd,
		      &(struct epoll_event){ .events = events, .data.ptr = w });
	assert(!r);
	(void)r;
}

void loop_remove(struct loop *loop, int fd)
{
	for (struct watch **p = &loop->watches; *p; p = &(*p)->next) {
		struct watch *w = *p;

		if (w->fd != fd)
			continue;
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		*p = w->next;
		w->removed = true;
		w->next = loop->dead;
		loop->dead = w;
		return;
	}
}

uint64_t loop_now(const struct loop *loop) { return loop->clock->now(loop->clock); }

void loop_use_clock(struct loop *loop, struct loop_clock *clock)
{
	loop->clock = clock ? clock : &host_clock;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	for (struct loop_timer **p = &loop->timers; *p; p = &(*p)->next) {
		if (*p == timer) {
			*p = timer->next;
			break;
		}
	}
	timer->at_ns = 0;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t at_ns)
{
	struct loop_timer **p = &loop->timers;

	assert(timer->fn);
	loop_timer_cancel(loop, timer);
	timer->at_ns = at_ns ? at_ns : 1;
	timer->armed_in_turn = loop->turn;
	while (*p && (*p)->at_ns <= timer->at_ns)
		p = &(*p)->next;
	timer->next = *p;
	*p = timer;
}

void loop_timer_move(struct loop *loop, struct loop_timer *timer, uint64_t at_ns)
{
	if (timer->at_ns == at_ns)
		return;
	if (at_ns)
		loop_timer_set(loop, timer, at_ns);
	else
		loop_timer_cancel(loop, timer);
}

/* Those due when the turn began: one that is armed again for the past waits for the next turn. */
static void run_timers(struct loop *loop)
{
	uint64_t now = loop_now(loop), turn = ++loop->turn;

	while (!loop->stopping) {
		struct loop_timer *t = loop->timers;

		while (t && t->at_ns <= now && t->armed_in_turn == turn)
			t = t->next;
		if (!t || t->at_ns > now)
			return;
		loop_timer_cancel(loop, t);
		t->fn(t->ctx);
	}
}

int loop_run(struct loop *loop)
{
	struct epoll_event events[32];

	loop->stopping = false;
	while (!loop->stopping) {
		int n = loop->clock->wait(loop->clock, loop->epoll_fd, events, ARRAY_SIZE(events),
					  loop->timers ? loop->timers->at_ns : LOOP_NEVER);

		if (n < 0 && errno != EINTR)
			return fail(-errno, "epoll_wait");
		for (int i = 0; i < n && !loop->stopping; i++) {
			struct watch *w = events[i].data.ptr;

			loop_lock(loop);
			if (!w->removed)
				w->fn(w->ctx, events[i].events);
			loop_unlock(loop);
		}
		loop_lock(loop);
		run_timers(loop);
		free_list(&loop->dead);
		loop_unlock(loop);
	}
	return 0;
}

void loop_stop(struct loop *loop) { loop->stopping = true; }

void loop_lock(struct loop *loop) { pthread_mutex_lock(&loop->lock); }

void loop_unlock(struct loop *loop)
{
	unsigned int nr = loop->nr_raised;
	int raised[MAX_RAISED];

	memcpy(raised, loop->raised, nr * sizeof(*raised));
	loop->nr_raised = 0;
	pthread_mutex_unlock(&loop->lock);
	for (unsigned int i = 0; i < nr; i++)
		event_raise(&raised[i]);
}

void loop_raise(struct loop *loop, int fd)
{
	for (unsigned int i = 0; i < loop->nr_raised; i++)
		if (loop->raised[i] == fd)
			return;
	if (loop->nr_raised < MAX_RAISED)
		loop->raised[loop->nr_raised++] = fd;
	else
		event_raise(&fd);
}

void loop_event_raise(void *ctx)
{
	const struct loop_event *event = ctx;

	loop_raise(event->loop, event->fd);
}
