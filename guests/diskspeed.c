/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diskspeed.c - times reads of bytes= (default 4096) at random places of a disk, reads= of them
 * (default 2000) for each byte on the serial port: '1' one at a time, 'n' depth= (default 32) under
 * way at once, a new one with each answer; 'q' ends. write=1: writes instead; id=1: asks for the
 * disk's name instead, which needs no file. poll=1: without interrupts.
 * Prints "ready", then "done N depth N ns N" each time.
 */
#include "guests/random.h"
#include "guests/vblk.h"

#define MAX_BYTES 65536

static struct vblk disk;
static uint8_t data[VBLK_DEPTH][MAX_BYTES] __attribute__((aligned(4096)));
static uint64_t seed = 1;
static uint32_t bytes, type;

static void add(uint32_t tag)
{
	uint64_t places = disk.sectors * SECTOR_BYTES / bytes;
	uint64_t sector = random_next(&seed) % places * (bytes / SECTOR_BYTES);

	vblk_add(&disk, type, sector, &(struct vq_buffer){ data[tag], bytes }, 1, tag);
	vq_kick(&disk.vq);
}

/* Cycles. */
static uint64_t round(uint64_t nr, uint32_t depth)
{
	uint64_t start = cpu_tsc(), added = 0;
	uint32_t tag;

	while (added < depth && added < nr)
		add((uint32_t)added++);
	for (uint64_t i = 0; i < nr; i++) {
		CHECK_EQ(vblk_wait(&disk, &tag), VIRTIO_BLK_S_OK);
		if (added < nr) {
			add(tag);
			added++;
		}
	}
	return cpu_tsc() - start;
}

int guest_main(void)
{
	uint64_t nr = cmdline_u64("reads", 2000);
	uint32_t deep = (uint32_t)cmdline_u64("depth", 32);

	bytes = (uint32_t)cmdline_u64("bytes", 4096);
	type = cmdline_is("write", "1") ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
	if (cmdline_is("id", "1"))
		type = VIRTIO_BLK_T_GET_ID;
	CHECK(bytes && bytes <= MAX_BYTES && deep && deep <= VBLK_DEPTH);
	CHECK(vblk_open(&disk, 0, VBLK_BIT(VIRTIO_BLK_F_FLUSH)));
	if (cmdline_is("poll", "1"))
		disk.dev.interrupts = false;
	cpu_cycles_per_ms();
	print("ready\n");
	for (;;) {
		uint8_t what = serial_wait();
		uint32_t depth = what == 'n' ? deep : 1;
		uint64_t cycles;

		if (what == 'q')
			PASS();
		cycles = round(nr, depth);
		print("done %lu depth %u ns %lu\n", nr, depth,
		      cycles * 1000000 / cpu_cycles_per_ms());
	}
}
