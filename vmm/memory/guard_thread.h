/* SPDX-License-Identifier: Apache-2.0 */
/* guard_thread.h - the guard's thread; guard.c starts it, nobody else includes it. */
#ifndef EBB_MEMORY_GUARD_THREAD_H
#define EBB_MEMORY_GUARD_THREAD_H

/* For pthread_create(). GUARD: a struct guard, complete; returns once its stop_fd is raised. */
void *guard_main(void *guard);

#endif
