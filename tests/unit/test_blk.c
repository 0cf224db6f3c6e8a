/* SPDX-License-Identifier: Apache-2.0 */
/* test_blk.c - the block device under a lawful driver. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/asleep.h"
#include "tests/unit/blk_rig.h"
#include "tests/unit/stderr_text.h"
#include "vmm/base/log.h"
#include "vmm/memory/dirty_pages.h"

#define BIT(feature) (UINT64_C(1) << (feature))
#define ALL                                                                                        \
	(BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES) |    \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX))
#define SECTOR DISK_SECTOR_BYTES
#define PAGE   UINT64_C(4096)

static struct blk_rig rig;

static void up(void)
{
	blk_rig_init(&rig, BLK_BYTES, false);
	fake_driver_start(&rig.drv, ALL);
}

static void down(void) { blk_rig_destroy(&rig); }

TestSuite(blk, .init = up, .fini = down, .timeout = 240);

static uint8_t pattern(uint64_t at) { return (uint8_t)(at * 7 + at / 251); }

/* So many bytes at once: a system call, or a look at the memory's map, for each is slow. */
#define PIECE 4096

static void make_pattern(uint8_t *data, uint64_t bytes, uint64_t seed)
{
	for (uint64_t i = 0; i < bytes; i++)
		data[i] = pattern(seed + i);
}

static void fill(gpa_t at, uint64_t bytes, uint64_t seed)
{
	uint8_t data[PIECE];

	for (uint64_t i = 0; i < bytes; i += PIECE) {
		uint64_t n = min_u64(PIECE, bytes - i);

		make_pattern(data, n, seed + i);
		fake_write(&rig.mem, gpa_add(at, i), data, n);
	}
}

static bool holds(gpa_t at, uint64_t bytes, uint64_t seed)
{
	uint8_t data[PIECE], wanted[PIECE];

	for (uint64_t i = 0; i < bytes; i += PIECE) {
		uint64_t n = min_u64(PIECE, bytes - i);

		fake_read(&rig.mem, gpa_add(at, i), data, n);
		make_pattern(wanted, n, seed + i);
		if (memcmp(data, wanted, n))
			return false;
	}
	return true;
}

/* The file's own bytes, read past the device. */
static void read_file(uint8_t *data, uint64_t bytes, uint64_t offset)
{
	cr_assert_eq(pread(rig.fd, data, bytes, (off_t)offset), (ssize_t)bytes);
}

static bool file_holds(uint64_t offset, uint64_t bytes, uint64_t seed)
{
	uint8_t data[PIECE], wanted[PIECE];

	for (uint64_t i = 0; i < bytes; i += PIECE) {
		uint64_t n = min_u64(PIECE, bytes - i);

		read_file(data, n, offset + i);
		make_pattern(wanted, n, seed + i);
		if (memcmp(data, wanted, n))
			return false;
	}
	return true;
}

static bool file_is_zero(uint64_t offset, uint64_t bytes)
{
	static const uint8_t zeros[PIECE];
	uint8_t data[PIECE];

	for (uint64_t i = 0; i < bytes; i += PIECE) {
		uint64_t n = min_u64(PIECE, bytes - i);

		read_file(data, n, offset + i);
		if (memcmp(data, zeros, n))
			return false;
	}
	return true;
}

static uint64_t file_blocks(void)
{
	struct stat st;

	cr_assert_eq(fsync(rig.fd), 0);
	cr_assert_eq(fstat(rig.fd, &st), 0);
	return (uint64_t)st.st_blocks;
}

/* Random bytes into the file, past the device. */
static void fill_file(uint64_t offset, uint64_t bytes, uint64_t seed)
{
	uint8_t data[PIECE];

	for (uint64_t at = 0; at < bytes; at += sizeof(data)) {
		make_pattern(data, sizeof(data), seed + at);
		cr_assert_eq(pwrite(rig.fd, data, sizeof(data), (off_t)(offset + at)),
			     (ssize_t)sizeof(data));
	}
}

