/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_blk_hostile.c - drivers that break the rules of the block device, by the cases of our list of
 * bad inputs (13 to 26: queues). Whatever comes, the VMM lives, the disk holds what was lawfully
 * written and nothing else, no pin is left, no unplugged block gets memory, a reset heals it.
 */
#include <criterion/criterion.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/blk_rig.h"

#define BIT(feature) (UINT64_C(1) << (feature))
#define FEATURES                                                                                   \
	(BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES))
#define SECTOR DISK_SECTOR_BYTES
#define BLOCK  (2 * MiB)
#define AT     FAKE_ELASTIC_BASE
#define IN     VIRTIO_BLK_T_IN
#define OUT    VIRTIO_BLK_T_OUT

static struct blk_rig rig;

/* Of four elastic blocks the third is plugged. */
static void up(void)
{
	blk_rig_init(&rig, BLK_BYTES, false);
	cr_assert_eq(elastic_plug(&rig.mem.elastic, 2, 1), 0);
	fake_driver_start(&rig.drv, FEATURES);
}

static void down(void) { blk_rig_destroy(&rig); }

TestSuite(blk_hostile, .init = up, .fini = down, .timeout = 240);

static bool file_is_empty(void)
{
	struct stat st;

	cr_assert_eq(fsync(rig.fd), 0);
	cr_assert_eq(fstat(rig.fd, &st), 0);
	return !st.st_blocks && st.st_size == BLK_BYTES;
}

static void assert_works(void)
{
	cr_assert_eq(blk_rig_ask(&rig, IN, 0, &(struct fake_buffer){ GPA(0x3000), SECTOR, true },
				 1), VIRTIO_BLK_S_OK);
}

static void start_again(uint64_t features)
{
	cr_assert_eq(gm_zero(&rig.mem.gm, GPA(MiB), BLK_BOOT - MiB), 0);
	rig.mem.next_free = MiB;
	fake_driver_start(&rig.drv, features);
}

/* What was just made available broke the device; nothing was written, nothing is pinned. */
static void assert_broken(const char *what)
{
	blk_rig_serve(&rig);
	cr_expect(fake_driver_needs_reset(&rig.drv), "%s", what);
	cr_expect(fake_driver_take_interrupts(&rig.drv) & VIRTIO_MMIO_INT_CONFIG, "%s", what);
	cr_expect(file_is_empty(), "%s", what);
	cr_expect_not(blocks_any_pinned(&rig.mem.elastic.blocks, 0, 4), "%s", what);
	cr_expect_eq(blk_rig_info(&rig).nr_in_flight, 0, "%s", what);
	blk_rig_add(&rig, IN, 0, &(struct fake_buffer){ GPA(0x3000), SECTOR, true }, 1);
	cr_expect_eq(blk_rig_serve(&rig), 0, "%s: and serves nothing", what);
	start_again(FEATURES);
	assert_works();
}

/* A header for a request whose chain the test makes by itself. */
static gpa_t header(uint32_t type, uint64_t sector)
{
	struct blk_header h = { .type = le32_of(type), .sector = le64_of(sector) };
	gpa_t at = fake_alloc(&rig.mem, sizeof(h), 16);

	fake_write(&rig.mem, at, &h, sizeof(h));
	return at;
}

/* case 13 to 17, 22, 23, 26 */
Test(blk_hostile, each_broken_rule_breaks_the_device_until_reset)
{
	const struct fake_buffer status = { GPA(0x4000), 1, true };

	for (int what = 0; what < 12; what++) {
		struct fake_queue *q = &rig.drv.queues[0];
		struct fake_buffer head = { header(OUT, 0), 16, false };

		switch (what) {
		case 0:
			fake_queue_set_avail_idx(q, (uint16_t)(q->avail_idx + q->size + 1));
			break;
		case 1:
			fake_queue_make_available(q, q->size);
			break;
		case 2:
			fake_queue_desc(q, 9, 0x2000, 4, VRING_DESC_F_NEXT, 9);
			fake_queue_make_available(q, 9);
			break;
		case 3:
			fake_queue_desc(q, 9, 0x2000, 4, VRING_DESC_F_NEXT, 256);
			fake_queue_make_available(q, 9);
			break;
		case 4:
			fake_queue_add(q, (struct fake_buffer[]){ head,
								  { GPA(UINT64_MAX), 2, false },
								  status }, 3);
			break;
		case 5:
			fake_queue_add_indirect(q, (struct fake_buffer[]){ head, status }, 2);
			break;
		case 6: /* the status before the header */
			fake_queue_add(q, (struct fake_buffer[]){ status, head }, 2);
			break;
		case 7: /* nowhere to put a status */
			fake_queue_add(q, (struct fake_buffer[]){ head, { GPA(0x3000), SECTOR, false } },
				       2);
			break;
		case 8: /* half a header */
			fake_queue_add(q, (struct fake_buffer[]){ { head.at, 15, false }, status },
				       2);
			break;
		case 9: /* no header */
			fake_queue_add(q, &status, 1);
			break;
		case 10: /* a header in an unplugged block */
			fake_queue_add(q, (struct fake_buffer[]){ { GPA(AT), 16, false }, status },
				       2);
			break;
		case 11: /* the status in an unplugged block */
			fake_queue_add(q, (struct fake_buffer[]){ head, { GPA(AT), 1, true } }, 2);
			break;
		}
		assert_broken((const char *[]){ "jump", "head", "loop", "next", "wrap", "indirect",
						"order", "no status", "half a header", "no header",
						"header unplugged", "status unplugged" }[what]);
	}
}

