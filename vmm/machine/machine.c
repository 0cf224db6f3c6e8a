/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c - builds one virtual machine, in order, and frees it in reverse. */
#include "vmm/machine/machine.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/base/size.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/run_state.h"
#include "vmm/monitor/monitor.h"

/* Regions start on this boundary: no guest memory block can be larger (Linux, x86). */
#define ELASTIC_ALIGN (2 * GiB)
/* Numbers of KVM's memory slots: boot memory below and above the devices, then the elastic ones. */
#define BOOT_SLOTS 2

/* --- memory --------------------------------------------------------------------------------- */

static int add_slot(void *ctx, uint32_t slot, gpa_t base, void *host, uint64_t bytes,
		    bool read_only)
{
	return vm_add_slot(&((struct machine *)ctx)->vm, slot, base, host, bytes, read_only);
}

static int remove_slot(void *ctx, uint32_t slot)
{
	return vm_remove_slot(&((struct machine *)ctx)->vm, slot);
}

static struct slot_ops slot_ops(struct machine *m)
{
	return (struct slot_ops){ add_slot, remove_slot, m };
}

static int add_boot_memory(struct machine *m)
{
	uint64_t bytes = m->cfg->boot_bytes, low = min_u64(bytes, PLATFORM_LOW_END);
	int r = ram_create(&m->boot_ram, "ebb-boot", bytes);

	if (r)
		return r;
	r = gm_add(&m->gm, GPA(0), low, &m->boot_ram, 0, NULL);
	if (!r && bytes > low)
		r = gm_add(&m->gm, GPA(PLATFORM_HIGH_BASE), bytes - low, &m->boot_ram, low, NULL);
	return r;
}

static uint64_t end_of_memory(const struct machine *m)
{
	uint64_t end = PLATFORM_HIGH_BASE;

	for (unsigned int i = 0; i < m->gm.nr_regions; i++)
		end = max_u64(end, m->gm.regions[i].base.v + m->gm.regions[i].bytes);
	return end;
}

static int add_elastic_memory(struct machine *m, const struct config_elastic *cfg)
{
	unsigned int phys_bits = kvm_phys_bits(&m->kvm);
	struct machine_elastic *e = &m->elastic[m->nr_elastic];
	char name[64], a[SIZE_TEXT_BYTES];
	struct elastic_cfg want = {
		.name = name,
		.base = GPA(align_up(end_of_memory(m), ELASTIC_ALIGN)),
		.bytes = cfg->bytes,
		.block_bytes = cfg->block_bytes,
		.guard = m->guarding.guard,
		.huge = m->cfg->huge,
		.slot_ops = slot_ops(m),
		.first_slot = BOOT_SLOTS,
		.segment_bytes = slots_segment_bytes(cfg->bytes, cfg->block_bytes,
						     (m->kvm.max_slots - BOOT_SLOTS) /
							     m->cfg->nr_elastic),
	};
	int r;

	for (unsigned int i = 0; i < m->nr_elastic; i++)
		want.first_slot += elastic_nr_slots(&m->elastic[i].elastic);
	m->nr_elastic++;
	e->machine = m;
	if ((want.base.v + cfg->bytes - 1) >> phys_bits)
		return fail_usage("--elastic %s: %s at %#llx is beyond the guest's %u address bits; "
				  "take less", cfg->id, size_format(cfg->bytes, a),
				  (unsigned long long)want.base.v, phys_bits);
	if (!is_aligned(cfg->bytes, GUEST_MEMORY_BLOCK))
		log_warn("--elastic %s: %s is not a multiple of 128 MiB; Linux guests leave the "
			 "rest unused", cfg->id, size_format(cfg->bytes, a));
	snprintf(name, sizeof(name), "ebb-%s", cfg->id);
	r = elastic_init(&e->elastic, &want);
	if (!r)
		r = gm_add(&m->gm, want.base, cfg->bytes, &e->elastic.ram, 0, &e->elastic.blocks);
	return r;
}

static int add_memory(struct machine *m)
{
	int r = add_boot_memory(m);

	if (!r)
		r = guarding_open(m);
	for (unsigned int i = 0; i < m->cfg->nr_elastic && !r; i++)
		r = add_elastic_memory(m, &m->cfg->elastic[i]);
	gm_freeze(&m->gm);
	if (!r)
		r = guarding_start(m);
	if (!r)
		r = huging_start(m);
	return r ? r : ballooning_open(m);
}

static void size_changed(void *ctx, struct vmem *v)
{
	huging_wake(ctx);
	commands_size_changed(ctx, v);
	autosizing_facts_changed(ctx);
}

