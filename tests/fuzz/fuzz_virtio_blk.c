/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_virtio_blk.c - the block device beside a plain model of it: the bytes of the disk.
 *
 * An input is a list of steps: batches of requests by the rules, in any layout and place; what the
 * host does (fails, moves little at once, pauses the VM, lets the disk grow, takes blocks of memory
 * away); steps of a driver without rules (wild_driver.h). After each step everything that can be
 * seen is compared: status bytes, used lengths, data, the file, pins, the configuration. A driver
 * without rules may have requests executed that nobody here knows of; then the model learns the
 * file's bytes from the file. Its size is never theirs to change.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wild_driver.h"
#include "tests/unit/blk_rig.h"
#include "vmm/base/log.h"

#define STEPS_MAX   64
#define SECTOR	    DISK_SECTOR_BYTES
#define SECTORS	    64u
#define SECTORS_MAX 128u
#define BATCH_MAX   4u
#define DATA_MAX    (8 * SECTOR)
#define QUEUE_SIZE  32 /* at least; up to the device's own */
#define NR_BLOCKS   ((uint32_t)(BLK_ELASTIC / (2 * MiB)))
#define BIT(n)	    (UINT64_C(1) << (n))

static struct blk_rig rig;
static struct fuzz_stream in;
static bool live; /* a driver that follows the rules is there */
static bool read_only, plugged[NR_BLOCKS], paused;
static struct blk_rig_host host;
static uint64_t features;
static uint8_t disk[SECTORS_MAX * SECTOR];
static uint32_t nr_sectors;

/* --- a batch of requests ----------------------------------------------------------------------- */

/* Each has memory of its own: header, ranges and status in boot memory, data there or elastic. */
static struct request {
	uint32_t type;
	uint64_t sector;
	uint32_t bytes; /* of data */
	uint64_t data;	/* guest address */
	bool indirect;
	uint16_t head;
	union {
		uint8_t content[DATA_MAX]; /* what it writes */
		struct blk_range ranges[2];
	};
} batch[BATCH_MAX];

static uint64_t header_at(unsigned int i) { return 0x2000 + i * 64; }
static uint64_t status_at(unsigned int i) { return 0x3000 + i; }

static bool exists(uint64_t at, uint64_t bytes)
{
	if (at < BLK_BOOT)
		return at + bytes <= BLK_BOOT;
	for (uint64_t block = at; bytes && block < at + bytes; block++) {
		uint64_t i = (block - FAKE_ELASTIC_BASE) / (2 * MiB);

		if (i >= NR_BLOCKS || !plugged[i])
			return false;
		block = FAKE_ELASTIC_BASE + (i + 1) * 2 * MiB - 1;
	}
	return true;
}

static uint64_t data_place(unsigned int i, uint32_t bytes)
{
	uint64_t block = FAKE_ELASTIC_BASE + fuzz_below(&in, NR_BLOCKS) * 2 * MiB;

	switch (fuzz_below(&in, 4)) {
	case 0:
		return block + i * DATA_MAX;
	case 1: /* across its end */
		return block + 2 * MiB - bytes / 2;
	default:
		return MiB + i * DATA_MAX + fuzz_below(&in, 3);
	}
}

/* Two requests of a batch with the same bytes of disk or memory have no order: these do not. */
static bool is_apart(unsigned int nr)
{
	const struct request *r = &batch[nr];

	for (unsigned int i = 0; i < nr; i++)
		if (r->data < batch[i].data + DATA_MAX && batch[i].data < r->data + DATA_MAX)
			return false;
	return true;
}

static void make_ranges(struct request *r)
{
	struct blk_range *wire = r->ranges;
	uint32_t nr = 1 + fuzz_below(&in, 2);

	r->data = header_at((unsigned int)(r - batch)) + 16;
	r->bytes = nr * (uint32_t)sizeof(*wire) - (fuzz_u8(&in) == 0);
	for (uint32_t i = 0; i < nr; i++)
		wire[i] = (struct blk_range){ le64_of(r->sector + i), le32_of(fuzz_below(&in, 5)),
					      le32_of(fuzz_below(&in, 8) % 3) };
}