static gpa_t alloc(uint64_t bytes) { return fake_alloc(&rig.mem, bytes, 16); }

static uint8_t write_at(uint64_t sector, gpa_t at, uint32_t bytes)
{
	return blk_rig_ask(&rig, VIRTIO_BLK_T_OUT, sector,
			   &(struct fake_buffer){ at, bytes, false }, 1);
}

static uint8_t read_at(uint64_t sector, gpa_t at, uint32_t bytes)
{
	return blk_rig_ask(&rig, VIRTIO_BLK_T_IN, sector, &(struct fake_buffer){ at, bytes, true },
			   1);
}

/* One range, as DISCARD and WRITE_ZEROES take it. */
static uint8_t range(uint32_t type, uint64_t sector, uint32_t nr, uint32_t flags)
{
	struct blk_range wire = { le64_of(sector), le32_of(nr), le32_of(flags) };
	gpa_t at = alloc(sizeof(wire));

	fake_write(&rig.mem, at, &wire, sizeof(wire));
	return blk_rig_ask(&rig, type, sector, &(struct fake_buffer){ at, sizeof(wire), false }, 1);
}

Test(blk, offers_its_size_and_limits)
{
	uint64_t features = fake_driver_device_features(&rig.drv);

	cr_expect(features & BIT(VIRTIO_BLK_F_FLUSH) && features & BIT(VIRTIO_BLK_F_SEG_MAX) &&
		  features & BIT(VIRTIO_BLK_F_SIZE_MAX) && features & BIT(VIRTIO_BLK_F_DISCARD) &&
		  features & BIT(VIRTIO_BLK_F_WRITE_ZEROES) &&
		  features & BIT(VIRTIO_BLK_F_BLK_SIZE) && features & BIT(VIRTIO_BLK_F_TOPOLOGY));
	cr_expect_not(features & BIT(VIRTIO_BLK_F_RO));
	cr_expect_eq(fake_driver_config(&rig.drv, 0, 8), BLK_BYTES / SECTOR);
	cr_expect_eq(fake_driver_config(&rig.drv, offsetof(struct blk_config, seg_max), 4), 254);
	cr_expect_eq(fake_driver_config(&rig.drv, offsetof(struct blk_config, blk_size), 4), 512);
	cr_expect_eq(fake_driver_config(&rig.drv, offsetof(struct blk_config, physical_block_exp),
					1), 3);
}

Test(blk, what_is_written_is_in_the_file_and_is_read_again)
{
	gpa_t out = alloc(64 * KiB), in = alloc(64 * KiB);

	fill(out, 64 * KiB, 1);
	cr_assert_eq(write_at(3, out, 64 * KiB), VIRTIO_BLK_S_OK);
	cr_expect(file_holds(3 * SECTOR, 64 * KiB, 1));
	for (int cached = 0; cached < 2; cached++) {
		struct blk_counters before = blk_rig_info(&rig).counters;

		blk_rig_host_set((struct blk_rig_host){ .no_cache = !cached });
		cr_assert_eq(gm_zero(&rig.mem.gm, in, 64 * KiB), 0);
		cr_assert_eq(read_at(3, in, 64 * KiB), VIRTIO_BLK_S_OK);
		cr_expect(holds(in, 64 * KiB, 1));
		cr_expect_eq(blk_rig_info(&rig).counters.at_once, before.at_once + (unsigned)cached);
		cr_expect_eq(blk_rig_info(&rig).counters.read_bytes, before.read_bytes + 64 * KiB);
	}
}

