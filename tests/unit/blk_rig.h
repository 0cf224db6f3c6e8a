/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk_rig.h - a block device with all it stands on: a file, boot memory, an elastic region, a fake
 * driver. The host's part can be held up or made to fail: the program's preadv2(), pwritev2(),
 * fallocate() and fdatasync() go through here.
 */
#ifndef EBB_TESTS_BLK_RIG_H
#define EBB_TESTS_BLK_RIG_H

#include "devices/virtio_blk.h"
#include "devices/virtio_blk_wire.h"
#include "tests/unit/fake_driver.h"

#define BLK_BOOT    (16 * MiB)
#define BLK_ELASTIC (8 * MiB) /* at FAKE_ELASTIC_BASE, blocks of 2 MiB, unplugged */
#define BLK_BYTES   (4 * MiB) /* of the disk */

struct blk_rig {
	struct fake_memory mem;
	struct loop *loop;
	char path[64];
	int fd; /* of the file, the test's own */
	struct blk *b;
	struct fake_driver drv;
	gpa_t status; /* of blk_rig_add()'s requests, one byte each */
	unsigned int nr_status;
};

/* A file of BYTES zeros; no node, no driver yet. */
void blk_rig_init(struct blk_rig *r, uint64_t bytes, bool read_only);
/* For a test that does not want the file again. */
void blk_rig_destroy(struct blk_rig *r);

/*
 * Makes a request available: TYPE at SECTOR, with NR buffers of data, and a status byte. Its
 * number, for blk_rig_status(). Not kicked.
 */
unsigned int blk_rig_add(struct blk_rig *r, uint32_t type, uint64_t sector,
			 const struct fake_buffer *data, unsigned int nr);
#define BLK_NO_STATUS 0xaa /* as the driver left it */
uint8_t blk_rig_status(const struct blk_rig *r, unsigned int request);
/* Kicks, waits, and takes all that was answered off the used ring; how many. */
unsigned int blk_rig_serve(struct blk_rig *r);
/* One request, answered; its status. */
uint8_t blk_rig_ask(struct blk_rig *r, uint32_t type, uint64_t sector,
		    const struct fake_buffer *data, unsigned int nr);
struct blk_info blk_rig_info(const struct blk_rig *r);

/* The host, for all rigs of the program. */
struct blk_rig_host {
	bool held;	     /* reads and writes of workers wait */
	bool no_cache;	     /* nothing is in the page cache */
	int fails;	     /* reads and writes of workers end with this errno */
	size_t piece;	     /* and move no more than this at once; 0: no limit */
	bool no_zero_range, no_punch;
	unsigned int nr_waiting, nr_flushes, nr_stable; /* nr_stable: writes with RWF_DSYNC */
	unsigned int nr_unflushed; /* calls of fallocate() since the last flush */
};
/* All zeros. */
void blk_rig_host_reset(void);
void blk_rig_host_set(struct blk_rig_host host); /* counters are left out */
/* Called at the end of each fallocate() of the program that went well; NULL: nobody looks. */
extern void (*blk_rig_after_fallocate)(int fd, int mode, off_t offset, off_t bytes);
struct blk_rig_host blk_rig_host_now(void);
/* Returns when NR reads and writes wait. */
void blk_rig_host_wait(unsigned int nr);

#endif
