/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcon.h - a driver of the virtio console (virtio, Console Device) that works with one named port,
 * and with hvc0 if there is one. Prints "port ID NAME" and "console ID" for what the device
 * announces, "host open" and "host closed" as it says of the one port. There is one console.
 */
#ifndef EBB_GUESTS_VCON_H
#define EBB_GUESTS_VCON_H

#include <linux/virtio_console.h>

#include "guests/lib.h"
#include "guests/vq.h"

#define VCON_IN_BYTES 4096 /* of each buffer for input */
#define VCON_QUEUE_MAX 64

struct vcon_queue {
	struct vq vq;
	void *at[VCON_QUEUE_MAX]; /* of a head in flight */
};

struct vcon {
	struct virtio dev;
	struct vcon_queue control_in, control_out;
	struct vcon_queue in, out, hvc_out; /* of the one port, and of hvc0 */
	uint32_t port_id, hvc_id;	    /* UINT32_MAX: none */
	uint32_t nr_ports;
};

/*
 * Takes the machine's console up to where it has announced the port NAME, which ends at a blank, and
 * gives it buffers for input. interrupts=1 on the command line waits halted for the device.
 */
void vcon_open(struct vcon *v, const char *name);

/* Tells the device of a port. */
void vcon_say(struct vcon *v, uint32_t id, uint16_t event, uint16_t value);
/* Takes what the device says; whether it said anything. */
bool vcon_hear(struct vcon *v);

void vcon_add(struct vcon_queue *q, void *at, uint32_t bytes, bool is_in);
/* The buffer that came back; NULL: none did. */
void *vcon_take(struct vcon_queue *q, uint32_t *bytes);
/* Output, from start to end. */
void vcon_put(struct vcon_queue *q, const void *bytes, uint32_t nr);

/* Whether there is some, or the rest of some. */
bool vcon_has_input(const struct vcon *v);
/*
 * Input up to a newline, which stays, into TEXT of SIZE as a string; waits for it. Fails the guest
 * where it does not fit.
 */
void vcon_line(struct vcon *v, char *text, size_t size);

#endif
