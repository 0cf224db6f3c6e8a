/* SPDX-License-Identifier: Apache-2.0 */
/* test_power.c - the button waits for the guest, and only the right values turn off or reset. */
#include <criterion/criterion.h>

#include "devices/power.h"
#include "vmm/base/platform.h"

static unsigned int nr_interrupts, nr_power_offs, nr_resets;

static void interrupt(void *ctx)
{
	(void)ctx;
	nr_interrupts++;
}

static void power_off(void *ctx)
{
	(void)ctx;
	nr_power_offs++;
}

static void reset(void *ctx)
{
	(void)ctx;
	nr_resets++;
}

static struct power power;

static void setup(void)
{
	nr_interrupts = nr_power_offs = nr_resets = 0;
	power = (struct power){ .irq = { interrupt, NULL },
				.power_off = power_off,
				.reset = reset };
	power_init(&power);
}

TestSuite(power, .init = setup);

static uint64_t get(uint64_t offset, unsigned int bytes)
{
	struct bus_access access = { .offset = offset, .bytes = bytes, .value = 0x55 };

	power_access(&power, &access);
	return access.value;
}

static void put(uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct bus_access access = { .offset = offset, .bytes = bytes, .is_write = true,
				     .value = value };

	power_access(&power, &access);
}

Test(power, button_interrupts_and_is_seen_once)
{
	cr_assert_eq(get(POWER_EVENT, 4), 0);
	power_button(&power);
	cr_assert_eq(nr_interrupts, 1);
	cr_assert_eq(get(POWER_EVENT, 4), POWER_EVENT_BUTTON);
	cr_assert_eq(get(POWER_EVENT, 4), 0);
}

Test(power, button_pressed_twice_before_the_guest_looks_is_one_event)
{
	power_button(&power);
	power_button(&power);
	cr_assert_eq(nr_interrupts, 2);
	cr_assert_eq(get(POWER_EVENT, 4), POWER_EVENT_BUTTON);
	cr_assert_eq(get(POWER_EVENT, 4), 0);
}

Test(power, button_itself_turns_nothing_off)
{
	power_button(&power);
	cr_assert_eq(nr_power_offs + nr_resets, 0);
}

Test(power, event_not_yet_seen_is_forgotten_at_a_reset)
{
	power_button(&power);
	power_init(&power);
	cr_assert_eq(get(POWER_EVENT, 4), 0);
}

Test(power, only_s5_turns_off)
{
	for (unsigned int value = 0; value < 256; value++) {
		nr_power_offs = 0;
		put(POWER_SLEEP_CONTROL, 1, value);
		cr_assert_eq(nr_power_offs, value == POWER_SLEEP_S5, "value %#x", value);
	}
	cr_assert_eq(nr_resets, 0);
}

Test(power, only_the_reset_value_resets)
{
	for (unsigned int value = 0; value < 256; value++) {
		nr_resets = 0;
		put(POWER_RESET, 1, value);
		cr_assert_eq(nr_resets, value == POWER_RESET_VALUE, "value %#x", value);
	}
	cr_assert_eq(nr_power_offs, 0);
}

Test(power, other_registers_read_zero_and_ignore_writes)
{
	power_button(&power);
	for (uint64_t offset = 1; offset < 64; offset++) {
		cr_assert_eq(get(offset, 1), 0, "offset %llu", (unsigned long long)offset);
		if (offset == POWER_SLEEP_CONTROL || offset == POWER_RESET)
			continue;
		put(offset, 1, POWER_SLEEP_S5);
		put(offset, 1, POWER_RESET_VALUE);
	}
	put(POWER_EVENT, 4, UINT32_MAX);
	cr_assert_eq(nr_power_offs + nr_resets, 0);
	cr_assert_eq(get(POWER_EVENT, 4), POWER_EVENT_BUTTON);
}
