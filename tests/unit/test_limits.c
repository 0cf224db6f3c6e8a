/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_limits.c - queues, tables and requests at the most that there can be, and one beyond. Small
 * ones are everywhere else; what is sized to a limit shows only there whether it was counted right.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/unit/balloon_rig.h"
#include "tests/unit/blk_rig.h"
#include "tests/unit/fake_device.h"
#include "tests/unit/rng_rig.h"
#include "tests/unit/stderr_text.h"
#include "tests/unit/vcon_rig.h"
#include "tests/unit/vmem_rig.h"
#include "vmm/base/event.h"
#include "vmm/machine/virtio_slots.h"

#define BIT(feature) (UINT64_C(1) << (feature))
#define INDIRECT     BIT(VIRTIO_RING_F_INDIRECT_DESC)
#define SECTOR	     DISK_SECTOR_BYTES

TestSuite(limits, .timeout = 240);

static unsigned int take_all(struct fake_queue *q)
{
	unsigned int nr = 0;

	while (fake_queue_poll(q, NULL, NULL))
		nr++;
	return nr;
}

/* --- full queues: as many chains in one kick as there are descriptors -------------------------- */

Test(limits, rng_fills_a_full_queue)
{
	static struct rng_rig rig;
	struct fake_queue *q = &rig.drv.queues[0];
	gpa_t at;

	rng_rig_init(&rig, RNG_RATE_DEFAULT);
	fake_driver_start(&rig.drv, 0);
	at = fake_alloc(&rig.mem, UINT64_C(64) * q->size, 64);
	for (unsigned int i = 0; i < q->size; i++)
		fake_queue_add(q, &(struct fake_buffer){ gpa_add(at, 64 * i), 64, true }, 1);
	fake_driver_kick(&rig.drv, 0);
	cr_expect_eq(take_all(q), q->size);
	for (unsigned int i = 0; i < q->size; i++)
		cr_expect_not(gm_is_zero(&rig.mem.gm, gpa_add(at, 64 * i), 64));
	cr_expect_not(fake_driver_needs_reset(&rig.drv));
	rng_rig_destroy(&rig);
}

Test(limits, console_takes_a_full_queue_of_output)
{
	static struct vcon_rig rig;
	struct fake_queue *q = &rig.drv.queues[vcon_output_queue(0)];
	gpa_t at;

	vcon_rig_init(&rig, true, 1);
	fake_driver_start(&rig.drv, 0);
	at = fake_alloc(&rig.mem, q->size, 1);
	for (unsigned int i = 0; i < q->size; i++) {
		fake_write(&rig.mem, gpa_add(at, i), &(uint8_t){ (uint8_t)i }, 1);
		fake_queue_add(q, &(struct fake_buffer){ gpa_add(at, i), 1, false }, 1);
	}
	fake_driver_kick(&rig.drv, vcon_output_queue(0));
	cr_expect_eq(take_all(q), q->size);
	cr_assert_eq(rig.hosts[0].nr_put, q->size);
	for (unsigned int i = 0; i < q->size; i++)
		cr_expect_eq(rig.hosts[0].output[i], i);
	vcon_rig_destroy(&rig);
}

Test(limits, memory_device_serves_a_full_queue)
{
	static struct vmem_rig rig;
	struct fake_queue *q = &rig.drv.queues[0];
	struct vmem_req req = { .type = le16_of(VIRTIO_MEM_REQ_PLUG), .nb_blocks = le16_of(1) };

	vmem_rig_init(&rig, 16 * VMEM_BLOCK);
	fake_driver_start(&rig.drv, VMEM_FEATURES | INDIRECT);
	cr_assert_eq(vmem_request(rig.v, 16 * VMEM_BLOCK), 0);
	for (unsigned int i = 0; i < q->size; i++) {
		gpa_t at = fake_alloc(&rig.mem, 64, 64);

		req.addr = le64_of(vmem_rig_at(&rig, i).v);
		fake_write(&rig.mem, at, &req, sizeof(req));
		fake_queue_add_indirect(q, (struct fake_buffer[]){ { at, 24, false },
								   { gpa_add(at, 24), 10, true } }, 2);
	}
	fake_driver_kick(&rig.drv, 0);
	cr_expect_eq(take_all(q), q->size);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, q->size * VMEM_BLOCK);
	cr_expect_eq(vmem_rig_info(&rig).counters.responses[VIRTIO_MEM_RESP_ACK], q->size);
	vmem_rig_destroy(&rig);
}

