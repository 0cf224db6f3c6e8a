/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_rng.c - the virtio entropy device. */
#include "devices/virtio_rng.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/base/log.h"
#include "vmm/base/token_bucket.h"

/* No buffer is begun with fewer tokens: one of that size, Linux's, is filled as a whole. */
#define GRAIN_BYTES 64
/* getrandom() gives so many whole and at once. */
#define PIECE_BYTES 256

struct rng {
	struct virtio_dev dev;
	struct loop *loop;
	struct token_bucket bucket;
	struct loop_timer timer; /* armed: buffers wait for it */
};

static struct rng *rng_of(struct virtio_dev *dev) { return container_of(dev, struct rng, dev); }

/* A guest that always wants more wakes the loop a hundred times a second and no more. */
static uint32_t refill_bytes(const struct rng *r)
{
	return (uint32_t)max_u64(GRAIN_BYTES, r->bucket.rate / 100);
}

/* Once the tokens are used up some have to gather first. */
static bool may_serve(struct rng *r)
{
	if (r->timer.at_ns)
		return false;
	if (token_bucket_level(&r->bucket, loop_now(r->loop)) >= GRAIN_BYTES)
		return true;
	loop_timer_set(r->loop, &r->timer, token_bucket_when(&r->bucket, refill_bytes(r)));
	return false;
}

static void on_tokens(void *ctx)
{
	struct rng *r = ctx;

	virtio_serve_later(&r->dev, 0);
}

/* As much as there are tokens for; what the driver did wrong, or NULL. */
static const char *fill(struct rng *r, struct chain *c)
{
	uint8_t piece[PIECE_BYTES];
	uint64_t now = loop_now(r->loop);
	uint32_t left = (uint32_t)min_u64(chain_writable(c), token_bucket_level(&r->bucket, now));

	if (chain_readable(c) || !chain_writable(c))
		return "a buffer that is to be read, or an empty one";
	/* All of it, before any is filled: a driver that broke a rule finds nothing changed. */
	if (!chain_writable_valid(c))
		return "a buffer in memory that does not exist";
	token_bucket_take(&r->bucket, left, now);
	while (left) {
		size_t nr = min_u64(left, PIECE_BYTES);

		if (getrandom(piece, nr, 0) != (ssize_t)nr) {
			fail(-errno, "virtio-rng: getrandom");
			return NULL; /* the guest gets what it has so far */
		}
		if (chain_write(c, piece, nr))
			return "a buffer in memory that does not exist";
		left -= (uint32_t)nr;
	}
	return NULL;
}

static void kick(struct virtio_dev *dev, unsigned int queue)
{
	struct rng *r = rng_of(dev);
	struct chain c;

	while (may_serve(r) && virtio_pop(dev, queue, &c)) {
		const char *wrong = fill(r, &c);

		virtio_push(dev, queue, &c);
		if (wrong) {
			virtio_notify(dev, queue);
			virtio_broken(dev, wrong);
		}
	}
	virtio_notify(dev, queue);
}

static uint64_t features(struct virtio_dev *dev)
{
	(void)dev;
	return 0;
}

/* May run on a vCPU thread, so the timer stays; it then finds nothing to serve. */
static void reset(struct virtio_dev *dev) { (void)dev; }

static const struct virtio_ops ops = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG,
	.nr_queues = 1,
	.queue_size = { 64 },
	.features = features,
	.kick = kick,
	.reset = reset,
};

int rng_new(struct rng **out, struct loop *loop, const struct guest_mem *gm, uint32_t rate)
{
	struct rng *r;
	uint8_t byte;

	assert(rate >= RNG_RATE_MIN && rate <= RNG_RATE_MAX);
	/* From its first number on the host has more without waiting. */
	if (getrandom(&byte, 1, GRND_NONBLOCK) != 1)
		return fail(-errno, "--rng: random numbers of the host");
	r = calloc(1, sizeof(*r));
	if (!r)
		return fail(-ENOMEM, "virtio-rng");
	r->dev.ops = &ops;
	r->dev.gm = gm;
	r->loop = loop;
	r->timer = (struct loop_timer){ .fn = on_tokens, .ctx = r };
	r->bucket = token_bucket_full(rate, (uint32_t)max_u64(RNG_BURST_BYTES, rate / 100),
				      loop_now(loop));
	*out = r;
	return 0;
}

void rng_free(struct rng *r)
{
	if (!r)
		return;
	loop_timer_cancel(r->loop, &r->timer);
	free(r);
}

struct virtio_dev *rng_dev(struct rng *r) { return &r->dev; }
