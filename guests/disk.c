/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.c - reads and writes a disk in the way that mode= says:
 *
 *   random    rounds= requests of random sizes at random places, depth= under way at once; each
 *             sector that is read holds what was written last. "crc X": of the whole disk.
 *   memory    buffers in elastic memory: refused while unplugged; while requests are under way
 *             their block can't be unplugged, afterwards it can.
 *   readonly  writes fail, reads work.
 *   discard   writes all of it, then discards the upper half.
 *   kill      writes without end, "stable N" after each flush: sectors below N hold their number.
 *
 * Prints "step NAME"; with wait=1 waits for a byte after each.
 */
#include "guests/random.h"
#include "guests/vblk.h"
#include "guests/vmem.h"

#define OK VIRTIO_BLK_S_OK
#define MAX_SECTORS 65536u
#define MAX_REQUEST_SECTORS 64u
#define FEATURES                                                                                   \
	(VBLK_BIT(VIRTIO_BLK_F_FLUSH) | VBLK_BIT(VIRTIO_BLK_F_DISCARD) |                            \
	 VBLK_BIT(VIRTIO_BLK_F_WRITE_ZEROES))

static struct vblk disk;
static uint8_t data[VBLK_DEPTH][MAX_REQUEST_SECTORS * SECTOR_BYTES];

/* --- what a sector holds: zeros, or words made from its number and how often it was written ------ */

static uint32_t times_written[MAX_SECTORS];

static uint64_t word(uint64_t sector, uint32_t times, unsigned int i)
{
	return times ? (sector << 32 | times) * (2 * i + 1) : 0;
}

static void fill(uint64_t *at, uint64_t sector, uint32_t times)
{
	for (unsigned int i = 0; i < SECTOR_BYTES / 8; i++)
		at[i] = word(sector, times, i);
}

static void check(const uint64_t *at, uint64_t sector)
{
	for (unsigned int i = 0; i < SECTOR_BYTES / 8; i++)
		if (at[i] != word(sector, times_written[sector], i))
			FAIL("sector %lu word %u is 0x%lx, not 0x%lx", sector, i, at[i],
			     word(sector, times_written[sector], i));
}

/* As zlib's crc32(). */
static uint32_t crc_table[256];

static uint32_t crc_add(uint32_t crc, const uint8_t *at, unsigned int bytes)
{
	crc = ~crc;
	while (bytes--)
		crc = crc_table[(crc ^ *at++) & 0xff] ^ crc >> 8;
	return ~crc;
}

static uint32_t crc_of_disk(void)
{
	uint64_t sector[SECTOR_BYTES / 8];
	uint32_t crc = 0;

	for (uint32_t i = 0; i < 256; i++) {
		crc_table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			crc_table[i] = crc_table[i] >> 1 ^
				       (crc_table[i] & 1 ? UINT32_C(0xedb88320) : 0);
	}
	for (uint32_t s = 0; s < disk.sectors; s++) {
		fill(sector, s, times_written[s]);
		crc = crc_add(crc, (const uint8_t *)sector, SECTOR_BYTES);
	}
	return crc;
}

/* --- random ------------------------------------------------------------------------------------ */

static uint64_t seed;
static uint8_t busy[MAX_SECTORS];
static struct request {
	uint32_t sector, nr;
	bool is_read, in_use;
} requests[VBLK_DEPTH];

static uint32_t below(uint64_t n) { return (uint32_t)(random_next(&seed) % n); }

static void mark(const struct request *r, uint8_t value)
{
	memset(&busy[r->sector], value, r->nr);
}

static bool is_free(const struct request *r)
{
	for (uint32_t i = 0; i < r->nr; i++)
		if (busy[r->sector + i])
			return false;
	return true;
}

/* Cut into a few buffers, anywhere. */
static void submit(uint32_t tag)
{
	const struct request *r = &requests[tag];
	struct vq_buffer buffers[VBLK_BUFFERS];
	uint32_t left = r->nr * SECTOR_BYTES, nr = 0;
	uint8_t *at = data[tag];

	while (left) {
		uint32_t bytes = nr + 1 < VBLK_BUFFERS ? 1 + below(left) : left;

		buffers[nr++] = (struct vq_buffer){ at, bytes };
		at += bytes;
		left -= bytes;
	}
	vblk_add(&disk, r->is_read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, r->sector, buffers, nr,
		 tag);
}

