/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console.h - the console device with its ports (virtio, Console Device). Port 0 is a console
 * (hvc0 in Linux) or, of a device without one, is not announced; the others have names
 * (/dev/virtio-ports/NAME). The host's end of each is whoever connects to it (devices/chardev_ends.h).
 *
 * A chain of output that the host's end has no room for is kept, and no other one is taken: the
 * guest's queue fills up, and its process waits. Not so with the console: Linux writes to it with a
 * lock held and interrupts off, waiting for each chain, so what there is no room for is lost.
 * Output to a named port without anybody at the host's end is lost unread. Input is taken while the
 * guest's end is open and has buffers for it.
 *
 * Thread: the loop, under the device lock.
 */
#ifndef EBB_DEVICES_VIRTIO_CONSOLE_H
#define EBB_DEVICES_VIRTIO_CONSOLE_H

#include "devices/chardev_ends.h"
#include "virtio/device.h"

/* Two queues each, and two for control messages. */
#define VCON_MAX_PORTS (VIRTIO_MAX_QUEUES / 2 - 1)

struct vcon;

struct vcon_cfg {
	bool has_console;
	unsigned int nr_ports;		   /* port 0 among them, whether it is a console or not */
	const char *names[VCON_MAX_PORTS]; /* from 1 on; they outlive the device */
};

/* -ENOMEM, logged. */
int must_check vcon_new(struct vcon **out, const struct vcon_cfg *cfg, const struct guest_mem *gm);
void vcon_free(struct vcon *v);
/* To be put behind a transport. */
struct virtio_dev *vcon_dev(struct vcon *v);

/* The two ends of a port that exists. Without a host's end its output is lost. */
struct guest_end vcon_guest_end(struct vcon *v, unsigned int port);
void vcon_connect(struct vcon *v, unsigned int port, const struct host_end *host);

/* Of the console; 0: not known. VIRTIO_CONSOLE_F_SIZE is offered if it was before the driver came. */
void vcon_set_size(struct vcon *v, unsigned int columns, unsigned int rows);

/* Whether a process of the guest has it open. */
bool vcon_is_open(const struct vcon *v, unsigned int port);

#endif