enum { INFLATE = 0, HINT = 2 }; /* by the features that are accepted here */
#define FREE (4 * MiB)

static struct balloon_rig balloon;

static void start_balloon(void)
{
	balloon_rig_init(&balloon);
	memset((char *)balloon.mem.boot.host + FREE, 0x5a, BALLOON_BOOT - FREE);
	fake_driver_start(&balloon.drv, BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT));
}

Test(limits, balloon_takes_a_full_queue_of_pages)
{
	struct fake_queue *q = &balloon.drv.queues[INFLATE];

	start_balloon();
	for (unsigned int i = 0; i < q->size; i++) {
		gpa_t at = fake_alloc(&balloon.mem, 4, 4);
		le32 pfn = le32_of((uint32_t)(FREE / PAGE_BYTES + i));

		fake_write(&balloon.mem, at, &pfn, sizeof(pfn));
		fake_queue_add(q, &(struct fake_buffer){ at, 4, false }, 1);
	}
	fake_driver_kick(&balloon.drv, INFLATE);
	cr_expect_eq(take_all(q), q->size);
	cr_expect_eq(page_ledger_bytes(&balloon.returned, RETURNED_BALLOONED), q->size * PAGE_BYTES);
	balloon_rig_destroy(&balloon);
}

/* Hints are taken by the batch: around its size, and up to a full queue, an id at the end. */
Test(limits, balloon_takes_batches_of_hints_of_every_size)
{
	const unsigned int sizes[] = { 1, 15, 16, 17, 31, 32, 33, 255 };

	for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
		struct fake_queue *q = &balloon.drv.queues[HINT];
		le32 id = le32_of(VIRTIO_BALLOON_CMD_ID_STOP), begin;
		gpa_t at;

		start_balloon();
		cr_assert_eq(balloon_reclaim(balloon.b, loop_now(balloon.loop) + NS_PER_S), 0);
		begin = le32_of((uint32_t)fake_driver_config(
			&balloon.drv, offsetof(struct balloon_config, free_page_hint_cmd_id), 4));
		cr_assert(fake_driver_request(&balloon.drv, HINT, &begin, 4, NULL, 0, NULL));
		for (unsigned int i = 0; i < sizes[n]; i++)
			fake_queue_add(q, &(struct fake_buffer){ GPA(FREE + i * PAGE_BYTES),
								 PAGE_BYTES, true }, 1);
		at = fake_alloc(&balloon.mem, 4, 4);
		fake_write(&balloon.mem, at, &id, sizeof(id));
		fake_queue_add(q, &(struct fake_buffer){ at, 4, false }, 1);
		fake_driver_kick(&balloon.drv, HINT);
		cr_expect_eq(take_all(q), sizes[n] + 1);
		cr_expect_eq(balloon_rig_info(&balloon).reclaim.hinted_bytes, sizes[n] * PAGE_BYTES);
		cr_expect_eq(balloon_rig_info(&balloon).reclaim.freed_bytes, sizes[n] * PAGE_BYTES);
		cr_expect_eq(balloon.nr_freezes, (sizes[n] + 15) / 16);
		cr_expect_eq(balloon_rig_info(&balloon).reclaim.state, RECLAIM_DONE);
		balloon_rig_destroy(&balloon);
	}
}

/* --- the largest requests of a disk ------------------------------------------------------------ */

#define SEG_MAX	  254
#define SIZE_MAX_ (256 * KiB)
#define DISK_BYTES (8 * GiB)

static struct blk_rig disk;

static void start_disk(void)
{
	blk_rig_init(&disk, DISK_BYTES, false);
	fake_driver_start(&disk.drv, INDIRECT | BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_DISCARD) |
					     BIT(VIRTIO_BLK_F_WRITE_ZEROES));
}