static void start_one(uint32_t tag)
{
	struct request *r = &requests[tag];

	do {
		r->nr = 1 + below(MAX_REQUEST_SECTORS);
		r->sector = below(disk.sectors - r->nr + 1);
	} while (!is_free(r));
	r->is_read = below(2);
	r->in_use = true;
	mark(r, 1);
	for (uint32_t i = 0; i < r->nr; i++) {
		uint64_t *at = (uint64_t *)(void *)&data[tag][i * SECTOR_BYTES];

		if (r->is_read)
			memset(at, 0xee, SECTOR_BYTES);
		else
			fill(at, r->sector + i, ++times_written[r->sector + i]);
	}
	submit(tag);
}

static void end_one(void)
{
	uint32_t tag;
	uint8_t status = vblk_wait(&disk, &tag);
	struct request *r = &requests[tag];

	if (status != OK)
		FAIL("%s of %u sectors at %u: status %u", r->is_read ? "read" : "write", r->nr,
		     r->sector, status);
	for (uint32_t i = 0; r->is_read && i < r->nr; i++)
		check((const uint64_t *)(const void *)&data[tag][i * SECTOR_BYTES], r->sector + i);
	mark(r, 0);
	r->in_use = false;
}

static void random_requests(void)
{
	uint32_t depth = (uint32_t)cmdline_u64("depth", 16);
	uint64_t rounds = cmdline_u64("rounds", 4000);

	seed = cmdline_u64("seed", 1);
	CHECK(depth && depth <= VBLK_DEPTH && disk.sectors <= MAX_SECTORS);
	for (uint64_t i = 0; i < rounds; i++) {
		uint32_t tag = 0;

		while (vblk_in_flight(&disk) >= depth) {
			vq_kick(&disk.vq);
			end_one();
		}
		while (requests[tag].in_use)
			tag++;
		start_one(tag);
		/* Sometimes several with one kick. */
		if (below(3))
			vq_kick(&disk.vq);
	}
	vq_kick(&disk.vq);
	while (vblk_in_flight(&disk))
		end_one();
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), OK);
	print("crc %x\n", crc_of_disk());
	step("end");
}

/* --- memory ------------------------------------------------------------------------------------ */

static struct vmem vmem;

static uint16_t unplug_first(void)
{
	return vmem_request(&vmem, VIRTIO_MEM_REQ_UNPLUG, vmem.addr, 1, NULL);
}

/* A block's worth of requests at once; whether it could not be unplugged meanwhile. */
static bool unplug_is_busy(bool is_read)
{
	uint32_t bytes = (uint32_t)(vmem.block_bytes / 32), tag;
	uint16_t answer;

	for (uint32_t i = 0; i < 32; i++)
		vblk_add(&disk, is_read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT,
			 i * bytes / SECTOR_BYTES % disk.sectors,
			 &(struct vq_buffer){ (void *)(vmem.addr + i * bytes), bytes }, 1, i);
	vq_kick(&disk.vq);
	answer = unplug_first();
	CHECK(answer == VIRTIO_MEM_RESP_BUSY || answer == VIRTIO_MEM_RESP_ACK);
	while (vblk_in_flight(&disk)) {
		uint8_t status = vblk_wait(&disk, &tag);

		if (answer == VIRTIO_MEM_RESP_BUSY)
			CHECK_EQ(status, OK);
	}
	return answer == VIRTIO_MEM_RESP_BUSY;
}

/* The disk may be done before the request comes: then once more. */
static void check_busy(bool is_read)
{
	for (unsigned int i = 0; i < 100; i++) {
		memset((void *)vmem.addr, is_read ? 0 : 0x5a, vmem.block_bytes);
		if (unplug_is_busy(is_read))
			return;
		vmem_plug(&vmem, vmem.addr, vmem.block_bytes);
	}
	FAIL("a block was unplugged under every request");
}