/* Header, data and status may lie in any number of descriptors, wherever they are cut. */
Test(blk, layout_of_descriptors_does_not_matter)
{
	struct blk_header header = { .type = le32_of(VIRTIO_BLK_T_OUT), .sector = le64_of(8) };
	gpa_t at = alloc(16 + 1024), in = alloc(1024 + 1);
	uint8_t status;
	uint32_t used;

	fake_write(&rig.mem, at, &header, sizeof(header));
	fill(gpa_add(at, 16), 1024, 5);
	/* 5 + 11 bytes of header; 1 + 700 + 323 of data, the first together with the header's end. */
	fake_queue_add_indirect(&rig.drv.queues[0],
				(struct fake_buffer[]){ { at, 5, false },
							{ gpa_add(at, 5), 12, false },
							{ gpa_add(at, 17), 700, false },
							{ gpa_add(at, 717), 323, false },
							{ in, 1, true } },
				5);
	fake_driver_kick(&rig.drv, 0);
	blk_drain(rig.b);
	cr_assert(fake_queue_poll(&rig.drv.queues[0], NULL, &used));
	cr_expect_eq(used, 1);
	cr_expect(file_holds(8 * SECTOR, 1024, 5));
	/* Data and status in one. */
	header.type = le32_of(VIRTIO_BLK_T_IN);
	fake_write(&rig.mem, at, &header, sizeof(header));
	fake_queue_add(&rig.drv.queues[0],
		       (struct fake_buffer[]){ { at, 16, false }, { in, 1025, true } }, 2);
	fake_driver_kick(&rig.drv, 0);
	blk_drain(rig.b);
	cr_assert(fake_queue_poll(&rig.drv.queues[0], NULL, &used));
	cr_expect_eq(used, 1025);
	cr_expect(holds(in, 1024, 5));
	fake_read(&rig.mem, gpa_add(in, 1024), &status, 1);
	cr_expect_eq(status, VIRTIO_BLK_S_OK);
}

Test(blk, many_buffers_and_short_moves_of_the_host_make_one_request)
{
	struct fake_buffer out[128], in[128];

	for (unsigned int i = 0; i < 128; i++) {
		out[i] = (struct fake_buffer){ alloc(SECTOR + 16), SECTOR, false };
		in[i] = (struct fake_buffer){ alloc(SECTOR + 16), SECTOR, true };
		fill(out[i].at, SECTOR, i * SECTOR);
	}
	blk_rig_host_set((struct blk_rig_host){ .no_cache = true, .piece = 300 });
	cr_assert_eq(blk_rig_ask(&rig, VIRTIO_BLK_T_OUT, 100, out, 128), VIRTIO_BLK_S_OK);
	cr_expect(file_holds(100 * SECTOR, 128 * SECTOR, 0));
	cr_assert_eq(blk_rig_ask(&rig, VIRTIO_BLK_T_IN, 100, in, 128), VIRTIO_BLK_S_OK);
	for (unsigned int i = 0; i < 128; i++)
		cr_expect(holds(in[i].at, SECTOR, i * SECTOR), "buffer %u", i);
}

Test(blk, requests_beyond_the_disk_or_of_broken_sectors_fail)
{
	const uint64_t end = BLK_BYTES / SECTOR;
	gpa_t at = alloc(4 * SECTOR);

	for (int is_read = 0; is_read < 2; is_read++) {
		uint8_t (*ask)(uint64_t, gpa_t, uint32_t) = is_read ? read_at : write_at;

		cr_expect_eq(ask(end, at, SECTOR), VIRTIO_BLK_S_IOERR);
		cr_expect_eq(ask(end - 1, at, 2 * SECTOR), VIRTIO_BLK_S_IOERR);
		cr_expect_eq(ask(UINT64_MAX, at, SECTOR), VIRTIO_BLK_S_IOERR);
		cr_expect_eq(ask(UINT64_MAX / SECTOR + 1, at, SECTOR), VIRTIO_BLK_S_IOERR);
		cr_expect_eq(ask(0, at, SECTOR - 1), VIRTIO_BLK_S_IOERR);
		cr_expect_eq(ask(0, at, SECTOR + 1), VIRTIO_BLK_S_IOERR);
		cr_expect_eq(ask(end - 1, at, SECTOR), VIRTIO_BLK_S_OK);
		cr_expect_eq(blk_rig_ask(&rig, is_read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, end,
					 NULL, 0), VIRTIO_BLK_S_OK, "nothing, at the end");
	}
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
	cr_expect_eq(lseek(rig.fd, 0, SEEK_END), (off_t)BLK_BYTES, "the file has not grown");
}

