/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "vmm/machine/events.h"

static unsigned int order[2 * VM_MAX_SINKS], nr;

static void note(void *ctx, const struct vm_event *event)
{
	order[nr++] = *(unsigned int *)ctx * 100 + event->kind;
}

TestSuite(sinks, .timeout = 240);

Test(sinks, nobody_needs_to_listen)
{
	struct vm_sinks sinks = { 0 };

	vm_tell_kind(&sinks, VM_STOPPED);
	cr_expect_eq(nr, 0);
}

Test(sinks, all_hear_an_event_in_the_order_in_which_they_came)
{
	static unsigned int who[VM_MAX_SINKS] = { 1, 2, 3, 4 };
	struct vm_event event = { .kind = VM_GUARD_STOP, .text = "why" };
	struct vm_sinks sinks = { 0 };

	for (unsigned int i = 0; i < VM_MAX_SINKS; i++)
		vm_sinks_add(&sinks, (struct vm_sink){ note, &who[i] });
	vm_tell(&sinks, &event);
	cr_assert_eq(nr, VM_MAX_SINKS);
	for (unsigned int i = 0; i < VM_MAX_SINKS; i++)
		cr_expect_eq(order[i], who[i] * 100 + VM_GUARD_STOP);
}

Test(sinks, one_more_than_there_can_be_is_a_mistake_of_ours, .signal = 6)
{
	struct vm_sinks sinks = { 0 };

	for (unsigned int i = 0; i <= VM_MAX_SINKS; i++)
		vm_sinks_add(&sinks, (struct vm_sink){ note, NULL });
}
