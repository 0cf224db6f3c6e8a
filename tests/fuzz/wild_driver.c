/* SPDX-License-Identifier: Apache-2.0 */
/* wild_driver.c - a driver that knows no rule. */
#include "tests/fuzz/wild_driver.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#define RINGS_BYTES (4 * KiB)
/* Those of the largest queues end before this. */
#define ZERO_BYTES  (16 * KiB)
#define SERVE_MAX   4

void wild_forget_memory(struct fake_memory *m)
{
	m->next_free = WILD_RINGS_AT;
	fuzz_check(!gm_zero(&m->gm, GPA(WILD_RINGS_AT), ZERO_BYTES));
}

static void serve(struct fake_driver *d)
{
	for (int i = 0; i < SERVE_MAX && d->pending_kicks; i++) {
		unsigned int queue = (unsigned int)__builtin_ctz(d->pending_kicks);

		d->pending_kicks &= ~(1u << queue);
		virtio_mmio_kicked(&d->mmio, queue);
	}
}

static const uint16_t written_regs[] = {
	VIRTIO_MMIO_STATUS,	     VIRTIO_MMIO_STATUS,
	VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_DRIVER_FEATURES_SEL,
	VIRTIO_MMIO_QUEUE_SEL,	     VIRTIO_MMIO_QUEUE_NUM,
	VIRTIO_MMIO_QUEUE_READY,     VIRTIO_MMIO_QUEUE_NOTIFY,
	VIRTIO_MMIO_QUEUE_DESC_LOW,  VIRTIO_MMIO_QUEUE_DESC_HIGH,
	VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
	VIRTIO_MMIO_QUEUE_USED_LOW,  VIRTIO_MMIO_QUEUE_USED_HIGH,
	VIRTIO_MMIO_INTERRUPT_ACK,   VIRTIO_MMIO_DEVICE_FEATURES_SEL,
};

/* Of a descriptor: one that may exist, or any. */
static uint16_t any_index(struct fuzz_stream *s)
{
	uint16_t i = fuzz_u8(s);

	return i < 0xf0 ? i % 32 : fuzz_u16(s);
}

/* Addresses that mean something are more likely than others. */
static uint64_t address(const struct fake_memory *m, struct fuzz_stream *s)
{
	uint64_t at = fuzz_u16(s);

	switch (fuzz_below(s, 6)) {
	case 0:
		return at;
	case 1:
		return m->boot.bytes - at;
	case 2:
		return FAKE_ELASTIC_BASE + at * (128 * KiB);
	case 3:
		return FAKE_ELASTIC_BASE + at * (128 * KiB) - (at & 15);
	case 4:
		return fuzz_take(s, 8);
	default:
		return WILD_RINGS_AT + at % RINGS_BYTES;
	}
}

static void raw_access(struct fake_driver *d, struct fuzz_stream *s)
{
	uint16_t how = fuzz_u16(s);

	(void)fake_driver_access(d, how % VIRTIO_MMIO_BYTES, 1u << (how >> 9 & 3), how >> 11 & 1,
				 fuzz_take(s, 8));
}

/* A ring's address in parts, so that one step gets to where a driver comes in several. */
static void move_ring(struct fake_driver *d, struct fuzz_stream *s)
{
	static const uint16_t low[] = { VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
				       VIRTIO_MMIO_QUEUE_USED_LOW };
	uint16_t reg = low[fuzz_below(s, ARRAY_SIZE(low))];
	uint64_t at = address(d->mem, s);

	fake_driver_set_reg(d, reg, (uint32_t)at);
	fake_driver_set_reg(d, reg + 4u, (uint32_t)(at >> 32));
}

static void write_bytes(struct fake_driver *d, struct fuzz_stream *s)
{
	gpa_t at = GPA(address(d->mem, s));
	uint64_t value = fuzz_take(s, 8);

	/* Where no memory is a guest's write ends elsewhere. */
	(void)!gm_write(&d->mem->gm, at, &value, sizeof(value));
}

/* By the rules up to QueueReady or DRIVER_OK: what comes then need not be. */
static void set_up(struct fake_driver *d, struct fuzz_stream *s)
{
	uint8_t how = fuzz_u8(s);
	uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1;

	features |= (uint64_t)(how & 1) << VIRTIO_RING_F_INDIRECT_DESC;
	features |= (uint64_t)(how >> 1 & 1) << VIRTIO_RING_F_EVENT_IDX;
	(void)fake_driver_negotiate(d, features);
	if (how & 8)
		move_ring(d, s);
	else
		for (unsigned int i = 0; i < d->dev->ops->nr_queues; i++)
			(void)fake_driver_enable_queue(d, i);
	if (how & 4)
		fake_driver_add_status(d, VIRTIO_CONFIG_S_DRIVER_OK);
}

void wild_step(struct fake_driver *d, struct fuzz_stream *s)
{
	unsigned int queue = fuzz_below(s, d->dev->ops->nr_queues);
	struct fake_queue *q = &d->queues[queue];

	d->serve_kicks = false;
	switch (fuzz_below(s, 12)) {
	case 0:
		raw_access(d, s);
		break;
	case 1: {
		uint16_t reg = written_regs[fuzz_below(s, ARRAY_SIZE(written_regs))];

		fake_driver_set_reg(d, reg, fuzz_u32(s));
		break;
	}
	case 2: {
		uint16_t reg = written_regs[fuzz_below(s, ARRAY_SIZE(written_regs))];

		fake_driver_set_reg(d, reg, fuzz_u8(s));
		break;
	}
	case 3:
		move_ring(d, s);
		break;
	case 4:
	case 5: {
		unsigned int i = fuzz_below(s, q->size);
		uint64_t at = address(d->mem, s);
		uint32_t len = fuzz_u8(s);
		uint16_t flags = fuzz_u8(s) & 7;

		if (len == 255)
			len = fuzz_u32(s);
		fake_queue_desc(q, i, at, len, flags, any_index(s));
		break;
	}
	case 6:
		fake_queue_make_available(q, any_index(s));
		break;
	case 7:
		fake_queue_set_avail_idx(q, fuzz_u16(s));
		break;
	case 8:
		fake_queue_set_avail_flags(q, fuzz_u8(s) & 1);
		fake_queue_set_used_event(q, fuzz_u16(s));
		break;
	case 9:
		write_bytes(d, s);
		break;
	case 10:
		set_up(d, s);
		break;
	default:
		fake_driver_kick(d, queue);
		break;
	}
	serve(d);
	d->serve_kicks = true;
}
