/* SPDX-License-Identifier: Apache-2.0 */
/* test_balloon_driver_gone.c - a driver that resets the balloon without deflating it first. */
#include <criterion/criterion.h>
#include <linux/virtio_mmio.h>

#include "tests/unit/balloon_rig.h"

#define UNIT_AT (4 * MiB)

static struct balloon_rig rig;

static void set_up(void)
{
	balloon_rig_init(&rig);
	fake_driver_start(&rig.drv, fake_driver_device_features(&rig.drv));
}

static void tear_down(void) { balloon_rig_destroy(&rig); }

TestSuite(balloon_driver_gone, .init = set_up, .fini = tear_down);

static void inflate(uint32_t first, uint32_t nr)
{
	le32 pfns[RAM_HUGE_PAGES];

	for (uint32_t i = 0; i < nr; i++)
		pfns[i] = le32_of((uint32_t)(UNIT_AT / BALLOON_PAGE_BYTES) + first + i);
	cr_assert(fake_driver_request(&rig.drv, 0, pfns, nr * (uint32_t)sizeof(le32), NULL, 0,
				      NULL));
}

static void write_word(uint32_t page, uint64_t word)
{
	fake_write(&rig.mem, GPA(UNIT_AT + page * BALLOON_PAGE_BYTES), &word, sizeof(word));
}

static uint64_t read_word(uint32_t page)
{
	uint64_t word;

	fake_read(&rig.mem, GPA(UNIT_AT + page * BALLOON_PAGE_BYTES), &word, sizeof(word));
	return word;
}

/* As kexec may do it: the next kernel uses all memory at once. */
static void next_driver(void)
{
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	rig.mem.next_free = 0x80000;
	fake_driver_start(&rig.drv, fake_driver_device_features(&rig.drv));
}

Test(balloon_driver_gone, what_waited_is_not_discarded_later)
{
	inflate(0, 3);
	cr_assert_eq(balloon_rig_info(&rig).waiting_bytes, 3 * BALLOON_PAGE_BYTES);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	write_word(1, 0x1234);
	balloon_rig_run(&rig, 200 * NS_PER_MS);
	cr_assert_eq(read_word(1), 0x1234);
	cr_assert_eq(balloon_rig_info(&rig).waiting_bytes, 0);
}

Test(balloon_driver_gone, the_next_ones_last_page_takes_no_other_along)
{
	inflate(0, RAM_HUGE_PAGES - 1);
	next_driver();
	write_word(7, 0x5678);
	inflate(RAM_HUGE_PAGES - 1, 1);
	balloon_rig_run(&rig, 200 * NS_PER_MS);
	cr_assert_eq(read_word(7), 0x5678);
}

Test(balloon_driver_gone, sizes_speak_of_the_driver_that_is_there)
{
	inflate(0, 3);
	next_driver();
	cr_assert_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT);
	inflate(0, 1);
	cr_assert_eq(balloon_rig_info(&rig).size_bytes, BALLOON_BOOT - BALLOON_PAGE_BYTES);
	/* Also told when the next driver came. */
	cr_assert_eq(rig.nr_sizes, 3);
}
