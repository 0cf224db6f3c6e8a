/* SPDX-License-Identifier: Apache-2.0 */
/* test_touched.c - what of guest memory was accessed since its page tables were emptied. */
#include "vmm/memory/access_scan.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fake_driver.h"
#include "tests/unit/stderr_text.h"

#define UNIT RAM_HUGE_BYTES
#define PAGE (4 * KiB)
#define BOOT (40 * MiB) /* more than one piece of a sweep */
/* A page that is read may bring so many bytes of neighbours (fault-around). */
#define AROUND (64 * KiB)

static struct fake_memory mem;
static struct access_scan touched;

/* All of boot memory is in use, and one elastic block of two is plugged and in use. */
static void setup(void)
{
	fake_memory_init(&mem, BOOT, 2 * UNIT, UNIT);
	cr_assert_eq(elastic_plug(&mem.elastic, 0, 1), 0);
	memset(mem.boot.host, 0x5a, BOOT);
	memset(mem.elastic.ram.host, 0x5a, UNIT);
	cr_assert_eq(access_scan_open(&touched, &mem.gm), 0);
}

static void teardown(void)
{
	access_scan_close(&touched);
	fake_memory_destroy(&mem);
}

TestSuite(touched, .init = setup, .fini = teardown, .timeout = 240);

static void forget(void)
{
	int r;

	while ((r = access_scan_forget(&touched, NS_PER_S)) > 0)
		;
	cr_assert_eq(r, 0);
}

static uint64_t counted(void)
{
	int r;

	while ((r = access_scan_count(&touched, NS_PER_S)) > 0)
		;
	cr_assert_eq(r, 0);
	return touched.bytes;
}

static void write_at(uint64_t at) { cr_assert_eq(gm_zero(&mem.gm, GPA(at), 1), 0); }

static uint64_t resident(const struct ram *ram)
{
	uint64_t bytes;

	cr_assert_eq(ram_resident(ram, &bytes), 0);
	return bytes;
}

Test(touched, all_that_was_used_before_counts_until_it_is_forgotten)
{
	cr_expect_eq(counted(), BOOT + UNIT);
	forget();
	cr_expect_eq(counted(), 0);
}

Test(touched, each_page_counts_once_however_often_it_is_counted)
{
	forget();
	write_at(0);
	write_at(PAGE);
	write_at(PAGE + 1);
	write_at(BOOT - 1);
	write_at(FAKE_ELASTIC_BASE);
	cr_expect_eq(counted(), 4 * PAGE);
	cr_expect_eq(counted(), 4 * PAGE);
	write_at(20 * MiB);
	cr_expect_eq(counted(), 5 * PAGE);
}

Test(touched, a_read_counts_too_perhaps_with_its_neighbours)
{
	uint8_t byte;

	forget();
	cr_assert_eq(gm_read(&mem.gm, GPA(8 * MiB), &byte, 1), 0);
	cr_expect_eq(byte, 0x5a);
	cr_expect_geq(counted(), PAGE);
	cr_expect_leq(touched.bytes, AROUND);
}

Test(touched, nothing_is_lost_or_made)
{
	uint64_t boot = resident(&mem.boot), elastic = resident(&mem.elastic.ram);
	static char all[BOOT];

	forget();
	cr_expect_eq(counted(), 0);
	cr_expect_eq(resident(&mem.boot), boot);
	cr_expect_eq(resident(&mem.elastic.ram), elastic);
	cr_assert_eq(gm_read(&mem.gm, GPA(0), all, sizeof(all)), 0);
	cr_assert(all[0] == 0x5a && !memcmp(all, all + 1, sizeof(all) - 1));
	cr_expect_eq(counted(), BOOT);
}

Test(touched, a_sweep_goes_on_where_it_was_whatever_its_budget)
{
	unsigned int steps = 0;

	forget();
	write_at(0);
	write_at(BOOT - 1);
	while (access_scan_count(&touched, 0) > 0)
		steps++;
	cr_expect_geq(steps, 3);
	cr_expect_eq(touched.bytes, 2 * PAGE);
	while (access_scan_forget(&touched, 0) > 0)
		;
	cr_expect_eq(counted(), 0);
}

Test(touched, memory_that_is_not_plugged_is_left_alone)
{
	elastic_close(&mem.elastic, 0, 1);
	cr_expect_eq(counted(), BOOT);
	forget();
	elastic_reopen(&mem.elastic, 0, 1);
	cr_expect_eq(counted(), UNIT, "it was not forgotten");
	cr_assert_eq(elastic_plug(&mem.elastic, 1, 1), 0);
	write_at(FAKE_ELASTIC_BASE + UNIT);
	cr_expect_eq(counted(), UNIT + PAGE);
}

Test(touched, a_huge_page_counts_as_a_whole)
{
	if (ram_collapse(&mem.boot, 4 * MiB, UNIT))
		cr_skip_test("no huge page to be had here");
	forget();
	write_at(4 * MiB + 12345);
	cr_expect_eq(counted(), UNIT);
	forget();
	cr_expect_eq(counted(), 0);
}

Test(touched, an_error_ends_the_sweep_and_is_told)
{
	int pagemap = touched.pagemap;

	forget();
	write_at(0);
	touched.pagemap = -1;
	stderr_keep();
	cr_expect_eq(access_scan_count(&touched, NS_PER_S), -EBADF);
	cr_expect(strstr(stderr_text(), "pagemap"));
	touched.pagemap = pagemap;
	cr_expect_eq(counted(), PAGE, "from the beginning");
}
