/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor_rig.h - a monitor on its socket, for a machine that has all its parts but KVM and vCPUs,
 * and a client. Loop and client are one thread: what the client says is served before it reads.
 */
#ifndef EBB_TESTS_MONITOR_RIG_H
#define EBB_TESTS_MONITOR_RIG_H

#include "tests/unit/part_rig.h"
#include "tests/unit/qmp_rig.h"
#include "vmm/machine/autosizer.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/disks.h"
#include "vmm/machine/platform.h"
#include "vmm/machine/run_state.h"
#include "vmm/machine/violations.h"
#include "vmm/machine/virtio_ports.h"
#include "vmm/machine/working_set_estimate.h"
#include "vmm/monitor/monitor.h"

struct monitor_rig {
	struct part_rig part; /* with its configuration, to be changed between config and start */
	struct requests requests;
	struct run_state run;
	struct dump dump;
	struct boot boot;
	struct violations violations;
	struct platform platform;
	struct disks disks;
	struct virtio_ports ports;
	struct autosizer autosizer;
	struct estimate estimate;
	struct machine_parts parts;
	struct monitor mon;
	struct wire wire;
	char dir[64], path[108], disk[108];
	char said[65536];   /* the latest reply, as it came */
	char events[65536]; /* what came before it and since, a line each */
	const char *forbidden; /* why the VM must not run */
	int reboot_error;
	bool refuses_to_park;
};

/* A machine with boot memory, elastic memory "vm0", a balloon, an agent's port, one disk of 1 MiB and
 * a port "org.example", not started. */
void monitor_rig_config(struct monitor_rig *r);
void monitor_rig_start(struct monitor_rig *r);
void monitor_rig_stop(struct monitor_rig *r);

/* Sends {"execute": COMMAND, "arguments": ARGUMENTS} and serves it; the reply, which is kept in
 * ->said, single quotes instead of double ones. ARGUMENTS NULL: none. */
const char *monitor_rig_say(struct monitor_rig *r, const char *command, const char *arguments);
/* Asserts that the reply is {"return": RETURN}, or holds each of WORDS. */
void monitor_rig_returns(struct monitor_rig *r, const char *command, const char *arguments,
			 const char *value);
void monitor_rig_has(struct monitor_rig *r, const char *command, const char *arguments,
		     const char *words);
/* Asserts an error of CLASS that holds WORDS. */
void monitor_rig_refuses(struct monitor_rig *r, const char *command, const char *arguments,
			 const char *class, const char *words);
/* Lets NS of the loop's time pass and takes what has come since: events without their time, or "". */
const char *monitor_rig_events(struct monitor_rig *r, uint64_t ns);

#endif