static void make(unsigned int i)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN,     VIRTIO_BLK_T_IN,
					  VIRTIO_BLK_T_OUT,    VIRTIO_BLK_T_OUT,
					  VIRTIO_BLK_T_FLUSH,  VIRTIO_BLK_T_DISCARD,
					  VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_WRITE_ZEROES };
	struct request *r = &batch[i];
	uint8_t how = fuzz_u8(&in);
	uint64_t seed = fuzz_u16(&in) * UINT64_C(0x9e3779b97f4a7c15) | 1;

	*r = (struct request){ .type = types[how & 7], .indirect = how & 8 };
	if ((how & 0xf0) == 0xf0)
		r->type = fuzz_u32(&in);
	/* Sixteen sectors for each, and now and then beyond the end. */
	r->sector = i * 16 + fuzz_below(&in, 8);
	if (fuzz_below(&in, 8) == 0)
		r->sector = fuzz_u8(&in) & 1 ? fuzz_take(&in, 8) : nr_sectors - fuzz_below(&in, 4);
	r->bytes = fuzz_below(&in, 9) * SECTOR;
	if (fuzz_below(&in, 16) == 0)
		r->bytes = r->bytes ? r->bytes - 1 : 1;
	r->data = data_place(i, r->bytes);
	for (uint32_t n = 0; n < r->bytes; n += 8)
		memcpy(r->content + n, &(uint64_t){ seed * (n + 1) }, min_u64(8, DATA_MAX - n));
	if (r->type == VIRTIO_BLK_T_DISCARD || r->type == VIRTIO_BLK_T_WRITE_ZEROES)
		make_ranges(r);
}

static bool device_writes(const struct request *r)
{
	return r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_GET_ID;
}

/* Cut anywhere: the header, the data, and the data and the status where they lie together. */
static void submit(unsigned int i)
{
	struct request *r = &batch[i];
	struct blk_header header = { .type = le32_of(r->type), .sector = le64_of(r->sector) };
	uint32_t cut = fuzz_below(&in, 16), data_cut = r->bytes ? fuzz_u16(&in) % r->bytes : 0;
	bool writes = device_writes(r);
	struct fake_buffer b[] = {
		{ GPA(header_at(i)), cut, false },
		{ GPA(header_at(i) + cut), 16 - cut, false },
		{ GPA(r->data), data_cut, writes },
		{ GPA(r->data + data_cut), r->bytes - data_cut, writes },
		{ GPA(status_at(i)), 1, true },
	};
	uint8_t none = BLK_NO_STATUS;

	fake_write(&rig.mem, GPA(header_at(i)), &header, sizeof(header));
	fake_write(&rig.mem, GPA(status_at(i)), &none, 1);
	if (r->bytes && exists(r->data, r->bytes))
		fake_write(&rig.mem, GPA(r->data), r->content, r->bytes);
	if (r->indirect && features >> VIRTIO_RING_F_INDIRECT_DESC & 1)
		r->head = fake_queue_add_indirect(&rig.drv.queues[0], b, ARRAY_SIZE(b));
	else
		r->head = fake_queue_add(&rig.drv.queues[0], b, ARRAY_SIZE(b));
}

/* --- the model --------------------------------------------------------------------------------- */

static bool on_disk(uint64_t sector, uint64_t nr)
{
	return sector <= nr_sectors && nr <= nr_sectors - sector;
}

