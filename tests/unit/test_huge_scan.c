/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/guard_rig.h"
#include "tests/unit/memory_rig.h"
#include "tests/unit/stderr_text.h"
#include "vmm/machine/huge_scan.h"

static struct memory_rig rig;
static struct page_ledger ledger;
static struct huge_scan scan;
static bool must_wait;
static unsigned int nr_asked;

static bool waits(void *ctx)
{
	(void)ctx;
	nr_asked++;
	return must_wait;
}

static struct huge *huge_of(void *ctx, const struct gm_region *region)
{
	return vm_memory_huge(ctx, region);
}

static void start(enum huge_mode mode)
{
	struct huge_scan_env env = { .memory = &rig.memory,
				     .returned = &ledger,
				     .must_wait = waits };

	memory_rig_prepare(&rig, 64 * MiB, 1);
	env.loop = rig.loop;
	rig.cfg.huge = mode;
	cr_assert_eq(memory_rig_open(&rig), 0);
	memory_rig_devices(&rig);
	cr_assert_eq(page_ledger_init(&ledger, &rig.memory.gm, huge_of, &rig.memory), 0);
	huge_scan_open(&scan, &env);
}

static void teardown(void)
{
	huge_scan_close(&scan);
	page_ledger_destroy(&ledger);
	memory_rig_destroy(&rig);
}

TestSuite(huge_scan, .fini = teardown, .timeout = 240);

/* Passes that began within NS. */
static unsigned int passes(uint64_t ns)
{
	nr_asked = 0;
	memory_rig_run(&rig, ns);
	return nr_asked;
}

Test(huge_scan, never_is_never)
{
	start(HUGE_NEVER);
	cr_expect_eq(passes(60 * NS_PER_S), 0);
	huge_scan_wake(&scan);
	cr_expect_eq(passes(60 * NS_PER_S), 0);
	huge_scan_reset(&scan);
	cr_expect_eq(passes(60 * NS_PER_S), 0);
}

Test(huge_scan, a_vm_at_rest_is_looked_at_every_10_s)
{
	start(HUGE_AUTO);
	if (rig.memory.boot_huge.mode == HUGE_NEVER)
		cr_skip_test("this kernel makes no huge pages");
	cr_expect_eq(passes(NS_PER_S - 1), 0, "the first pass comes after a second");
	cr_expect_geq(passes(30 * NS_PER_S), 3);
	cr_expect_leq(passes(100 * NS_PER_S), 12);
	cr_expect_geq(passes(100 * NS_PER_S), 9);
	cr_expect_eq(scan.period_ns, 10 * NS_PER_S);
}

Test(huge_scan, memory_that_was_given_is_looked_at_within_a_second)
{
	start(HUGE_AUTO);
	if (rig.memory.boot_huge.mode == HUGE_NEVER)
		cr_skip_test("this kernel makes no huge pages");
	memory_rig_run(&rig, 60 * NS_PER_S);
	cr_assert_eq(scan.period_ns, 10 * NS_PER_S);
	huge_scan_wake(&scan);
	cr_expect_eq(scan.period_ns, NS_PER_S);
	cr_expect_geq(passes(NS_PER_S + NS_PER_MS), 1);
}

Test(huge_scan, a_full_unit_of_boot_memory_becomes_huge)
{
	start(HUGE_AUTO);
	if (rig.memory.boot_huge.mode == HUGE_NEVER || !can_collapse())
		cr_skip_test("this kernel makes no huge pages");
	cr_assert_eq(huge_bytes(&rig.memory.boot_huge), 0);
	memset(rig.memory.boot.host, 1, 2 * MiB);
	memory_rig_run(&rig, 20 * NS_PER_S);
	cr_expect_eq(huge_bytes(&rig.memory.boot_huge), 2 * MiB);
	cr_expect_eq(*(char *)rig.memory.boot.host, 1);
	huge_scan_reset(&scan);
	cr_expect_eq(huge_bytes(&rig.memory.boot_huge), 0, "it was discarded");
}

Test(huge_scan, nothing_is_touched_while_it_must_wait)
{
	start(HUGE_AUTO);
	if (rig.memory.boot_huge.mode == HUGE_NEVER || !can_collapse())
		cr_skip_test("this kernel makes no huge pages");
	must_wait = true;
	memset(rig.memory.boot.host, 1, 2 * MiB);
	cr_expect_leq(passes(60 * NS_PER_S), 7, "asked every 10 s");
	cr_expect_eq(huge_bytes(&rig.memory.boot_huge), 0);
	must_wait = false;
	memory_rig_run(&rig, 20 * NS_PER_S);
	cr_expect_eq(huge_bytes(&rig.memory.boot_huge), 2 * MiB);
}

Test(huge_scan, one_that_was_never_opened_can_be_closed)
{
	struct huge_scan none = { 0 };

	start(HUGE_NEVER);
	huge_scan_close(&none);
}
