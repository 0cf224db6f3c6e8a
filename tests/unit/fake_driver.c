/* SPDX-License-Identifier: Apache-2.0 */
/* fake_driver.c - the guest's side of virtio for unit tests. */
#include "tests/unit/fake_driver.h"

#include <criterion/criterion.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

/* Guest memory. */

/* There is no KVM here. */
static int add_slot(void *ctx, uint32_t slot, gpa_t base, void *host, uint64_t bytes,
		    bool read_only)
{
	(void)ctx, (void)slot, (void)base, (void)host, (void)bytes, (void)read_only;
	return 0;
}

static int remove_slot(void *ctx, uint32_t slot)
{
	(void)ctx, (void)slot;
	return 0;
}

void fake_memory_init(struct fake_memory *m, uint64_t boot_bytes, uint64_t elastic_bytes,
		      uint64_t block_bytes)
{
	*m = (struct fake_memory){ .next_free = 0x10000 };
	cr_assert_eq(ram_create(&m->boot, "test-boot", boot_bytes), 0);
	cr_assert_eq(gm_add(&m->gm, GPA(0), boot_bytes, &m->boot, 0, NULL), 0);
	if (elastic_bytes) {
		struct elastic_cfg cfg = {
			.name = "test-elastic",
			.base = GPA(FAKE_ELASTIC_BASE),
			.bytes = elastic_bytes,
			.block_bytes = block_bytes,
			.slot_ops = { .add = add_slot, .remove = remove_slot },
			.segment_bytes = slots_segment_bytes(elastic_bytes, block_bytes, 64),
		};

		cr_assert_eq(elastic_init(&m->elastic, &cfg), 0);
		cr_assert_eq(gm_add(&m->gm, cfg.base, elastic_bytes, &m->elastic.ram, 0,
				    &m->elastic.blocks),
			     0);
	}
	gm_freeze(&m->gm);
}

void fake_memory_destroy(struct fake_memory *m)
{
	ram_destroy(&m->boot);
	elastic_destroy(&m->elastic);
}

gpa_t fake_alloc(struct fake_memory *m, uint64_t bytes, uint64_t align)
{
	uint64_t at = align_up(m->next_free, align);

	cr_assert(range_inside(at, bytes, 0, m->boot.bytes), "the test's boot memory is full");
	m->next_free = at + bytes;
	return GPA(at);
}

void fake_write(struct fake_memory *m, gpa_t at, const void *src, size_t bytes)
{
	cr_assert_eq(gm_write(&m->gm, at, src, bytes), 0);
}

void fake_read(const struct fake_memory *m, gpa_t at, void *dst, size_t bytes)
{
	cr_assert_eq(gm_read(&m->gm, at, dst, bytes), 0);
}

static void store16(struct fake_memory *m, gpa_t at, uint16_t value)
{
	cr_assert_eq(gm_store_le16(&m->gm, at, value), 0);
}

static uint16_t load16(const struct fake_memory *m, gpa_t at)
{
	uint16_t value = 0;

	cr_assert_eq(gm_load_le16(&m->gm, at, &value), 0);
	return value;
}

/* The driver side of a virtqueue. */

void fake_queue_init(struct fake_queue *q, struct fake_memory *m, uint16_t size)
{
	*q = (struct fake_queue){ .mem = m, .size = size };
	q->desc = fake_alloc(m, UINT64_C(16) * size, 16);
	q->avail = fake_alloc(m, UINT64_C(6) + UINT64_C(2) * size, 2);
	q->used = fake_alloc(m, UINT64_C(6) + UINT64_C(8) * size, 4);
}

struct virtq fake_queue_device_side(const struct fake_queue *q)
{
	return (struct virtq){
		.size = q->size, .desc = q->desc, .avail = q->avail, .used = q->used, .ready = true
	};
}