static uint8_t expect_ranges(const struct request *r)
{
	bool zeroes = r->type == VIRTIO_BLK_T_WRITE_ZEROES;
	const struct blk_range *wire = r->ranges;

	if (!(features >> (zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD) & 1))
		return VIRTIO_BLK_S_UNSUPP;
	if (r->bytes % sizeof(*wire))
		return VIRTIO_BLK_S_IOERR;
	for (uint32_t i = 0; i < r->bytes / sizeof(*wire); i++) {
		if (le32_get(wire[i].flags) > zeroes)
			return VIRTIO_BLK_S_UNSUPP;
		if (!on_disk(le64_get(wire[i].sector), le32_get(wire[i].num_sectors)))
			return VIRTIO_BLK_S_IOERR;
	}
	if (!zeroes && host.no_punch)
		return VIRTIO_BLK_S_OK; /* a discard is advice */
	for (uint32_t i = 0; i < r->bytes / sizeof(*wire); i++)
		memset(disk + le64_get(wire[i].sector) * SECTOR, 0,
		       le32_get(wire[i].num_sectors) * SECTOR);
	return VIRTIO_BLK_S_OK;
}

static uint8_t expect_data(const struct request *r)
{
	bool reads = r->type == VIRTIO_BLK_T_IN;

	if (r->bytes % SECTOR || !on_disk(r->sector, r->bytes / SECTOR) ||
	    (!reads && read_only) || !exists(r->data, r->bytes) || (host.fails && r->bytes))
		return VIRTIO_BLK_S_IOERR;
	if (!reads)
		memcpy(disk + r->sector * SECTOR, r->content, r->bytes);
	return VIRTIO_BLK_S_OK;
}

/* The status; what the request does is done to the model. */
static uint8_t expect(const struct request *r)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		return expect_data(r);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return expect_ranges(r);
	case VIRTIO_BLK_T_FLUSH: /* its data means nothing, but it is pinned with the rest */
	case VIRTIO_BLK_T_GET_ID: /* of more than it fills all has to exist */
		return exists(r->data, r->bytes) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

static void check_answer(unsigned int i, uint32_t used)
{
	const struct request *r = &batch[i];
	uint8_t wanted = expect(r), status, got[DATA_MAX];
	bool fills = device_writes(r) && r->bytes;
	uint32_t serial = (uint32_t)min_u64(r->bytes, BLK_SERIAL_BYTES);

	fake_read(&rig.mem, GPA(status_at(i)), &status, 1);
	fuzz_check(status == wanted);
	if (r->type == VIRTIO_BLK_T_GET_ID && r->bytes > serial)
		fuzz_check(used == (wanted ? 0 : serial));
	else
		fuzz_check(used == (!fills ? 1 : wanted ? 0 : r->bytes + 1));
	if (wanted || !fills)
		return;
	fake_read(&rig.mem, GPA(r->data), got, r->type == VIRTIO_BLK_T_IN ? r->bytes : serial);
	if (r->type == VIRTIO_BLK_T_IN)
		fuzz_check(!memcmp(got, disk + r->sector * SECTOR, r->bytes));
	else
		fuzz_check(!memcmp(got, "0123456789abcdef\0\0\0\0", serial));
}

/* --- steps ------------------------------------------------------------------------------------- */

static void start(void)
{
	uint8_t how = fuzz_u8(&in);

	wild_forget_memory(&rig.mem);
	features = BIT(VIRTIO_F_VERSION_1);
	features |= how & 1 ? BIT(VIRTIO_BLK_F_FLUSH) : 0;
	features |= how & 2 && !read_only ? BIT(VIRTIO_BLK_F_DISCARD) : 0;
	features |= how & 4 && !read_only ? BIT(VIRTIO_BLK_F_WRITE_ZEROES) : 0;
	features |= how & 8 ? BIT(VIRTIO_RING_F_INDIRECT_DESC) : 0;
	features |= how & 16 ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0;
	fuzz_check(fake_driver_negotiate(&rig.drv, features));
	fuzz_check(fake_driver_setup_queue(&rig.drv, 0, (uint16_t)(QUEUE_SIZE << (how >> 5 & 3))));
	fake_driver_add_status(&rig.drv, VIRTIO_CONFIG_S_DRIVER_OK);
	live = true;
}

/* Requests that nobody here knows of may have been executed: the file tells. */
static void learn(void)
{
	blk_drain(rig.b);
	if (!live && !read_only)
		fuzz_check(pread(rig.fd, disk, sizeof(disk), 0) >= (ssize_t)(nr_sectors * SECTOR));
}

