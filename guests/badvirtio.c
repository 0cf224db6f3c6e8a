/* SPDX-License-Identifier: Apache-2.0 */
/*
 * badvirtio.c - what a broken or hostile driver does to registers and rings, on the real machine.
 * After every case the device must be usable again by a reset. Prints one line per case.
 * Every device gets the register cases; the first virtio-mem device, which must be there and have
 * a requested size, also the ring cases.
 */
#include "guests/devtree.h"
#include "guests/virtio_mmio.h"
#include "guests/vmem.h"
#include "vmm/base/platform.h"

#define STORM 10000
#define SETTLE_CYCLES 100000000 /* tens of milliseconds: the device answers from another thread */

static struct vmem vmem;
/* A queue in the middle of being set up, for the device under test. */
static struct virtio dev;
static struct vq vq;
static unsigned int nr_cases;

static void say(const char *name)
{
	nr_cases++;
	print("case %s\n", name);
}

/* FEATURES_OK and an enabled queue 0, not yet DRIVER_OK. The pages are reused. */
static void set_up(void)
{
	virtio_negotiate(&dev, UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE);
	if (!vq.desc)
		vq_alloc(&vq, &dev, 0, 16);
	memset(vq.desc, 0, PAGE_BYTES);
	memset(vq.avail, 0, PAGE_BYTES);
	memset(vq.used, 0, PAGE_BYTES);
}