/* NR buffers of BYTES each, the last one of LAST, all of them the same memory; the status. */
static uint8_t transfer(uint32_t type, unsigned int nr, uint32_t bytes, uint32_t last)
{
	struct blk_header header = { .type = le32_of(type) };
	struct fake_buffer b[SEG_MAX + 3] = { { GPA(0x3000), sizeof(header), false } };
	uint8_t status = BLK_NO_STATUS;

	fake_write(&disk.mem, b[0].at, &header, sizeof(header));
	fake_write(&disk.mem, GPA(0x4000), &status, 1);
	for (unsigned int i = 0; i < nr; i++)
		b[1 + i] = (struct fake_buffer){ GPA(4 * MiB), i == nr - 1 ? last : bytes,
						 type == VIRTIO_BLK_T_IN };
	b[1 + nr] = (struct fake_buffer){ GPA(0x4000), 1, true };
	fake_queue_add_indirect(&disk.drv.queues[0], b, nr + 2);
	blk_rig_serve(&disk);
	fake_read(&disk.mem, GPA(0x4000), &status, 1);
	return status;
}

Test(limits, disk_takes_as_many_segments_as_it_says_and_no_more)
{
	start_disk();
	cr_assert_eq(fake_driver_config(&disk.drv, offsetof(struct blk_config, seg_max), 4), SEG_MAX);
	cr_assert_eq(fake_driver_config(&disk.drv, offsetof(struct blk_config, size_max), 4),
		     SIZE_MAX_);
	for (int held = 0; held < 2; held++) { /* by a worker, and at once */
		blk_rig_host_set((struct blk_rig_host){ .no_cache = held });
		cr_expect_eq(transfer(VIRTIO_BLK_T_OUT, SEG_MAX, SECTOR, SECTOR), VIRTIO_BLK_S_OK);
		cr_expect_eq(transfer(VIRTIO_BLK_T_IN, SEG_MAX, SECTOR, SECTOR), VIRTIO_BLK_S_OK);
	}
	cr_expect_eq(blk_rig_info(&disk).counters.read_bytes, 2 * SEG_MAX * SECTOR);
	cr_expect_not(fake_driver_needs_reset(&disk.drv));
	cr_expect_eq(transfer(VIRTIO_BLK_T_OUT, SEG_MAX + 1, SECTOR, SECTOR), BLK_NO_STATUS);
	cr_expect(fake_driver_needs_reset(&disk.drv));
	blk_rig_destroy(&disk);
}

Test(limits, disk_moves_as_much_in_a_request_as_it_says_and_no_more)
{
	start_disk();
	cr_expect_eq(transfer(VIRTIO_BLK_T_IN, SEG_MAX, SIZE_MAX_, SIZE_MAX_), VIRTIO_BLK_S_OK);
	cr_expect_eq(transfer(VIRTIO_BLK_T_IN, SEG_MAX, SIZE_MAX_, SIZE_MAX_ + SECTOR),
		     VIRTIO_BLK_S_IOERR);
	blk_rig_destroy(&disk);
}

/* NR ranges of SECTORS each; the status. */
static uint8_t clear(uint32_t type, unsigned int nr, uint32_t sectors)
{
	gpa_t at = fake_alloc(&disk.mem, 17 * sizeof(struct blk_range), 16);

	for (unsigned int i = 0; i < nr; i++) {
		struct blk_range r = { le64_of(i), le32_of(sectors), le32_of(0) };

		fake_write(&disk.mem, gpa_add(at, i * sizeof(r)), &r, sizeof(r));
	}
	return blk_rig_ask(&disk, type, 0,
			   &(struct fake_buffer){ at, nr * (uint32_t)sizeof(struct blk_range), false },
			   1);
}