Test(blk, failed_read_tells_of_no_bytes)
{
	uint32_t used;
	unsigned int request;

	request = blk_rig_add(&rig, VIRTIO_BLK_T_IN, BLK_BYTES / SECTOR,
			      &(struct fake_buffer){ alloc(SECTOR), SECTOR, true }, 1);
	fake_driver_kick(&rig.drv, 0);
	cr_assert(fake_queue_poll(&rig.drv.queues[0], NULL, &used));
	cr_expect_eq(used, 0);
	cr_expect_eq(blk_rig_status(&rig, request), VIRTIO_BLK_S_IOERR);
}

Test(blk, unknown_requests_are_unsupported)
{
	cr_expect_eq(blk_rig_ask(&rig, 99, 0, NULL, 0), VIRTIO_BLK_S_UNSUPP);
	cr_expect_eq(blk_rig_ask(&rig, VIRTIO_BLK_T_SCSI_CMD, 0, NULL, 0), VIRTIO_BLK_S_UNSUPP);
	cr_expect_eq(blk_rig_ask(&rig, VIRTIO_BLK_T_SECURE_ERASE, 0, NULL, 0), VIRTIO_BLK_S_UNSUPP);
	cr_expect_eq(blk_rig_info(&rig).counters.failed, 3);
}

Test(blk, serial_is_told)
{
	char serial[21] = "";
	gpa_t at = alloc(20);

	cr_assert_eq(blk_rig_ask(&rig, VIRTIO_BLK_T_GET_ID, 0,
				 &(struct fake_buffer){ at, 20, true }, 1), VIRTIO_BLK_S_OK);
	fake_read(&rig.mem, at, serial, 20);
	cr_expect_str_eq(serial, "0123456789abcdef");
}

Test(blk, flush_syncs_the_file)
{
	gpa_t at = alloc(SECTOR);

	cr_assert_eq(write_at(0, at, SECTOR), VIRTIO_BLK_S_OK);
	cr_expect_eq(blk_rig_host_now().nr_stable, 0);
	cr_expect_eq(blk_rig_host_now().nr_flushes, 0);
	cr_assert_eq(blk_rig_ask(&rig, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), VIRTIO_BLK_S_OK);
	cr_expect_eq(blk_rig_host_now().nr_flushes, 1);
}

Test(blk, without_flush_each_write_is_stable)
{
	gpa_t at = alloc(SECTOR);

	fake_driver_start(&rig.drv, BIT(VIRTIO_BLK_F_WRITE_ZEROES));
	cr_assert_eq(write_at(0, at, SECTOR), VIRTIO_BLK_S_OK);
	cr_expect_eq(blk_rig_host_now().nr_stable, 1);
	cr_assert_eq(blk_rig_host_now().nr_unflushed, 0);
	cr_assert_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_OK);
	cr_expect_eq(blk_rig_host_now().nr_flushes, 1);
	cr_expect_eq(blk_rig_host_now().nr_unflushed, 0, "flushed before they were there");
}

Test(blk, discard_gives_the_space_of_the_file_back)
{
	uint64_t before;

	fill_file(0, BLK_BYTES, 3);
	before = file_blocks();
	cr_assert_eq(range(VIRTIO_BLK_T_DISCARD, 2048, 2048, 0), VIRTIO_BLK_S_OK);
	cr_expect_leq(file_blocks(), before - 2000);
	cr_expect(file_holds(0, MiB, 3) && file_holds(2 * MiB, 2 * MiB, 3 + 2 * MiB));
	cr_expect(file_is_zero(MiB, MiB));
	cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, 0, 8, 1), VIRTIO_BLK_S_UNSUPP, "reserved flag");
	cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, BLK_BYTES / SECTOR - 1, 2, 0), VIRTIO_BLK_S_IOERR);
	cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, UINT64_MAX, 2, 0), VIRTIO_BLK_S_IOERR);
	cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, 0, UINT32_MAX, 0), VIRTIO_BLK_S_IOERR);
	cr_expect(file_holds(0, MiB, 3));
	blk_rig_host_set((struct blk_rig_host){ .no_punch = true });
	cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_OK, "only a hint");
	cr_expect(file_holds(0, MiB, 3));
}

