/* SPDX-License-Identifier: Apache-2.0 */
/* test_disks.c - the block devices of a machine: in order, by their ids, or not at all. */
#include "vmm/machine/disks.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio_blk_wire.h"
#include "tests/unit/fake_device.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/stderr_text.h"

static struct config cfg;
static struct loop *loop;
static struct fake_memory mem;
static struct bus bus;
static struct virtio_slots slots;
static struct disks disks;
static char dir[] = "/tmp/ebb-disks-XXXXXX";

/* Disk I of the configuration is a file of so many MiB. */
static void want_file(unsigned int i)
{
	struct config_disk *d = &cfg.disks[i];
	FILE *f;

	snprintf(d->path, sizeof(d->path), "%s/%u", dir, i);
	f = fopen(d->path, "w");
	cr_assert(f && !ftruncate(fileno(f), (off_t)((i + 1) * MiB)));
	fclose(f);
	cfg.nr_disks = i + 1;
}

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	config_init(&cfg);
	cr_assert_eq(loop_new(&loop), 0);
	fake_memory_init(&mem, 4 * MiB, 0, 0);
	virtio_slots_open(&slots, loop, &bus);
	for (unsigned int i = 0; i < 3; i++)
		want_file(i);
}

static void teardown(void)
{
	disks_close(&disks);
	disks_close(&disks);
	virtio_slots_close(&slots);
	loop_free(loop);
	fake_memory_destroy(&mem);
	for (unsigned int i = 0; i < 3; i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/%u", dir, i);
		unlink(path);
	}
	rmdir(dir);
}

TestSuite(disks, .init = setup, .fini = teardown, .timeout = 240);

static int open_disks(void) { return disks_open(&disks, &cfg, loop, &mem.gm, &slots); }

Test(disks, each_is_found_by_its_id_in_the_order_of_the_configuration)
{
	cfg.disks[1].read_only = true;
	cr_assert_eq(open_disks(), 0);
	cr_expect_eq(slots.nr, 3);
	for (unsigned int i = 0; i < 3; i++) {
		char id[16];
		struct blk *b;
		struct blk_info info;

		snprintf(id, sizeof(id), "disk%u", i);
		b = disks_find(&disks, id);
		cr_assert_not_null(b, "%s", id);
		blk_info(b, &info);
		cr_expect_str_eq(info.id, id);
		cr_expect_str_eq(info.path, cfg.disks[i].path);
		cr_expect_eq(info.bytes, (i + 1) * MiB);
		cr_expect_eq(info.is_read_only, i == 1);
		cr_expect_eq(slots.slot[i].mmio.dev, blk_dev(b));
	}
	cr_expect_null(disks_find(&disks, "disk3"));
	cr_expect_null(disks_find(&disks, ""));
	disks_drain(&disks);
}

Test(disks, there_need_be_none)
{
	cfg.nr_disks = 0;
	cr_assert_eq(open_disks(), 0);
	cr_expect_eq(slots.nr, 0);
	disks_drain(&disks);
	cr_expect_null(disks_find(&disks, "disk0"));
}

Test(disks, one_that_is_missing_is_an_error_and_the_others_can_be_closed)
{
	unlink(cfg.disks[1].path);
	stderr_keep();
	cr_expect_eq(open_disks(), -ENOENT);
	cr_expect_not_null(strstr(stderr_text(), cfg.disks[1].path));
	cr_expect_eq(slots.nr, 1);
	cr_expect_not_null(disks_find(&disks, "disk0"));
	cr_expect_null(disks_find(&disks, "disk1"));
}

Test(disks, one_disk_twice_is_refused)
{
	memcpy(cfg.disks[1].path, cfg.disks[0].path, sizeof(cfg.disks[1].path));
	stderr_keep();
	cr_expect_lt(open_disks(), 0);
	cr_expect_not_null(strstr(stderr_text(), cfg.disks[0].path));
}

Test(disks, a_machine_without_a_place_left_is_refused)
{
	static struct fake_device others[PLATFORM_MAX_VIRTIO - 1];

	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++) {
		fake_device_init(&others[i], &mem.gm);
		cr_assert_eq(virtio_slots_add(&slots, &others[i].dev), 0);
	}
	stderr_keep();
	cr_expect_eq(open_disks(), -EINVAL);
	cr_expect_not_null(strstr(stderr_text(), "at most 16 virtio devices"));
}

/* --- requests ---------------------------------------------------------------------------------- */

static struct fake_driver drv[3];

static void drive(unsigned int i)
{
	fake_driver_init(&drv[i], &mem, blk_dev(disks.disk[i].blk));
	fake_driver_start(&drv[i], 0);
}

/* A request of TYPE with one buffer of BYTES; where that is. */
static gpa_t ask(unsigned int i, uint32_t type, uint32_t bytes)
{
	struct blk_header header = { .type = le32_of(type) };
	struct fake_buffer buffers[3] = {
		{ fake_alloc(&mem, sizeof(header), 16), sizeof(header), false },
		{ fake_alloc(&mem, bytes, 16), bytes, type != VIRTIO_BLK_T_OUT },
		{ fake_alloc(&mem, 1, 1), 1, true },
	};

	fake_write(&mem, buffers[0].at, &header, sizeof(header));
	fake_queue_add(&drv[i].queues[0], buffers, 3);
	fake_driver_kick(&drv[i], 0);
	return buffers[1].at;
}

static bool answered(unsigned int i) { return fake_queue_poll(&drv[i].queues[0], NULL, NULL); }

Test(disks, once_drained_no_disk_has_anything_under_way)
{
	cr_assert_eq(open_disks(), 0);
	for (unsigned int i = 0; i < 3; i++) {
		drive(i);
		ask(i, VIRTIO_BLK_T_OUT, 512);
	}
	/* The loop, which would take a worker's answer, does not run. */
	disks_drain(&disks);
	for (unsigned int i = 0; i < 3; i++)
		cr_expect(answered(i), "disk%u", i);
}

Test(disks, the_serial_number_is_that_of_the_configuration)
{
	char serial[BLK_SERIAL_BYTES];
	gpa_t at;

	memcpy(cfg.disks[2].serial, "0123456789abcdefghij", BLK_SERIAL_BYTES);
	cr_assert_eq(open_disks(), 0);
	drive(2);
	at = ask(2, VIRTIO_BLK_T_GET_ID, sizeof(serial));
	disks_drain(&disks);
	cr_assert(answered(2));
	fake_read(&mem, at, serial, sizeof(serial));
	cr_expect_eq(memcmp(serial, "0123456789abcdefghij", sizeof(serial)), 0);
}
