/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c - the composition root of one virtual machine: its parts, and who is wired to whom. */
#include "vmm/machine/machine.h"

#include <errno.h>

#include "devices/virtio_rng.h"
#include "vmm/base/exit_code.h"
#include "vmm/base/log.h"
#include "vmm/machine/autosizer.h"
#include "vmm/machine/balloon_host.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/disks.h"
#include "vmm/machine/huge_scan.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/platform.h"
#include "vmm/machine/requests.h"
#include "vmm/machine/run_state.h"
#include "vmm/machine/violations.h"
#include "vmm/machine/virtio_ports.h"
#include "vmm/machine/working_set_estimate.h"

struct machine {
	const struct config *cfg;
	struct loop *loop;
	struct vm_sinks *sinks;
	struct machine_parts parts; /* pointers to those below */
	unsigned int nr_opened;	    /* rows of part_rows */

	struct kvm kvm;
	struct bus mmio, pio;
	struct virtio_slots slots;
	struct requests requests;
	struct run_state run;
	struct dump dump;
	struct boot boot;
	struct vm_memory memory;
	struct violations violations;
	struct balloon_host balloon;
	struct huge_scan huge_scan;
	struct platform platform;
	struct disks disks;
	struct rng *rng; /* NULL: --rng=off */
	struct virtio_ports ports;
	struct autosizer autosizer;
	struct working_set_store working_sets;
	struct estimate estimate;
};

/* --- KVM --------------------------------------------------------------------------------------- */

static int open_kvm(struct machine *m)
{
	int r = kvm_open(&m->kvm, m->cfg->kvm_path);

	if (!r && m->cfg->nr_cpus > m->kvm.max_vcpus)
		r = fail_usage("--cpus: this host's KVM can have %u", m->kvm.max_vcpus);
	return r;
}

static void close_kvm(struct machine *m) { kvm_close(&m->kvm); }

/* --- virtio's places, requests ----------------------------------------------------------------- */

static int open_slots(struct machine *m)
{
	virtio_slots_open(&m->slots, m->loop, &m->mmio);
	return 0;
}

static void close_slots(struct machine *m) { virtio_slots_close(&m->slots); }
static void hold_slots(struct machine *m, bool hold) { virtio_slots_hold(&m->slots, hold); }

static int reset_slots(struct machine *m)
{
	virtio_slots_reset(&m->slots);
	return 0;
}

static int open_requests(struct machine *m)
{
	struct requests_env env = { .loop = m->loop,
				    .made = run_state_requested,
				    .crash_kernel = run_state_crash_kernel,
				    .ctx = &m->run };

	return requests_open(&m->requests, &env);
}

static void close_requests(struct machine *m) { requests_close(&m->requests); }

static int reset_requests(struct machine *m)
{
	requests_drop(&m->requests);
	return 0;
}

static void quit(void *ctx)
{
	run_state_end(&((struct machine *)ctx)->run, EXIT_POWER_OFF, false, "host-ui");
}

/* --- memory ------------------------------------------------------------------------------------ */

static int add_slot(void *ctx, uint32_t slot, gpa_t base, void *host, uint64_t bytes,
		    bool read_only)
{
	return vm_add_slot(&((struct boot *)ctx)->vm, slot, base, host, bytes, read_only);
}

static int remove_slot(void *ctx, uint32_t slot)
{
	return vm_remove_slot(&((struct boot *)ctx)->vm, slot);
}

static int open_memory(struct machine *m)
{
	struct vm_memory_env env = { .cfg = m->cfg,
				     .loop = m->loop,
				     .sinks = m->sinks,
				     .slot_ops = { add_slot, remove_slot, &m->boot },
				     .max_slots = m->kvm.max_slots,
				     .phys_bits = kvm_phys_bits(&m->kvm) };

	return vm_memory_open(&m->memory, &env);
}

static void close_memory(struct machine *m) { vm_memory_close(&m->memory); }
static int reset_memory(struct machine *m) { return vm_memory_reset(&m->memory); }

static int add_memory_devices(struct machine *m)
{
	return vm_memory_add_devices(&m->memory, &m->slots, &m->mmio);
}

static void remove_memory_devices(struct machine *m) { vm_memory_remove_devices(&m->memory); }