/* --- virtio ---------------------------------------------------------------------------------- */

static void on_kick(void *ctx, uint32_t events)
{
	struct machine_kick *kick = ctx;

	(void)events;
	if (event_taken(kick->slot->kick_fd[kick->queue]))
		virtio_mmio_kicked(&kick->slot->mmio, kick->queue);
}

/* A notification that KVM did not take: on a vCPU thread. */
static void trapped_kick(void *ctx, unsigned int queue)
{
	event_raise(&((struct machine_slot *)ctx)->kick_fd[queue]);
}

static int add_virtio(struct machine *m, struct virtio_dev *dev)
{
	struct machine_slot *s = &m->slots[m->nr_slots];
	struct irq_line irq = { loop_event_raise, &s->irq };
	uint64_t base;
	int r;

	if (m->nr_slots == PLATFORM_MAX_VIRTIO)
		return fail_usage("%s: at most %d virtio devices", dev->ops->name,
				  PLATFORM_MAX_VIRTIO);
	base = platform_virtio_base(m->nr_slots++);
	s->irq.loop = m->loop;
	r = event_new(&s->irq.fd);
	for (unsigned int q = 0; q < dev->ops->nr_queues && !r; q++) {
		s->kick[q] = (struct machine_kick){ s, q };
		r = event_new(&s->kick_fd[q]);
		if (!r)
			r = loop_add(m->loop, s->kick_fd[q], EPOLLIN, on_kick, &s->kick[q]);
	}
	if (r)
		return r;
	virtio_mmio_init(&s->mmio, dev, irq, trapped_kick, s);
	return bus_add(&m->mmio, base, VIRTIO_MMIO_BYTES, virtio_mmio_access, &s->mmio);
}

void machine_hold_devices(struct machine *m, bool hold)
{
	for (unsigned int i = 0; i < m->nr_slots; i++)
		virtio_hold(m->slots[i].mmio.dev, hold);
	if (hold)
		disks_drain(m);
	autosizing_hold(m, hold);
	if (hold)
		touching_end(m, "the VM was paused");
}

static int add_vmem(struct machine *m, unsigned int i)
{
	struct machine_elastic *e = &m->elastic[i];
	const struct config_elastic *want = &m->cfg->elastic[i];
	struct vmem_cfg cfg = {
		.id = want->id,
		.addr = e->elastic.base.v,
		.region_bytes = want->bytes,
		.block_bytes = want->block_bytes,
		.memory_block_bytes = GUEST_MEMORY_BLOCK,
	};
	struct vmem_env env = {
		.loop = m->loop,
		.gm = &m->gm,
		.elastic = &e->elastic,
		.size_changed = size_changed,
		.job_changed = commands_job_changed,
		.ctx = m,
	};
	int r = vmem_new(&e->vmem, &cfg, &env);

	if (!r)
		r = add_virtio(m, vmem_dev(e->vmem));
	/* What KVM has no memory for comes as a bus access. */
	if (!r)
		r = bus_add(&m->mmio, cfg.addr, cfg.region_bytes, guarding_access, &e->elastic);
	return r ? r : vmem_request(e->vmem, want->requested_bytes);
}

static int add_rng(struct machine *m)
{
	int r = rng_new(&m->rng, m->loop, &m->gm, m->cfg->rng_rate);

	return r ? r : add_virtio(m, rng_dev(m->rng));
}

/* --- platform -------------------------------------------------------------------------------- */

static int add_platform(struct machine *m)
{
	int r = event_new(&m->serial_irq.fd);

	if (!r)
		r = event_new(&m->power_irq.fd);
	m->serial_irq.loop = m->power_irq.loop = m->loop;
	if (r)
		return r;
	m->power = (struct power){ .irq = { loop_event_raise, &m->power_irq },
				   .power_off = lifecycle_guest_power_off,
				   .reset = lifecycle_guest_reset,
				   .ctx = m };
	m->pvpanic = (struct pvpanic){ lifecycle_guest_panicked, lifecycle_crash_kernel, m };
	m->debug_exit = (struct debug_exit){ lifecycle_debug_exit, m };
	m->serial.irq = (struct irq_line){ loop_event_raise, &m->serial_irq };
	serial_reset(&m->serial);
	r = bus_add(&m->mmio, POWER_BASE, POWER_BYTES, power_access, &m->power);
	if (!r)
		r = bus_add(&m->mmio, PVPANIC_BASE, PVPANIC_BYTES, pvpanic_access, &m->pvpanic);
	if (!r)
		r = bus_add(&m->pio, SERIAL_PORT, SERIAL_PORTS, serial_access, &m->serial);
	if (!r)
		r = bus_add(&m->pio, CMOS_PORT, CMOS_PORTS, cmos_access, NULL);
	if (!r && m->cfg->debug_exit)
		r = bus_add(&m->pio, DEBUG_EXIT_PORT, DEBUG_EXIT_PORTS, debug_exit_access,
			    &m->debug_exit);
	return r;
}

