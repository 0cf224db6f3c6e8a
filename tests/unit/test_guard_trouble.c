/* SPDX-License-Identifier: Apache-2.0 */
/* test_guard_trouble.c - a host that does not do what the guard asks, a thread that does not run. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>

#include "tests/unit/guard_rig.h"
#include "tests/unit/stderr_text.h"
#include "vmm/base/event.h"

#define REGION (64 * MiB)

static struct guard_rig rig;

static void small(void) { guard_rig_init(&rig, REGION); }
static void down(void) { guard_rig_destroy(&rig); }

TestSuite(guard_trouble, .init = small, .fini = down, .timeout = 240);

static uint64_t violations(void) { return guard_rig_violations(&rig); }

/* --- a host that fails ------------------------------------------------------------------------- */

Test(guard_trouble, chunks_the_host_does_not_take_back_are_tried_again)
{
	int restore;

	stderr_keep();
	vcpu_write(&rig.ram, 0, 1);
	restore = host_refuses(&rig.ram);
	cr_expect(guard_rig_has_error(&rig, true));
	cr_expect_eq(guard_peek(rig.g).error, -EBADF);
	cr_expect_eq(resident(&rig.ram), CHUNK_BYTES);
	host_obeys(&rig.ram, restore);
	cr_expect(becomes_empty(&rig.ram));
	cr_expect(guard_rig_has_error(&rig, false), "all is well again");
	(void)stderr_text();
}

Test(guard_trouble, an_access_that_finds_no_room_waits_until_there_is_some)
{
	struct access a = { .ram = &rig.ram, .offset = 20 * UNIT };
	uint64_t before;
	int restore;

	stderr_keep();
	/* Before the first of them expires. */
	restore = host_refuses(&rig.ram);
	for (uint64_t i = 0; i < CHUNK_RING_SIZE; i++)
		cr_assert_eq(vcpu_read(&rig.ram, i * UNIT), 0);
	before = violations();
	access_start(&a);
	cr_expect(guard_rig_has_error(&rig, true));
	sleep_ms(2 * GUARD_EXPIRY_NS / NS_PER_MS);
	cr_expect_not(__atomic_load_n(&a.done, __ATOMIC_ACQUIRE));
	cr_expect_neq(guard_peek(rig.g).error, 0);
	cr_expect_eq(violations(), before);
	cr_expect_eq(resident(&rig.ram), CHUNK_RING_BYTES);
	host_obeys(&rig.ram, restore);
	cr_assert(access_end(&a), "the thread hangs");
	cr_expect_eq(a.value, 0);
	cr_expect_geq(violations(), before + 1);
	cr_expect(becomes_empty(&rig.ram));
	cr_expect_eq(guard_peek(rig.g).error, 0);
	(void)stderr_text();
}

Test(guard_trouble, disarming_fails_when_the_host_does_not_discard_and_changes_nothing)
{
	int restore;

	stderr_keep();
	vcpu_write(&rig.ram, 0, 1);
	restore = host_refuses(&rig.ram);
	cr_expect_eq(guard_disarm(rig.r, 0, UNIT, true), -EBADF);
	host_obeys(&rig.ram, restore);
	cr_expect(becomes_empty(&rig.ram), "its chunk is still the guard's");
	vcpu_write(&rig.ram, PAGE, 1);
	cr_expect_geq(guard_info(rig.r).counts.writes, 2);
	cr_expect_eq(guard_peek(rig.g).nr_splits, 0);
	(void)stderr_text();
}

Test(guard_trouble, giving_up_is_news_for_good)
{
	stderr_keep();
	guard_give_up(rig.g);
	cr_expect(event_taken(rig.status_fd));
	cr_expect_eq(guard_take_status(rig.g).broken, -EIO);
	vcpu_write(&rig.ram, 0, 1);
	cr_expect_eq(guard_take_status(rig.g).broken, -EIO);
	(void)stderr_text();
}

/* --- a thread that does not run ---------------------------------------------------------------- */

Test(guard_trouble, an_idle_guard_is_not_stuck)
{
	for (uint64_t now = NS_PER_S; now < 100 * NS_PER_S; now += NS_PER_S)
		cr_assert_not(guard_is_stuck(rig.g, now));
}

Test(guard_trouble, a_busy_guard_is_not_stuck)
{
	struct hammer h = { .ram = &rig.ram, .bytes = REGION };

	hammer_start(&h);
	for (uint64_t now = NS_PER_S; now < 100 * NS_PER_S; now += NS_PER_S) {
		uint64_t turns = __atomic_load_n(&rig.g->nr_turns, __ATOMIC_RELAXED);

		while (__atomic_load_n(&rig.g->nr_turns, __ATOMIC_RELAXED) == turns)
			sched_yield();
		cr_assert_not(guard_is_stuck(rig.g, now));
	}
	cr_assert(hammer_stop(&h));
}

Test(guard_trouble, a_guard_that_does_not_answer_for_a_second_is_stuck)
{
	struct access a = { .ram = &rig.ram };

	cr_assert_not(guard_is_stuck(rig.g, 10 * NS_PER_S));
	pthread_mutex_lock(&rig.g->lock);
	access_start(&a);
	cr_assert(access_waits(&rig));
	cr_expect_not(guard_is_stuck(rig.g, 20 * NS_PER_S), "this is the first look");
	cr_expect_not(guard_is_stuck(rig.g, 20 * NS_PER_S + NS_PER_S / 2));
	cr_expect(guard_is_stuck(rig.g, 21 * NS_PER_S));
	cr_expect(guard_is_stuck(rig.g, 22 * NS_PER_S));
	pthread_mutex_unlock(&rig.g->lock);
	cr_assert(access_end(&a));
	/* Whoever was answered may be ahead of the thread that has answered. */
	cr_assert(becomes_false(&rig.g->answering));
	cr_expect_not(guard_is_stuck(rig.g, 23 * NS_PER_S));
	cr_expect_not(guard_is_stuck(rig.g, 30 * NS_PER_S));
}