Test(limits, disk_clears_as_much_in_a_request_as_it_says_and_no_more)
{
	static const struct {
		uint32_t type;
		size_t sectors, ranges; /* where the configuration has them */
		uint32_t max;
	} kinds[] = {
		{ VIRTIO_BLK_T_DISCARD, offsetof(struct blk_config, max_discard_sectors),
		  offsetof(struct blk_config, max_discard_seg), (4 * GiB - MiB) / SECTOR },
		{ VIRTIO_BLK_T_WRITE_ZEROES, offsetof(struct blk_config, max_write_zeroes_sectors),
		  offsetof(struct blk_config, max_write_zeroes_seg), 64 * MiB / SECTOR },
	};

	start_disk();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint32_t type = kinds[i].type, max = kinds[i].max;

		cr_expect_eq(fake_driver_config(&disk.drv, (uint32_t)kinds[i].sectors, 4), max);
		cr_expect_eq(fake_driver_config(&disk.drv, (uint32_t)kinds[i].ranges, 4), 16);
		cr_expect_eq(clear(type, 1, max), VIRTIO_BLK_S_OK);
		cr_expect_eq(clear(type, 1, max + 1), VIRTIO_BLK_S_IOERR);
		cr_expect_eq(clear(type, 16, 8), VIRTIO_BLK_S_OK);
		cr_expect_eq(clear(type, 17, 8), VIRTIO_BLK_S_IOERR);
	}
	blk_rig_destroy(&disk);
}

/* --- tables of the machine --------------------------------------------------------------------- */

/* The loop keeps 32 events that are raised when its lock is let go of; none of more gets lost. */
Test(limits, loop_raises_every_event_however_many)
{
	struct loop *loop;
	int fds[34];

	cr_assert_eq(loop_new(&loop), 0);
	for (size_t nr = 31; nr <= ARRAY_SIZE(fds); nr++) {
		for (size_t i = 0; i < nr; i++)
			cr_assert_eq(event_new(&fds[i]), 0);
		loop_lock(loop);
		for (int again = 0; again < 2; again++)
			for (size_t i = 0; i < nr; i++)
				loop_raise(loop, fds[i]);
		loop_unlock(loop);
		for (size_t i = 0; i < nr; i++) {
			cr_expect(event_taken(fds[i]), "%zu of %zu", i, nr);
			close(fds[i]);
		}
	}
	loop_free(loop);
}

static const struct virtio_dev *device_at(struct virtio_slots *slots, unsigned int i)
{
	return slots->slot[i].mmio.dev;
}

/* Elastic memory, disks and the others have limits of their own, and this one together. */
Test(limits, there_is_a_place_for_each_of_16_virtio_devices_and_no_more)
{
	static struct fake_device devices[PLATFORM_MAX_VIRTIO + 1];
	static struct virtio_slots slots;
	static struct bus mmio;
	struct fake_memory mem;
	struct loop *loop;

	fake_memory_init(&mem, 2 * MiB, 0, 0);
	cr_assert_eq(loop_new(&loop), 0);
	virtio_slots_open(&slots, loop, &mmio);
	for (unsigned int i = 0; i < PLATFORM_MAX_VIRTIO; i++) {
		fake_device_init(&devices[i], &mem.gm);
		cr_assert_eq(virtio_slots_add(&slots, &devices[i].dev), 0);
	}
	fake_device_init(&devices[PLATFORM_MAX_VIRTIO], &mem.gm);
	stderr_keep();
	cr_expect_eq(virtio_slots_add(&slots, &devices[PLATFORM_MAX_VIRTIO].dev), -EINVAL);
	cr_expect_not_null(strstr(stderr_text(), "at most 16 virtio devices"));
	bus_freeze(&mmio);
	for (unsigned int i = 0; i < PLATFORM_MAX_VIRTIO; i++) {
		struct bus_access a = { .bytes = 4 };

		cr_expect_eq(device_at(&slots, i), &devices[i].dev);
		cr_expect(bus_access(&mmio, platform_virtio_base(i) + VIRTIO_MMIO_DEVICE_ID, &a));
		cr_expect_eq(a.value, FAKE_DEVICE_ID);
	}
	virtio_slots_close(&slots);
	loop_free(loop);
	fake_memory_destroy(&mem);
}