static int add_console(struct machine *m)
{
	char path[VM_PATH_SIZE];
	struct console_cfg cfg = { .kind = m->cfg->console,
				   .path = m->cfg->console_path,
				   .quit = lifecycle_console_quit,
				   .ctx = m };
	int r = 0;

	if (cfg.kind == CONSOLE_UNIX && !cfg.path) {
		cfg.path = path;
		r = config_beside_path(m->cfg, path, "console");
	}
	if (!r)
		r = console_new(&m->console, m->loop, serial_guest_end(&m->serial), &cfg);
	if (!r)
		m->serial.host = console_host_end(m->console);
	return r;
}

static int add_devices(struct machine *m)
{
	int r = add_platform(m);

	for (unsigned int i = 0; i < m->nr_elastic && !r; i++)
		r = add_vmem(m, i);
	for (unsigned int i = 0; i < m->disks.nr && !r; i++)
		r = add_virtio(m, blk_dev(m->disks.disk[i].blk));
	if (!r)
		r = ballooning_add(m);
	if (!r && m->ballooning.balloon)
		r = add_virtio(m, balloon_dev(m->ballooning.balloon));
	if (!r && m->cfg->rng_rate)
		r = add_rng(m);
	if (!r)
		r = ports_add(m);
	if (!r && m->ports.vcon)
		r = add_virtio(m, vcon_dev(m->ports.vcon));
	bus_freeze(&m->mmio);
	bus_freeze(&m->pio);
	return r;
}

/* --- one boot -------------------------------------------------------------------------------- */

static int add_memory_slots(struct machine *m)
{
	struct slot_ops ops = slot_ops(m);
	uint32_t slot = 0;
	int r = 0;

	for (unsigned int i = 0; i < m->gm.nr_regions && !r; i++) {
		const struct gm_region *g = &m->gm.regions[i];

		if (g->ram == &m->boot_ram)
			r = slot_add_ram(&ops, slot++, g->base, g->ram, g->ram_offset, g->bytes);
	}
	for (unsigned int i = 0; i < m->nr_elastic && !r; i++)
		r = elastic_connect(&m->elastic[i].elastic);
	return r;
}

/* On a vCPU thread. */
static bool unemulated(void *ctx)
{
	struct machine *m = ctx;
	bool covered = false;

	loop_lock(m->loop);
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		covered |= elastic_cover(&m->elastic[i].elastic);
	loop_unlock(m->loop);
	return covered;
}

static void release_vcpus(void *ctx) { guarding_stop(ctx); }

static int connect_events(struct machine *m)
{
	int r = vm_irqfd(&m->vm, m->serial_irq.fd, SERIAL_GSI);

	if (!r)
		r = vm_irqfd(&m->vm, m->power_irq.fd, POWER_GSI);
	for (unsigned int i = 0; i < m->nr_slots && !r; i++) {
		struct machine_slot *s = &m->slots[i];
		gpa_t notify = GPA(platform_virtio_base(i) + VIRTIO_MMIO_QUEUE_NOTIFY);

		r = vm_irqfd(&m->vm, s->irq.fd, platform_virtio_gsi(i));
		for (unsigned int q = 0; q < s->mmio.dev->ops->nr_queues && !r; q++)
			r = vm_ioeventfd(&m->vm, s->kick_fd[q], notify, q);
	}
	return r;
}

/* Memory slots come before the interrupt controllers: the other order costs milliseconds. */
int machine_boot(struct machine *m)
{
	struct vcpu_env env = { .loop = m->loop,
				.mmio = &m->mmio,
				.pio = &m->pio,
				.gm = &m->gm,
				.ended = lifecycle_vcpu_ended,
				.unemulated = unemulated,
				.release = release_vcpus,
				.ctx = m };
	struct vcpu_entry entry;
	int r = vm_create(&m->vm, &m->kvm);

	if (!r)
		r = add_memory_slots(m);
	if (!r)
		r = vm_create_irqchip(&m->vm);
	if (!r)
		r = boot_load(m->cfg, &m->gm, m->nr_slots, &entry);
	if (!r)
		r = vcpus_new(&m->vcpus, &m->vm, m->cfg->nr_cpus, &env, &entry);
	if (!r)
		r = connect_events(m);
	if (!r)
		m->nr_boots++;
	return r;
}