/* case 26 */
Test(blk_hostile, malformed_request_comes_back_with_length_0)
{
	uint32_t head, used;
	uint16_t first;

	first = fake_queue_add(&rig.drv.queues[0], &(struct fake_buffer){ header(IN, 0), 16, false },
			       1);
	fake_driver_kick(&rig.drv, 0);
	cr_assert(fake_queue_poll(&rig.drv.queues[0], &head, &used));
	cr_expect_eq(head, first);
	cr_expect_eq(used, 0);
}

/* case 17 to 19: data that is nowhere, in parts or in whole */
Test(blk_hostile, data_in_memory_that_does_not_exist_fails_the_request)
{
	const struct {
		uint64_t at;
		uint32_t bytes;
	} bad[] = {
		{ AT, SECTOR },			       /* unplugged */
		{ AT + 2 * BLOCK - SECTOR, 2 * SECTOR }, /* from an unplugged block into a plugged one */
		{ AT + 3 * BLOCK - SECTOR, 2 * SECTOR }, /* and out of it */
		{ AT + BLK_ELASTIC, SECTOR },	       /* behind the region */
		{ BLK_BOOT - SECTOR, 2 * SECTOR },     /* over the end of boot memory */
		{ UINT64_MAX - SECTOR + 1, SECTOR },   /* the last bytes of all */
	};
	uint64_t resident;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (unsigned int more = 0; more < 2; more++) {
			struct fake_buffer data[] = { { GPA(0x3000), SECTOR, false },
						      { GPA(bad[i].at), bad[i].bytes, false } };

			cr_expect_eq(blk_rig_ask(&rig, OUT, 0, data + 1 - more, 1 + more),
				     VIRTIO_BLK_S_IOERR, "write %zu", i);
			data[0].writable = data[1].writable = true;
			cr_expect_eq(blk_rig_ask(&rig, IN, 0, data + 1 - more, 1 + more),
				     VIRTIO_BLK_S_IOERR, "read %zu", i);
		}
	}
	cr_expect(file_is_empty());
	cr_expect_not(blocks_any_pinned(&rig.mem.elastic.blocks, 0, 4));
	cr_assert_eq(ram_resident(&rig.mem.elastic.ram, &resident), 0);
	cr_expect_eq(resident, 0, "no host page appeared");
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
	assert_works();
}

/* case 17: more than a request may have, over memory that is there many times over */
Test(blk_hostile, huge_requests_are_refused)
{
	struct fake_buffer data[64];

	cr_assert_eq(disk_set_size(&(struct disk){ .fd = rig.fd }, 256 * MiB), 0);
	cr_assert_eq(blk_set_size(rig.b, 256 * MiB), 0);
	for (unsigned int i = 0; i < 64; i++)
		data[i] = (struct fake_buffer){ GPA(0), 2 * MiB, false };
	cr_expect_eq(blk_rig_ask(&rig, OUT, 0, data, 64), VIRTIO_BLK_S_IOERR);
	for (unsigned int i = 0; i < 64; i++)
		data[i].bytes = UINT32_MAX;
	blk_rig_add(&rig, OUT, 0, data, 64);
	blk_rig_serve(&rig);
	cr_expect(fake_driver_needs_reset(&rig.drv), "more than a used length can tell");
}

