/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_mem_hostile.c - drivers that break the rules of the virtio memory device: bad
 * ranges, bad buffers, floods, and a long random run against a plain model.
 */
#include "tests/unit/vmem_rig.h"

#include <criterion/criterion.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"

#define ACK   VIRTIO_MEM_RESP_ACK
#define NACK  VIRTIO_MEM_RESP_NACK
#define BUSY  VIRTIO_MEM_RESP_BUSY
#define ERROR VIRTIO_MEM_RESP_ERROR

static struct vmem_rig rig;

static void small(void)
{
	vmem_rig_init(&rig, 64 * MiB); /* 32 blocks, all usable */
	vmem_rig_start(&rig, 64 * MiB);
}

static void down(void) { vmem_rig_destroy(&rig); }

TestSuite(virtio_mem_hostile, .init = small, .fini = down, .timeout = 240);
TestSuite(virtio_mem_hostile_setup, .fini = down, .timeout = 240);

/* Ranges. */

Test(virtio_mem_hostile, address_beside_the_region_or_at_the_ends_of_the_space_is_an_error)
{
	uint64_t base = vmem_rig_at(&rig, 0).v;
	const uint64_t addrs[] = { 0,
				   1,
				   base - 1,
				   base - VMEM_BLOCK,
				   base + 1,
				   base + VMEM_BLOCK / 2,
				   base + 64 * MiB,
				   base + 64 * MiB + VMEM_BLOCK,
				   UINT64_C(1) << 63,
				   0 - VMEM_BLOCK,
				   UINT64_MAX };
	const uint16_t nrs[] = { 0, 1, 2, 32, 33, 32767, 32768, 65535 };

	cr_assert_eq(vmem_rig_plug(&rig, 0, 16), ACK);
	for (size_t a = 0; a < ARRAY_SIZE(addrs); a++)
		for (size_t n = 0; n < ARRAY_SIZE(nrs); n++)
			for (uint16_t type = VIRTIO_MEM_REQ_PLUG; type <= VIRTIO_MEM_REQ_STATE;
			     type++)
				if (type != VIRTIO_MEM_REQ_UNPLUG_ALL)
					cr_expect_eq(
						le16_get(vmem_rig_ask(&rig, type, addrs[a], nrs[n])
								 .type),
						ERROR);
	cr_expect_eq(vmem_rig_state(&rig, 0, 16), VIRTIO_MEM_STATE_PLUGGED);
	cr_expect_eq(vmem_rig_state(&rig, 16, 16), VIRTIO_MEM_STATE_UNPLUGGED);
}

Test(virtio_mem_hostile, number_of_blocks_that_leaves_the_region_is_an_error)
{
	cr_expect_eq(vmem_rig_plug(&rig, 0, 65535), ERROR);
	cr_expect_eq(vmem_rig_plug(&rig, 31, 65535), ERROR);
	cr_expect_eq(vmem_rig_plug(&rig, 1, 32), ERROR);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 0);
}

Test(virtio_mem_hostile_setup, range_past_the_usable_region_is_an_error_inside_a_larger_region)
{
	vmem_rig_init(&rig, 1 * GiB);
	vmem_rig_start(&rig, 0); /* usable: 256 MiB */
	cr_assert_eq(vmem_request(rig.v, 16 * MiB), 0);
	cr_expect_eq(vmem_rig_plug(&rig, 135, 1), ACK);
	cr_expect_eq(vmem_rig_plug(&rig, 136, 1), ERROR);
	cr_expect_eq(vmem_rig_plug(&rig, 134, 3), ERROR);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 8), NACK, "inside, but more than requested");
}

Test(virtio_mem_hostile, unknown_request_is_an_error_and_the_device_lives)
{
	static const uint16_t types[] = { 4, 5, 255, 256, 0x100, 0x8000, 0xffff };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		cr_expect_eq(le16_get(vmem_rig_ask(&rig, types[i], vmem_rig_at(&rig, 0).v, 1).type),
			     ERROR);
	cr_expect_eq(vmem_rig_info(&rig).counters.unknown_requests, ARRAY_SIZE(types));
	cr_expect_eq(vmem_rig_plug(&rig, 0, 1), ACK);
}