static int open_violations(struct machine *m)
{
	struct violations_env env = { .loop = m->loop,
				      .memory = &m->memory,
				      .run = run_state_control(&m->run),
				      .sinks = m->sinks };

	return violations_open(&m->violations, &env, m->cfg->violation);
}

static void close_violations(struct machine *m) { violations_close(&m->violations); }
static int reset_violations(struct machine *m) { return violations_reset(&m->violations); }

/* --- working sets ------------------------------------------------------------------------------ */

/* What an estimate can't go along with. */
static bool estimate_must_wait(void *ctx)
{
	struct machine *m = ctx;

	return m->run.state != MACHINE_RUNNING || balloon_host_reclaims(&m->balloon);
}

static int open_working_sets(struct machine *m)
{
	struct estimate_env env = { .loop = m->loop,
				    .memory = &m->memory,
				    .store = &m->working_sets,
				    .must_wait = estimate_must_wait,
				    .ctx = m };

	m->working_sets.sinks = m->sinks;
	estimate_open(&m->estimate, &env);
	return 0;
}

static void hold_estimate(struct machine *m, bool hold)
{
	if (hold)
		estimate_end(&m->estimate, "the VM was paused");
}

static void leave_estimate(struct machine *m, const char *why) { estimate_end(&m->estimate, why); }

static int reset_working_sets(struct machine *m)
{
	working_set_store_reset(&m->working_sets);
	return 0;
}

/* --- the balloon ------------------------------------------------------------------------------- */

static int log_writes(void *ctx, bool on) { return vm_log_writes(&((struct boot *)ctx)->vm, on); }
static bool is_logging(void *ctx) { return ((struct boot *)ctx)->vm.logging; }

static int written(void *ctx, void (*fn)(void *to, gpa_t base, const uint64_t *bitmap,
					 uint64_t nr_pages), void *to)
{
	return vm_written(&((struct boot *)ctx)->vm, GPA(0), UINT64_MAX, fn, to);
}

static void drain_disks(void *ctx) { disks_drain(&((struct machine *)ctx)->disks); }

static int open_balloon(struct machine *m)
{
	struct balloon_host_env env = { .cfg = m->cfg,
					.loop = m->loop,
					.memory = &m->memory,
					.run = run_state_control(&m->run),
					.write_log = { log_writes, is_logging, written, &m->boot },
					.drain = drain_disks,
					.ctx = m,
					.store = &m->working_sets,
					.sinks = m->sinks };

	return balloon_host_open(&m->balloon, &env);
}

static void close_balloon(struct machine *m) { balloon_host_close(&m->balloon); }
static int add_balloon(struct machine *m) { return balloon_host_add(&m->balloon, &m->slots); }
static void remove_balloon(struct machine *m) { balloon_host_remove(&m->balloon); }

static int reset_balloon(struct machine *m)
{
	balloon_host_reset(&m->balloon);
	return 0;
}

static bool huge_must_wait(void *ctx) { return estimate_runs(&((struct machine *)ctx)->estimate); }

static int open_huge_scan(struct machine *m)
{
	struct huge_scan_env env = { .loop = m->loop,
				     .memory = &m->memory,
				     .returned = &m->balloon.returned,
				     .must_wait = huge_must_wait,
				     .ctx = m };

	huge_scan_open(&m->huge_scan, &env);
	return 0;
}

static void close_huge_scan(struct machine *m) { huge_scan_close(&m->huge_scan); }

static int reset_huge_scan(struct machine *m)
{
	huge_scan_reset(&m->huge_scan);
	return 0;
}

/* --- devices ----------------------------------------------------------------------------------- */

static int open_platform(struct machine *m)
{
	struct platform_env env = { .cfg = m->cfg,
				    .loop = m->loop,
				    .mmio = &m->mmio,
				    .pio = &m->pio,
				    .requests = &m->requests,
				    .quit = quit,
				    .ctx = m };

	return platform_open(&m->platform, &env);
}

static void close_platform(struct machine *m) { platform_close(&m->platform); }

static int reset_platform(struct machine *m)
{
	platform_reset(&m->platform);
	return 0;
}

static int open_console(struct machine *m) { return platform_open_console(&m->platform); }
static void close_console(struct machine *m) { platform_close_console(&m->platform); }

