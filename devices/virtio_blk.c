/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.c - the block device: takes requests, checks them, has workers carry them out, answers.
 */
#include "devices/virtio_blk.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/uio.h>

#include "devices/virtio_blk_wire.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/base/workers.h"

#define QUEUE_SIZE VIRTQ_MAX_SIZE
/* Requests of one disk that are in the host's hands at once. */
#define MAX_WORKERS 16
/* A request with header and status fits into the queue. */
#define SEG_MAX (QUEUE_SIZE - 2)
#define SIZE_MAX_BYTES (256 * KiB)
/* A reset waits for no more than this. */
#define MAX_BYTES (SEG_MAX * SIZE_MAX_BYTES)
#define MAX_RANGES 16
#define MAX_DISCARD_BYTES (4 * GiB - MiB)
#define MAX_ZEROES_BYTES (64 * MiB)
/* Larger ones cost the loop more than a worker does. */
#define AT_ONCE_BYTES (64 * KiB)
/* So long a kick may take of the loop, to its next request. */
#define KICK_NS (5 * NS_PER_MS)

struct blk_request {
	struct work work;
	struct blk *blk;
	struct blk_request *next_free;
	bool is_pinned; /* under way */
	uint32_t type;
	uint64_t offset; /* on the disk */
	uint32_t bytes;	 /* of data */
	bool is_stable;	 /* when it is answered, without a flush */
	unsigned int nr_ranges;
	struct range {
		uint64_t offset, bytes;
		bool may_discard;
	} ranges[MAX_RANGES];
	int result; /* -errno */
	struct chain chain;
};

struct blk {
	struct virtio_dev dev;
	struct blk_cfg cfg;
	struct disk disk;
	struct workers *workers;
	bool no_nowait; /* the file's file system can't say what is in the page cache */
	unsigned int nr_in_flight;
	struct blk_counters counters;
	/*
	 * A head is in flight once, so there is one for each and the one that the next is popped
	 * into, be there a next or not. The first NR_USED were ever needed.
	 */
	struct blk_request *free;
	unsigned int nr_used;
	struct blk_request requests[QUEUE_SIZE + 1];
};

static struct blk *blk_of(struct virtio_dev *dev) { return container_of(dev, struct blk, dev); }

static struct blk_request *request_of(struct work *work)
{
	return container_of(work, struct blk_request, work);
}

/* --- requests ---------------------------------------------------------------------------------- */

static struct blk_request *take_request(struct blk *b)
{
	struct blk_request *r = b->free;

	if (r) {
		b->free = r->next_free;
		return r;
	}
	assert(b->nr_used < ARRAY_SIZE(b->requests));
	return &b->requests[b->nr_used++];
}

static void put_request(struct blk *b, struct blk_request *r)
{
	r->next_free = b->free;
	b->free = r;
}

/* On a worker's thread; pinned memory, the file and the request itself are all it touches. */
static int carry_out(struct blk_request *r)
{
	const struct disk *disk = &r->blk->disk;
	int result = 0;

	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		return chain_write_from_file(&r->chain, r->bytes, disk->fd, r->offset, 0);
	case VIRTIO_BLK_T_OUT:
		return chain_read_to_file(&r->chain, r->bytes, disk->fd, r->offset,
					  r->is_stable ? RWF_DSYNC : 0);
	case VIRTIO_BLK_T_FLUSH:
		return disk_flush(disk);
	default:
		break;
	}
	for (unsigned int i = 0; i < r->nr_ranges && !result; i++) {
		const struct range *range = &r->ranges[i];

		if (r->type == VIRTIO_BLK_T_DISCARD)
			result = disk_discard(disk, range->offset, range->bytes);
		else
			result = disk_zero(disk, range->offset, range->bytes, range->may_discard);
	}
	return !result && r->is_stable ? disk_flush(disk) : result;
}

static void run(struct work *work)
{
	struct blk_request *r = request_of(work);

	r->result = carry_out(r);
}

/* --- answers ----------------------------------------------------------------------------------- */

/*
 * The status is the last byte; data that did not come is passed over. What the driver is told to
 * have got ends before that gap. NULL, or what is wrong.
 */