void fake_desc_at(struct fake_memory *m, gpa_t table, unsigned int i, uint64_t addr, uint32_t len,
		  uint16_t flags, uint16_t next)
{
	struct {
		le64 addr;
		le32 len;
		le16 flags, next;
	} desc = { le64_of(addr), le32_of(len), le16_of(flags), le16_of(next) };

	_Static_assert(sizeof(desc) == sizeof(struct vring_desc), "wire size");
	fake_write(m, gpa_add(table, UINT64_C(16) * i), &desc, sizeof(desc));
}

void fake_queue_desc(struct fake_queue *q, unsigned int i, uint64_t addr, uint32_t len,
		     uint16_t flags, uint16_t next)
{
	fake_desc_at(q->mem, q->desc, i, addr, len, flags, next);
}

void fake_queue_set_avail_idx(struct fake_queue *q, uint16_t idx)
{
	q->avail_idx = idx;
	store16(q->mem, gpa_add(q->avail, 2), idx);
}

void fake_queue_set_avail_flags(struct fake_queue *q, uint16_t flags)
{
	store16(q->mem, q->avail, flags);
}

void fake_queue_set_used_event(struct fake_queue *q, uint16_t idx)
{
	store16(q->mem, gpa_add(q->avail, UINT64_C(4) + UINT64_C(2) * q->size), idx);
}

uint16_t fake_queue_used_idx(const struct fake_queue *q)
{
	return load16(q->mem, gpa_add(q->used, 2));
}

uint16_t fake_queue_avail_event(const struct fake_queue *q)
{
	return load16(q->mem, gpa_add(q->used, UINT64_C(4) + UINT64_C(8) * q->size));
}

void fake_queue_make_available(struct fake_queue *q, uint16_t head)
{
	uint64_t slot = q->avail_idx & (q->size - 1u);

	store16(q->mem, gpa_add(q->avail, 4 + 2 * slot), head);
	fake_queue_set_avail_idx(q, (uint16_t)(q->avail_idx + 1));
}

static uint16_t buffer_flags(const struct fake_buffer *b, bool last)
{
	return (uint16_t)((b->writable ? VRING_DESC_F_WRITE : 0) | (last ? 0 : VRING_DESC_F_NEXT));
}

static uint16_t take_desc(struct fake_queue *q)
{
	uint16_t i = q->next_desc;

	q->next_desc = (uint16_t)((i + 1u) & (q->size - 1u));
	return i;
}

uint16_t fake_queue_add(struct fake_queue *q, const struct fake_buffer *buffers, unsigned int nr)
{
	uint16_t head = q->next_desc;

	cr_assert(nr && nr <= q->size);
	for (unsigned int i = 0; i < nr; i++) {
		uint16_t at = take_desc(q);

		fake_queue_desc(q, at, buffers[i].at.v, buffers[i].bytes,
				buffer_flags(&buffers[i], i == nr - 1), q->next_desc);
	}
	fake_queue_make_available(q, head);
	return head;
}

uint16_t fake_queue_add_indirect(struct fake_queue *q, const struct fake_buffer *buffers,
				 unsigned int nr)
{
	gpa_t table = fake_alloc(q->mem, UINT64_C(16) * nr, 16);
	uint16_t head = take_desc(q);

	cr_assert(nr);
	for (unsigned int i = 0; i < nr; i++)
		fake_desc_at(q->mem, table, i, buffers[i].at.v, buffers[i].bytes,
			     buffer_flags(&buffers[i], i == nr - 1), (uint16_t)(i + 1));
	fake_queue_desc(q, head, table.v, 16 * nr, VRING_DESC_F_INDIRECT, 0);
	fake_queue_make_available(q, head);
	return head;
}

