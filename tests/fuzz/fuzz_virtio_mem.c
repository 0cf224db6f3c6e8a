/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_virtio_mem.c - the virtio memory device beside a plain model of it (vmem_model.h).
 *
 * An input is a list of steps: requests by the rules, in any layout and place; what the host does;
 * what vCPUs write; steps of a driver without rules (wild_driver.h). After each step everything
 * that can be seen is compared: the answer, interrupts, configuration, job, which memory exists for
 * devices, what of it the host holds, and what is written there. A driver without rules may have
 * requests executed that nobody here knows of; then the model learns the blocks from the device,
 * as far as the specification lets them change.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/vmem_model.h"
#include "tests/fuzz/wild_driver.h"
#include "tests/unit/vmem_rig.h"
#include "vmm/base/log.h"

#define STEPS_MAX 128
#define FILLS_MAX 2 /* each costs as much as hundreds of other steps */

static struct vmem_rig rig;
static struct vmem_model model;
static struct fuzz_stream in;
static bool live;		  /* a driver that follows the rules is there */
static struct vmem_config config; /* as seen last */
static uint32_t generation;
static unsigned int nr_fills;

/* The guest's memory, block by block. */
static struct {
	bool written; /* first and last word are `word` */
	uint64_t word;
	bool stained; /* a vCPU wrote there while it was unplugged: the host may hold memory */
} memory[MODEL_BLOCKS_MAX];

static gpa_t first_word(uint32_t block) { return vmem_rig_at(&rig, block); }
static gpa_t last_word(uint32_t block) { return GPA(vmem_rig_at(&rig, block + 1).v - 8); }

/* Setting up. */

static void set_up(void)
{
	static const uint64_t memory_blocks[] = { 1 * MiB, 2 * MiB, 4 * MiB, 128 * MiB };
	uint8_t how = fuzz_u8(&in);
	uint64_t block = (how & 1 ? 4 : 2) * MiB;
	uint32_t nr = how & 2 ? MODEL_BLOCKS_MAX : 12;

	log_set_level(LOG_ERROR);
	vmem_rig_init_cfg(&rig,
			  (struct vmem_cfg){ .id = "vm0",
					     .addr = FAKE_ELASTIC_BASE,
					     .region_bytes = nr * block,
					     .block_bytes = block,
					     .has_node = how & 4,
					     .node_id = 3,
					     .memory_block_bytes = memory_blocks[how >> 3 & 3] });
	fake_queue_init(&rig.drv.queues[0], &rig.mem, 16);
	model = (struct vmem_model){ .addr = FAKE_ELASTIC_BASE,
				     .block_bytes = block,
				     .memory_block_bytes = rig.cfg.memory_block_bytes,
				     .nr = nr };
	model_init(&model);
	memset(memory, 0, sizeof(memory));
	live = false;
	config = (struct vmem_config){ 0 };
	generation = 0;
	nr_fills = 0;
}

/* Comparing. */

static void check_config(void)
{
	struct vmem_config was = config;
	uint32_t was_generation = generation;

	config = vmem_rig_config(&rig);
	generation = fake_driver_reg(&rig.drv, VIRTIO_MMIO_CONFIG_GENERATION);
	fuzz_check(generation != was_generation || !was_generation ||
		   !memcmp(&config, &was, sizeof(config)));
	fuzz_check(le64_get(config.block_size) == model.block_bytes);
	fuzz_check(le16_get(config.node_id) == (rig.cfg.has_node ? 3 : 0));
	fuzz_check(le64_get(config.addr) == model.addr);
	fuzz_check(le64_get(config.region_size) == model.nr * model.block_bytes);
	fuzz_check(le64_get(config.usable_region_size) == model.usable);
	fuzz_check(le64_get(config.plugged_size) == model_plugged_bytes(&model));
	fuzz_check(le64_get(config.requested_size) == model.requested);
	fuzz_check(model.usable >= model.requested);
}

static void check_job(void)
{
	struct resize_status job = vmem_job(rig.v);

	fuzz_check(job.id == model.job_id && job.state == model.job);
	fuzz_check(!job.id || job.target_bytes == model.job_target);
	fuzz_check(!job.id || rig.last_job_state == model.job);
}