static const char *answer(struct blk *b, struct blk_request *r, uint8_t status)
{
	struct chain *c = &r->chain;
	uint32_t gap = chain_writable(c) - 1, filled = c->written;
	const char *wrong = NULL;

	chain_skip(c, gap);
	if (chain_write_obj(c, &status))
		wrong = "a status byte in memory that does not exist";
	if (gap)
		c->written = filled;
	if (status != VIRTIO_BLK_S_OK)
		b->counters.failed++;
	virtio_push(&b->dev, 0, c);
	put_request(b, r);
	return wrong;
}

static const char *name_of(uint32_t type)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return "read";
	case VIRTIO_BLK_T_OUT:
		return "write";
	case VIRTIO_BLK_T_FLUSH:
		return "flush";
	case VIRTIO_BLK_T_DISCARD:
		return "discard";
	default:
		return "write of zeros";
	}
}

static void count(struct blk *b, const struct blk_request *r)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		b->counters.reads++;
		b->counters.read_bytes += r->bytes;
		break;
	case VIRTIO_BLK_T_OUT:
		b->counters.writes++;
		b->counters.written_bytes += r->bytes;
		break;
	case VIRTIO_BLK_T_FLUSH:
		b->counters.flushes++;
		break;
	default:
		b->counters.others++;
		break;
	}
}