/* Buffers. All of these break the device, which then works again after a reset. */

static struct vmem_req request(uint16_t type, uint32_t first, uint16_t nr)
{
	return (struct vmem_req){ .type = le16_of(type),
				  .addr = le64_of(vmem_rig_at(&rig, first).v),
				  .nb_blocks = le16_of(nr) };
}

static gpa_t boot(uint64_t bytes) { return fake_alloc(&rig.mem, bytes, 16); }

/* The request breaks the device, its head comes back with nothing written, no block changes. */
static void expect_broken(const struct vmem_req *req, const struct fake_buffer *bufs,
			  unsigned int nr_bufs)
{
	uint32_t plugged = rig.mem.elastic.blocks.nr_plugged;
	uint64_t resident = vmem_rig_resident(&rig);
	uint32_t used = 99;

	cr_expect_not(vmem_rig_ask_at(&rig, req, bufs, nr_bufs));
	cr_expect(fake_driver_needs_reset(&rig.drv));
	cr_expect(vmem_rig_config_interrupt(&rig), "the driver is told");
	cr_expect(fake_queue_poll(&rig.drv.queues[0], NULL, &used), "the head comes back");
	cr_expect_eq(used, 0);
	cr_expect_eq(rig.mem.elastic.blocks.nr_plugged, plugged);
	for (uint32_t i = 0; i < rig.mem.elastic.blocks.nr; i++)
		cr_expect_neq(rig.mem.elastic.blocks.state[i], BLOCK_CLOSING);
	cr_expect_eq(vmem_rig_resident(&rig), resident);
	/* Quiet until it is reset. */
	fake_driver_kick(&rig.drv, 0);
	cr_expect_not(fake_queue_poll(&rig.drv.queues[0], NULL, NULL));
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_expect_eq(vmem_rig_state(&rig, 0, 1),
		     plugged ? VIRTIO_MEM_STATE_PLUGGED : VIRTIO_MEM_STATE_UNPLUGGED);
}

Test(virtio_mem_hostile, short_request_breaks_the_device)
{
	struct vmem_req req = request(VIRTIO_MEM_REQ_PLUG, 0, 1);
	static const uint32_t sizes[] = { 1, 2, 8, 18, 23 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		expect_broken(&req,
			      (struct fake_buffer[]){ { boot(24), sizes[i], false },
						      { boot(16), 10, true } },
			      2);
}

Test(virtio_mem_hostile, missing_request_breaks_the_device)
{
	expect_broken(NULL, &(struct fake_buffer){ boot(64), 64, true }, 1);
}

Test(virtio_mem_hostile, short_or_missing_response_breaks_the_device_and_nothing_is_done)
{
	struct vmem_req req = request(VIRTIO_MEM_REQ_PLUG, 0, 1);

	for (uint32_t size = 1; size < 10; size++)
		expect_broken(
			&req,
			(struct fake_buffer[]){ { boot(24), 24, false }, { boot(16), size, true } },
			2);
	expect_broken(&req, &(struct fake_buffer){ boot(64), 64, false }, 1);
}

Test(virtio_mem_hostile, response_before_the_request_breaks_the_device)
{
	struct vmem_req req = request(VIRTIO_MEM_REQ_PLUG, 0, 1);
	gpa_t at = boot(24);

	fake_write(&rig.mem, at, &req, sizeof(req));
	expect_broken(NULL, (struct fake_buffer[]){ { boot(16), 10, true }, { at, 24, false } }, 2);
}

Test(virtio_mem_hostile, request_outside_memory_breaks_the_device)
{
	const uint64_t addrs[] = { rig.mem.boot.bytes - 8, rig.mem.boot.bytes, 3 * GiB,
				   FAKE_ELASTIC_BASE, UINT64_MAX - 30 };

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++)
		expect_broken(NULL,
			      (struct fake_buffer[]){ { GPA(addrs[i]), 24, false },
						      { boot(16), 10, true } },
			      2);
}