/* The host's own word, not the product's: an unplugged block holds nothing. */
static void check_host_memory(void)
{
	off_t at = 0;

	while ((at = lseek(rig.mem.elastic.ram.fd, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(rig.mem.elastic.ram.fd, at, SEEK_HOLE);

		fuzz_check(end > at);
		for (uint64_t i = (uint64_t)at / model.block_bytes;
		     i * model.block_bytes < (uint64_t)end; i++)
			fuzz_check(model.plugged[i] || memory[i].stained);
		at = end;
	}
	fuzz_check(errno == ENXIO);
}

static void check_blocks(void)
{
	const struct guest_mem *gm = &rig.mem.gm;

	for (uint32_t i = 0; i < model.nr; i++) {
		uint64_t word = 0;

		fuzz_check(gm_valid(gm, first_word(i), model.block_bytes) == model.plugged[i]);
		fuzz_check(gm_valid(gm, last_word(i), 8) == model.plugged[i]);
		if (!model.plugged[i] || !memory[i].written)
			continue;
		fake_read(&rig.mem, first_word(i), &word, 8);
		fuzz_check(word == memory[i].word);
		fake_read(&rig.mem, last_word(i), &word, 8);
		fuzz_check(word == memory[i].word);
	}
}

static void check_all(void)
{
	check_config();
	check_job();
	check_blocks();
	check_host_memory();
}

/* What became of the blocks: new ones hold nothing and read as zeros, others are as they were. */
static void blocks_changed(const bool *before)
{
	for (uint32_t i = 0; i < model.nr; i++) {
		uint64_t start = i * model.block_bytes, word = 1;

		if (model.plugged[i] == before[i])
			continue;
		memory[i].written = false;
		if (!model.plugged[i])
			continue;
		memory[i].stained = false;
		fuzz_check(ram_next_data(&rig.mem.elastic.ram, start) >= start + model.block_bytes);
		fuzz_check(!gm_read_cold(&rig.mem.gm, first_word(i), &word, 8) && !word);
	}
}

/* The blocks may be others now, without our knowledge: within the rules they are what they are. */
static void learn(void)
{
	uint64_t before = model_plugged_bytes(&model), usable;
	struct vmem_info info = vmem_rig_info(&rig);

	for (uint32_t i = 0; i < model.nr; i++) {
		model.plugged[i] = gm_valid(&rig.mem.gm, first_word(i), model.block_bytes);
		memory[i].written = false;
		memory[i].stained &= !model.plugged[i];
		fuzz_check(!model.pinned[i] || model.plugged[i]);
	}
	fuzz_check(model_plugged_bytes(&model) <= max_u64(before, model.requested));
	usable = info.usable_bytes;
	fuzz_check(usable == model.usable || usable == model_usable_for(&model, model.requested));
	model.usable = usable;
	/* It may have been at its target in between. */
	model_plugged(&model);
	if (model.job == RESIZE_RUNNING && vmem_job(rig.v).state == RESIZE_DONE)
		model.job = RESIZE_DONE;
}

/* The driver by the rules. */

static void start(void)
{
	static const uint64_t device_bit = UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE,
			      node_bit = UINT64_C(1) << VIRTIO_MEM_F_ACPI_PXM,
			      version_bit = UINT64_C(1) << VIRTIO_F_VERSION_1;
	uint8_t how = fuzz_u8(&in);
	uint64_t features = how & 16 ? 0 : version_bit;

	features |= how & 1 ? UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC : 0;
	features |= how & 2 ? UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX : 0;
	features |= how & 4 ? 0 : device_bit;
	features |= how & 8 ? node_bit : 0;
	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	rig.drv.pending_kicks = 0;
	wild_forget_memory(&rig.mem);
	if (!fake_driver_negotiate(&rig.drv, features)) {
		fuzz_check(!(features & version_bit) || (features & node_bit && !rig.cfg.has_node));
		features = (features | version_bit) & ~node_bit;
		fuzz_check(fake_driver_negotiate(&rig.drv, features));
	} else {
		fuzz_check(features & version_bit && (!(features & node_bit) || rig.cfg.has_node));
	}
	fuzz_check(fake_driver_setup_queue(&rig.drv, 0, (uint16_t)(2u << (how >> 5 & 3))));
	fake_driver_add_status(&rig.drv, VIRTIO_CONFIG_S_DRIVER_OK);
	fuzz_check(virtio_live(rig.drv.dev));
	fake_driver_take_interrupts(&rig.drv);
	live = true;
}

/* Where one part of a request lies, and in how many pieces. */
struct part {
	gpa_t at;
	uint32_t bytes, cut; /* the second piece begins at CUT; 0: one piece */
	int block;	     /* -1: boot memory */
};

static struct part take_part(uint32_t bytes, uint64_t offset, bool plain)
{
	struct part p = { .bytes = bytes, .block = -1 };

	if (!plain) {
		uint8_t where = fuzz_u8(&in), shape = fuzz_u8(&in);

		if (where & 0x80)
			p.block = (int)(where % model.nr);
		p.bytes += shape >> 6;
		p.cut = (shape & 31) % p.bytes;
	}
	p.at = p.block < 0 ? fake_alloc(&rig.mem, 64, 16)
			   : GPA(vmem_rig_at(&rig, (uint32_t)p.block).v + offset);
	return p;
}

static bool exists(const struct part *p) { return p->block < 0 || model.plugged[p->block]; }

static unsigned int add_part(struct fake_buffer *buffers, const struct part *p, bool writable)
{
	buffers[0] = (struct fake_buffer){ p->at, p->cut ? p->cut : p->bytes, writable };
	buffers[1] = (struct fake_buffer){ gpa_add(p->at, p->cut), p->bytes - p->cut, writable };
	return p->cut ? 2 : 1;
}

static void submit(const struct part *req, const struct part *resp, bool indirect)
{
	struct fake_queue *q = &rig.drv.queues[0];
	struct fake_buffer buffers[4];
	unsigned int nr = add_part(buffers, req, false);

	nr += add_part(buffers + nr, resp, true);
	if (virtio_has(rig.drv.dev, VIRTIO_RING_F_INDIRECT_DESC) && (indirect || nr > q->size)) {
		fake_queue_add_indirect(q, buffers, nr);
	} else if (nr > q->size) {
		buffers[0] = (struct fake_buffer){ req->at, req->bytes, false };
		buffers[1] = (struct fake_buffer){ resp->at, resp->bytes, true };
		fake_queue_add(q, buffers, 2);
	} else {
		fake_queue_add(q, buffers, nr);
	}
	if (q->size > 1 && virtio_has(rig.drv.dev, VIRTIO_RING_F_EVENT_IDX))
		fake_queue_set_used_event(q, q->seen_used);
	fake_driver_kick(&rig.drv, 0);
}

/* The answer in full, and nothing of it elsewhere. */
static void check_answer(const struct part *at, uint16_t type, struct model_answer want)
{
	struct vmem_resp resp;
	uint32_t used = 0;
	static const uint8_t zeros[sizeof(resp.padding)];
	uint32_t interrupts;

	fuzz_check(virtio_live(rig.drv.dev));
	fuzz_check(fake_queue_poll(&rig.drv.queues[0], NULL, &used));
	fuzz_check(used == sizeof(resp));
	fake_read(&rig.mem, at->at, &resp, sizeof(resp));
	fuzz_check(le16_get(resp.type) == want.resp);
	fuzz_check(le16_get(resp.state) == want.state);
	fuzz_check(!memcmp(resp.padding, zeros, sizeof(zeros)));
	fuzz_check(!fake_queue_poll(&rig.drv.queues[0], NULL, NULL));
	interrupts = fake_driver_take_interrupts(&rig.drv);
	fuzz_check(interrupts & VIRTIO_MMIO_INT_VRING);
	fuzz_check(!(interrupts & VIRTIO_MMIO_INT_CONFIG) == (want.resp != VIRTIO_MEM_RESP_NACK));
	fuzz_check(want.resp != VIRTIO_MEM_RESP_NACK || type == VIRTIO_MEM_REQ_PLUG);
}

static void ask(uint16_t type, uint64_t addr, uint16_t nr_blocks, uint8_t how)
{
	struct vmem_req req = { .type = le16_of(type),
				.padding0 = { how, 1, 2, 3, 4, 5 },
				.addr = le64_of(addr),
				.nb_blocks = le16_of(nr_blocks),
				.padding1 = { 6, 7, 8, 9, how, 10 } };
	static const uint8_t junk[16] = { 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee,
					  0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee };
	unsigned int sizes_told = rig.nr_size_changes;
	uint64_t plugged = model_plugged_bytes(&model), mark;
	bool before[MODEL_BLOCKS_MAX], breaks;
	struct part req_at, resp_at;
	struct model_answer want;

	if (!live)
		start();
	mark = rig.mem.next_free;
	req_at = take_part(sizeof(req), model.block_bytes / 2, how & 1);
	resp_at = take_part(sizeof(struct vmem_resp), model.block_bytes / 2 + 4 * KiB, how & 1);
	if (exists(&req_at))
		fake_write(&rig.mem, req_at.at, &req, sizeof(req));
	if (exists(&resp_at))
		fake_write(&rig.mem, resp_at.at, junk, sizeof(junk));
	want = model_judge(&model, type, addr, nr_blocks);
	breaks = !exists(&req_at) || !exists(&resp_at) ||
		 (want.resp == VIRTIO_MEM_RESP_ACK && resp_at.block >= 0 &&
		  model_takes(&model, type, addr, nr_blocks, (uint32_t)resp_at.block));
	memcpy(before, model.plugged, sizeof(before));
	if (!breaks)
		want = model_ask(&model, type, addr, nr_blocks);
	submit(&req_at, &resp_at, how & 2);
	rig.mem.next_free = mark;
	fuzz_check(fake_driver_needs_reset(&rig.drv) == breaks);
	if (breaks)
		live = false;
	else
		check_answer(&resp_at, type, want);
	fuzz_check(rig.nr_size_changes - sizes_told == (plugged != model_plugged_bytes(&model)));
	blocks_changed(before);
}

static void ask_something(void)
{
	uint8_t how = fuzz_u8(&in);
	uint32_t first = fuzz_below(&in, model.nr + 1), nr = fuzz_below(&in, model.nr + 2);

	ask(how >> 2 & 3, model.addr + first * model.block_bytes, (uint16_t)nr, how);
}

/* Near a block, or anywhere; few blocks, a power of two and a few, or any number. */
static void ask_nonsense(void)
{
	uint8_t how = fuzz_u8(&in), nr = fuzz_u8(&in);
	uint16_t type = fuzz_u8(&in), nr_blocks = nr;
	uint64_t addr;

	type = type < 0xe0 ? type % 5 : (uint16_t)(type << 8 | fuzz_u8(&in));
	if (how & 16)
		nr_blocks = (uint16_t)((1u << (nr & 15)) + (nr >> 4));
	else if (how & 32)
		nr_blocks = (uint16_t)(nr << 8 | fuzz_u8(&in));
	if (how & 4)
		addr = fuzz_take(&in, 8);
	else
		addr = model.addr + (fuzz_u8(&in) - UINT64_C(8)) *
					    (model.block_bytes / (how & 8 ? 2 : 1));
	ask(type, addr, nr_blocks, how);
}

/* The host. */

/* What it changed for the driver was told, if one is there. */
static void told(bool changed)
{
	bool interrupt = vmem_rig_config_interrupt(&rig);

	fuzz_check(!live || !changed || interrupt);
}

static void host_resizes(bool job)
{
	uint8_t how = fuzz_u8(&in);
	uint64_t bytes = fuzz_below(&in, model.nr + 2) * model.block_bytes;
	int r;

	if (how & 1)
		bytes += fuzz_u16(&in) % 2 ? 4 * KiB : model.block_bytes / 2;
	if (job)
		r = vmem_resize(rig.v, bytes, how & 2 ? 1 : 0) -
		    model_resize(&model, bytes, how & 2);
	else
		r = vmem_request(rig.v, bytes) - model_request(&model, bytes);
	fuzz_check(!r);
	told(model.requested == bytes);
}

static void host_cancels(void)
{
	int r = vmem_cancel(rig.v);

	fuzz_check(r == model_cancel(&model));
	told(!r);
}

static void pin(uint32_t i, bool pinned)
{
	if (model.pinned[i] == pinned || !model.plugged[i])
		return;
	model.pinned[i] = pinned;
	if (pinned)
		fuzz_check(!gm_pin(&rig.mem.gm, last_word(i), 8));
	else
		gm_unpin(&rig.mem.gm, last_word(i), 8);
}

/* As the machine does it: all devices are reset first, what is under way is forgotten. */
static void system_reset(void)
{
	unsigned int sizes_told = rig.nr_size_changes;
	uint64_t plugged = model_plugged_bytes(&model);

	virtio_mmio_reset(&rig.drv.mmio);
	for (uint32_t i = 0; i < model.nr; i++)
		pin(i, false);
	vmem_system_reset(rig.v);
	model_system_reset(&model);
	fuzz_check(rig.nr_size_changes - sizes_told == (plugged != model_plugged_bytes(&model)));
	if (!model.host_refuses)
		memset(memory, 0, sizeof(memory));
	live = false;
}

static void time_passes(void)
{
	vmem_rig_run(&rig, 0);
	model_tick(&model);
	fake_driver_take_interrupts(&rig.drv);
}

/* vCPUs. */

static void write_word(void)
{
	uint32_t i = fuzz_below(&in, model.nr);
	uint64_t word = fuzz_u16(&in) * UINT64_C(0x9e3779b97f4a7c15);
	int r = gm_write(&rig.mem.gm, first_word(i), &word, 8);

	fuzz_check(r == (model.plugged[i] ? 0 : -EFAULT));
	fuzz_check(gm_write(&rig.mem.gm, last_word(i), &word, 8) == r);
	if (r)
		return;
	memory[i].written = true;
	memory[i].word = word;
}

static void stain(void)
{
	uint32_t i = fuzz_below(&in, model.nr);
	uint8_t offset = fuzz_u8(&in);

	if (model.plugged[i])
		return;
	memory[i].stained = true;
	vmem_rig_vcpu_write(&rig, i, offset * (model.block_bytes / 256), 0x77);
}

/* Every page of it: the device takes notice of guests that do so before they unplug. */
static void fill(void)
{
	uint32_t i = fuzz_below(&in, model.nr);

	if (nr_fills++ >= FILLS_MAX || !model.plugged[i])
		return;
	fuzz_check(!gm_zero(&rig.mem.gm, first_word(i), model.block_bytes));
	memory[i].written = true;
	memory[i].word = 0;
}

/* Rules no more, until the next start(). */
static void go_wild(void)
{
	bool may_ask = fake_driver_reg(&rig.drv, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_DRIVER_OK;

	wild_step(&rig.drv, &in);
	may_ask |= fake_driver_reg(&rig.drv, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_DRIVER_OK;
	if (may_ask)
		learn();
	else
		/* Bytes in boot memory and registers: no block, no content can be another one. */
		fuzz_check(vmem_rig_info(&rig).usable_bytes == model.usable);
	live = false;
}

static void step(void)
{
	switch (fuzz_below(&in, 16)) {
	case 0:
	case 1:
	case 2:
	case 3:
		ask_something();
		break;
	case 4:
		ask_nonsense();
		break;
	case 5:
		host_resizes(false);
		break;
	case 6:
		host_resizes(true);
		break;
	case 7:
		host_cancels();
		break;
	case 8:
		if (fuzz_u8(&in) & 1)
			system_reset();
		else
			time_passes();
		break;
	case 9:
		fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
		live = false;
		break;
	case 10:
		write_word();
		break;
	case 11:
		stain();
		break;
	case 12:
		if (fuzz_u8(&in) < 32)
			fill();
		else
			write_word();
		break;
	case 13: {
		uint8_t how = fuzz_u8(&in);

		if (how & 1)
			pin(how / 2 % model.nr, how & 0x80);
		else
			vmem_rig_host_refuses(&rig, model.host_refuses = how & 2);
		break;
	}
	default:
		go_wild();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	in = (struct fuzz_stream){ data, bytes };
	set_up();
	check_all();
	for (int i = 0; i < STEPS_MAX && in.left; i++) {
		step();
		check_all();
	}
	vmem_rig_destroy(&rig);
	return 0;
}