/* One that was carried out. Its status byte was pinned with the rest. */
static void finish(struct blk *b, struct blk_request *r)
{
	const char *wrong;

	chain_unpin(&r->chain);
	r->is_pinned = false;
	b->nr_in_flight--;
	count(b, r);
	if (r->result)
		log_guest("%s (%s): %s at %llu failed: %s", b->cfg.id, b->cfg.path,
			  name_of(r->type), (unsigned long long)r->offset, strerror(-r->result));
	wrong = answer(b, r, r->result ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
	assert(!wrong);
	(void)wrong;
}

static void done(void *ctx, struct work *list)
{
	struct blk *b = ctx;

	while (list) {
		struct blk_request *r = request_of(list);

		list = list->next; /* before the request is anybody's */
		finish(b, r);
	}
	virtio_notify(&b->dev, 0);
}

/* --- what a request asks for ------------------------------------------------------------------- */

static bool is_on_disk(const struct blk *b, uint64_t sector, uint64_t nr)
{
	return range_inside(sector, nr, 0, b->disk.bytes / DISK_SECTOR_BYTES);
}

static uint8_t check_data(const struct blk *b, struct blk_request *r, uint64_t sector)
{
	bool is_read = r->type == VIRTIO_BLK_T_IN;
	uint32_t bytes = is_read ? chain_writable(&r->chain) - 1 : chain_readable(&r->chain);

	if (bytes > MAX_BYTES || bytes % DISK_SECTOR_BYTES ||
	    !is_on_disk(b, sector, bytes / DISK_SECTOR_BYTES) ||
	    (!is_read && b->disk.is_read_only))
		return VIRTIO_BLK_S_IOERR;
	r->offset = sector * DISK_SECTOR_BYTES;
	r->bytes = bytes;
	return VIRTIO_BLK_S_OK;
}

static uint8_t check_range(const struct blk *b, struct blk_request *r, const struct blk_range *wire)
{
	const uint32_t unmap = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	uint32_t flags = le32_get(wire->flags), nr = le32_get(wire->num_sectors);
	bool is_discard = r->type == VIRTIO_BLK_T_DISCARD;
	uint64_t max = is_discard ? MAX_DISCARD_BYTES : MAX_ZEROES_BYTES;

	if (flags & ~(is_discard ? 0 : unmap))
		return VIRTIO_BLK_S_UNSUPP;
	if (nr > max / DISK_SECTOR_BYTES || !is_on_disk(b, le64_get(wire->sector), nr))
		return VIRTIO_BLK_S_IOERR;
	r->ranges[r->nr_ranges++] = (struct range){
		.offset = le64_get(wire->sector) * DISK_SECTOR_BYTES,
		.bytes = (uint64_t)nr * DISK_SECTOR_BYTES,
		.may_discard = flags & unmap,
	};
	return VIRTIO_BLK_S_OK;
}

/* Copied, all of them, before any is carried out. */
static uint8_t check_ranges(const struct blk *b, struct blk_request *r)
{
	unsigned int feature = r->type == VIRTIO_BLK_T_DISCARD ? VIRTIO_BLK_F_DISCARD :
								 VIRTIO_BLK_F_WRITE_ZEROES;
	uint32_t bytes = chain_readable(&r->chain);
	uint8_t status = VIRTIO_BLK_S_OK;

	if (!virtio_has(&b->dev, feature))
		return VIRTIO_BLK_S_UNSUPP;
	if (!bytes || bytes % sizeof(struct blk_range) ||
	    bytes / sizeof(struct blk_range) > MAX_RANGES)
		return VIRTIO_BLK_S_IOERR;
	while (status == VIRTIO_BLK_S_OK && chain_readable(&r->chain)) {
		struct blk_range wire;

		if (chain_read_obj(&r->chain, &wire))
			return VIRTIO_BLK_S_IOERR;
		status = check_range(b, r, &wire);
	}
	return status;
}

static uint8_t check(const struct blk *b, struct blk_request *r, uint64_t sector)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		return check_data(b, r, sector);
	case VIRTIO_BLK_T_FLUSH:
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return check_ranges(b, r);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

static uint8_t write_serial(struct blk *b, struct blk_request *r)
{
	uint32_t bytes = (uint32_t)min_u64(chain_writable(&r->chain) - 1, BLK_SERIAL_BYTES);

	/* The status byte, too: else the serial number would come without one. */
	if (!chain_writable_valid(&r->chain))
		return VIRTIO_BLK_S_IOERR;
	return chain_write(&r->chain, b->cfg.serial, bytes) ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

/* A small read that the page cache has. It was pinned, and is done with when this says true. */
static bool read_at_once(struct blk *b, struct blk_request *r)
{
	int result;

	if (r->type != VIRTIO_BLK_T_IN || r->bytes > AT_ONCE_BYTES || b->no_nowait)
		return false;
	result = chain_write_from_file(&r->chain, r->bytes, b->disk.fd, r->offset, RWF_NOWAIT);
	b->no_nowait = result == -EOPNOTSUPP;
	if (result)
		return false; /* a worker finds out what else is wrong */
	b->counters.at_once++;
	r->result = 0;
	finish(b, r);
	return true;
}

/* NULL, or what is wrong with it: it has gone back to the driver in either case, or will. */
static const char *serve(struct blk *b, struct blk_request *r)
{
	struct blk_header header;
	uint8_t status;

	if (chain_read_obj(&r->chain, &header) || !chain_writable(&r->chain)) {
		virtio_push(&b->dev, 0, &r->chain);
		put_request(b, r);
		return "a request without a header or a status byte";
	}
	r->type = le32_get(header.type);
	r->offset = r->bytes = r->nr_ranges = 0;
	if (r->type == VIRTIO_BLK_T_GET_ID)
		return answer(b, r, write_serial(b, r));
	status = check(b, r, le64_get(header.sector));
	if (status != VIRTIO_BLK_S_OK)
		return answer(b, r, status);
	if (chain_pin(&r->chain))
		return answer(b, r, VIRTIO_BLK_S_IOERR);
	r->is_pinned = true;
	b->nr_in_flight++;
	r->is_stable = !virtio_has(&b->dev, VIRTIO_BLK_F_FLUSH);
	if (!read_at_once(b, r))
		workers_submit(b->workers, &r->work);
	return NULL;
}

/* --- the device -------------------------------------------------------------------------------- */

static void kick(struct virtio_dev *dev, unsigned int queue)
{
	struct blk *b = blk_of(dev);
	uint64_t end_ns = clock_ns() + KICK_NS;
	const char *wrong = NULL;

	while (!wrong) {
		struct blk_request *r = take_request(b);

		if (!virtio_pop(dev, queue, &r->chain)) {
			put_request(b, r);
			break;
		}
		r->blk = b;
		r->work.run = run;
		wrong = serve(b, r);
		if (clock_ns() >= end_ns)
			virtio_yield(dev);
	}
	workers_go(b->workers);
	virtio_notify(dev, queue);
	if (wrong)
		virtio_broken(dev, wrong);
}

static void reset(struct virtio_dev *dev)
{
	struct blk *b = blk_of(dev);

	workers_cancel(b->workers);
	for (unsigned int i = 0; i < b->nr_used; i++) {
		struct blk_request *r = &b->requests[i];

		if (!r->is_pinned)
			continue;
		chain_unpin(&r->chain);
		r->is_pinned = false;
		put_request(b, r);
	}
	b->nr_in_flight = 0;
}

/* May run on a vCPU thread. There is one queue, so all requests are of it. */
static void stop_queue(struct virtio_dev *dev, unsigned int queue)
{
	(void)queue;
	reset(dev);
}

static uint64_t features(struct virtio_dev *dev)
{
	const struct blk *b = blk_of(dev);
	uint64_t always = UINT64_C(1) << VIRTIO_BLK_F_SIZE_MAX | UINT64_C(1) << VIRTIO_BLK_F_SEG_MAX |
			  UINT64_C(1) << VIRTIO_BLK_F_BLK_SIZE | UINT64_C(1) << VIRTIO_BLK_F_FLUSH |
			  UINT64_C(1) << VIRTIO_BLK_F_TOPOLOGY;

	if (b->disk.is_read_only)
		return always | UINT64_C(1) << VIRTIO_BLK_F_RO;
	return always | UINT64_C(1) << VIRTIO_BLK_F_DISCARD |
	       UINT64_C(1) << VIRTIO_BLK_F_WRITE_ZEROES;
}

static void config_read(struct virtio_dev *dev, void *config)
{
	const struct blk *b = blk_of(dev);
	uint32_t blocks = b->disk.physical_bytes / DISK_SECTOR_BYTES;
	struct blk_config c = {
		.capacity = le64_of(b->disk.bytes / DISK_SECTOR_BYTES),
		.size_max = le32_of(SIZE_MAX_BYTES),
		.seg_max = le32_of(SEG_MAX),
		.blk_size = le32_of(DISK_SECTOR_BYTES),
		.physical_block_exp = (uint8_t)__builtin_ctz(blocks),
		.min_io_size = le16_of(1),
		.num_queues = le16_of(1),
		.max_discard_sectors = le32_of(MAX_DISCARD_BYTES / DISK_SECTOR_BYTES),
		.max_discard_seg = le32_of(MAX_RANGES),
		.discard_sector_alignment = le32_of(blocks),
		.max_write_zeroes_sectors = le32_of(MAX_ZEROES_BYTES / DISK_SECTOR_BYTES),
		.max_write_zeroes_seg = le32_of(MAX_RANGES),
		.write_zeroes_may_unmap = 1,
	};

	memcpy(config, &c, sizeof(c));
}

static const struct virtio_ops ops = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.nr_queues = 1,
	.queue_size = { QUEUE_SIZE },
	.features = features,
	.kick = kick,
	.reset = reset,
	.stop_queue = stop_queue,
	.config_read = config_read,
	.config_bytes = sizeof(struct blk_config),
};

int blk_new(struct blk **out, const struct blk_cfg *cfg, const struct disk *disk,
	    struct loop *loop, const struct guest_mem *gm)
{
	/* Not touched beyond what is in use at once. */
	struct blk *b = calloc(1, sizeof(*b));
	int r;

	if (!b) {
		disk_close(&(struct disk){ .fd = disk->fd });
		return fail(-ENOMEM, "%s", cfg->id);
	}
	b->dev = (struct virtio_dev){ .ops = &ops, .gm = gm };
	b->cfg = *cfg;
	b->disk = *disk;
	r = workers_new(&b->workers, loop, MAX_WORKERS, done, b);
	if (r) {
		blk_free(b);
		return r;
	}
	*out = b;
	return 0;
}

void blk_free(struct blk *b)
{
	if (!b)
		return;
	if (b->workers)
		reset(&b->dev);
	workers_free(b->workers);
	disk_close(&b->disk);
	free(b);
}

struct virtio_dev *blk_dev(struct blk *b) { return &b->dev; }

void blk_drain(struct blk *b) { workers_drain(b->workers); }

int blk_set_size(struct blk *b, uint64_t bytes)
{
	int r = disk_set_size(&b->disk, bytes);

	if (!r)
		virtio_config_changed(&b->dev);
	return r;
}

void blk_info(const struct blk *b, struct blk_info *info)
{
	*info = (struct blk_info){
		.id = b->cfg.id,
		.path = b->cfg.path,
		.bytes = b->disk.bytes,
		.is_read_only = b->disk.is_read_only,
		.driver_ready = virtio_live(&b->dev),
		.nr_in_flight = b->nr_in_flight,
		.counters = b->counters,
	};
}