Test(virtio_mem_hostile, response_outside_memory_breaks_the_device_and_nothing_is_done)
{
	struct vmem_req req = request(VIRTIO_MEM_REQ_PLUG, 0, 1);
	const uint64_t addrs[] = { rig.mem.boot.bytes - 8, 3 * GiB, FAKE_ELASTIC_BASE,
				   FAKE_ELASTIC_BASE + 64 * MiB, UINT64_MAX - 12 };

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++)
		expect_broken(&req,
			      (struct fake_buffer[]){ { boot(24), 24, false },
						      { GPA(addrs[i]), 10, true } },
			      2);
}

Test(virtio_mem_hostile,
     response_inside_the_blocks_to_be_unplugged_breaks_the_device_and_unplugs_nothing)
{
	struct vmem_req all = request(VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0);
	struct vmem_req some = request(VIRTIO_MEM_REQ_UNPLUG, 0, 2);
	const uint64_t inside[] = { vmem_rig_at(&rig, 0).v, vmem_rig_at(&rig, 2).v - 10,
				    vmem_rig_at(&rig, 2).v - 1 };

	cr_assert_eq(vmem_rig_plug(&rig, 0, 4), ACK);
	for (uint32_t i = 0; i < 4; i++)
		vmem_rig_fill(&rig, i, i);
	for (size_t i = 0; i < ARRAY_SIZE(inside); i++) {
		expect_broken(&some,
			      (struct fake_buffer[]){ { boot(24), 24, false },
						      { GPA(inside[i]), 10, true } },
			      2);
		expect_broken(&all,
			      (struct fake_buffer[]){ { boot(24), 24, false },
						      { GPA(inside[i]), 10, true } },
			      2);
	}
	/* Only the last byte of it, in a descriptor of its own. */
	expect_broken(&some,
		      (struct fake_buffer[]){ { boot(24), 24, false },
					      { boot(16), 9, true },
					      { vmem_rig_at(&rig, 1), 1, true } },
		      3);
	for (uint32_t i = 0; i < 4; i++)
		cr_expect(vmem_rig_holds(&rig, i, i));
}

Test(virtio_mem_hostile, response_inside_another_plugged_block_is_fine)
{
	struct vmem_req req = request(VIRTIO_MEM_REQ_UNPLUG, 0, 2);
	struct vmem_resp resp;

	cr_assert_eq(vmem_rig_plug(&rig, 0, 3), ACK);
	cr_assert(vmem_rig_ask_at(&rig, &req,
				  (struct fake_buffer[]){ { boot(24), 24, false },
							  { vmem_rig_at(&rig, 2), 10, true } },
				  2));
	fake_read(&rig.mem, vmem_rig_at(&rig, 2), &resp, sizeof(resp));
	cr_expect_eq(le16_get(resp.type), ACK);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, VMEM_BLOCK);
}

Test(virtio_mem_hostile, request_inside_the_blocks_to_be_unplugged_was_read_before_and_is_fine)
{
	struct vmem_req req = request(VIRTIO_MEM_REQ_UNPLUG, 0, 2);

	cr_assert_eq(vmem_rig_plug(&rig, 0, 2), ACK);
	cr_assert(vmem_rig_ask_at(&rig, &req,
				  (struct fake_buffer[]){ { vmem_rig_at(&rig, 1), 24, false },
							  { boot(16), 10, true } },
				  2));
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 0);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

Test(virtio_mem_hostile, request_and_response_in_any_number_of_descriptors_are_served)
{
	struct vmem_req req = request(VIRTIO_MEM_REQ_PLUG, 0, 1);
	struct fake_buffer bufs[13];
	unsigned int nr = 0;

	for (; nr < 8; nr++)
		bufs[nr] = (struct fake_buffer){ boot(16), 3, false };
	for (; nr < 13; nr++)
		bufs[nr] = (struct fake_buffer){ boot(16), 2, true };
	cr_assert(vmem_rig_ask_at(&rig, &req, bufs, nr));
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, VMEM_BLOCK);
}

