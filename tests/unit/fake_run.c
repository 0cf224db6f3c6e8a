/* SPDX-License-Identifier: Apache-2.0 */
/* fake_run.c - the running of a VM that is none. */
#include "tests/unit/fake_run.h"

static bool is_running(void *ctx) { return ((struct fake_run *)ctx)->running; }

static bool park(void *ctx)
{
	struct fake_run *run = ctx;

	run->nr_parks++;
	return !run->refuses_to_park;
}

static void unpark(void *ctx) { ((struct fake_run *)ctx)->nr_unparks++; }

static void pause_vm(void *ctx)
{
	struct fake_run *run = ctx;

	run->nr_pauses += run->running;
	run->running = false;
}

static void end(void *ctx, int code, bool guest, const char *reason)
{
	struct fake_run *run = ctx;

	run->nr_ends++;
	run->exit_code = code;
	run->guest = guest;
	run->reason = reason;
}

struct run_control fake_run_control(struct fake_run *run)
{
	*run = (struct fake_run){ .running = true };
	return (struct run_control){ is_running, park, unpark, pause_vm, end, run };
}
