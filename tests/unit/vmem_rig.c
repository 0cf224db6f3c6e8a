/* SPDX-License-Identifier: Apache-2.0 */
/* vmem_rig.c - one virtio memory device with all it stands on. */
#include "tests/unit/vmem_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/clock.h"

static void count_size(void *ctx, struct vmem *v)
{
	struct vmem_rig *r = ctx;

	cr_assert_eq(v, r->v);
	r->nr_size_changes++;
}

static void count_job(void *ctx, struct vmem *v)
{
	struct vmem_rig *r = ctx;

	r->nr_job_changes++;
	r->last_job_state = vmem_job(v).state;
}

void vmem_rig_init_cfg(struct vmem_rig *r, struct vmem_cfg cfg)
{
	*r = (struct vmem_rig){ .cfg = cfg, .saved_fd = -1 };
	fake_memory_init(&r->mem, 4 * MiB, cfg.region_bytes, cfg.block_bytes);
	cr_assert_eq(loop_new(&r->loop), 0);
	fake_clock_init(&r->clock, r->loop);
	cr_assert_eq(vmem_new(&r->v, &cfg,
			      &(struct vmem_env){ .loop = r->loop,
						  .gm = &r->mem.gm,
						  .elastic = &r->mem.elastic,
						  .size_changed = count_size,
						  .job_changed = count_job,
						  .ctx = r }),
		     0);
	fake_driver_init(&r->drv, &r->mem, vmem_dev(r->v));
}

void vmem_rig_init(struct vmem_rig *r, uint64_t region_bytes)
{
	vmem_rig_init_cfg(r, (struct vmem_cfg){ .id = "vm0",
						.addr = FAKE_ELASTIC_BASE,
						.region_bytes = region_bytes,
						.block_bytes = VMEM_BLOCK,
						.memory_block_bytes = 128 * MiB });
}

void vmem_rig_start(struct vmem_rig *r, uint64_t requested_bytes)
{
	fake_driver_start(&r->drv,
			  VMEM_FEATURES |
				  (r->cfg.has_node ? UINT64_C(1) << VIRTIO_MEM_F_ACPI_PXM : 0));
	cr_assert_eq(vmem_request(r->v, requested_bytes), 0);
	fake_driver_take_interrupts(&r->drv);
}

void vmem_rig_destroy(struct vmem_rig *r)
{
	vmem_rig_host_refuses(r, false);
	vmem_free(r->v);
	loop_free(r->loop);
	fake_memory_destroy(&r->mem);
}

static struct vmem_req request(uint16_t type, uint64_t addr, uint16_t nr_blocks)
{
	/* Padding is never zero here: the device must not look at it. */
	return (struct vmem_req){ .type = le16_of(type),
				  .padding0 = { 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5 },
				  .addr = le64_of(addr),
				  .nb_blocks = le16_of(nr_blocks),
				  .padding1 = { 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a } };
}

struct vmem_resp vmem_rig_ask(struct vmem_rig *r, uint16_t type, uint64_t addr, uint16_t nr_blocks)
{
	struct vmem_req req = request(type, addr, nr_blocks);
	struct vmem_resp resp;
	uint32_t used = 0;

	memset(&resp, 0xee, sizeof(resp));
	cr_assert(fake_driver_request(&r->drv, 0, &req, sizeof(req), &resp, sizeof(resp), &used),
		  "request %u for %u blocks at %#llx was not answered", type, nr_blocks,
		  (unsigned long long)addr);
	cr_assert_eq(used, sizeof(resp));
	return resp;
}

uint16_t vmem_rig_plug(struct vmem_rig *r, uint32_t first, uint16_t nr)
{
	return le16_get(vmem_rig_ask(r, VIRTIO_MEM_REQ_PLUG, vmem_rig_at(r, first).v, nr).type);
}

uint16_t vmem_rig_unplug(struct vmem_rig *r, uint32_t first, uint16_t nr)
{
	return le16_get(vmem_rig_ask(r, VIRTIO_MEM_REQ_UNPLUG, vmem_rig_at(r, first).v, nr).type);
}

uint16_t vmem_rig_unplug_all(struct vmem_rig *r)
{
	/* Whatever stands in the payload, it has no meaning here. */
	return le16_get(vmem_rig_ask(r, VIRTIO_MEM_REQ_UNPLUG_ALL, 0x123, 0xffff).type);
}

uint16_t vmem_rig_state(struct vmem_rig *r, uint32_t first, uint16_t nr)
{
	struct vmem_resp resp = vmem_rig_ask(r, VIRTIO_MEM_REQ_STATE, vmem_rig_at(r, first).v, nr);

	cr_assert_eq(le16_get(resp.type), VIRTIO_MEM_RESP_ACK);
	return le16_get(resp.state);
}