Test(blk, zeros_are_written_whatever_the_host_can_do)
{
	const struct blk_rig_host hosts[] = { { 0 }, { .no_zero_range = true },
					      { .no_zero_range = true, .no_punch = true } };

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		for (uint32_t unmap = 0; unmap < 2; unmap++) {
			fill_file(0, MiB, 3);
			blk_rig_host_set(hosts[i]);
			cr_expect_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 9, 300, unmap),
				     VIRTIO_BLK_S_OK);
			cr_expect(file_holds(0, 9 * SECTOR, 3));
			cr_expect(file_is_zero(9 * SECTOR, 300 * SECTOR));
			cr_expect(file_holds(309 * SECTOR, 64 * KiB, 3 + 309 * SECTOR));
		}
	}
	cr_expect_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2), VIRTIO_BLK_S_UNSUPP);
	cr_expect_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, BLK_BYTES / SECTOR, 1, 0),
		     VIRTIO_BLK_S_IOERR);
	cr_expect_eq(lseek(rig.fd, 0, SEEK_END), (off_t)BLK_BYTES);
}

/* All ranges are checked before the first one is carried out. */
Test(blk, one_bad_range_of_several_spoils_them_all)
{
	struct blk_range wire[17] = { { le64_of(0), le32_of(8), le32_of(0) },
				      { le64_of(BLK_BYTES), le32_of(8), le32_of(0) } };
	gpa_t at = alloc(sizeof(wire));
	const uint32_t bad[] = { 0, 15, 17, 2 * 16, 17 * 16 };

	fill_file(0, MiB, 3);
	fake_write(&rig.mem, at, wire, sizeof(wire));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(blk_rig_ask(&rig, VIRTIO_BLK_T_WRITE_ZEROES, 0,
					 &(struct fake_buffer){ at, bad[i], false }, 1),
			     VIRTIO_BLK_S_IOERR, "%u bytes", bad[i]);
	cr_expect(file_holds(0, MiB, 3));
	wire[1].sector = le64_of(16);
	fake_write(&rig.mem, at, wire, sizeof(wire));
	cr_expect_eq(blk_rig_ask(&rig, VIRTIO_BLK_T_WRITE_ZEROES, 0,
				 &(struct fake_buffer){ at, 2 * 16, false }, 1), VIRTIO_BLK_S_OK);
	cr_expect(file_is_zero(0, 8 * SECTOR) && file_is_zero(16 * SECTOR, 8 * SECTOR));
	cr_expect(file_holds(8 * SECTOR, 8 * SECTOR, 3 + 8 * SECTOR));
}

Test(blk, discard_and_zeros_need_their_features)
{
	fake_driver_start(&rig.drv, BIT(VIRTIO_BLK_F_FLUSH));
	fill_file(0, MiB, 3);
	cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	cr_expect_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	cr_expect(file_holds(0, MiB, 3));
}