static bool needs_reset(void)
{
	return mmio_read(&dev, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* A reset must bring the device back: negotiation works, and virtio-mem answers. */
static void recover(void)
{
	if (dev.device_id == VIRTIO_ID_MEM) {
		vmem.dev = dev;
		virtio_reset(&vmem.dev);
		CHECK_EQ(mmio_read(&dev, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
		virtio_negotiate(&vmem.dev, UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE);
		/* The same rings every time, started afresh. */
		memset(vmem.vq.avail, 0, PAGE_BYTES);
		memset(vmem.vq.used, 0, PAGE_BYTES);
		vmem.vq.event_idx = vmem.vq.indirect = false;
		vmem.vq.next_avail = vmem.vq.kicked_avail = vmem.vq.next_used = 0;
		vq_enable(&vmem.vq);
		virtio_driver_ok(&vmem.dev);
		CHECK_EQ(vmem_state(&vmem, vmem.addr, vmem.block_bytes),
			 VIRTIO_MEM_STATE_UNPLUGGED);
	} else {
		virtio_negotiate(&dev, 0);
	}
	virtio_reset(&dev);
}

/* Registers. */

static void widths(void)
{
	uint32_t status;

	say("wrong widths and unaligned registers");
	set_up();
	status = mmio_read(&dev, VIRTIO_MMIO_STATUS);
	for (uint64_t at = dev.regs; at < dev.regs + VIRTIO_MMIO_CONFIG; at++) {
		read8(at);
		read16(at);
		read64(at);
		if (at % 4)
			read32(at);
		write8(at, 0);
		write16(at, 0);
		write64(at, 0);
		if (at % 4)
			write32(at, 0);
	}
	CHECK_EQ(mmio_read(&dev, VIRTIO_MMIO_STATUS), status);
	CHECK_EQ(mmio_read(&dev, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	recover();
}

static void window_end(void)
{
	uint64_t end = dev.regs + PLATFORM_VIRTIO_BYTES;

	say("the end of the window");
	set_up();
	for (uint64_t at = end - 16; at < end; at++) {
		read8(at);
		read16(at);
		read32(at);
		read64(at);
		write8(at, 0xff);
		write64(at, UINT64_MAX);
	}
	recover();
}

static void config_space(void)
{
	uint32_t before[16], after[16];

	say("configuration: past its end, writes to read-only fields");
	set_up();
	virtio_config(&dev, 0, before, sizeof(before));
	for (uint64_t at = dev.regs + VIRTIO_MMIO_CONFIG; at < dev.regs + 0x300; at += 4) {
		read8(at);
		read64(at);
		read64(at + 3);
		/* Only where no write is lawful. */
		if (dev.device_id == VIRTIO_ID_MEM)
			write64(at, UINT64_MAX);
	}
	virtio_config(&dev, 0, after, sizeof(after));
	CHECK(!memcmp(before, after, sizeof(before)));
	recover();
}

static void queue_select(void)
{
	static const uint32_t bad[] = { 64, 0xffff, 0x10000, 0x80000000, UINT32_MAX };

	say("queue selected that does not exist");
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		set_up();
		mmio_write(&dev, VIRTIO_MMIO_QUEUE_SEL, bad[i]);
		CHECK_EQ(mmio_read(&dev, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		for (unsigned int reg = VIRTIO_MMIO_QUEUE_NUM; reg < 0xb0; reg += 4)
			if (reg < VIRTIO_MMIO_INTERRUPT_STATUS || reg > VIRTIO_MMIO_STATUS)
				mmio_write(&dev, reg, UINT32_MAX);
		mmio_write(&dev, VIRTIO_MMIO_QUEUE_READY, 1);
		CHECK_EQ(mmio_read(&dev, VIRTIO_MMIO_QUEUE_READY), 0);
		recover();
	}
}

static void notify(void)
{
	static const uint32_t bad[] = { 8, 0xffff, 0x80000000, UINT32_MAX };

	say("notification of queues that do not exist");
	set_up();
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		mmio_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, bad[i]);
	CHECK(!needs_reset());
	recover();
	say("notification storm on a queue that is not set up");
	set_up();
	for (unsigned int i = 0; i < STORM; i++)
		mmio_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	CHECK(!needs_reset());
	recover();
}

static void queue_size(void)
{
	static const uint32_t bad[] = { 0, 3, 0x8000, 0xffff, 0x10000, 0x10010, UINT32_MAX };

	say("queue sizes that are none");
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		set_up();
		mmio_write(&dev, VIRTIO_MMIO_QUEUE_SEL, 0);
		mmio_write(&dev, VIRTIO_MMIO_QUEUE_NUM, bad[i]);
		mmio_write(&dev, VIRTIO_MMIO_QUEUE_READY, 1);
		CHECK_EQ(mmio_read(&dev, VIRTIO_MMIO_QUEUE_READY), 0);
		recover();
	}
}

#define S_ACK VIRTIO_CONFIG_S_ACKNOWLEDGE
#define S_DRIVER (S_ACK | VIRTIO_CONFIG_S_DRIVER)

static void up_to_driver(void)
{
	virtio_reset(&dev);
	mmio_write(&dev, VIRTIO_MMIO_STATUS, S_ACK);
	mmio_write(&dev, VIRTIO_MMIO_STATUS, S_DRIVER);
	CHECK_EQ(mmio_read(&dev, VIRTIO_MMIO_STATUS), S_DRIVER);
}

static void status_order(void)
{
	say("DRIVER_OK without FEATURES_OK");
	up_to_driver();
	mmio_write(&dev, VIRTIO_MMIO_STATUS, S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK);
	mmio_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	CHECK((mmio_read(&dev, VIRTIO_MMIO_STATUS) &
	       (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET)) !=
	      VIRTIO_CONFIG_S_DRIVER_OK);
	recover();

	say("features that were not offered");
	for (uint32_t sel = 0; sel < 3; sel++) {
		uint64_t offered = virtio_offered(&dev);

		up_to_driver();
		mmio_write(&dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
		mmio_write(&dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(offered >> 32));
		mmio_write(&dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
		mmio_write(&dev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)offered);
		mmio_write(&dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, sel);
		mmio_write(&dev, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
		mmio_write(&dev, VIRTIO_MMIO_STATUS, S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
		CHECK(!(mmio_read(&dev, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK));
		recover();
	}
}

static void reset_storm(void)
{
	say("reset storm");
	for (unsigned int i = 0; i < STORM; i++)
		mmio_write(&dev, VIRTIO_MMIO_STATUS, i & 1);
	CHECK(mmio_read(&dev, VIRTIO_MMIO_STATUS) <= 1);
	recover();
}

/* Rings in bad places. */

struct place {
	const char *name;
	uint64_t at;
};

static void ring_at(const struct place *place, unsigned int low_register)
{
	set_up();
	mmio_write(&dev, VIRTIO_MMIO_QUEUE_SEL, 0);
	mmio_write(&dev, VIRTIO_MMIO_QUEUE_NUM, vq.size);
	for (unsigned int reg = VIRTIO_MMIO_QUEUE_DESC_LOW; reg <= VIRTIO_MMIO_QUEUE_USED_LOW;
	     reg += 0x10) {
		uint64_t at = reg == low_register		  ? place->at :
			      reg == VIRTIO_MMIO_QUEUE_DESC_LOW	  ? (uint64_t)vq.desc :
			      reg == VIRTIO_MMIO_QUEUE_AVAIL_LOW ? (uint64_t)vq.avail :
								    (uint64_t)vq.used;

		mmio_write(&dev, reg, (uint32_t)at);
		mmio_write(&dev, reg + 4, (uint32_t)(at >> 32));
	}
	mmio_write(&dev, VIRTIO_MMIO_QUEUE_READY, 1);
	if (mmio_read(&dev, VIRTIO_MMIO_QUEUE_READY))
		FAIL("ring accepted at 0x%lx (%s)", place->at, place->name);
	CHECK(needs_reset());
	recover();
}

static void rings_in_bad_places(void)
{
	struct range memory[4];
	unsigned int nr = devtree_memory(memory, ARRAY_SIZE(memory));
	uint64_t boot_end = memory[nr - 1].start + memory[nr - 1].bytes;
	const struct place places[] = {
		{ "no memory", UINT64_C(1) << 45 },
		{ "misaligned", 0x2001 },
		{ "wraps around", UINT64_MAX - 0xf },
		{ "device registers", dev.regs },
		{ "local APIC", LAPIC_BASE },
		{ "half behind boot memory", boot_end - 16 },
		{ "unplugged memory", vmem.addr },
		{ "end of unplugged memory", vmem.addr + vmem.region_bytes - 16 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		say(places[i].name);
		ring_at(&places[i], VIRTIO_MMIO_QUEUE_DESC_LOW);
		ring_at(&places[i], VIRTIO_MMIO_QUEUE_AVAIL_LOW);
		ring_at(&places[i], VIRTIO_MMIO_QUEUE_USED_LOW);
	}
}

/* Rings with bad content; virtio-mem only. */

static struct virtio_mem_req req;
static struct virtio_mem_resp resp;

static struct vring_desc buffer(uint64_t at, uint32_t bytes, uint16_t flags, uint16_t next)
{
	return (struct vring_desc){ .addr = at, .len = bytes, .flags = flags, .next = next };
}

/* A live queue whose head 0 is a good STATE request in descriptors 0 and 1. */
static void good_request(void)
{
	set_up();
	req = (struct virtio_mem_req){ .type = VIRTIO_MEM_REQ_STATE,
				       .u.state = { .addr = vmem.addr, .nb_blocks = 1 } };
	vq.desc[0] = buffer((uint64_t)&req, sizeof(req), VRING_DESC_F_NEXT, 1);
	vq.desc[1] = buffer((uint64_t)&resp, sizeof(resp), VRING_DESC_F_WRITE, 0);
	vq_enable(&vq);
	virtio_driver_ok(&dev);
}

enum outcome { BROKEN, ANSWERED };

/* Makes NR entries available, kicks, and waits for what must come of it. */
static void expect(enum outcome outcome, uint16_t nr)
{
	uint64_t start = cpu_tsc();

	__atomic_store_n(&vq.avail->idx, nr, __ATOMIC_RELEASE);
	mmio_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	for (;;) {
		uint16_t used = __atomic_load_n(&vq.used->idx, __ATOMIC_ACQUIRE);

		if (outcome == BROKEN ? needs_reset() : used == nr && !needs_reset())
			break;
		if (cpu_tsc() - start > CPU_PATIENCE_CYCLES)
			FAIL("%s, used %u of %u, status 0x%x",
			     outcome == BROKEN ? "not broken" : "not answered", used, nr,
			     mmio_read(&dev, VIRTIO_MMIO_STATUS));
		cpu_pause();
	}
	recover();
}

static void bad_chains(void)
{
	static struct vring_desc table[4];
	uint64_t in = (uint64_t)&req, out = (uint64_t)&resp;

	say("the good request that the rest spoils");
	good_request();
	expect(ANSWERED, 1);

	say("available index jumps");
	good_request();
	expect(BROKEN, 17);
	say("head out of range");
	good_request();
	vq.avail->ring[0] = 16;
	expect(BROKEN, 1);
	say("next out of range");
	good_request();
	vq.desc[0].next = 0xffff;
	expect(BROKEN, 1);
	say("descriptor that follows itself");
	good_request();
	vq.desc[0].next = 0;
	expect(BROKEN, 1);
	say("loop of two");
	good_request();
	vq.desc[1].flags |= VRING_DESC_F_NEXT;
	expect(BROKEN, 1);
	say("same head twice");
	good_request();
	expect(ANSWERED, 2);

	say("buffer without memory");
	good_request();
	vq.desc[0].addr = UINT64_C(1) << 45;
	expect(BROKEN, 1);
	say("buffer that wraps around");
	good_request();
	vq.desc[0] = buffer(UINT64_MAX - 7, UINT32_MAX, VRING_DESC_F_NEXT, 1);
	expect(BROKEN, 1);
	say("buffer of 4 GiB");
	good_request();
	vq.desc[0].len = UINT32_MAX;
	expect(BROKEN, 1);
	say("buffer in unplugged memory");
	good_request();
	vq.desc[0].addr = vmem.addr;
	expect(BROKEN, 1);
	say("answer into unplugged memory");
	good_request();
	vq.desc[1].addr = vmem.addr;
	expect(BROKEN, 1);
	say("request too short");
	good_request();
	vq.desc[0].len = 8;
	expect(BROKEN, 1);
	say("answer too short");
	good_request();
	vq.desc[1].len = 1;
	expect(BROKEN, 1);
	say("writable before readable");
	good_request();
	vq.desc[0] = buffer(out, sizeof(resp), VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	vq.desc[1] = buffer(in, sizeof(req), 0, 0);
	expect(BROKEN, 1);
	say("indirect table that was not negotiated");
	good_request();
	table[0] = vq.desc[0];
	table[1] = vq.desc[1];
	vq.desc[0] = buffer((uint64_t)table, 32, VRING_DESC_F_INDIRECT, 0);
	expect(BROKEN, 1);
	say("unknown request type");
	good_request();
	req.type = 0x7777;
	expect(ANSWERED, 1);
	CHECK_EQ(resp.type, VIRTIO_MEM_RESP_ERROR);
}

/* The registers of a live queue are not the driver's any more. */
static void rewrite_live_queue(void)
{
	say("size and addresses of a live queue rewritten");
	good_request();
	mmio_write(&dev, VIRTIO_MMIO_QUEUE_SEL, 0);
	mmio_write(&dev, VIRTIO_MMIO_QUEUE_NUM, 0x8000);
	for (unsigned int reg = VIRTIO_MMIO_QUEUE_DESC_LOW; reg <= VIRTIO_MMIO_QUEUE_USED_HIGH;
	     reg += 4)
		if (reg % 16 < 8)
			mmio_write(&dev, reg, UINT32_MAX);
	mmio_write(&dev, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
	expect(ANSWERED, 1);
}

static void reset_under_way(void)
{
	say("reset while a request is under way");
	for (unsigned int i = 0; i < 200; i++) {
		good_request();
		__atomic_store_n(&vq.avail->idx, 1, __ATOMIC_RELEASE);
		mmio_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		mmio_write(&dev, VIRTIO_MMIO_STATUS, 0);
	}
	recover();
}

/* The queue lies in the very block that a request through it unplugs. */
static void unplug_the_queue(void)
{
	struct vq in_boot_memory;
	uint64_t start;

	say("the queue's own block unplugged");
	recover();
	vmem_start(&vmem);
	vmem_plug(&vmem, vmem.addr, vmem.block_bytes);
	in_boot_memory = vq;
	vq.desc = (void *)vmem.addr;
	vq.avail = (void *)(vmem.addr + PAGE_BYTES);
	vq.used = (void *)(vmem.addr + 2 * PAGE_BYTES);
	good_request();
	req.type = VIRTIO_MEM_REQ_UNPLUG;
	resp.type = 0xeeee;
	__atomic_store_n(&vq.avail->idx, 1, __ATOMIC_RELEASE);
	mmio_write(&dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	/* From here on nothing is known of the rings: either they are gone, or the answer tells. */
	start = cpu_tsc();
	while (!needs_reset() && resp.type == 0xeeee && cpu_tsc() - start < SETTLE_CYCLES)
		cpu_pause();
	CHECK(needs_reset() || resp.type != 0xeeee);
	vq = in_boot_memory;
	virtio_reset(&dev);
	vmem_start(&vmem);
	vmem_unplug_all(&vmem);
	CHECK_EQ(vmem_config(&vmem).plugged_size, 0);
	recover();
}

int guest_main(void)
{
	CHECK(vmem_open(&vmem, 0));
	vmem_wait_requested(&vmem);
	vmem_unplug_all(&vmem);
	for (unsigned int i = 0; virtio_find(&dev, 0, i); i++) {
		print("device %u at 0x%lx\n", dev.device_id, dev.regs);
		if (dev.device_id == VIRTIO_ID_MEM && dev.regs != vmem.dev.regs)
			FAIL("only one virtio-mem device, please");
		recover();
		widths();
		window_end();
		config_space();
		queue_select();
		notify();
		queue_size();
		status_order();
		reset_storm();
		rings_in_bad_places();
	}
	dev = vmem.dev;
	bad_chains();
	rewrite_live_queue();
	reset_under_way();
	unplug_the_queue();
	print("%u cases\n", nr_cases);
	PASS();
}
