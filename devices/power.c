/* SPDX-License-Identifier: Apache-2.0 */
/* power.c - power button, sleep and reset. */
#include "devices/power.h"

#include "vmm/base/platform.h"

void power_init(struct power *p) { p->events = 0; }

void power_button(struct power *p)
{
	p->events |= POWER_EVENT_BUTTON;
	irq_raise(&p->irq);
}

static uint64_t read_register(struct power *p, uint64_t offset)
{
	uint32_t events = p->events;

	if (offset != POWER_EVENT)
		return 0;
	p->events = 0;
	return events;
}

static void write_register(struct power *p, uint64_t offset, uint8_t value)
{
	if (offset == POWER_SLEEP_CONTROL && value == POWER_SLEEP_S5)
		p->power_off(p->ctx);
	else if (offset == POWER_RESET && value == POWER_RESET_VALUE)
		p->reset(p->ctx);
}

void power_access(void *ctx, struct bus_access *access)
{
	struct power *p = ctx;

	if (access->is_write)
		write_register(p, access->offset, (uint8_t)access->value);
	else
		access->value = read_register(p, access->offset);
}