Test(virtio_mem_hostile, queue_inside_an_unplugged_block_breaks_the_device_only)
{
	struct fake_queue *q = &rig.drv.queues[0];
	struct vmem_req req = request(VIRTIO_MEM_REQ_UNPLUG, 0, 1);

	/* The used ring lies in block 0, which the driver then unplugs. */
	cr_assert_eq(vmem_rig_plug(&rig, 0, 2), ACK);
	cr_assert(
		fake_driver_negotiate(&rig.drv, UINT64_C(1) << VIRTIO_F_VERSION_1 | VMEM_FEATURES));
	fake_queue_init(q, &rig.mem, 8);
	q->used = vmem_rig_at(&rig, 0);
	cr_assert(fake_driver_enable_queue(&rig.drv, 0));
	fake_driver_add_status(&rig.drv, VIRTIO_CONFIG_S_DRIVER_OK);
	cr_expect_not(vmem_rig_ask_at(
		&rig, &req,
		(struct fake_buffer[]){ { boot(24), 24, false }, { boot(16), 10, true } }, 2));
	cr_expect(fake_driver_needs_reset(&rig.drv));
	cr_expect_eq(vmem_rig_resident(&rig), 0, "our writes brought no page back");
	fake_driver_start(&rig.drv, VMEM_FEATURES);
	cr_expect_eq(vmem_rig_state(&rig, 0, 1), VIRTIO_MEM_STATE_UNPLUGGED);
	cr_expect_eq(vmem_rig_state(&rig, 1, 1), VIRTIO_MEM_STATE_PLUGGED);
}

/* Size and time. */

Test(virtio_mem_hostile_setup, unplug_all_reaches_every_block_of_a_region_above_128_gib)
{
	static const uint32_t touched[] = { 0, 65534, 65535, 65536, 131070, 131071 };

	vmem_rig_init(&rig, 256 * GiB); /* 131072 blocks: more than 16 bits can count */
	vmem_rig_start(&rig, 256 * GiB);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 65535), ACK);
	cr_assert_eq(vmem_rig_plug(&rig, 65535, 65535), ACK);
	cr_assert_eq(vmem_rig_plug(&rig, 131070, 2), ACK);
	cr_assert_eq(vmem_rig_info(&rig).plugged_bytes, 256 * GiB);
	for (size_t i = 0; i < ARRAY_SIZE(touched); i++)
		vmem_rig_fill(&rig, touched[i], i);
	cr_assert_eq(vmem_rig_resident(&rig), ARRAY_SIZE(touched) * VMEM_BLOCK);
	cr_expect_eq(vmem_rig_unplug_all(&rig), ACK);
	cr_expect_eq(vmem_rig_info(&rig).plugged_bytes, 0);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
	for (size_t i = 0; i < ARRAY_SIZE(touched); i++)
		cr_expect_eq(vmem_rig_state(&rig, touched[i], 1), VIRTIO_MEM_STATE_UNPLUGGED);
}

Test(virtio_mem_hostile_setup, unplug_all_while_a_resize_runs_leaves_the_job_to_regrow)
{
	vmem_rig_init(&rig, 1 * GiB);
	vmem_rig_start(&rig, 512 * MiB);
	cr_assert_eq(vmem_rig_plug(&rig, 0, 256), ACK);
	cr_assert_eq(vmem_resize(rig.v, 1 * GiB, 0), 0);
	cr_assert_eq(vmem_rig_plug(&rig, 256, 10), ACK);
	cr_expect_eq(vmem_rig_unplug_all(&rig), ACK);
	cr_expect_eq(vmem_job(rig.v).state, RESIZE_RUNNING);
	cr_expect_eq(vmem_rig_info(&rig).usable_bytes, 1 * GiB);
	cr_expect_eq(vmem_rig_plug(&rig, 0, 512), ACK);
	cr_expect_eq(vmem_job(rig.v).state, RESIZE_DONE);
}