static void unboot(struct machine *m)
{
	if (m->vcpus)
		m->nr_exits_before += vcpus_nr_exits(m->vcpus);
	vcpus_free(m->vcpus);
	m->vcpus = NULL;
	m->crash_text = NULL;
	m->guest_crashed = false;
	vm_destroy(&m->vm);
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		elastic_disconnect(&m->elastic[i].elastic);
}

/* --- the whole ------------------------------------------------------------------------------- */

static void init(struct machine *m, const struct config *cfg)
{
	m->cfg = cfg;
	m->actions.reboot_ends = cfg->no_reboot;
	m->actions.crash_pauses = cfg->panic_pauses;
	m->guarding.news_fd = m->ports.size_fd = -1;
	m->serial_irq.fd = m->power_irq.fd = m->signal_fd = m->request_fd = -1;
	for (unsigned int i = 0; i < PLATFORM_MAX_VIRTIO; i++) {
		m->slots[i].irq.fd = -1;
		for (unsigned int q = 0; q < VIRTIO_MAX_QUEUES; q++)
			m->slots[i].kick_fd[q] = -1;
	}
}

static int build(struct machine *m)
{
	int r = kvm_open(&m->kvm, m->cfg->kvm_path);

	if (!r && m->cfg->nr_cpus > m->kvm.max_vcpus)
		r = fail_usage("--cpus: this host's KVM can have %u", m->kvm.max_vcpus);
	if (!r)
		r = loop_new(&m->loop);
	if (!r)
		r = service_open(m);
	if (!r)
		r = lifecycle_open(m);
	if (!r)
		r = disks_open(m);
	if (!r)
		r = add_memory(m);
	if (!r)
		r = add_devices(m);
	if (!r)
		r = add_console(m);
	if (!r)
		r = ports_open(m);
	if (!r)
		r = autosizing_open(m);
	if (r)
		return r;
	loop_lock(m->loop);
	r = machine_boot(m);
	if (!r && !m->cfg->paused)
		r = machine_resume(m);
	loop_unlock(m->loop);
	return r;
}

int machine_new(struct machine **out, const struct config *cfg)
{
	struct machine *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return fail(-ENOMEM, "machine");
	init(m, cfg);
	r = build(m);
	if (r) {
		machine_free(m);
		return r;
	}
	*out = m;
	return 0;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	if (m->loop) {
		loop_lock(m->loop);
		dump_abort(m, "the VM has ended");
		touching_end(m, "the VM has ended");
		unboot(m);
		autosizing_close(m);
		console_free(m->console);
		ports_close(m);
		for (unsigned int i = 0; i < m->nr_elastic; i++)
			vmem_free(m->elastic[i].vmem);
		ballooning_close(m);
		rng_free(m->rng);
		disks_close(m);
		loop_unlock(m->loop);
	}
	for (unsigned int i = 0; i < m->nr_slots; i++) {
		auto_close_fn(&m->slots[i].irq.fd);
		for (unsigned int q = 0; q < VIRTIO_MAX_QUEUES; q++)
			auto_close_fn(&m->slots[i].kick_fd[q]);
	}
	guarding_close(m);
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		elastic_destroy(&m->elastic[i].elastic);
	huging_close(m);
	ram_destroy(&m->boot_ram);
	auto_close_fn(&m->serial_irq.fd);
	auto_close_fn(&m->power_irq.fd);
	auto_close_fn(&m->signal_fd);
	auto_close_fn(&m->request_fd);
	service_close(m);
	if (m->loop) {
		loop_lock(m->loop);
		qmp_server_free(m->qmp); /* whom it hangs up on finds nothing of the VM left */
		loop_unlock(m->loop);
	}
	loop_free(m->loop);
	kvm_close(&m->kvm);
	free(m);
}

int machine_reboot(struct machine *m)
{
	int r;

	touching_end(m, "the VM was reset");
	unboot(m);
	m->request = REQUEST_NONE;
	m->crash_kernel = false;
	for (unsigned int i = 0; i < m->nr_slots; i++)
		virtio_mmio_reset(&m->slots[i].mmio);
	for (unsigned int i = 0; i < m->nr_elastic; i++)
		vmem_system_reset(m->elastic[i].vmem);
	serial_reset(&m->serial);
	power_init(&m->power);
	r = guarding_reset(m);
	if (!r)
		r = ram_discard(&m->boot_ram, 0, m->boot_ram.bytes);
	if (r)
		return r;
	ballooning_reset(m);
	m->working_sets = (struct working_sets){ 0 };
	autosizing_reset(m);
	huging_reset(m);
	return machine_boot(m);
}