static void pause_vm(bool pause)
{
	paused = pause;
	virtio_hold(blk_dev(rig.b), pause);
	if (!pause)
		fake_driver_kick(&rig.drv, 0);
	learn(); /* what was made available meanwhile */
}

/* All at once; while the VM is paused nothing happens. */
static void ask(void)
{
	unsigned int nr = 0, wanted = 1 + fuzz_below(&in, BATCH_MAX);
	uint64_t mark;
	uint32_t head, used;

	if (!live)
		start();
	mark = rig.mem.next_free;
	for (; nr < wanted; nr++) {
		make(nr);
		if (!is_apart(nr))
			break;
	}
	for (unsigned int i = 0; i < nr; i++)
		submit(i);
	fake_driver_kick(&rig.drv, 0);
	blk_drain(rig.b);
	if (paused) {
		fuzz_check(!fake_queue_poll(&rig.drv.queues[0], NULL, NULL));
		pause_vm(false);
	}
	for (unsigned int n = 0; n < nr; n++) {
		unsigned int i = 0;

		fuzz_check(fake_queue_poll(&rig.drv.queues[0], &head, &used));
		while (i < nr && batch[i].head != head)
			i++;
		fuzz_check(i < nr);
		check_answer(i, used);
		batch[i].head = UINT16_MAX;
	}
	fuzz_check(!fake_queue_poll(&rig.drv.queues[0], NULL, NULL));
	fuzz_check(!fake_driver_needs_reset(&rig.drv));
	rig.mem.next_free = mark;
}

static void change_host(void)
{
	uint8_t how = fuzz_u8(&in);

	host = (struct blk_rig_host){ .no_cache = how & 3, .fails = how & 2 ? ENOSPC : 0,
				      .piece = how & 4 ? 1 + (how >> 4) * 100u : 0,
				      .no_zero_range = how & 8, .no_punch = how & 8 };
	blk_rig_host_set(host);
}

static void move_block(void)
{
	uint8_t how = fuzz_u8(&in);
	uint32_t i = how % NR_BLOCKS;

	/* Memory's own calls are not meant. */
	blk_rig_host_reset();
	if (!plugged[i]) {
		fuzz_check(!elastic_plug(&rig.mem.elastic, i, 1));
	} else {
		fuzz_check(!blocks_any_pinned(&rig.mem.elastic.blocks, i, 1));
		elastic_close(&rig.mem.elastic, i, 1);
		fuzz_check(!elastic_give_back(&rig.mem.elastic, i, 1));
	}
	plugged[i] = !plugged[i];
	blk_rig_host_set(host);
}

static void grow(void)
{
	uint32_t nr = nr_sectors + fuzz_below(&in, 8);
	int wanted = nr > SECTORS && read_only ? -ENOSPC : 0;

	if (nr > SECTORS_MAX)
		return;
	fuzz_check(blk_set_size(rig.b, nr * SECTOR) == wanted);
	if (!wanted)
		nr_sectors = nr;
}

static void reset_in_the_middle(void)
{
	if (!live)
		start();
	/* Reads alone: which of them have begun is open. */
	host = (struct blk_rig_host){ .no_cache = true };
	blk_rig_host_set(host);
	for (unsigned int i = 0; i < BATCH_MAX; i++) {
		batch[i] = (struct request){ .type = VIRTIO_BLK_T_IN, .bytes = DATA_MAX,
					     .data = MiB + i * DATA_MAX };
		submit(i);
	}
	fake_driver_kick(&rig.drv, 0);
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	live = false;
}