static void elastic_buffers(void)
{
	void *block;

	CHECK(vmem_open(&vmem, 0));
	block = (void *)vmem.addr;
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_IN, 0, block, 65536), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_OUT, 0, block, 65536), VIRTIO_BLK_S_IOERR);
	step("refused");
	vmem_wait_requested(&vmem);
	vmem_plug(&vmem, vmem.addr, vmem.block_bytes);
	check_busy(false);
	check_busy(true);
	for (uint64_t i = 0; i < vmem.block_bytes; i += 8)
		CHECK_EQ(read64(vmem.addr + i), UINT64_C(0x5a5a5a5a5a5a5a5a));
	CHECK_EQ(unplug_first(), VIRTIO_MEM_RESP_ACK);
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_IN, 0, block, 65536), VIRTIO_BLK_S_IOERR);
	step("end");
}

/* --- the others -------------------------------------------------------------------------------- */

static void read_only(void)
{
	CHECK(virtio_offered(&disk.dev) >> VIRTIO_BLK_F_RO & 1);
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_OUT, 0, data[0], SECTOR_BYTES), VIRTIO_BLK_S_IOERR);
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_IN, 0, data[0], SECTOR_BYTES), OK);
	print("reads %s\n", (const char *)data[0]);
	memset(data[0], 0, SECTOR_BYTES);
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_GET_ID, 0, data[0], VIRTIO_BLK_ID_BYTES), OK);
	print("serial %s\n", (const char *)data[0]);
	step("end");
}

static void discard(void)
{
	uint32_t half = (uint32_t)disk.sectors / 2;
	static struct virtio_blk_discard_write_zeroes range;

	memset(data[0], 0x5a, sizeof(data[0]));
	for (uint64_t s = 0; s < disk.sectors; s += MAX_REQUEST_SECTORS)
		CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_OUT, s, data[0], sizeof(data[0])), OK);
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), OK);
	step("full");
	range = (struct virtio_blk_discard_write_zeroes){ .sector = half, .num_sectors = half };
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_DISCARD, 0, &range, sizeof(range)), OK);
	step("half");
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_IN, 0, data[0], sizeof(data[0])), OK);
	CHECK_EQ(data[0][77], 0x5a);
	CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_IN, half, data[0], sizeof(data[0])), OK);
	CHECK_EQ(data[0][77], 0);
	step("checked");
	/* It has grown meanwhile, if it was to. */
	if (cmdline_is("grows", "1")) {
		CHECK(virtio_take_interrupt(&disk.dev) & VIRTIO_INTERRUPT_CONFIG);
		virtio_config(&disk.dev, 0, &disk.sectors, sizeof(disk.sectors));
		CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_OUT, disk.sectors - 1, data[0], SECTOR_BYTES),
			 OK);
		print("sectors %lu\n", disk.sectors);
	}
	step("end");
}

/* Each sector begins with its number. A few go out at once, then they are flushed. */
static void write_for_ever(void)
{
	uint64_t n = 0;

	for (;;) {
		uint32_t tag;

		for (uint32_t i = 0; i < 16; i++) {
			memset(data[i], 0, SECTOR_BYTES);
			memcpy(data[i], &(uint64_t){ n + i + 1 }, 8);
			vblk_add(&disk, VIRTIO_BLK_T_OUT, (n + i) % disk.sectors,
				 &(struct vq_buffer){ data[i], SECTOR_BYTES }, 1, i);
		}
		vq_kick(&disk.vq);
		while (vblk_in_flight(&disk))
			CHECK_EQ(vblk_wait(&disk, &tag), OK);
		CHECK_EQ(vblk_run(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), OK);
		n += 16;
		print("stable %lu\n", n);
	}
}

int guest_main(void)
{
	CHECK(vblk_open(&disk, (unsigned int)cmdline_u64("disk", 0), FEATURES));
	print("disk %lu\n", disk.sectors);
	if (cmdline_is("mode", "random"))
		random_requests();
	else if (cmdline_is("mode", "memory"))
		elastic_buffers();
	else if (cmdline_is("mode", "readonly"))
		read_only();
	else if (cmdline_is("mode", "discard"))
		discard();
	else if (cmdline_is("mode", "kill"))
		write_for_ever();
	else
		FAIL("mode= is missing");
	PASS();
}
