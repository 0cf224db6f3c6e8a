/* SPDX-License-Identifier: Apache-2.0 */
/* test_workers.c - threads that do for the loop what may take long. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "tests/unit/asleep.h"
#include "vmm/base/clock.h"
#include "vmm/base/workers.h"

#define NR  1000
#define MAX 4

static struct loop *loop;
static struct workers *workers;
static struct job {
	struct work work;
	unsigned int nr_runs, nr_dones;
	bool again;
} jobs[NR];
static unsigned int nr_done, nr_running, most_running;
static pthread_t main_thread;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool held;

static void run(struct work *work)
{
	struct job *job = container_of(work, struct job, work);

	cr_assert_not(pthread_equal(pthread_self(), main_thread));
	pthread_mutex_lock(&lock);
	job->nr_runs++;
	nr_running++;
	most_running = nr_running > most_running ? nr_running : most_running;
	pthread_cond_broadcast(&changed);
	while (held)
		pthread_cond_wait(&changed, &lock);
	nr_running--;
	pthread_mutex_unlock(&lock);
}

static void done(void *ctx, struct work *list)
{
	cr_assert_eq(ctx, jobs);
	cr_assert(pthread_equal(pthread_self(), main_thread));
	while (list) {
		struct job *job = container_of(list, struct job, work);

		list = list->next;
		job->nr_dones++;
		nr_done++;
		if (job->again) {
			job->again = false;
			workers_submit(workers, &job->work);
		}
	}
	workers_go(workers);
}

static void up(void)
{
	main_thread = pthread_self();
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(workers_new(&workers, loop, MAX, done, jobs), 0);
	for (unsigned int i = 0; i < NR; i++)
		jobs[i].work.run = run;
}

static void down(void)
{
	workers_free(workers);
	loop_free(loop);
}

TestSuite(workers, .init = up, .fini = down, .timeout = 240);

static void submit(unsigned int from, unsigned int nr)
{
	for (unsigned int i = from; i < from + nr; i++)
		workers_submit(workers, &jobs[i].work);
}

static void hold(bool hold_them)
{
	pthread_mutex_lock(&lock);
	held = hold_them;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void wait_running(unsigned int nr)
{
	pthread_mutex_lock(&lock);
	while (nr_running < nr)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void stop(void *ctx) { loop_stop(ctx); }

static void turn_loop(uint64_t ns)
{
	struct loop_timer end = { .fn = stop, .ctx = loop };

	loop_timer_set(loop, &end, loop_now(loop) + ns);
	cr_assert_eq(loop_run(loop), 0);
}

Test(workers, all_that_is_submitted_is_run_once_and_done_once)
{
	submit(0, NR);
	workers_go(workers);
	while (nr_done < NR)
		turn_loop(NS_PER_MS);
	for (unsigned int i = 0; i < NR; i++)
		cr_expect(jobs[i].nr_runs == 1 && jobs[i].nr_dones == 1, "job %u", i);
}

Test(workers, nothing_starts_before_go)
{
	submit(0, 10);
	usleep(20000);
	cr_expect_eq(most_running, 0);
	workers_drain(workers);
	cr_expect_eq(nr_done, 10);
	workers_drain(workers);
	cr_expect_eq(nr_done, 10);
}

Test(workers, no_more_run_at_once_than_there_may_be)
{
	hold(true);
	submit(0, 3 * MAX);
	workers_go(workers);
	wait_running(MAX);
	usleep(20000);
	hold(false);
	workers_drain(workers);
	cr_expect_eq(most_running, MAX);
	cr_expect_eq(nr_done, 3 * MAX);
}

Test(workers, what_is_done_may_be_submitted_again)
{
	jobs[0].again = true;
	submit(0, 1);
	workers_drain(workers);
	workers_drain(workers);
	cr_expect_eq(jobs[0].nr_runs, 2);
	cr_expect_eq(jobs[0].nr_dones, 2);
}

static pid_t canceller;

static void *cancel(void *arg)
{
	__atomic_store_n(&canceller, gettid(), __ATOMIC_RELEASE);
	workers_cancel(workers);
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
	return NULL;
}

Test(workers, cancel_waits_for_what_runs_and_nothing_comes_of_it)
{
	bool cancelled = false;
	pthread_t thread;

	hold(true);
	submit(0, 3 * MAX);
	workers_go(workers);
	wait_running(MAX);
	submit(3 * MAX, 5); /* and some that may not start yet */
	cr_assert_eq(pthread_create(&thread, NULL, cancel, &cancelled), 0);
	wait_until_asleep(&canceller);
	cr_expect_not(__atomic_load_n(&cancelled, __ATOMIC_ACQUIRE));
	hold(false);
	pthread_join(thread, NULL);
	turn_loop(NS_PER_MS);
	cr_expect_eq(nr_done, 0);
	for (unsigned int i = 0; i < 3 * MAX + 5; i++)
		cr_expect_eq(jobs[i].nr_runs, i < MAX, "job %u", i);
	submit(20, 5);
	workers_drain(workers);
	cr_expect_eq(nr_done, 5, "it goes on");
}