bool fake_queue_poll(struct fake_queue *q, uint32_t *head, uint32_t *bytes)
{
	uint64_t slot = q->seen_used & (q->size - 1u);
	struct {
		le32 id, len;
	} elem;

	if (fake_queue_used_idx(q) == q->seen_used)
		return false;
	fake_read(q->mem, gpa_add(q->used, 4 + 8 * slot), &elem, sizeof(elem));
	q->seen_used++;
	if (head)
		*head = le32_get(elem.id);
	if (bytes)
		*bytes = le32_get(elem.len);
	return true;
}

/* A driver behind virtio-mmio registers. */

static void count_interrupt(void *ctx)
{
	struct fake_driver *d = ctx;

	d->nr_interrupts++;
}

void fake_driver_serve(struct fake_driver *d)
{
	/* A kick raised while one is served waits for its turn, as an eventfd does. */
	if (d->serving)
		return;
	d->serving = true;
	while (d->pending_kicks) {
		unsigned int queue = (unsigned int)__builtin_ctz(d->pending_kicks);

		d->pending_kicks &= ~(1u << queue);
		virtio_mmio_kicked(&d->mmio, queue);
	}
	d->serving = false;
}

static void take_kick(void *ctx, unsigned int queue)
{
	struct fake_driver *d = ctx;

	d->nr_kicks++;
	d->pending_kicks |= 1u << queue;
	if (d->serve_kicks)
		fake_driver_serve(d);
}

void fake_driver_init(struct fake_driver *d, struct fake_memory *m, struct virtio_dev *dev)
{
	*d = (struct fake_driver){ .mem = m, .dev = dev, .serve_kicks = true };
	virtio_mmio_init(&d->mmio, dev, (struct irq_line){ count_interrupt, d }, take_kick, d);
}

uint64_t fake_driver_access(struct fake_driver *d, uint64_t offset, unsigned int bytes,
			    bool is_write, uint64_t value)
{
	struct bus_access access = { .offset = offset,
				     .bytes = bytes,
				     .is_write = is_write,
				     .value = is_write ? value : UINT64_MAX };
	uint64_t mask = bytes < 8 ? (UINT64_C(1) << (8 * bytes)) - 1 : UINT64_MAX;

	virtio_mmio_access(&d->mmio, &access);
	return access.value & mask;
}

uint32_t fake_driver_reg(struct fake_driver *d, uint32_t reg)
{
	return (uint32_t)fake_driver_access(d, reg, 4, false, 0);
}

void fake_driver_set_reg(struct fake_driver *d, uint32_t reg, uint32_t value)
{
	fake_driver_access(d, reg, 4, true, value);
}

uint64_t fake_driver_config(struct fake_driver *d, uint32_t offset, unsigned int bytes)
{
	return fake_driver_access(d, VIRTIO_MMIO_CONFIG + offset, bytes, false, 0);
}