bool vmem_rig_ask_at(struct vmem_rig *r, const struct vmem_req *req, const struct fake_buffer *bufs,
		     unsigned int nr_bufs)
{
	size_t done = 0;

	for (unsigned int i = 0; req && i < nr_bufs && !bufs[i].writable; i++) {
		size_t piece = min_u64(bufs[i].bytes, sizeof(*req) - done);

		fake_write(&r->mem, bufs[i].at, (const char *)req + done, piece);
		done += piece;
	}
	fake_queue_add(&r->drv.queues[0], bufs, nr_bufs);
	fake_driver_kick(&r->drv, 0);
	return !fake_driver_needs_reset(&r->drv) && fake_queue_poll(&r->drv.queues[0], NULL, NULL);
}

struct vmem_config vmem_rig_config(struct vmem_rig *r)
{
	struct vmem_config config;

	for (uint32_t at = 0; at < sizeof(config); at += 4) {
		uint32_t word = (uint32_t)fake_driver_config(&r->drv, at, 4);

		memcpy((char *)&config + at, &word, 4);
	}
	return config;
}

struct vmem_info vmem_rig_info(const struct vmem_rig *r)
{
	struct vmem_info info;

	vmem_info(r->v, &info);
	return info;
}

#define WORDS (VMEM_BLOCK / 8)
static uint64_t words[WORDS];

static uint64_t word(uint64_t seed, uint64_t i) { return (seed << 32 ^ i) * 0x9e3779b97f4a7c15u; }

void vmem_rig_fill(struct vmem_rig *r, uint32_t block, uint64_t seed)
{
	for (uint64_t i = 0; i < WORDS; i++)
		words[i] = word(seed, i);
	fake_write(&r->mem, vmem_rig_at(r, block), words, sizeof(words));
}

bool vmem_rig_holds(struct vmem_rig *r, uint32_t block, uint64_t seed)
{
	fake_read(&r->mem, vmem_rig_at(r, block), words, sizeof(words));
	for (uint64_t i = 0; i < WORDS; i++)
		if (words[i] != word(seed, i))
			return false;
	return true;
}

bool vmem_rig_is_zero(struct vmem_rig *r, uint32_t block)
{
	fake_read(&r->mem, vmem_rig_at(r, block), words, sizeof(words));
	for (uint64_t i = 0; i < WORDS; i++)
		if (words[i])
			return false;
	return true;
}

void vmem_rig_vcpu_write(struct vmem_rig *r, uint32_t block, uint64_t offset, uint8_t value)
{
	((volatile uint8_t *)r->mem.elastic.ram.host)[block * r->cfg.block_bytes + offset] = value;
}

uint64_t vmem_rig_resident(const struct vmem_rig *r)
{
	uint64_t bytes = 0;

	cr_assert_eq(ram_resident(&r->mem.elastic.ram, &bytes), 0);
	return bytes;
}

uint64_t vmem_rig_mincore(const struct vmem_rig *r, uint32_t first, uint32_t nr)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), found = 0;
	size_t nr_pages = nr * r->cfg.block_bytes / page;
	unsigned char *map = calloc(nr_pages, 1);

	cr_assert_not_null(map);
	cr_assert_eq(mincore((char *)r->mem.elastic.ram.host + first * r->cfg.block_bytes,
			     nr * r->cfg.block_bytes, map),
		     0);
	for (size_t i = 0; i < nr_pages; i++)
		found += map[i] & 1;
	free(map);
	return found * page;
}

void vmem_rig_host_refuses(struct vmem_rig *r, bool refuses)
{
	char path[64];

	if (refuses == (r->saved_fd >= 0))
		return;
	if (!refuses) {
		close(r->mem.elastic.ram.fd);
		r->mem.elastic.ram.fd = r->saved_fd;
		r->saved_fd = -1;
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->mem.elastic.ram.fd);
	r->saved_fd = r->mem.elastic.ram.fd;
	r->mem.elastic.ram.fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(r->mem.elastic.ram.fd, 0);
}

static void stop(void *ctx) { loop_stop(ctx); }

void vmem_rig_run(struct vmem_rig *r, uint64_t ns)
{
	r->stop.fn = stop;
	r->stop.ctx = r->loop;
	loop_timer_set(r->loop, &r->stop, loop_now(r->loop) + ns);
	cr_assert_eq(loop_run(r->loop), 0);
}

bool vmem_rig_config_interrupt(struct vmem_rig *r)
{
	return fake_driver_take_interrupts(&r->drv) & VIRTIO_MMIO_INT_CONFIG;
}
