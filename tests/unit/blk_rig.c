/* SPDX-License-Identifier: Apache-2.0 */
/* blk_rig.c - a block device with all it stands on. */
#include "tests/unit/blk_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* --- the host ---------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct blk_rig_host host;
void (*blk_rig_after_fallocate)(int fd, int mode, off_t offset, off_t bytes);

void blk_rig_host_set(struct blk_rig_host h)
{
	pthread_mutex_lock(&lock);
	h.nr_waiting = host.nr_waiting;
	h.nr_flushes = host.nr_flushes;
	h.nr_stable = host.nr_stable;
	h.nr_unflushed = host.nr_unflushed;
	host = h;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

void blk_rig_host_reset(void)
{
	pthread_mutex_lock(&lock);
	host = (struct blk_rig_host){ .nr_waiting = host.nr_waiting };
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

struct blk_rig_host blk_rig_host_now(void)
{
	struct blk_rig_host now;

	pthread_mutex_lock(&lock);
	now = host;
	pthread_mutex_unlock(&lock);
	return now;
}

void blk_rig_host_wait(unsigned int nr)
{
	pthread_mutex_lock(&lock);
	while (host.nr_waiting < nr)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

/* What a read or write has to go through; an errno, or 0 and how much it may move. */
static int pass(int flags, size_t *piece)
{
	int fails;

	pthread_mutex_lock(&lock);
	if (flags & RWF_NOWAIT) {
		fails = host.no_cache ? EAGAIN : 0;
	} else {
		host.nr_waiting++;
		pthread_cond_broadcast(&changed);
		while (host.held)
			pthread_cond_wait(&changed, &lock);
		host.nr_waiting--;
		host.nr_stable += !!(flags & RWF_DSYNC);
		fails = host.fails;
	}
	*piece = host.piece;
	pthread_mutex_unlock(&lock);
	return fails;
}

static ssize_t move(long call, int fd, const struct iovec *iov, int nr, off_t offset, int flags)
{
	size_t piece;
	struct iovec one;
	int fails = pass(flags, &piece);

	if (fails) {
		errno = fails;
		return -1;
	}
	if (piece && nr) {
		one = (struct iovec){ iov->iov_base, min_u64(piece, iov->iov_len) };
		iov = &one;
		nr = 1;
	}
	return syscall(call, fd, iov, (long)nr, offset, 0L, (long)(flags & ~RWF_DSYNC));
}

ssize_t preadv2(int fd, const struct iovec *iov, int nr, off_t offset, int flags)
{
	return move(SYS_preadv2, fd, iov, nr, offset, flags);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int nr, off_t offset, int flags)
{
	return move(SYS_pwritev2, fd, iov, nr, offset, flags);
}

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
	struct blk_rig_host now = blk_rig_host_now();

	if ((mode & FALLOC_FL_ZERO_RANGE && now.no_zero_range) ||
	    (mode & FALLOC_FL_PUNCH_HOLE && now.no_punch)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (syscall(SYS_fallocate, fd, mode, offset, bytes))
		return -1;
	pthread_mutex_lock(&lock);
	host.nr_unflushed++;
	pthread_mutex_unlock(&lock);
	if (blk_rig_after_fallocate)
		blk_rig_after_fallocate(fd, mode, offset, bytes);
	return 0;
}

/* Counted; a real one would take its time. */
int fdatasync(int fd)
{
	pthread_mutex_lock(&lock);
	host.nr_flushes++;
	host.nr_unflushed = 0;
	pthread_mutex_unlock(&lock);
	return fd < 0 ? -1 : 0;
}

/* --- the rig ----------------------------------------------------------------------------------- */

void blk_rig_init(struct blk_rig *r, uint64_t bytes, bool read_only)
{
	struct disk disk;

	*r = (struct blk_rig){ .path = "/tmp/ebb-blk-XXXXXX" };
	blk_rig_host_reset();
	fake_memory_init(&r->mem, BLK_BOOT, BLK_ELASTIC, 2 * MiB);
	cr_assert_eq(loop_new(&r->loop), 0);
	r->fd = mkstemp(r->path);
	cr_assert_geq(r->fd, 0);
	cr_assert_eq(ftruncate(r->fd, (off_t)bytes), 0);
	cr_assert_eq(disk_open(&disk, r->path, read_only), 0);
	cr_assert_eq(blk_new(&r->b, &(struct blk_cfg){ .id = "disk0", .path = r->path,
						       .serial = "0123456789abcdef" },
			     &disk, r->loop, &r->mem.gm),
		     0);
	r->status = fake_alloc(&r->mem, 4096, 4096);
	fake_driver_init(&r->drv, &r->mem, blk_dev(r->b));
}

void blk_rig_destroy(struct blk_rig *r)
{
	blk_rig_host_reset();
	blk_free(r->b);
	close(r->fd);
	unlink(r->path);
	loop_free(r->loop);
	fake_memory_destroy(&r->mem);
}

#define MAX_DATA 130

unsigned int blk_rig_add(struct blk_rig *r, uint32_t type, uint64_t sector,
			 const struct fake_buffer *data, unsigned int nr)
{
	struct blk_header header = { .type = le32_of(type), .sector = le64_of(sector) };
	unsigned int request = r->nr_status++ % 4096, at = 1;
	struct fake_buffer buffers[MAX_DATA + 2];
	uint8_t none = BLK_NO_STATUS;

	cr_assert_leq(nr, MAX_DATA);
	buffers[0] = (struct fake_buffer){ fake_alloc(&r->mem, sizeof(header), 16),
					   sizeof(header), false };
	fake_write(&r->mem, buffers[0].at, &header, sizeof(header));
	fake_write(&r->mem, gpa_add(r->status, request), &none, 1);
	for (unsigned int i = 0; i < nr; i++)
		buffers[at++] = data[i];
	buffers[at++] = (struct fake_buffer){ gpa_add(r->status, request), 1, true };
	fake_queue_add(&r->drv.queues[0], buffers, at);
	return request;
}

uint8_t blk_rig_status(const struct blk_rig *r, unsigned int request)
{
	uint8_t status;

	fake_read(&r->mem, gpa_add(r->status, request), &status, 1);
	return status;
}

unsigned int blk_rig_serve(struct blk_rig *r)
{
	unsigned int nr = 0;

	fake_driver_kick(&r->drv, 0);
	blk_drain(r->b);
	while (fake_queue_poll(&r->drv.queues[0], NULL, NULL))
		nr++;
	return nr;
}

uint8_t blk_rig_ask(struct blk_rig *r, uint32_t type, uint64_t sector,
		    const struct fake_buffer *data, unsigned int nr)
{
	uint64_t mark = r->mem.next_free;
	unsigned int request = blk_rig_add(r, type, sector, data, nr);

	cr_assert_eq(blk_rig_serve(r), 1);
	r->mem.next_free = mark;
	return blk_rig_status(r, request);
}

struct blk_info blk_rig_info(const struct blk_rig *r)
{
	struct blk_info info;

	blk_info(r->b, &info);
	return info;
}