/* case 20 */
Test(blk_hostile, data_over_the_rings_harms_only_the_guest)
{
	uint8_t junk[64 * KiB];

	memset(junk, 0xff, sizeof(junk));
	cr_assert_eq(pwrite(rig.fd, junk, sizeof(junk), 0), (ssize_t)sizeof(junk));
	for (int cached = 0; cached < 2; cached++) {
		for (int target = 0; target < 4; target++) {
			struct fake_queue *q = &rig.drv.queues[0];
			gpa_t at[] = { q->desc, q->avail, q->used, rig.status };

			blk_rig_host_set((struct blk_rig_host){ .no_cache = !cached });
			for (int i = 0; i < 4; i++)
				blk_rig_add(&rig, IN, 0,
					    &(struct fake_buffer){ at[target], 4096, true }, 1);
			fake_driver_kick(&rig.drv, 0);
			blk_drain(rig.b);
			fake_driver_kick(&rig.drv, 0);
			blk_drain(rig.b);
			/* Broken or not. */
			start_again(FEATURES);
			assert_works();
		}
	}
}

/* case 24, while the first is under way; and what comes of that one goes nowhere */
Test(blk_hostile, same_head_twice_breaks_the_device)
{
	uint16_t head;

	blk_rig_host_set((struct blk_rig_host){ .held = true, .no_cache = true });
	head = fake_queue_add(&rig.drv.queues[0],
			      (struct fake_buffer[]){ { header(IN, 0), 16, false },
						      { GPA(AT + 2 * BLOCK), SECTOR, true },
						      { GPA(0x4000), 1, true } },
			      3);
	fake_driver_kick(&rig.drv, 0);
	blk_rig_host_wait(1);
	fake_queue_make_available(&rig.drv.queues[0], head);
	fake_driver_kick(&rig.drv, 0);
	cr_expect(fake_driver_needs_reset(&rig.drv));
	cr_expect(blocks_any_pinned(&rig.mem.elastic.blocks, 2, 1), "its memory is not free yet");
	blk_rig_host_reset();
	blk_drain(rig.b);
	cr_expect_not(blocks_any_pinned(&rig.mem.elastic.blocks, 2, 1));
	cr_expect_eq(fake_queue_used_idx(&rig.drv.queues[0]), 0);
	start_again(FEATURES);
	assert_works();
}

/* case 25 */
Test(blk_hostile, used_ring_that_nobody_reads_stops_nothing)
{
	unsigned int request = 0;

	for (unsigned int i = 0; i < 20000; i++) {
		uint64_t mark = rig.mem.next_free;

		blk_rig_host_set((struct blk_rig_host){ .no_cache = i % 4 == 0 });
		request = blk_rig_add(&rig, IN, i % 64, &(struct fake_buffer){ GPA(0x3000), SECTOR,
									       true }, 1);
		fake_driver_kick(&rig.drv, 0);
		blk_drain(rig.b);
		rig.mem.next_free = mark;
		cr_assert_eq(fake_queue_used_idx(&rig.drv.queues[0]), (uint16_t)(i + 1));
	}
	cr_expect_eq(blk_rig_status(&rig, request), VIRTIO_BLK_S_OK);
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
}

/* case 25: all heads at once, and one more */
Test(blk_hostile, requests_are_bounded_by_the_queue)
{
	struct fake_queue *q = &rig.drv.queues[0];
	uint32_t flush = VIRTIO_BLK_T_FLUSH;

	blk_rig_host_set((struct blk_rig_host){ .held = true, .no_cache = true });
	for (unsigned int i = 0; i < 128; i++) /* of two descriptors each */
		fake_queue_add(q, (struct fake_buffer[]){ { header(IN, 0), 16, false },
							  { GPA(0x4000), 1 + SECTOR, true } }, 2);
	fake_driver_kick(&rig.drv, 0);
	cr_expect_eq(blk_rig_info(&rig).nr_in_flight, 128);
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
	blk_rig_add(&rig, flush, 0, NULL, 0);
	fake_driver_kick(&rig.drv, 0);
	cr_expect(fake_driver_needs_reset(&rig.drv), "its head is one of theirs");
	blk_rig_host_reset();
	start_again(FEATURES);
	assert_works();
}

/* case 17: the status byte is looked at before the serial number goes in front of it. */
Test(blk_hostile, serial_number_without_a_place_for_the_status_is_not_told)
{
	struct fake_queue *q = &rig.drv.queues[0];
	gpa_t at = fake_alloc(&rig.mem, 20, 16);

	fake_queue_add(q, (struct fake_buffer[]){ { header(VIRTIO_BLK_T_GET_ID, 0), 16, false },
						  { at, 20, true },
						  { GPA(AT), 1, true } }, 3);
	fake_driver_kick(&rig.drv, 0);
	cr_expect(fake_driver_needs_reset(&rig.drv));
	cr_expect(gm_is_zero(&rig.mem.gm, at, 20));
	start_again(FEATURES);
	assert_works();
}

