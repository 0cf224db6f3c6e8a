/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chardev.h - the two directions of a serial port or one of the virtio console, and the one
 * peer at most that is attached. A reader that is slow makes the port look busy, so that nothing is
 * lost: it slows the guest down, never the loop. While nobody reads the guest goes on. Input waits
 * in a buffer of CONSOLE_INPUT_BYTES for a guest that is slow to read.
 *
 * A console keeps the last CONSOLE_TAIL_BYTES of output; who attaches gets them first. Input is the
 * guest's once it was sent, whatever becomes of the peer.
 * A channel between a process in the guest and one here keeps nothing: output that nobody reads is
 * lost, and what a peer that has gone did not get. Of a peer that has hung up the guest still gets
 * all input, if it has its end open; else that is lost as well.
 *
 * Thread: what the device calls any, under the device lock; the rest the loop.
 */
#ifndef EBB_CHARDEV_CHARDEV_H
#define EBB_CHARDEV_CHARDEV_H

#include "devices/chardev_ends.h"
#include "vmm/base/loop.h"
#include "vmm/chardev/output.h"

#define CONSOLE_TAIL_BYTES 65536
#define CONSOLE_INPUT_BYTES 4096

struct chardev;

/* Descriptors stay the caller's. IN_FD and OUT.fd differ, both can be in the loop. */
struct console_peer {
	int in_fd;
	struct output out;
	/*
	 * Somebody at a terminal: the escape key works, and what the input buffer does not take is
	 * lost, so that it goes on working.
	 */
	bool interactive;
	/* Ctrl-a x was typed. */
	void (*quit)(void *ctx);
	/* Both directions have ended; it is detached already. May be NULL. */
	void (*gone)(void *ctx);
	void *ctx;
};

enum chardev_kind { CONSOLE_PORT, CHANNEL_PORT };
/* For the device whose end is GUEST; the other one has to be set there. 0 or -errno, logged. */
int must_check chardev_new(struct chardev **out, struct loop *loop,
				struct guest_end guest, enum chardev_kind kind);
struct host_end chardev_host_end(struct chardev *port);
/* Writes out what the peer has not got, as far as that goes without waiting long, and frees. */
void chardev_free(struct chardev *port);

/*
 * The last LINES lines of output at most, as far as they fit into TEXT of BYTES: each with two
 * blanks before it, no newline at the end, '?' for what is not printable. "  (nothing)" for none.
 */
void chardev_excerpt(const struct chardev *port, char *text, size_t bytes,
			  unsigned int lines);

/* None may be attached. */
void chardev_attach(struct chardev *port, const struct console_peer *peer);
/* Without gone(). No effect when none is attached. */
void chardev_detach(struct chardev *port);
bool chardev_is_attached(const struct chardev *port);
/* Attached, and its output has not ended: somebody is there. */
bool chardev_is_read(const struct chardev *port);

#endif
