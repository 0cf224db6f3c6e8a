/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chardev_ends.h - the two ends of a stream of bytes between host and guest: a serial port, a port
 * of the virtio console. Each side has the functions of the other one.
 * Thread: those of the host's end any, of the guest's end the loop; both under the device lock.
 */
#ifndef EBB_DEVICES_CHARDEV_ENDS_H
#define EBB_DEVICES_CHARDEV_ENDS_H

#include "vmm/base/types.h"

/*
 * What a device asks of whoever serves it on the host; CTX outlives the device, or the connection.
 * None of these calls back into the device: what follows comes later, from the loop.
 */
struct host_end {
	/* Bytes of output that put() would keep now. While too few, the guest waits. */
	size_t (*room)(void *ctx);
	/* Takes output. What is beyond room() is lost. */
	void (*put)(void *ctx, const uint8_t *bytes, size_t nr);
	/* There is room for input again: the last receive() may have taken less than it was given. */
	void (*can_receive)(void *ctx);
	/* Optional: the guest's end was opened, or closed; it is closed at first. */
	void (*guest_opened)(void *ctx, bool open);
	void *ctx;
};

/* What the host's end asks of the device. */
struct guest_end {
	/* Gives input to the guest. How many of the NR bytes it takes now; can_receive() says when more. */
	size_t (*receive)(void *ctx, const uint8_t *bytes, size_t nr);
	/* There is room for output again. */
	void (*transmit_ready)(void *ctx);
	/* Optional: somebody is at the host's end, or nobody any more. */
	void (*host_opened)(void *ctx, bool open);
	void *ctx;
};

#endif