Test(virtio_mem_hostile, flood_of_bad_requests_costs_no_memory_and_few_lines_of_log)
{
	char name[] = "/tmp/ebb-test-XXXXXX";
	int file = mkstemp(name), saved = dup(STDERR_FILENO);

	cr_assert(file >= 0 && saved >= 0);
	unlink(name);
	dup2(file, STDERR_FILENO);
	vmem_rig_plug(&rig, 0, 1);
	vmem_rig_host_refuses(&rig, true);
	for (int i = 0; i < 5000; i++) {
		vmem_rig_plug(&rig, 40, 1);
		vmem_rig_ask(&rig, 77, 0, 0);
		vmem_rig_unplug(&rig, 0, 1);
		vmem_rig_plug(&rig, 1, 1);
	}
	vmem_rig_host_refuses(&rig, false);
	dup2(saved, STDERR_FILENO);
	close(saved);
	/* Five lines of a kind, one more of each after ten seconds. */
	cr_expect_lt(lseek(file, 0, SEEK_END), 8 * 1024);
	cr_expect_gt(lseek(file, 0, SEEK_END), 0);
	close(file);
	cr_expect_eq(vmem_rig_info(&rig).counters.responses[BUSY], 10000);
	cr_expect_eq(vmem_rig_resident(&rig), 0);
}

/* A long random run against a plain model: bytes in arrays, no shared code. */

#define NR	     24u
#define SIZE(blocks) ((blocks)*VMEM_BLOCK)

static struct model {
	bool plugged[NR];
	uint64_t tag[NR]; /* written to both ends of the block; 0: nothing since it was plugged */
	uint64_t next_tag, requested, usable;
	bool host_refuses;
} model;

static uint64_t seed;

static uint32_t any(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 11) % below;
}

/* As the specification has it, with memory blocks of 8 MiB. */
static uint64_t model_usable(uint64_t requested)
{
	return requested + 16 * MiB > SIZE(NR) ? SIZE(NR) : requested + 16 * MiB;
}

static uint64_t model_plugged(void)
{
	uint64_t nr = 0;

	for (uint32_t i = 0; i < NR; i++)
		nr += model.plugged[i];
	return SIZE(nr);
}

static uint16_t model_range(uint16_t type, uint32_t first, uint32_t nr)
{
	bool plug = type == VIRTIO_MEM_REQ_PLUG;

	for (uint32_t i = first; i < first + nr; i++)
		if (i >= NR || SIZE(i + 1) > model.usable || model.plugged[i] == plug)
			return ERROR;
	if (plug && model_plugged() + SIZE(nr) > model.requested)
		return NACK;
	if (model.host_refuses)
		return BUSY;
	for (uint32_t i = first; i < first + nr; i++) {
		model.plugged[i] = plug;
		model.tag[i] = 0;
	}
	return ACK;
}

static uint16_t model_all(void)
{
	if (model.host_refuses && model_plugged())
		return BUSY;
	memset(model.plugged, 0, sizeof(model.plugged));
	memset(model.tag, 0, sizeof(model.tag));
	model.usable = model_usable(model.requested);
	return ACK;
}

static void random_request(void)
{
	uint16_t type = any(2) ? VIRTIO_MEM_REQ_PLUG : VIRTIO_MEM_REQ_UNPLUG;
	uint32_t first = any(NR + 2), nr = any(4) ? 1 + any(4) : 1 + any(NR);

	cr_assert_eq(
		le16_get(vmem_rig_ask(&rig, type, vmem_rig_at(&rig, first).v, (uint16_t)nr).type),
		model_range(type, first, nr), "%s %u+%u",
		type == VIRTIO_MEM_REQ_PLUG ? "plug" : "unplug", first, nr);
}

static void random_garbage(void)
{
	uint64_t addr = seed ^ (uint64_t)any(UINT32_MAX) << 32;
	struct vmem_resp resp;

	any(2);
	resp = vmem_rig_ask(&rig, (uint16_t)(3 + any(5)), addr, (uint16_t)any(65536));
	cr_assert_eq(le16_get(resp.type), ERROR, "at %#llx", (unsigned long long)addr);
}

static void random_write(void)
{
	uint32_t i = any(NR);

	if (!model.plugged[i])
		return;
	model.tag[i] = ++model.next_tag;
	fake_write(&rig.mem, vmem_rig_at(&rig, i), &model.tag[i], 8);
	fake_write(&rig.mem, gpa_add(vmem_rig_at(&rig, i), VMEM_BLOCK - 8), &model.tag[i], 8);
}