/* A descriptor for each request: as many of them under way as the queue has. */
static void fill_the_queue(void)
{
	struct fake_queue *q = &rig.drv.queues[0];

	start_again(FEATURES | BIT(VIRTIO_RING_F_INDIRECT_DESC));
	cr_assert_eq(q->size, VIRTQ_MAX_SIZE);
	blk_rig_host_set((struct blk_rig_host){ .held = true, .no_cache = true });
	for (unsigned int i = 0; i < q->size; i++)
		fake_queue_add_indirect(q, (struct fake_buffer[]){ { header(OUT, i), 16, false },
								   { GPA(0x3000), SECTOR, false },
								   { GPA(0x4000 + i), 1, true } }, 3);
	fake_driver_kick(&rig.drv, 0);
	cr_assert_eq(blk_rig_info(&rig).nr_in_flight, q->size);
	cr_assert_not(fake_driver_needs_reset(&rig.drv));
}

/* case 25: at the limit, again and again: each request finds its place and gives it back. */
Test(blk_hostile, a_full_queue_of_requests_is_served)
{
	for (int again = 0; again < 3; again++) {
		unsigned int nr = 0;

		fill_the_queue();
		blk_rig_host_reset();
		blk_drain(rig.b);
		while (fake_queue_poll(&rig.drv.queues[0], NULL, NULL))
			nr++;
		cr_expect_eq(nr, VIRTQ_MAX_SIZE);
		cr_expect_eq(blk_rig_info(&rig).counters.writes, (again + 1) * VIRTQ_MAX_SIZE);
		cr_expect(gm_is_zero(&rig.mem.gm, GPA(0x4000), VIRTQ_MAX_SIZE), "all well");
		assert_works();
	}
}

/* case 24, 25: and one beyond it, whose head can only be one of theirs. */
Test(blk_hostile, one_request_more_than_the_queue_has_breaks_the_device)
{
	fill_the_queue();
	fake_queue_make_available(&rig.drv.queues[0], 0);
	fake_driver_kick(&rig.drv, 0);
	cr_expect(fake_driver_needs_reset(&rig.drv));
	cr_expect_eq(blk_rig_info(&rig).nr_in_flight, VIRTQ_MAX_SIZE);
	blk_rig_host_reset();
	start_again(FEATURES);
	assert_works();
}

/* The ring goes away under requests; their answers have no place left. */
Test(blk_hostile, used_ring_that_loses_its_memory_breaks_the_device)
{
	struct fake_queue *q = &rig.drv.queues[0];

	cr_assert(fake_driver_negotiate(&rig.drv, FEATURES | BIT(VIRTIO_F_VERSION_1)));
	fake_queue_init(q, &rig.mem, 256);
	q->used = GPA(AT + 2 * BLOCK);
	cr_assert(fake_driver_enable_queue(&rig.drv, 0));
	fake_driver_add_status(&rig.drv, VIRTIO_CONFIG_S_DRIVER_OK);
	blk_rig_host_set((struct blk_rig_host){ .held = true, .no_cache = true });
	for (int i = 0; i < 3; i++)
		blk_rig_add(&rig, IN, 0, &(struct fake_buffer){ GPA(0x3000), SECTOR, true }, 1);
	fake_driver_kick(&rig.drv, 0);
	blk_rig_host_wait(1);
	elastic_close(&rig.mem.elastic, 2, 1);
	cr_assert_eq(elastic_give_back(&rig.mem.elastic, 2, 1), 0);
	blk_rig_host_reset();
	blk_drain(rig.b);
	cr_expect(fake_driver_needs_reset(&rig.drv));
	start_again(FEATURES);
	assert_works();
}

Test(blk_hostile, storm_of_resets_in_the_middle_of_requests)
{
	for (int i = 0; i < 300; i++) {
		cr_assert_eq(gm_zero(&rig.mem.gm, GPA(MiB), MiB), 0);
		rig.mem.next_free = MiB;
		fake_driver_start(&rig.drv, FEATURES);
		blk_rig_host_set((struct blk_rig_host){ .no_cache = true });
		for (int n = 0; n < i % 40; n++)
			blk_rig_add(&rig, IN, 0,
				    &(struct fake_buffer){ GPA(AT + 2 * BLOCK), 64 * KiB, true }, 1);
		fake_driver_kick(&rig.drv, 0);
		fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
		cr_assert_not(blocks_any_pinned(&rig.mem.elastic.blocks, 0, 4));
	}
	start_again(FEATURES);
	assert_works();
}