/* As many requests under way as the queue takes: a descriptor each, or two. */
static void fill_the_queue(void)
{
	struct fake_queue *q = &rig.drv.queues[0];
	struct blk_header header = { .type = le32_of(VIRTIO_BLK_T_IN) };
	const struct fake_buffer b[] = { { GPA(header_at(0)), 16, false },
					 { GPA(MiB), SECTOR + 1, true } };
	unsigned int nr;
	bool indirect;
	uint64_t mark;
	uint32_t used;

	if (!live)
		start();
	if (paused)
		pause_vm(false);
	mark = rig.mem.next_free;
	indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1;
	nr = indirect ? q->size : q->size / 2u;
	host = (struct blk_rig_host){ .no_cache = true };
	blk_rig_host_set((struct blk_rig_host){ .no_cache = true, .held = true });
	fake_write(&rig.mem, b[0].at, &header, sizeof(header));
	for (unsigned int i = 0; i < nr; i++)
		(void)(indirect ? fake_queue_add_indirect : fake_queue_add)(q, b, ARRAY_SIZE(b));
	fake_driver_kick(&rig.drv, 0);
	fuzz_check(blk_rig_info(&rig).nr_in_flight == nr);
	blk_rig_host_set(host);
	blk_drain(rig.b);
	for (unsigned int i = 0; i < nr; i++)
		fuzz_check(fake_queue_poll(q, NULL, &used) && used == SECTOR + 1);
	fuzz_check(!fake_queue_poll(q, NULL, NULL) && !fake_driver_needs_reset(&rig.drv));
	fuzz_check(gm_is_zero(&rig.mem.gm, GPA(MiB + SECTOR), 1)); /* VIRTIO_BLK_S_OK */
	rig.mem.next_free = mark;
}

static void go_wild(void)
{
	wild_step(&rig.drv, &in);
	live = false;
	learn();
}

static void step(void)
{
	switch (fuzz_below(&in, 16)) {
	case 0:
		change_host();
		break;
	case 1:
	case 2:
		move_block();
		break;
	case 3:
		grow();
		break;
	case 4:
		pause_vm(fuzz_u8(&in) & 1);
		break;
	case 5:
		if (fuzz_u8(&in) & 1)
			fill_the_queue();
		else
			reset_in_the_middle();
		break;
	case 6:
		live = false;
		fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
		break;
	case 7:
	case 8:
	case 9:
	case 10:
		go_wild();
		break;
	default:
		ask();
		break;
	}
}

/* --- comparing --------------------------------------------------------------------------------- */

static void check_all(void)
{
	static uint8_t file[sizeof(disk)];
	struct stat st;
	struct blk_info info = blk_rig_info(&rig);
	uint64_t resident = 0;

	fuzz_check(!fstat(rig.fd, &st) && st.st_size == (off_t)max_u64(nr_sectors, SECTORS) * SECTOR);
	fuzz_check(pread(rig.fd, file, sizeof(file), 0) == st.st_size);
	fuzz_check(!memcmp(file, disk, (size_t)st.st_size));
	fuzz_check(info.bytes == nr_sectors * SECTOR && !info.nr_in_flight);
	fuzz_check(fake_driver_config(&rig.drv, 0, 8) == nr_sectors);
	for (uint32_t i = 0; i < NR_BLOCKS; i++) {
		fuzz_check(!blocks_any_pinned(&rig.mem.elastic.blocks, i, 1));
		if (plugged[i])
			continue;
		fuzz_check(!ram_range_resident(&rig.mem.elastic.ram, i * 2 * MiB, 2 * MiB,
					       &resident));
		fuzz_check(!resident);
	}
}

static void set_up(void)
{
	log_set_level(LOG_ERROR);
	read_only = fuzz_u8(&in) & 1;
	blk_rig_init(&rig, SECTORS * SECTOR, read_only);
	fake_queue_init(&rig.drv.queues[0], &rig.mem, QUEUE_SIZE);
	nr_sectors = SECTORS;
	memset(disk, 0, sizeof(disk));
	memset(plugged, 0, sizeof(plugged));
	host = (struct blk_rig_host){ 0 };
	live = paused = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	in = (struct fuzz_stream){ data, bytes };
	set_up();
	check_all();
	for (int i = 0; i < STEPS_MAX && in.left; i++) {
		step();
		check_all();
	}
	blk_rig_destroy(&rig);
	return 0;
}
