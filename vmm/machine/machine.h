/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - one virtual machine: the composition root.
 * machine.c alone names concrete devices; it builds them in order and frees them in reverse.
 * Devices, memory and the control socket live as long as the process; the VM and its vCPUs are
 * built anew at each boot. Thread: the loop, unless said otherwise.
 */
#ifndef EBB_MACHINE_MACHINE_H
#define EBB_MACHINE_MACHINE_H

#include "devices/legacy_ports.h"
#include "devices/power.h"
#include "devices/pvpanic.h"
#include "devices/serial.h"
#include "devices/virtio_mem.h"
#include "devices/virtio_rng.h"
#include "virtio/mmio.h"
#include "vmm/base/bus.h"
#include "vmm/base/exit_code.h"
#include "vmm/base/loop.h"
#include "vmm/base/platform.h"
#include "vmm/chardev/backend.h"
#include "vmm/config/config.h"
#include "vmm/control/qmp_server.h"
#include "vmm/dump/dump.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/machine/autosizer.h"
#include "vmm/machine/balloon_host.h"
#include "vmm/machine/disks.h"
#include "vmm/machine/huge_scan.h"
#include "vmm/machine/violations.h"
#include "vmm/machine/virtio_ports.h"
#include "vmm/machine/working_set_estimate.h"
#include "vmm/memory/elastic.h"
#include "vmm/memory/guest_mem.h"
#include "vmm/memory/working_sets.h"
#include "vmm/process/service.h"

/* Linux, x86 with less than 64 GiB: the unit in which it takes memory. */
#define GUEST_MEMORY_BLOCK (128 * MiB)

enum machine_state {
	MACHINE_PRELAUNCH, /* built, never ran */
	MACHINE_RUNNING,
	MACHINE_PAUSED,
	MACHINE_SHUTDOWN, /* the guest has powered off, or the process is on its way out */
	MACHINE_PANICKED, /* the guest has crashed, or says that it has panicked */
	MACHINE_INTERNAL_ERROR, /* the host or KVM could not go on */
};
/* Their names, as an enum of json/schema.h. */
#define MACHINE_STATES "prelaunch|running|paused|shutdown|guest-panicked|internal-error"

/* What a vCPU thread asks the loop to do; the first one counts. */
enum machine_request {
	REQUEST_NONE,
	REQUEST_POWER_OFF,
	REQUEST_RESET,
	REQUEST_DEBUG_EXIT,
	REQUEST_CRASH,
	REQUEST_PANIC,
};

/* What follows when the guest does something; false is the default. */
struct machine_actions {
	bool reboot_ends;      /* as with --no-reboot; else it boots again */
	bool power_off_pauses; /* kept for a look or a reset; else the process ends */
	bool crash_pauses;     /* the same; also a panic */
};

/* One virtio-mmio device with its eventfds. */
struct machine_slot {
	struct virtio_mmio mmio;
	struct loop_event irq;
	int kick_fd[VIRTIO_MAX_QUEUES];
	struct machine_kick {
		struct machine_slot *slot;
		unsigned int queue;
	} kick[VIRTIO_MAX_QUEUES];
};

struct machine_elastic {
	struct machine *machine;
	struct elastic elastic;
	struct vmem *vmem;
};

struct machine {
	const struct config *cfg;
	struct loop *loop;
	struct qmp_server *qmp;
	struct service service;

	struct ram boot_ram;
	struct guarding guarding;
	struct huging huging;
	struct ballooning ballooning;
	struct autosizing autosizing;
	struct working_sets working_sets;
	struct touching touching;
	struct rng *rng; /* NULL: --rng=off */
	struct disks disks;
	unsigned int nr_elastic;
	struct machine_elastic elastic[CONFIG_MAX_ELASTIC];
	struct guest_mem gm;
	struct bus mmio, pio;

	struct serial serial;
	struct loop_event serial_irq;
	struct console *console;
	struct ports ports;
	struct power power;
	struct loop_event power_irq;
	struct pvpanic pvpanic;
	struct debug_exit debug_exit;
	unsigned int nr_slots;
	struct machine_slot slots[PLATFORM_MAX_VIRTIO];

	struct kvm kvm;
	struct vm vm;
	struct vcpus *vcpus;
	uint64_t nr_exits_before; /* of the VMs of earlier boots */
	uint64_t nr_boots;

	enum machine_state state;
	struct machine_actions actions;
	struct dump dump;
	struct qmp_session *dump_client; /* waits for its end; NULL: nobody does */
	bool ending;
	int exit_code;
	int signal_fd;
	bool asked_to_end; /* one SIGTERM was answered with the power button */
	/* Written by vCPU threads under the device lock, then request_fd wakes the loop. */
	enum machine_request request;
	uint8_t debug_exit_code;
	bool crash_kernel;	/* the guest has panicked and starts another kernel, in itself */
	const char *crash_text; /* lives as long as `vcpus` */
	bool guest_crashed;	/* not the host or KVM */
	int request_fd;
	struct loop_timer timeout;
};

/* Builds everything, boots and starts, unless that was asked not to be; nothing is left behind on error (-errno, logged). */
int must_check machine_new(struct machine **out, const struct config *cfg);
/* Runs until the VM ends; the exit code. */
int machine_run(struct machine *m);
void machine_free(struct machine *m);

/* A new VM at the kernel's entry, paused; memory and devices are fresh. */
int must_check machine_boot(struct machine *m);
/* Takes the VM down, gives boot and elastic memory back, resets the devices, boots again. */
int must_check machine_reboot(struct machine *m);

/* While the VM is paused no device takes requests of its guest; what is under way is waited for. */
void machine_hold_devices(struct machine *m, bool hold);

/* Control; no effect when the machine is there already. Paused during a dump it stays so after. */
void machine_pause(struct machine *m);
/* -EPERM: machine_forbids() it. */
int must_check machine_resume(struct machine *m);
/* Why the VM can't run, and the way out; NULL: it can. */
const char *machine_forbids(const struct machine *m);
void machine_power_button(struct machine *m);
/*
 * A new VM in this process: boot memory given back, kernel loaded again, devices reset, elastic
 * memory unplugged with its targets kept. GUEST says who asked. On failure the machine ends. A
 * machine that could not run is in prelaunch then. A dump under way fails.
 */
void machine_reset(struct machine *m, bool guest);
/* Leaves machine_run() with CODE. REASON as in QMP's ShutdownCause. */
void machine_end(struct machine *m, int code, bool guest, const char *reason);

const char *machine_state_name(enum machine_state state);

#endif