static int open_disks(struct machine *m)
{
	return disks_open(&m->disks, m->cfg, m->loop, &m->memory.gm, &m->slots);
}

static void close_disks(struct machine *m) { disks_close(&m->disks); }

static void hold_disks(struct machine *m, bool hold)
{
	if (hold)
		disks_drain(&m->disks);
}

static int open_rng(struct machine *m)
{
	int r = m->cfg->rng_rate ? rng_new(&m->rng, m->loop, &m->memory.gm, m->cfg->rng_rate) : 0;

	return r || !m->rng ? r : virtio_slots_add(&m->slots, rng_dev(m->rng));
}

static void close_rng(struct machine *m) { rng_free(m->rng); }

static int open_ports(struct machine *m)
{
	struct virtio_ports_env env = { .cfg = m->cfg,
					.loop = m->loop,
					.gm = &m->memory.gm,
					.quit = quit,
					.ctx = m };

	return virtio_ports_open(&m->ports, &env, &m->slots);
}

static void close_ports(struct machine *m) { virtio_ports_close(&m->ports); }

/* Every device is there: the buses are as the vCPUs will see them. */
static int freeze_buses(struct machine *m)
{
	bus_freeze(&m->mmio);
	bus_freeze(&m->pio);
	return 0;
}

static int open_port_hosts(struct machine *m) { return virtio_ports_open_hosts(&m->ports); }
static void close_port_hosts(struct machine *m) { virtio_ports_close_hosts(&m->ports); }

/* --- the autosizer ----------------------------------------------------------------------------- */

static int open_autosizer(struct machine *m)
{
	struct autosizer_env env = { .cfg = m->cfg,
				     .loop = m->loop,
				     .memory = &m->memory,
				     .balloon = &m->balloon,
				     .store = &m->working_sets,
				     .sinks = m->sinks };
	struct host_end host;
	int r;

	autosizer_init(&m->autosizer, &env);
	if (!m->cfg->agent)
		return 0;
	r = autosizer_open(&m->autosizer, virtio_ports_agent_end(&m->ports), &host);
	if (!r)
		virtio_ports_connect_agent(&m->ports, &host);
	return r;
}

static void close_autosizer(struct machine *m) { autosizer_close(&m->autosizer); }
static void hold_autosizer(struct machine *m, bool hold) { autosizer_hold(&m->autosizer, hold); }

static int reset_autosizer(struct machine *m)
{
	autosizer_reset(&m->autosizer);
	return 0;
}

/* --- the table of parts ------------------------------------------------------------------------ */

/*
 * In the order in which they are built, held, left and reset; they are closed in reverse, those
 * whose open() was called, also when it failed. leave(): the VM is about to go, with its vCPUs
 * still there; reset(): it is gone, the next one is not there yet.
 */
static const struct part_row {
	int (*open)(struct machine *m);
	void (*close)(struct machine *m);
	void (*hold)(struct machine *m, bool hold);
	void (*leave)(struct machine *m, const char *why);
	int (*reset)(struct machine *m);
} part_rows[] = {
	{ .open = open_kvm, .close = close_kvm },
	{ .open = open_slots, .close = close_slots, .hold = hold_slots, .reset = reset_slots },
	{ .open = open_requests, .close = close_requests, .reset = reset_requests },
	{ .open = open_memory, .close = close_memory, .reset = reset_memory },
	{ .open = open_violations, .close = close_violations, .reset = reset_violations },
	{ .open = open_working_sets, .hold = hold_estimate, .leave = leave_estimate,
	  .reset = reset_working_sets },
	{ .open = open_balloon, .close = close_balloon, .reset = reset_balloon },
	{ .open = open_huge_scan, .close = close_huge_scan, .reset = reset_huge_scan },
	{ .open = open_platform, .close = close_platform, .reset = reset_platform },
	/* Virtio devices: guests find them in this order. */
	{ .open = add_memory_devices, .close = remove_memory_devices },
	{ .open = open_disks, .close = close_disks, .hold = hold_disks },
	{ .open = add_balloon, .close = remove_balloon },
	{ .open = open_rng, .close = close_rng },
	{ .open = open_ports, .close = close_ports },
	{ .open = freeze_buses },
	{ .open = open_console, .close = close_console },
	{ .open = open_port_hosts, .close = close_port_hosts },
	{ .open = open_autosizer, .close = close_autosizer, .hold = hold_autosizer,
	  .reset = reset_autosizer },
};

