/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h - the way to the host, which may go and come back: a virtio-serial port, a unix socket or
 * a descriptor. Lines in both directions; never blocks.
 */
#ifndef EBB_AGENT_PORT_H
#define EBB_AGENT_PORT_H

#include "guests/agent/host.h"
#include "guests/agent/text.h"

#define PORT_NAME  "org.ebb.agent"
#define PORT_PATH  "/dev/virtio-ports/" PORT_NAME
#define PORT_QUEUE (3 * TEXT_BYTES)

struct port {
	const char *path, *root;
	int fd;	      /* -1: closed */
	bool hung_up; /* nobody has the other end open; the port's file is kept until somebody has
		       */
	bool given;   /* a descriptor of whoever started us: it is never opened again */

	size_t have, at; /* of `in`: read, and taken */
	bool too_long;	 /* the rest of a line that nobody will read */
	char in[HOST_LINE_BYTES + 1];

	size_t used;
	char out[PORT_QUEUE];
};

/* PATH: of a port or a socket, fd:N, or NULL: the port named org.ebb.agent, wherever it is. */
void port_init(struct port *p, const char *path, const char *root);
/* 0: it is open, both ends. -errno; it may be tried again, unless ->given. */
int port_open(struct port *p);
void port_close(struct port *p);

/* The next line, without '\n'; NULL: no whole one is there. Call it until then; a port that broke
 * or was left by the host is closed or hung_up afterwards. */
const char *port_line(struct port *p);
/* A line for the host. False: what was said before has not gone yet, and there is no room. */
bool port_say(struct port *p, struct text *line);
/* Sends what waits, as far as it can be. */
void port_flush(struct port *p);
/* Something waits. */
static inline bool port_waits(const struct port *p) { return p->used > 0; }

#endif