uint64_t fake_driver_device_features(struct fake_driver *d)
{
	uint64_t low, high;

	fake_driver_set_reg(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	low = fake_driver_reg(d, VIRTIO_MMIO_DEVICE_FEATURES);
	fake_driver_set_reg(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	high = fake_driver_reg(d, VIRTIO_MMIO_DEVICE_FEATURES);
	return high << 32 | low;
}

void fake_driver_add_status(struct fake_driver *d, uint32_t bits)
{
	fake_driver_set_reg(d, VIRTIO_MMIO_STATUS, fake_driver_reg(d, VIRTIO_MMIO_STATUS) | bits);
}

bool fake_driver_negotiate(struct fake_driver *d, uint64_t features)
{
	fake_driver_set_reg(d, VIRTIO_MMIO_STATUS, 0);
	fake_driver_add_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	fake_driver_add_status(d, VIRTIO_CONFIG_S_DRIVER);
	for (uint32_t half = 0; half < 2; half++) {
		fake_driver_set_reg(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		fake_driver_set_reg(d, VIRTIO_MMIO_DRIVER_FEATURES,
				    (uint32_t)(features >> (32 * half)));
	}
	fake_driver_add_status(d, VIRTIO_CONFIG_S_FEATURES_OK);
	return fake_driver_reg(d, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static void set_address(struct fake_driver *d, uint32_t low_reg, uint32_t high_reg, gpa_t at)
{
	fake_driver_set_reg(d, low_reg, (uint32_t)at.v);
	fake_driver_set_reg(d, high_reg, (uint32_t)(at.v >> 32));
}

bool fake_driver_enable_queue(struct fake_driver *d, unsigned int queue)
{
	const struct fake_queue *q = &d->queues[queue];

	fake_driver_set_reg(d, VIRTIO_MMIO_QUEUE_SEL, queue);
	fake_driver_set_reg(d, VIRTIO_MMIO_QUEUE_NUM, q->size);
	set_address(d, VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_DESC_HIGH, q->desc);
	set_address(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, q->avail);
	set_address(d, VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_MMIO_QUEUE_USED_HIGH, q->used);
	fake_driver_set_reg(d, VIRTIO_MMIO_QUEUE_READY, 1);
	return fake_driver_reg(d, VIRTIO_MMIO_QUEUE_READY) == 1;
}

bool fake_driver_setup_queue(struct fake_driver *d, unsigned int queue, uint16_t size)
{
	fake_queue_init(&d->queues[queue], d->mem, size);
	return fake_driver_enable_queue(d, queue);
}

void fake_driver_start(struct fake_driver *d, uint64_t features)
{
	cr_assert(fake_driver_negotiate(d, features | UINT64_C(1) << VIRTIO_F_VERSION_1),
		  "FEATURES_OK did not stick");
	for (unsigned int i = 0; i < d->dev->ops->nr_queues; i++) {
		uint16_t size;

		fake_driver_set_reg(d, VIRTIO_MMIO_QUEUE_SEL, i);
		size = (uint16_t)fake_driver_reg(d, VIRTIO_MMIO_QUEUE_NUM_MAX);
		cr_assert(!size || fake_driver_setup_queue(d, i, size),
			  "queue %u did not become ready", i);
	}
	fake_driver_add_status(d, VIRTIO_CONFIG_S_DRIVER_OK);
	cr_assert(virtio_live(d->dev), "the device did not become live");
}

void fake_driver_kick(struct fake_driver *d, unsigned int queue)
{
	fake_driver_set_reg(d, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

bool fake_driver_needs_reset(struct fake_driver *d)
{
	return fake_driver_reg(d, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

bool fake_driver_request(struct fake_driver *d, unsigned int queue, const void *out,
			 uint32_t out_bytes, void *in, uint32_t in_bytes, uint32_t *used_bytes)
{
	struct fake_buffer buffers[2];
	uint64_t mark = d->mem->next_free;
	gpa_t in_at = GPA(0);
	unsigned int nr = 0;
	bool answered;

	if (out_bytes) {
		gpa_t at = fake_alloc(d->mem, out_bytes, 16);

		fake_write(d->mem, at, out, out_bytes);
		buffers[nr++] = (struct fake_buffer){ at, out_bytes, false };
	}
	if (in_bytes) {
		in_at = fake_alloc(d->mem, in_bytes, 16);
		buffers[nr++] = (struct fake_buffer){ in_at, in_bytes, true };
	}
	fake_queue_add(&d->queues[queue], buffers, nr);
	fake_driver_kick(d, queue);
	answered = fake_queue_poll(&d->queues[queue], NULL, used_bytes);
	if (answered && in_bytes)
		fake_read(d->mem, in_at, in, in_bytes);
	/* An answered request is over: thousands of them need no more memory than one. */
	if (answered)
		d->mem->next_free = mark;
	return answered;
}

uint32_t fake_driver_take_interrupts(struct fake_driver *d)
{
	uint32_t status = fake_driver_reg(d, VIRTIO_MMIO_INTERRUPT_STATUS);

	fake_driver_set_reg(d, VIRTIO_MMIO_INTERRUPT_ACK, status);
	return status;
}