Test(blk, read_only_disk_is_not_written)
{
	static struct blk_rig ro;
	uint64_t features;

	blk_rig_init(&ro, BLK_BYTES, true);
	features = fake_driver_device_features(&ro.drv);
	cr_expect(features & BIT(VIRTIO_BLK_F_RO));
	cr_expect_not(features & (BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES)));
	fake_driver_start(&ro.drv, BIT(VIRTIO_BLK_F_RO));
	cr_expect_eq(blk_rig_ask(&ro, VIRTIO_BLK_T_OUT, 0,
				 &(struct fake_buffer){ GPA(0x3000), SECTOR, false }, 1),
		     VIRTIO_BLK_S_IOERR);
	cr_expect_eq(blk_rig_ask(&ro, VIRTIO_BLK_T_IN, 0,
				 &(struct fake_buffer){ GPA(0x3000), SECTOR, true }, 1),
		     VIRTIO_BLK_S_OK);
	cr_expect_eq(blk_rig_ask(&ro, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), VIRTIO_BLK_S_OK);
	blk_rig_destroy(&ro);
}

/* --- the host ---------------------------------------------------------------------------------- */

Test(blk, full_host_is_an_error_of_the_request_and_a_line_in_the_log)
{
	gpa_t at = alloc(SECTOR);
	unsigned int lines = 0;

	blk_rig_host_set((struct blk_rig_host){ .fails = ENOSPC });
	stderr_keep();
	for (int i = 0; i < 100; i++)
		cr_expect_eq(write_at(0, at, SECTOR), VIRTIO_BLK_S_IOERR);
	for (const char *p = stderr_text(); (p = strstr(p, "write at 0 failed: No space")); p++)
		lines++;
	cr_expect_eq(lines, LOG_GUEST_BURST);
	blk_rig_host_reset();
	cr_expect_eq(write_at(0, at, SECTOR), VIRTIO_BLK_S_OK);
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
}

Test(blk, file_that_shrank_is_an_error)
{
	cr_assert_eq(ftruncate(rig.fd, MiB), 0);
	cr_expect_eq(read_at(MiB / SECTOR - 1, alloc(2 * SECTOR), 2 * SECTOR), VIRTIO_BLK_S_IOERR);
	cr_expect_eq(read_at(MiB / SECTOR - 2, alloc(2 * SECTOR), 2 * SECTOR), VIRTIO_BLK_S_OK);
}

Test(blk, grown_file_is_told_to_the_driver)
{
	fake_driver_take_interrupts(&rig.drv);
	cr_assert_eq(blk_set_size(rig.b, 2 * BLK_BYTES), 0);
	cr_expect_eq(fake_driver_take_interrupts(&rig.drv), VIRTIO_MMIO_INT_CONFIG);
	cr_expect_eq(fake_driver_config(&rig.drv, 0, 8), 2 * BLK_BYTES / SECTOR);
	cr_expect_eq(lseek(rig.fd, 0, SEEK_END), (off_t)(2 * BLK_BYTES), "the file grew with it");
	cr_expect_eq(write_at(2 * BLK_BYTES / SECTOR - 1, alloc(SECTOR), SECTOR), VIRTIO_BLK_S_OK);
	cr_expect_eq(blk_set_size(rig.b, BLK_BYTES), -ERANGE);
	cr_expect_eq(blk_set_size(rig.b, 2 * BLK_BYTES + 1), -EINVAL);
	cr_expect_eq(fake_driver_config(&rig.drv, 0, 8), 2 * BLK_BYTES / SECTOR);
	cr_expect_eq(fake_driver_take_interrupts(&rig.drv) & VIRTIO_MMIO_INT_CONFIG, 0);
}

/* --- requests under way ------------------------------------------------------------------------ */

static void hold(bool held)
{
	blk_rig_host_set((struct blk_rig_host){ .held = held, .no_cache = true });
}

static bool any_pinned(uint32_t block)
{
	return blocks_any_pinned(&rig.mem.elastic.blocks, block, 1);
}

/* NR reads of a page each, into plugged elastic memory from its start on. Not kicked. */
static void add_reads(unsigned int nr, unsigned int requests[])
{
	for (unsigned int i = 0; i < nr; i++)
		requests[i] = blk_rig_add(&rig, VIRTIO_BLK_T_IN, i * 8,
					  &(struct fake_buffer){ GPA(FAKE_ELASTIC_BASE + i * PAGE),
								 PAGE, true }, 1);
}