static int open_parts(struct machine *m)
{
	int r = 0;

	while (!r && m->nr_opened < ARRAY_SIZE(part_rows))
		r = part_rows[m->nr_opened++].open(m);
	return r;
}

static void close_parts(struct machine *m)
{
	for (; m->nr_opened; m->nr_opened--)
		if (part_rows[m->nr_opened - 1].close)
			part_rows[m->nr_opened - 1].close(m);
}

static void hold_parts(void *ctx, bool hold)
{
	struct machine *m = ctx;

	for (unsigned int i = 0; i < m->nr_opened; i++)
		if (part_rows[i].hold)
			part_rows[i].hold(m, hold);
}

static void leave_parts(struct machine *m, const char *why)
{
	for (unsigned int i = 0; i < m->nr_opened; i++)
		if (part_rows[i].leave)
			part_rows[i].leave(m, why);
}

static int reset_parts(struct machine *m)
{
	int r = 0;

	for (unsigned int i = 0; i < m->nr_opened && !r; i++)
		if (part_rows[i].reset)
			r = part_rows[i].reset(m);
	return r;
}

/* --- one boot ---------------------------------------------------------------------------------- */

static int connect_memory(void *ctx) { return vm_memory_connect(&((struct machine *)ctx)->memory); }

static int connect_devices(void *ctx)
{
	struct machine *m = ctx;
	int r = platform_connect(&m->platform, &m->boot.vm);

	return r ? r : virtio_slots_connect(&m->slots, &m->boot.vm);
}

static void vcpu_ended(void *ctx, enum vcpu_end end, const char *text)
{
	requests_vcpu_ended(&((struct machine *)ctx)->requests, end, text);
}

/* On a vCPU thread. */
static bool unemulated(void *ctx)
{
	struct machine *m = ctx;
	bool covered;

	loop_lock(m->loop);
	covered = vm_memory_cover(&m->memory);
	loop_unlock(m->loop);
	return covered;
}

static void release_vcpus(void *ctx) { violations_stop(&((struct machine *)ctx)->violations); }

static void init_boot(struct machine *m)
{
	struct boot_env env = { .cfg = m->cfg,
				.kvm = &m->kvm,
				.gm = &m->memory.gm,
				.vcpu = { .loop = m->loop,
					  .mmio = &m->mmio,
					  .pio = &m->pio,
					  .gm = &m->memory.gm,
					  .ended = vcpu_ended,
					  .unemulated = unemulated,
					  .release = release_vcpus,
					  .ctx = m },
				.add_memory = connect_memory,
				.connect = connect_devices,
				.ctx = m };

	boot_init(&m->boot, &env);
}

static void leave_vm(struct machine *m, const char *why)
{
	leave_parts(m, why);
	boot_leave(&m->boot);
	vm_memory_disconnect(&m->memory);
}

static int reboot(void *ctx)
{
	struct machine *m = ctx;
	int r;

	leave_vm(m, "the VM was reset");
	r = reset_parts(m);
	return r ? r : boot_enter(&m->boot, m->slots.nr);
}

/* --- its running ------------------------------------------------------------------------------- */

static bool park(void *ctx) { return vcpus_pause(((struct machine *)ctx)->boot.vcpus); }
static void unpark(void *ctx) { vcpus_resume(((struct machine *)ctx)->boot.vcpus); }
static void drop_requests(void *ctx) { requests_drop(&((struct machine *)ctx)->requests); }

static const char *forbids(void *ctx)
{
	return violations_forbid(&((struct machine *)ctx)->violations);
}

static void resumed(void *ctx) { violations_resumed(&((struct machine *)ctx)->violations); }
static void press(void *ctx) { platform_power_button(&((struct machine *)ctx)->platform); }

static void log_with_console(void *ctx, const char *what)
{
	platform_log_with_console(&((struct machine *)ctx)->platform, what);
}

