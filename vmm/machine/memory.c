/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - all memory of one machine. */
#include "vmm/machine/memory.h"

#include <stdio.h>
#include <string.h>

#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/base/platform.h"
#include "vmm/base/size.h"

/* Regions start on this boundary: no guest memory block can be larger (Linux, x86). */
#define ELASTIC_ALIGN (2 * GiB)
/* Numbers of KVM's memory slots: boot memory below and above the devices, then the elastic ones. */
#define BOOT_SLOTS 2

/* --- regions ----------------------------------------------------------------------------------- */

static int add_boot(struct vm_memory *mem)
{
	uint64_t bytes = mem->env.cfg->boot_bytes, low = min_u64(bytes, PLATFORM_LOW_END);
	int r = ram_create(&mem->boot, "ebb-boot", bytes);

	if (r)
		return r;
	r = gm_add(&mem->gm, GPA(0), low, &mem->boot, 0, NULL);
	if (!r && bytes > low)
		r = gm_add(&mem->gm, GPA(PLATFORM_HIGH_BASE), bytes - low, &mem->boot, low, NULL);
	return r;
}

static int open_guard(struct vm_memory *mem)
{
	const struct config *cfg = mem->env.cfg;
	int r;

	if (cfg->guard_off || !cfg->nr_elastic)
		return 0;
	r = event_new(&mem->guard_fd);
	return r ? r : guard_new_from(&mem->guard, cfg->uffd_path, &mem->guard_fd);
}

static uint64_t end_of_memory(const struct vm_memory *mem)
{
	uint64_t end = PLATFORM_HIGH_BASE;

	for (unsigned int i = 0; i < mem->gm.nr_regions; i++)
		end = max_u64(end, mem->gm.regions[i].base.v + mem->gm.regions[i].bytes);
	return end;
}

static int check_elastic(const struct vm_memory *mem, const struct config_elastic *cfg, gpa_t base)
{
	char a[SIZE_TEXT_BYTES];

	if ((base.v + cfg->bytes - 1) >> mem->env.phys_bits)
		return fail_usage("--elastic %s: %s at %#llx is beyond the guest's %u address bits; "
				  "take less", cfg->id, size_format(cfg->bytes, a),
				  (unsigned long long)base.v, mem->env.phys_bits);
	if (!is_aligned(cfg->bytes, GUEST_MEMORY_BLOCK))
		log_warn("--elastic %s: %s is not a multiple of 128 MiB; Linux guests leave the "
			 "rest unused", cfg->id, size_format(cfg->bytes, a));
	return 0;
}

static int add_elastic(struct vm_memory *mem, const struct config_elastic *cfg)
{
	const struct vm_memory_env *env = &mem->env;
	struct vm_elastic *e = &mem->elastic[mem->nr_elastic];
	char name[64];
	struct elastic_cfg want = {
		.name = name,
		.base = GPA(align_up(end_of_memory(mem), ELASTIC_ALIGN)),
		.bytes = cfg->bytes,
		.block_bytes = cfg->block_bytes,
		.guard = mem->guard,
		.huge = env->cfg->huge,
		.slot_ops = env->slot_ops,
		.first_slot = BOOT_SLOTS,
		.segment_bytes = slots_segment_bytes(cfg->bytes, cfg->block_bytes,
						     (env->max_slots - BOOT_SLOTS) /
							     env->cfg->nr_elastic),
	};
	int r = check_elastic(mem, cfg, want.base);

	for (unsigned int i = 0; i < mem->nr_elastic; i++)
		want.first_slot += elastic_nr_slots(&mem->elastic[i].elastic);
	mem->nr_elastic++;
	e->id = cfg->id;
	e->memory = mem;
	snprintf(name, sizeof(name), "ebb-%s", cfg->id);
	if (!r)
		r = elastic_init(&e->elastic, &want);
	if (!r)
		r = gm_add(&mem->gm, want.base, cfg->bytes, &e->elastic.ram, 0, &e->elastic.blocks);
	return r;
}

int vm_memory_open(struct vm_memory *mem, const struct vm_memory_env *env)
{
	int r;

	mem->env = *env;
	mem->guard_fd = -1;
	r = add_boot(mem);
	if (!r)
		r = open_guard(mem);
	for (unsigned int i = 0; i < env->cfg->nr_elastic && !r; i++)
		r = add_elastic(mem, &env->cfg->elastic[i]);
	gm_freeze(&mem->gm);
	return r ? r : huge_init(&mem->boot_huge, env->cfg->huge, &mem->boot, NULL);
}

void vm_memory_close(struct vm_memory *mem)
{
	guard_free(mem->guard);
	if (mem->env.loop) /* it was opened */
		auto_close_fn(&mem->guard_fd);
	for (unsigned int i = 0; i < mem->nr_elastic; i++)
		elastic_destroy(&mem->elastic[i].elastic);
	huge_destroy(&mem->boot_huge);
	ram_destroy(&mem->boot);
}

/* --- devices ----------------------------------------------------------------------------------- */

static void tell(struct vm_elastic *e, enum vm_event_kind kind)
{
	struct vm_memory *mem = e->memory;
	struct vm_event event = { .kind = kind, .device = (unsigned int)(e - mem->elastic) };

	if (e->vmem) /* else it is being built */
		vm_tell(mem->env.sinks, &event);
}

