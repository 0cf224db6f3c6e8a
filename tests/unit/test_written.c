/* SPDX-License-Identifier: Apache-2.0 */
/* test_written.c - what was written is known: by devices through every door, by vCPUs' logs. */
#include "vmm/memory/dirty_pages.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/fake_driver.h"

#define PAGE PAGE_BYTES
#define ELASTIC GPA(FAKE_ELASTIC_BASE)

static struct fake_memory mem;
static struct dirty_pages w;

static void setup(void)
{
	w = (struct dirty_pages){ 0 };
	fake_memory_init(&mem, 4 * MiB, 4 * MiB, 2 * MiB);
	cr_assert_eq(elastic_plug(&mem.elastic, 0, 1), 0);
	cr_assert_eq(dirty_pages_start(&w, &mem.gm), 0);
}

static void teardown(void)
{
	dirty_pages_stop(&w, &mem.gm);
	fake_memory_destroy(&mem);
}

TestSuite(written, .init = setup, .fini = teardown, .timeout = 240);

static uint64_t nr_written(void) { return w.sets[0].nr + w.sets[1].nr; }

static bool page(uint64_t i) { return dirty_pages_any(&w, GPA(i * PAGE), PAGE); }

Test(written, at_first_nothing_was)
{
	cr_expect_eq(nr_written(), 0);
	cr_expect_not(dirty_pages_any(&w, GPA(0), 4 * MiB));
	cr_expect_not(dirty_pages_any(&w, ELASTIC, 4 * MiB));
}

Test(written, every_door_that_writes_is_noted_with_all_pages_it_touches)
{
	char buf[2 * PAGE] = { 1 };
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	cr_assert_eq(gm_write(&mem.gm, GPA(3 * PAGE - 1), buf, 2), 0);
	cr_expect(page(2) && page(3) && nr_written() == 2, "two bytes on two pages");
	cr_assert_eq(gm_write(&mem.gm, GPA(10 * PAGE), buf, PAGE), 0);
	cr_expect(page(10) && nr_written() == 3, "a page is one");
	cr_assert_eq(gm_write(&mem.gm, GPA(20 * PAGE + 1), buf, 2 * PAGE), 0);
	cr_expect(page(20) && page(21) && page(22) && nr_written() == 6);
	cr_assert_eq(gm_zero(&mem.gm, GPA(30 * PAGE), 1), 0);
	cr_expect(page(30) && nr_written() == 7);
	cr_assert_eq(gm_store_le16(&mem.gm, GPA(40 * PAGE + 4094), 7), 0);
	cr_expect(page(40) && nr_written() == 8);
	cr_assert_geq(fd, 0);
	cr_assert_eq(gm_read_file(&mem.gm, GPA(50 * PAGE), fd, 0, 2 * PAGE), 0);
	close(fd);
	cr_expect(page(50) && page(51) && nr_written() == 10);
	cr_assert_eq(gm_write(&mem.gm, gpa_add(ELASTIC, 5 * PAGE), buf, 1), 0);
	cr_expect(dirty_pages_any(&w, gpa_add(ELASTIC, 5 * PAGE), 1));
	cr_expect_eq(nr_written(), 11);
}

Test(written, reads_and_refused_writes_are_not)
{
	char buf[16];
	uint16_t word;

	cr_assert_eq(gm_read(&mem.gm, GPA(0), buf, sizeof(buf)), 0);
	cr_assert_eq(gm_read_cold(&mem.gm, GPA(0), buf, sizeof(buf)), 0);
	cr_assert(gm_is_zero(&mem.gm, GPA(0), PAGE));
	cr_assert_eq(gm_load_le16(&mem.gm, GPA(0), &word), 0);
	cr_assert_neq(gm_write(&mem.gm, GPA(4 * MiB - 1), buf, 2), 0, "past the end");
	cr_assert_neq(gm_write(&mem.gm, gpa_add(ELASTIC, 2 * MiB), buf, 1), 0, "unplugged");
	cr_assert_neq(gm_store_le16(&mem.gm, GPA(1), 0), 0, "odd");
	cr_expect_eq(nr_written(), 0);
}

Test(written, a_range_was_written_when_any_page_of_it_was)
{
	dirty_pages_note(&w, GPA(100 * PAGE), 1);
	cr_expect(dirty_pages_any(&w, GPA(0), 4 * MiB));
	cr_expect(dirty_pages_any(&w, GPA(100 * PAGE + 4095), 1), "by pages");
	cr_expect(dirty_pages_any(&w, GPA(100 * PAGE - 1), 2));
	cr_expect_not(dirty_pages_any(&w, GPA(0), 100 * PAGE));
	cr_expect_not(dirty_pages_any(&w, GPA(101 * PAGE), PAGE));
}

Test(written, memory_that_is_in_no_region_counts_as_written)
{
	cr_expect(dirty_pages_any(&w, GPA(4 * MiB), 1));
	cr_expect(dirty_pages_any(&w, GPA(4 * MiB - 1), 2));
	cr_expect(dirty_pages_any(&w, GPA(UINT64_MAX), 1));
	cr_expect(dirty_pages_any(&w, GPA(1), UINT64_MAX));
	cr_expect(dirty_pages_any(&w, gpa_add(ELASTIC, 4 * MiB - PAGE), 2 * PAGE));
}

Test(written, a_log_is_added_where_it_belongs)
{
	uint64_t bits[8] = { 1, UINT64_C(1) << 63, 0, 0, 0, 0, 0, UINT64_MAX };

	dirty_pages_merge(&w, GPA(MiB), bits, 512);
	cr_expect_eq(nr_written(), 66);
	cr_expect(page(256) && page(256 + 127) && page(256 + 448) && page(256 + 511));
	cr_expect_not(page(257) || page(256 + 126) || page(256 + 447) || page(255));
	dirty_pages_merge(&w, gpa_add(ELASTIC, 2 * MiB), bits, 64);
	cr_expect(dirty_pages_any(&w, gpa_add(ELASTIC, 2 * MiB), PAGE));
	cr_expect_eq(nr_written(), 67);
}

Test(written, a_stop_forgets_all_and_the_next_start_begins_anew)
{
	dirty_pages_note(&w, GPA(0), 2 * MiB);
	dirty_pages_stop(&w, &mem.gm);
	dirty_pages_stop(&w, &mem.gm);
	cr_expect_null(mem.gm.written);
	cr_assert_eq(gm_zero(&mem.gm, GPA(0), PAGE), 0, "nobody notes it");
	cr_expect(dirty_pages_any(&w, GPA(0), PAGE), "off, it knows of nothing that was not written");
	cr_assert_eq(dirty_pages_start(&w, &mem.gm), 0);
	cr_expect_not(dirty_pages_any(&w, GPA(0), 4 * MiB));
}
