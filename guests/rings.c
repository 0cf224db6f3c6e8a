/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rings.c - the queue of device 0, its indirect table and its buffers, one after the other, in
 * memory of device 1 that was never plugged, or is unplugged when the queue is set up and has
 * worked. Needs two virtio-mem devices.
 * Prints "step NAME" once per case; with wait=1 waits for a byte after each.
 */
#include "guests/virtio_mmio.h"
#include "guests/vmem.h"

enum part { DESC, AVAIL, USED, TABLE, REQUEST, RESPONSE, NR_PARTS };
static const char *const part_name[NR_PARTS] = { "desc",  "avail",   "used",
						 "table", "request", "response" };
#define QUEUE_SIZE 16
#define FEATURES                                                   \
	(UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE |      \
	 UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)

static struct vmem victim, owner;
static uint64_t in_boot_memory[NR_PARTS], at[NR_PARTS];
static uint64_t gone; /* a block of the owner's */

static void say(const char *when, enum part part) { step("%s %s", when, part_name[part]); }

/* Where the parts of the queue are. NR_PARTS: all in boot memory. */
static void place(enum part moved)
{
	for (unsigned int i = 0; i < NR_PARTS; i++) {
		at[i] = i == moved ? gone + i * PAGE_BYTES : in_boot_memory[i];
		memset((void *)in_boot_memory[i], 0, PAGE_BYTES);
	}
}

/* One request, a good one. */
static void write_parts(void)
{
	struct vring_desc *desc = (void *)at[DESC], *table = (void *)at[TABLE];
	struct virtio_mem_req *req = (void *)at[REQUEST];

	*req = (struct virtio_mem_req){ .type = VIRTIO_MEM_REQ_STATE,
					.u.state = { .addr = victim.addr, .nb_blocks = 1 } };
	table[0] = (struct vring_desc){ at[REQUEST], sizeof(*req), VRING_DESC_F_NEXT, 1 };
	table[1] = (struct vring_desc){ at[RESPONSE], sizeof(struct virtio_mem_resp),
					VRING_DESC_F_WRITE, 0 };
	desc[0] = (struct vring_desc){ at[TABLE], 2 * sizeof(*table), VRING_DESC_F_INDIRECT, 0 };
}

static bool try_to_start(void)
{
	struct vq vq = { .dev = &victim.dev, .size = QUEUE_SIZE };
	bool ready;

	vq.desc = (void *)at[DESC];
	vq.avail = (void *)at[AVAIL];
	vq.used = (void *)at[USED];
	virtio_negotiate(&victim.dev, FEATURES);
	ready = vq_try_enable(&vq);
	if (ready)
		virtio_driver_ok(&victim.dev);
	return ready;
}

static void offer(uint16_t nr)
{
	__atomic_store_n(&((struct vring_avail *)at[AVAIL])->idx, nr, __ATOMIC_RELEASE);
}

static bool needs_reset(void)
{
	return mmio_read(&victim.dev, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static uint16_t nr_used(void)
{
	return __atomic_load_n(&((struct vring_used *)at[USED])->idx, __ATOMIC_ACQUIRE);
}

static void notify(void) { mmio_write(&victim.dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0); }

static void expect_answer(void)
{
	uint64_t start = cpu_tsc();

	while (nr_used() != 1) {
		CHECK(!needs_reset());
		CHECK(cpu_tsc() - start < CPU_PATIENCE_CYCLES);
		cpu_pause();
	}
	CHECK_EQ(((struct virtio_mem_resp *)at[RESPONSE])->type, VIRTIO_MEM_RESP_ACK);
}

static void expect_broken(void)
{
	uint64_t start = cpu_tsc();

	while (!needs_reset()) {
		CHECK(cpu_tsc() - start < CPU_PATIENCE_CYCLES);
		cpu_pause();
	}
}

/* The other device has not noticed, and a reset brings this one back. */
static void check_life(void)
{
	CHECK_EQ(vmem_state(&owner, gone, owner.block_bytes), VIRTIO_MEM_STATE_UNPLUGGED);
	place(NR_PARTS);
	write_parts();
	CHECK(try_to_start());
	offer(1);
	notify();
	expect_answer();
}

static void never_plugged(enum part part)
{
	place(part);
	/* Part of it is there for a moment, for the guest; never for a device. */
	write_parts();
	if (part <= USED) {
		CHECK(!try_to_start());
	} else {
		CHECK(try_to_start());
		write_parts();
		offer(1);
		notify();
	}
	expect_broken();
	say("never", part);
	check_life();
}

static void unplugged_later(enum part part)
{
	place(part);
	vmem_plug(&owner, gone, owner.block_bytes);
	write_parts();
	CHECK(try_to_start());
	offer(1);
	notify();
	expect_answer();
	offer(2);
	vmem_unplug(&owner, gone, owner.block_bytes);
	notify();
	expect_broken();
	say("later", part);
	check_life();
}

int guest_main(void)
{
	CHECK(vmem_open(&victim, 0) && vmem_open(&owner, 1));
	vmem_wait_requested(&owner);
	gone = owner.addr + owner.block_bytes;
	for (unsigned int i = 0; i < NR_PARTS; i++)
		in_boot_memory[i] = (uint64_t)page_alloc(1);
	step("start");
	/* In a segment without a memory slot, then in one that has it. */
	for (unsigned int i = 0; i < NR_PARTS; i++)
		never_plugged((enum part)i);
	vmem_plug(&owner, owner.addr, owner.block_bytes);
	for (unsigned int i = 0; i < NR_PARTS; i++)
		never_plugged((enum part)i);
	for (unsigned int i = 0; i < NR_PARTS; i++)
		unplugged_later((enum part)i);
	vmem_unplug_all(&owner);
	step("end");
	PASS();
}