static void size_changed(void *ctx, struct vmem *v)
{
	(void)v;
	tell(ctx, VM_MEMORY_SIZE);
}

static void job_changed(void *ctx, struct vmem *v)
{
	(void)v;
	tell(ctx, VM_MEMORY_JOB);
}

/* Bus access to a part of a region that has no slot: there is no memory. */
static void on_access(void *ctx, struct bus_access *access)
{
	struct vm_elastic *e = ctx;

	if (!access->is_write)
		access->value = 0;
	elastic_refused(&e->elastic, access->offset, access->is_write);
}

static int add_device(struct vm_memory *mem, unsigned int i, struct virtio_slots *slots,
		      struct bus *mmio)
{
	struct vm_elastic *e = &mem->elastic[i];
	const struct config_elastic *want = &mem->env.cfg->elastic[i];
	struct vmem_cfg cfg = {
		.id = want->id,
		.addr = e->elastic.base.v,
		.region_bytes = want->bytes,
		.block_bytes = want->block_bytes,
		.memory_block_bytes = GUEST_MEMORY_BLOCK,
	};
	struct vmem_env env = {
		.loop = mem->env.loop,
		.gm = &mem->gm,
		.elastic = &e->elastic,
		.size_changed = size_changed,
		.job_changed = job_changed,
		.ctx = e,
	};
	int r = vmem_new(&e->vmem, &cfg, &env);

	if (!r)
		r = virtio_slots_add(slots, vmem_dev(e->vmem));
	if (!r)
		r = bus_add(mmio, cfg.addr, cfg.region_bytes, on_access, e);
	return r ? r : vmem_request(e->vmem, want->requested_bytes);
}

int vm_memory_add_devices(struct vm_memory *mem, struct virtio_slots *slots, struct bus *mmio)
{
	int r = 0;

	for (unsigned int i = 0; i < mem->nr_elastic && !r; i++)
		r = add_device(mem, i, slots, mmio);
	return r;
}

void vm_memory_remove_devices(struct vm_memory *mem)
{
	for (unsigned int i = 0; i < mem->nr_elastic; i++) {
		vmem_free(mem->elastic[i].vmem);
		mem->elastic[i].vmem = NULL;
	}
}

/* --- a VM -------------------------------------------------------------------------------------- */

int vm_memory_connect(struct vm_memory *mem)
{
	uint32_t slot = 0;
	int r = 0;

	for (unsigned int i = 0; i < mem->gm.nr_regions && !r; i++) {
		const struct gm_region *g = &mem->gm.regions[i];

		if (g->ram == &mem->boot)
			r = slot_add_ram(&mem->env.slot_ops, slot++, g->base, g->ram, g->ram_offset,
					 g->bytes);
	}
	for (unsigned int i = 0; i < mem->nr_elastic && !r; i++)
		r = elastic_connect(&mem->elastic[i].elastic);
	return r;
}

void vm_memory_disconnect(struct vm_memory *mem)
{
	for (unsigned int i = 0; i < mem->nr_elastic; i++)
		elastic_disconnect(&mem->elastic[i].elastic);
}

bool vm_memory_cover(struct vm_memory *mem)
{
	bool covered = false;

	for (unsigned int i = 0; i < mem->nr_elastic; i++)
		covered |= elastic_cover(&mem->elastic[i].elastic);
	return covered;
}

int vm_memory_reset(struct vm_memory *mem)
{
	for (unsigned int i = 0; i < mem->nr_elastic; i++)
		vmem_system_reset(mem->elastic[i].vmem);
	return ram_discard(&mem->boot, 0, mem->boot.bytes);
}

/* --- what there is ----------------------------------------------------------------------------- */

struct vm_elastic *vm_memory_find(struct vm_memory *mem, const char *id)
{
	for (unsigned int i = 0; i < mem->nr_elastic; i++)
		if (!strcmp(mem->elastic[i].id, id))
			return &mem->elastic[i];
	return NULL;
}

struct huge *vm_memory_huge(struct vm_memory *mem, const struct gm_region *region)
{
	for (unsigned int i = 0; i < mem->nr_elastic; i++)
		if (region->ram == &mem->elastic[i].elastic.ram)
			return &mem->elastic[i].elastic.huge;
	return &mem->boot_huge;
}

uint64_t vm_memory_plugged(const struct vm_memory *mem)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < mem->nr_elastic; i++)
		sum += blocks_plugged_bytes(&mem->elastic[i].elastic.blocks);
	return sum;
}

uint64_t vm_memory_requested(const struct vm_memory *mem)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < mem->nr_elastic; i++) {
		struct vmem_info info;

		vmem_info(mem->elastic[i].vmem, &info);
		sum += info.requested_bytes;
	}
	return sum;
}

int vm_memory_resident(const struct vm_memory *mem, uint64_t *bytes)
{
	int r = ram_resident(&mem->boot, bytes);

	for (unsigned int i = 0; i < mem->nr_elastic && !r; i++) {
		uint64_t more;

		r = ram_resident(&mem->elastic[i].elastic.ram, &more);
		if (!r)
			*bytes += more;
	}
	return r;
}

uint64_t vm_memory_overhang(const struct vm_memory *mem)
{
	uint64_t sum = 0, bytes;

	for (unsigned int i = 0; i < mem->nr_elastic; i++)
		if (!elastic_overhang(&mem->elastic[i].elastic, &bytes))
			sum += bytes;
	return sum;
}
