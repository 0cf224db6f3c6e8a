/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_driver.h - the guest's side of virtio for unit tests, over plain memory.
 * Three layers, each usable alone: guest memory; the driver side of one split virtqueue; a driver
 * that negotiates through the virtio-mmio registers. All of them can misbehave: the raw functions
 * write any descriptor, index or register. Functions that set something up assert; those that
 * a test asks for an outcome return it.
 */
#ifndef EBB_TESTS_FAKE_DRIVER_H
#define EBB_TESTS_FAKE_DRIVER_H

#include "virtio/mmio.h"
#include "vmm/memory/elastic.h"
#include "vmm/memory/guest_mem.h"

/* Guest memory: boot memory at 0 and, if asked for, one elastic region, all blocks unplugged. */

#define FAKE_ELASTIC_BASE (4 * GiB)

struct fake_memory {
	struct guest_mem gm;
	struct ram boot;
	struct elastic elastic; /* unguarded */
	uint64_t next_free; /* of boot memory, for fake_alloc() */
};

/* ELASTIC_BYTES 0: no elastic region; BLOCK_BYTES is then ignored. Multiples of 2 MiB. */
void fake_memory_init(struct fake_memory *m, uint64_t boot_bytes, uint64_t elastic_bytes,
		      uint64_t block_bytes);
void fake_memory_destroy(struct fake_memory *m);
/* Boot memory nobody else uses; zeroed when the guest has not used it before. */
gpa_t fake_alloc(struct fake_memory *m, uint64_t bytes, uint64_t align);
/* gm_write() and gm_read() that must succeed. */
void fake_write(struct fake_memory *m, gpa_t at, const void *src, size_t bytes);
void fake_read(const struct fake_memory *m, gpa_t at, void *dst, size_t bytes);
static inline gpa_t gpa_add(gpa_t at, uint64_t bytes) { return GPA(at.v + bytes); }

/* The driver side of a virtqueue. */

struct fake_buffer {
	gpa_t at;
	uint32_t bytes;
	bool writable; /* by the device */
};

struct fake_queue {
	struct fake_memory *mem;
	uint16_t size;
	gpa_t desc, avail, used;
	uint16_t next_desc; /* to take, in a circle: the test must not have too many in flight */
	uint16_t avail_idx; /* as published */
	uint16_t seen_used; /* used entries reaped */
};

/* Allocates the three rings for SIZE descriptors. */
void fake_queue_init(struct fake_queue *q, struct fake_memory *m, uint16_t size);
/* What the device's side looks like after the driver has set it up. */
struct virtq fake_queue_device_side(const struct fake_queue *q);
/* Writes a chain and makes it available; the head as result. */
uint16_t fake_queue_add(struct fake_queue *q, const struct fake_buffer *buffers, unsigned int nr);
uint16_t fake_queue_add_indirect(struct fake_queue *q, const struct fake_buffer *buffers,
				 unsigned int nr);
/* Takes the next used entry. False: there is none. HEAD and BYTES may be NULL. */
bool fake_queue_poll(struct fake_queue *q, uint32_t *head, uint32_t *bytes);
/* Raw: for layouts of one's own and for lies. */
void fake_desc_at(struct fake_memory *m, gpa_t table, unsigned int i, uint64_t addr, uint32_t len,
		  uint16_t flags, uint16_t next);
void fake_queue_desc(struct fake_queue *q, unsigned int i, uint64_t addr, uint32_t len,
		     uint16_t flags, uint16_t next);
void fake_queue_make_available(struct fake_queue *q, uint16_t head);
void fake_queue_set_avail_idx(struct fake_queue *q, uint16_t idx);
void fake_queue_set_avail_flags(struct fake_queue *q, uint16_t flags);
void fake_queue_set_used_event(struct fake_queue *q, uint16_t idx);
uint16_t fake_queue_used_idx(const struct fake_queue *q);
uint16_t fake_queue_avail_event(const struct fake_queue *q);

/* A driver for DEV behind virtio-mmio registers. */

struct fake_driver {
	struct fake_memory *mem;
	struct virtio_mmio mmio;
	struct virtio_dev *dev;
	struct fake_queue queues[VIRTIO_MAX_QUEUES];
	unsigned int nr_interrupts;
	unsigned int nr_kicks; /* that the transport asked for */
	/* False: kicks are only counted; fake_driver_serve() runs them later, as the loop does. */
	bool serve_kicks;
	bool serving;
	uint32_t pending_kicks;
};

/* Puts DEV (its ops and gm set) behind the registers; nothing is negotiated yet. */
void fake_driver_init(struct fake_driver *d, struct fake_memory *m, struct virtio_dev *dev);
/* One bus access; reads that the device leaves alone give all ones. */
uint64_t fake_driver_access(struct fake_driver *d, uint64_t offset, unsigned int bytes,
			    bool is_write, uint64_t value);
uint32_t fake_driver_reg(struct fake_driver *d, uint32_t reg);
void fake_driver_set_reg(struct fake_driver *d, uint32_t reg, uint32_t value);
/* Config space bytes, one access for each width 1, 2, 4 or 8. */
uint64_t fake_driver_config(struct fake_driver *d, uint32_t offset, unsigned int bytes);
uint64_t fake_driver_device_features(struct fake_driver *d);

/* Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK. True: FEATURES_OK stuck. */
bool fake_driver_negotiate(struct fake_driver *d, uint64_t features);
/* Allocates rings of SIZE and hands them to the device. True: QueueReady stuck. */
bool fake_driver_setup_queue(struct fake_driver *d, unsigned int queue, uint16_t size);
/* Hands over the rings in d->queues[QUEUE] as they are, whatever they are. */
bool fake_driver_enable_queue(struct fake_driver *d, unsigned int queue);
void fake_driver_add_status(struct fake_driver *d, uint32_t bits);
/*
 * All of it, each queue that there is at its largest size, up to DRIVER_OK; must succeed. FEATURES:
 * device and ring bits; VIRTIO_F_VERSION_1 is added.
 */
void fake_driver_start(struct fake_driver *d, uint64_t features);
/* QueueNotify. */
void fake_driver_kick(struct fake_driver *d, unsigned int queue);
/* Runs the kicks that wait. */
void fake_driver_serve(struct fake_driver *d);
bool fake_driver_needs_reset(struct fake_driver *d);
/*
 * One request and its answer: OUT goes in one readable buffer, IN is filled from one writable
 * buffer (either may be empty). False: the device did not answer. USED_BYTES may be NULL.
 */
bool fake_driver_request(struct fake_driver *d, unsigned int queue, const void *out,
			 uint32_t out_bytes, void *in, uint32_t in_bytes, uint32_t *used_bytes);
/* Reads and acknowledges InterruptStatus. */
uint32_t fake_driver_take_interrupts(struct fake_driver *d);

#endif