Test(blk, memory_under_a_request_is_pinned_until_it_is_answered)
{
	unsigned int requests[4];

	cr_assert_eq(elastic_plug(&rig.mem.elastic, 0, 2), 0);
	fill_file(0, MiB, 9);
	hold(true);
	add_reads(4, requests);
	fake_driver_kick(&rig.drv, 0);
	blk_rig_host_wait(1);
	cr_expect_eq(blk_rig_info(&rig).nr_in_flight, 4);
	cr_expect(any_pinned(0));
	cr_expect_not(any_pinned(1));
	cr_expect_not(fake_queue_poll(&rig.drv.queues[0], NULL, NULL));
	hold(false);
	blk_drain(rig.b);
	cr_expect_not(any_pinned(0));
	for (unsigned int i = 0; i < 4; i++) {
		cr_expect(fake_queue_poll(&rig.drv.queues[0], NULL, NULL));
		cr_expect_eq(blk_rig_status(&rig, requests[i]), VIRTIO_BLK_S_OK);
	}
	cr_expect(holds(GPA(FAKE_ELASTIC_BASE), 4 * PAGE, 9));
	cr_expect_eq(blk_rig_info(&rig).nr_in_flight, 0);
}

/* On its own thread, as it comes from a vCPU. */
struct vcpu {
	void (*fn)(void);
	pid_t tid;
	bool done;
};

static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;

	__atomic_store_n(&v->tid, gettid(), __ATOMIC_RELEASE);
	v->fn();
	__atomic_store_n(&v->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void reset_device(void) { fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0); }

static void stop_queue(void)
{
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_SEL, 0);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_QUEUE_READY, 0);
}

/* 64 reads of a page each; a vCPU does FN while 16 of them run. */
static void interrupt_reads(void (*fn)(void))
{
	struct vcpu vcpu = { .fn = fn };
	unsigned int requests[64];
	pthread_t thread;

	cr_assert_eq(elastic_plug(&rig.mem.elastic, 0, 1), 0);
	fill_file(0, MiB, 9);
	hold(true);
	add_reads(64, requests);
	fake_driver_kick(&rig.drv, 0);
	blk_rig_host_wait(16); /* all workers */
	cr_assert_eq(pthread_create(&thread, NULL, run_vcpu, &vcpu), 0);
	wait_until_asleep(&vcpu.tid);
	cr_expect_not(__atomic_load_n(&vcpu.done, __ATOMIC_ACQUIRE), "it waits");
	hold(false);
	pthread_join(thread, NULL);
	cr_expect_not(any_pinned(0));
	cr_expect_eq(blk_rig_info(&rig).nr_in_flight, 0);
	blk_drain(rig.b);
	cr_expect_eq(fake_queue_used_idx(&rig.drv.queues[0]), 0, "nothing is answered");
	for (unsigned int i = 0; i < 64; i++)
		cr_expect_eq(blk_rig_status(&rig, requests[i]), BLK_NO_STATUS);
	cr_expect(holds(GPA(FAKE_ELASTIC_BASE), 16 * PAGE, 9), "these had begun");
	for (unsigned int i = 16; i < 64; i++)
		cr_expect_not(holds(GPA(FAKE_ELASTIC_BASE + i * PAGE), PAGE, 9 + i * PAGE));
}

Test(blk, reset_waits_for_what_runs_and_forgets_the_rest)
{
	interrupt_reads(reset_device);
	fake_driver_start(&rig.drv, ALL);
	cr_expect_eq(read_at(0, alloc(PAGE), PAGE), VIRTIO_BLK_S_OK);
}

/* When the driver reads that its queue is not ready, no worker writes into it any more. */
Test(blk, stopping_the_queue_waits_for_what_runs_and_forgets_the_rest)
{
	interrupt_reads(stop_queue);
	cr_expect_eq(fake_driver_reg(&rig.drv, VIRTIO_MMIO_QUEUE_READY), 0);
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
	fake_driver_start(&rig.drv, ALL);
	cr_expect_eq(read_at(0, alloc(PAGE), PAGE), VIRTIO_BLK_S_OK);
}

