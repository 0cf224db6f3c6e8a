/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the main loop: descriptors, timers, and the one device lock.
 * Callbacks run on the loop's thread with the device lock held. A vCPU thread takes the lock
 * around one bus access. Any thread may call loop_lock(), loop_unlock() and loop_now(), and with the
 * lock held loop_raise(); all other calls belong to the loop's thread (or to the time before it
 * runs).
 */
#ifndef EBB_BASE_LOOP_H
#define EBB_BASE_LOOP_H

#include "vmm/base/types.h"

struct epoll_event;
struct loop;

/* EVENTS as in epoll_event. */
typedef void (*loop_fd_fn)(void *ctx, uint32_t events);
typedef void (*loop_timer_fn)(void *ctx);

int must_check loop_new(struct loop **out);
void loop_free(struct loop *loop);

/* Watches FD for EVENTS (EPOLLIN, EPOLLOUT). -EEXIST when it is watched already. FD stays the caller's. */
int must_check loop_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *ctx);
void loop_modify(struct loop *loop, int fd, uint32_t events);
/* No callback of FD runs after this, not even one already reported. Unknown FD: no effect. */
void loop_remove(struct loop *loop, int fd);

/* The time that timers and ages go by: the host's monotonic one. Any thread. */
uint64_t loop_now(const struct loop *loop);

/* Where a loop's time comes from. A test has its own (tests/unit/fake_clock.h). */
struct loop_clock {
	uint64_t (*now)(struct loop_clock *clock);
	/* epoll_wait() until it is UNTIL_NS; LOOP_NEVER: until something comes. */
	int (*wait)(struct loop_clock *clock, int epoll_fd, struct epoll_event *events, int nr,
		    uint64_t until_ns);
};
#define LOOP_NEVER UINT64_MAX
/* Before anything asks for the time. CLOCK stays the caller's; NULL: the host's. */
void loop_use_clock(struct loop *loop, struct loop_clock *clock);

/* A one-shot timer, embedded in its user. Zeroed memory is an unarmed timer. */
struct loop_timer {
	loop_timer_fn fn;
	void *ctx;
	uint64_t at_ns; /* by loop_now(); 0: unarmed */
	uint64_t armed_in_turn;
	struct loop_timer *next;
};
/* (Re)arms TIMER for the time AT_NS; one in the past fires on the next turn. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t at_ns);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
/*
 * Sets TIMER for AT_NS; 0 cancels it. One that is set for that time stays as it is: set anew while
 * due, it would fire a turn later.
 */
void loop_timer_move(struct loop *loop, struct loop_timer *timer, uint64_t at_ns);

/* Runs until loop_stop() or until a host error (-errno, logged). */
int must_check loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/*
 * Raises the eventfd FD once the device lock, which the caller holds, is let go of: who is woken by
 * it, a vCPU by its interrupt for one, is likely to want the lock. Once, however often it is called
 * until then. FD must stay open until then.
 */
void loop_raise(struct loop *loop, int fd);
/* An eventfd for that. */
struct loop_event {
	struct loop *loop;
	int fd;
};
/* loop_raise() as irq_line wants it; CTX is a struct loop_event. */
void loop_event_raise(void *ctx);

void loop_lock(struct loop *loop);
void loop_unlock(struct loop *loop);

#endif
