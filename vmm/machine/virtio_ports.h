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
#include "vmm/machine/virtio_slots.h"

struct virtio_ports_env {
	const struct config *cfg;
	struct loop *loop;
	const struct guest_mem *gm;
	void (*quit)(void *ctx); /* the user left by hvc0 (Ctrl-a x) */
	void *ctx;
};

struct virtio_ports {
	struct virtio_ports_env env;
	struct vcon *vcon;   /* NULL: neither --hvc, --port nor --agent */
	struct console *hvc; /* NULL: no --hvc */
	struct console *channels[CONFIG_MAX_PORTS]; /* as in the configuration */
	int size_fd; /* SIGWINCH, of a terminal that is hvc0; -1: none */
};

/* The number of a port of the configuration in the device: 0 is the console. */
static inline unsigned int virtio_ports_id(unsigned int i) { return i + 1; }

/* The device, if it was asked for, in SLOTS. 0 or -errno, logged. */
int must_check virtio_ports_open(struct virtio_ports *p, const struct virtio_ports_env *env,
				 struct virtio_slots *slots);
/* With the device lock; no vCPU runs any more. Also after a failure. */
void virtio_ports_close(struct virtio_ports *p);
/* Opens the sockets and the rest of the hosts' ends; 0 or -errno, logged. Closes them. */
int must_check virtio_ports_open_hosts(struct virtio_ports *p);
void virtio_ports_close_hosts(struct virtio_ports *p);

/* The agent's port, behind the others; of a configuration with one. */
struct guest_end virtio_ports_agent_end(struct virtio_ports *p);
/* From now on somebody is there. */
void virtio_ports_connect_agent(struct virtio_ports *p, const struct host_end *host);

#endif