static void init_run(struct machine *m)
{
	struct run_env env = { .loop = m->loop,
			       .sinks = m->sinks,
			       .dump = &m->dump,
			       .park = park,
			       .unpark = unpark,
			       .hold = hold_parts,
			       .reboot = reboot,
			       .drop_requests = drop_requests,
			       .forbids = forbids,
			       .resumed = resumed,
			       .power_button = press,
			       .log = log_with_console,
			       .ctx = m };
	struct run_actions actions = { .reboot_ends = m->cfg->no_reboot,
				       .crash_pauses = m->cfg->panic_pauses };

	run_state_init(&m->run, &env, &actions);
}

/* --- dumps ------------------------------------------------------------------------------------- */

static bool is_running(void *ctx) { return ((struct machine *)ctx)->run.state == MACHINE_RUNNING; }
static void pause_vm(void *ctx) { run_state_pause(&((struct machine *)ctx)->run); }

static void resume_after_dump(void *ctx, const char *before)
{
	struct run_state *run = &((struct machine *)ctx)->run;

	if (run->state == MACHINE_PAUSED && run_state_resume(run))
		log_warn("%s: %s", before, run_state_forbids(run));
}

static int notes(void *ctx, void **out, size_t *bytes)
{
	return vcpus_notes(((struct machine *)ctx)->boot.vcpus, out, bytes);
}

static void dump_ended(void *ctx, const char *error)
{
	struct vm_event event = { .kind = VM_DUMP_ENDED, .text = error };

	vm_tell(((struct machine *)ctx)->sinks, &event);
}

static void init_dump(struct machine *m)
{
	m->dump.env = (struct dump_env){ .loop = m->loop,
					 .gm = &m->memory.gm,
					 .is_running = is_running,
					 .pause = pause_vm,
					 .is_parked = park,
					 .resume = resume_after_dump,
					 .notes = notes,
					 .ended = dump_ended,
					 .ctx = m };
}

/* --- the whole --------------------------------------------------------------------------------- */

/* What one part does when another one tells something. */
static void heard(void *ctx, const struct vm_event *event)
{
	struct machine *m = ctx;

	switch (event->kind) {
	case VM_MEMORY_SIZE:
		huge_scan_wake(&m->huge_scan);
		autosizer_facts_changed(&m->autosizer);
		break;
	case VM_RECLAIM:
		estimate_end(&m->estimate, "a reclaim was run");
		autosizer_facts_changed(&m->autosizer);
		break;
	case VM_BALLOON_SIZE:
		autosizer_facts_changed(&m->autosizer);
		break;
	default:
		break;
	}
}

static void init(struct machine *m, const struct config *cfg, struct loop *loop,
		 struct vm_sinks *sinks)
{
	m->cfg = cfg;
	m->loop = loop;
	m->sinks = sinks;
	m->parts = (struct machine_parts){ .cfg = cfg,
					   .loop = loop,
					   .run = &m->run,
					   .boot = &m->boot,
					   .memory = &m->memory,
					   .violations = &m->violations,
					   .platform = &m->platform,
					   .disks = &m->disks,
					   .balloon = &m->balloon,
					   .ports = &m->ports,
					   .autosizer = &m->autosizer,
					   .working_sets = &m->working_sets,
					   .estimate = &m->estimate,
					   .dump = &m->dump };
	vm_sinks_add(sinks, (struct vm_sink){ heard, m });
	init_run(m);
	init_dump(m);
	init_boot(m);
}

int machine_new(struct machine **out, const struct config *cfg, struct loop *loop,
		struct vm_sinks *sinks)
{
	struct machine *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return fail(-ENOMEM, "machine");
	init(m, cfg, loop, sinks);
	r = open_parts(m);
	if (r) {
		machine_free(m);
		return r;
	}
	*out = m;
	return 0;
}

int machine_start(struct machine *m)
{
	int r;

	loop_lock(m->loop);
	r = boot_enter(&m->boot, m->slots.nr);
	if (!r && !m->cfg->paused)
		r = run_state_resume(&m->run);
	loop_unlock(m->loop);
	return r;
}

const struct machine_parts *machine_parts(const struct machine *m) { return &m->parts; }

void machine_free(struct machine *m)
{
	if (!m)
		return;
	loop_lock(m->loop);
	dump_abort(&m->dump, "the VM has ended");
	leave_vm(m, "the VM has ended");
	close_parts(m);
	loop_unlock(m->loop);
	free(m);
}
