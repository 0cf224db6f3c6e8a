/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_ports.h - the virtio console in its machine: where hvc0 and the named ports are reached.
 * Thread: the loop.
 */
#ifndef EBB_MACHINE_VIRTIO_PORTS_H
#define EBB_MACHINE_VIRTIO_PORTS_H

#include "devices/virtio_console.h"
#include "vmm/chardev/backend.h"
#include "vmm/config/config.h"

struct machine;

struct ports {
	struct vcon *vcon;   /* NULL: neither --hvc, --port nor --agent */
	struct console *hvc; /* NULL: no --hvc */
	struct console *channels[CONFIG_MAX_PORTS]; /* as in the configuration */
	int size_fd; /* SIGWINCH, of a terminal that is hvc0; -1: none */
};

/* The number of a port of the configuration in the device: 0 is the console. */
static inline unsigned int ports_id(unsigned int i) { return i + 1; }

/* The agent's, behind them; of a configuration with one. */
struct guest_end ports_agent_end(struct machine *m);
/* From now on somebody is there. */
void ports_connect_agent(struct machine *m, const struct host_end *host);

/* The device, if it was asked for. The caller puts it behind a transport. 0 or -errno, logged. */
int must_check ports_add(struct machine *m);
/* Opens the sockets and the rest of the hosts' ends. 0 or -errno, logged. */
int must_check ports_open(struct machine *m);
/* With the device lock; no vCPU runs any more. Also after a failure. */
void ports_close(struct machine *m);

#endif