Test(blk, paused_nothing_changes_memory)
{
	unsigned int requests[4], late;
	gpa_t at = alloc(PAGE);

	cr_assert_eq(elastic_plug(&rig.mem.elastic, 0, 1), 0);
	fill_file(0, MiB, 9);
	blk_rig_host_set((struct blk_rig_host){ .no_cache = true });
	add_reads(4, requests);
	fake_driver_kick(&rig.drv, 0);
	virtio_hold(blk_dev(rig.b), true);
	blk_drain(rig.b);
	for (unsigned int i = 0; i < 4; i++)
		cr_expect(fake_queue_poll(&rig.drv.queues[0], NULL, NULL), "all was answered");
	late = blk_rig_add(&rig, VIRTIO_BLK_T_IN, 0, &(struct fake_buffer){ at, PAGE, true }, 1);
	cr_expect_eq(blk_rig_serve(&rig), 0);
	cr_expect_eq(blk_rig_status(&rig, late), BLK_NO_STATUS);
	virtio_hold(blk_dev(rig.b), false);
	(void)blk_rig_serve(&rig);
	cr_expect_eq(blk_rig_status(&rig, late), VIRTIO_BLK_S_OK);
	cr_expect(holds(at, PAGE, 9));
}

/* What a request will fill is noted before it runs: hinting must not take it. */
Test(blk, memory_that_a_read_fills_is_noted_as_written)
{
	struct dirty_pages w = { 0 };
	gpa_t in = fake_alloc(&rig.mem, PAGE, PAGE), out = fake_alloc(&rig.mem, PAGE, PAGE);

	cr_assert_eq(dirty_pages_start(&w, &rig.mem.gm), 0);
	hold(true);
	blk_rig_add(&rig, VIRTIO_BLK_T_IN, 0, &(struct fake_buffer){ in, PAGE, true }, 1);
	blk_rig_add(&rig, VIRTIO_BLK_T_OUT, 0, &(struct fake_buffer){ out, PAGE, false }, 1);
	dirty_pages_stop(&w, &rig.mem.gm);
	cr_assert_eq(dirty_pages_start(&w, &rig.mem.gm), 0);
	fake_driver_kick(&rig.drv, 0);
	cr_expect(dirty_pages_any(&w, in, PAGE));
	cr_expect_not(dirty_pages_any(&w, out, PAGE));
	hold(false);
	blk_drain(rig.b);
	dirty_pages_stop(&w, &rig.mem.gm);
}

static void stop_soon(void *ctx) { loop_stop(ctx); }

/* By the loop itself, as in a machine. */
Test(blk, loop_answers_what_workers_have_done)
{
	unsigned int requests[200];
	struct loop_timer end = { .fn = stop_soon, .ctx = rig.loop };
	uint64_t until = clock_ns() + 20 * NS_PER_S;
	unsigned int nr = 0;

	cr_assert_eq(elastic_plug(&rig.mem.elastic, 0, 1), 0);
	fill_file(0, MiB, 9);
	blk_rig_host_set((struct blk_rig_host){ .no_cache = true });
	add_reads(64, requests);
	fake_driver_kick(&rig.drv, 0);
	while (nr < 64 && clock_ns() < until) {
		loop_timer_set(rig.loop, &end, clock_ns() + NS_PER_MS);
		cr_assert_eq(loop_run(rig.loop), 0);
		while (fake_queue_poll(&rig.drv.queues[0], NULL, NULL))
			nr++;
	}
	cr_expect_eq(nr, 64);
	cr_expect(holds(GPA(FAKE_ELASTIC_BASE), 64 * PAGE, 9));
	cr_expect(fake_driver_take_interrupts(&rig.drv) & VIRTIO_MMIO_INT_VRING);
}