static void random_target(void)
{
	uint64_t target = SIZE(any(NR + 1));

	if (any(2))
		cr_assert_eq(vmem_request(rig.v, target), 0);
	else
		cr_assert_eq(vmem_resize(rig.v, target, 0), 0);
	model.requested = target;
	if (model_usable(target) > model.usable)
		model.usable = model_usable(target);
}

static void random_step(void)
{
	switch (any(40)) {
	case 0:
		cr_assert_eq(vmem_rig_unplug_all(&rig), model_all());
		break;
	case 1:
		vmem_system_reset(rig.v);
		if (!model.host_refuses)
			model_all();
		fake_driver_start(&rig.drv, VMEM_FEATURES);
		break;
	case 2:
		fake_driver_start(&rig.drv, VMEM_FEATURES);
		break;
	case 3:
		model.host_refuses = !model.host_refuses;
		vmem_rig_host_refuses(&rig, model.host_refuses);
		break;
	case 4:
	case 5:
		random_target();
		break;
	case 6:
		random_garbage();
		break;
	case 7:
		if (!vmem_cancel(rig.v))
			model.requested = model_plugged();
		break;
	case 8:
	case 9:
	case 10:
	case 11:
	case 12:
	case 13:
	case 14:
		random_write();
		break;
	default:
		random_request();
		break;
	}
}

static void check_model(void)
{
	struct vmem_config c = vmem_rig_config(&rig);
	uint64_t nr_touched = 0, resident = vmem_rig_resident(&rig);

	cr_assert_eq(le64_get(c.plugged_size), model_plugged());
	cr_assert_eq(le64_get(c.requested_size), model.requested);
	cr_assert_eq(le64_get(c.usable_region_size), model.usable);
	cr_assert(model.usable >= model.requested && is_aligned(model.usable, VMEM_BLOCK));
	for (uint32_t i = 0; i < NR; i++) {
		uint64_t low, high;
		gpa_t at = vmem_rig_at(&rig, i);

		if (!model.plugged[i]) {
			cr_assert_neq(gm_read_obj(&rig.mem.gm, at, &low), 0);
			continue;
		}
		nr_touched += model.tag[i] != 0;
		/* Reading a hole of a memfd would fill it: only what was written is looked at. */
		if (!model.tag[i])
			continue;
		fake_read(&rig.mem, at, &low, 8);
		fake_read(&rig.mem, gpa_add(at, VMEM_BLOCK - 8), &high, 8);
		cr_assert_eq(low, model.tag[i], "block %u", i);
		cr_assert_eq(high, model.tag[i], "block %u", i);
	}
	/* At least the two pages written; a huge page at most. */
	cr_assert(resident >= nr_touched * 2 * 4096 && resident <= SIZE(nr_touched),
		  "%llu bytes for %llu blocks", (unsigned long long)resident,
		  (unsigned long long)nr_touched);
}

Test(virtio_mem_hostile_setup, random_requests_targets_resets_and_failures_agree_with_the_model)
{
	vmem_rig_init_cfg(&rig, (struct vmem_cfg){ .id = "vm0",
						   .addr = FAKE_ELASTIC_BASE,
						   .region_bytes = SIZE(NR),
						   .block_bytes = VMEM_BLOCK,
						   .memory_block_bytes = 8 * MiB });
	for (uint64_t run = 1; run <= 4; run++) {
		seed = run * 0x9e3779b97f4a7c15u;
		vmem_rig_host_refuses(&rig, false);
		vmem_system_reset(rig.v);
		vmem_rig_start(&rig, 0);
		vmem_rig_unplug_all(&rig);
		model = (struct model){ .usable = model_usable(0) };
		for (int i = 0; i < 20000; i++) {
			random_step();
			check_model();
		}
		cr_expect_gt(model.next_tag, 100, "the run did something");
	}
	for (int resp = ACK; resp <= ERROR; resp++)
		cr_expect_gt(vmem_rig_info(&rig).counters.responses[resp], 100, "answer %d", resp);
}
