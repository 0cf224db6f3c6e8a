/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_console.c - the console device: moves bytes between queues and the host's ends, and speaks
 * with the driver about who is there.
 */
#include "devices/virtio_console.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "devices/virtio_console_wire.h"
#include "vmm/base/log.h"

#define CONTROL_IN  2
#define CONTROL_OUT 3
#define QUEUE_SIZE  128
/* Of output, in one turn of the loop: a guest can put 4 GiB in one chain. */
#define TURN_BYTES  (256 * KiB)
#define PIECE_BYTES (16 * KiB)

/* Messages that a port's driver is to get, in this order; each waits for a buffer at most once. */
enum message { ADD, CONSOLE, NAME, CLOSED, OPENED, NR_MESSAGES };

struct vcon_port {
	struct vcon *vcon;
	unsigned int id;
	bool exists;
	const char *name; /* NULL: the console */
	struct host_end host;
	bool host_open;
	bool guest_open;
	/* What the driver knows: that there is such a port; who is at its host's end. */
	bool added, ready;
	unsigned int waiting; /* messages, as bits */
	/* Taken off the queue, but the host's end has had no room for the rest; pinned. */
	bool held;
	struct chain output;
};

struct vcon {
	struct virtio_dev dev;
	struct virtio_ops ops; /* of so many queues */
	unsigned int nr_ports;
	uint16_t columns, rows;
	struct vcon_port ports[VCON_MAX_PORTS];
	uint8_t piece[PIECE_BYTES];
};

static struct vcon *vcon_of(struct virtio_dev *dev) { return container_of(dev, struct vcon, dev); }

static bool is_multiport(const struct vcon *v)
{
	return virtio_has(&v->dev, VIRTIO_CONSOLE_F_MULTIPORT);
}

/* The ports' queues, around those for control. */
static unsigned int input_queue(const struct vcon_port *p) { return p->id ? 2 * p->id + 2 : 0; }
static unsigned int output_queue(const struct vcon_port *p) { return input_queue(p) + 1; }
static struct vcon_port *port_of(struct vcon *v, unsigned int queue)
{
	return &v->ports[queue < CONTROL_IN ? 0 : queue / 2 - 1];
}

/* A driver that knows of one port only does not say that it has opened that. */
static bool is_open(const struct vcon_port *p)
{
	return virtio_live(&p->vcon->dev) &&
	       (p->guest_open || (!p->id && !is_multiport(p->vcon)));
}

/* --- output ------------------------------------------------------------------------------------ */

static void release(struct vcon_port *p)
{
	if (p->held)
		chain_unpin(&p->output);
	p->held = false;
}

static bool take_output(struct vcon_port *p)
{
	if (p->held)
		return true;
	return virtio_pop(&p->vcon->dev, output_queue(p), &p->output);
}

/* Bytes of output that can go to the host's end now. */
static size_t room_of(const struct vcon_port *p)
{
	return p->name ? p->host.room(p->host.ctx) : SIZE_MAX;
}

/*
 * As much of the port's chain as there is room for, at most *LEFT bytes, which it counts down. NULL,
 * or what is wrong with the chain.
 */
static const char *put_some(struct vcon_port *p, size_t *left)
{
	struct chain *c = &p->output;
	uint8_t *piece = p->vcon->piece;

	if (chain_writable(c))
		return "output in a buffer to be filled";
	/* All of it, before any goes to the host; what is held was looked at, and is pinned. */
	if (!p->held && !chain_readable_valid(c))
		return "output in memory that does not exist";
	while (chain_readable(c)) {
		size_t nr = min_u64(chain_readable(c), min_u64(*left, room_of(p)));

		nr = min_u64(nr, PIECE_BYTES);
		if (!nr)
			break;
		if (chain_read(c, piece, nr))
			return "output in memory that does not exist";
		p->host.put(p->host.ctx, piece, nr);
		*left -= nr;
	}
	return NULL;
}

/* Nobody would get it. */
static bool is_lost(const struct vcon_port *p)
{
	return !p->host.put || (p->name && !p->host_open);
}

/* What is left of the chain waits: for room, or for the next turn of the loop. */
static const char *keep(struct vcon_port *p, bool has_turn)
{
	if (!p->held && chain_pin(&p->output))
		return "output in memory that does not exist";
	p->held = true;
	if (!has_turn)
		virtio_serve_later(&p->vcon->dev, output_queue(p));
	return NULL;
}

static void serve_output(struct vcon_port *p)
{
	struct virtio_dev *dev = &p->vcon->dev;
	size_t left = TURN_BYTES;
	const char *wrong = NULL;

	while (!wrong && !dev->held && virtio_live(dev) && take_output(p)) {
		bool lost = is_lost(p);

		wrong = lost ? NULL : put_some(p, &left);
		if (!wrong && !lost && chain_readable(&p->output)) {
			wrong = keep(p, left);
			if (!wrong)
				break;
		}
		release(p);
		virtio_push(dev, output_queue(p), &p->output);
		if (!left)
			virtio_yield(dev);
	}
	virtio_notify(dev, output_queue(p));
	if (wrong)
		virtio_broken(dev, wrong);
}

static void transmit_ready(void *ctx)
{
	struct vcon_port *p = ctx;

	if (p->held)
		serve_output(p);
}

/* --- input ------------------------------------------------------------------------------------- */

static const char *fill(struct chain *c, const uint8_t *bytes, size_t nr)
{
	if (chain_readable(c) || !chain_writable(c))
		return "a buffer for input that can't be filled";
	return chain_write(c, bytes, nr) ? "a buffer for input in memory that does not exist" : NULL;
}

static size_t receive(void *ctx, const uint8_t *bytes, size_t nr)
{
	struct vcon_port *p = ctx;
	struct virtio_dev *dev = &p->vcon->dev;
	unsigned int queue = input_queue(p);
	const char *wrong = NULL;
	size_t taken = 0;
	struct chain c;

	while (!wrong && taken < nr && is_open(p) && virtio_pop(dev, queue, &c)) {
		size_t part = min_u64(nr - taken, chain_writable(&c));

		wrong = fill(&c, bytes + taken, part);
		taken += wrong ? 0 : part;
		virtio_push(dev, queue, &c);
	}
	virtio_notify(dev, queue);
	if (wrong)
		virtio_broken(dev, wrong);
	return taken;
}

static void ask_for_input(struct vcon_port *p)
{
	if (p->host.can_receive && is_open(p))
		p->host.can_receive(p->host.ctx);
}

/* --- control ----------------------------------------------------------------------------------- */

/* The first message that waits, and its port; NULL: none does. */
static struct vcon_port *next_message(struct vcon *v, enum message *which)
{
	for (unsigned int i = 0; i < v->nr_ports; i++) {
		if (!v->ports[i].waiting)
			continue;
		*which = (enum message)__builtin_ctz(v->ports[i].waiting);
		return &v->ports[i];
	}
	return NULL;
}

static const char *write_message(struct chain *c, const struct vcon_port *p, enum message which)
{
	static const uint16_t events[NR_MESSAGES] = {
		[ADD] = VIRTIO_CONSOLE_PORT_ADD,     [CONSOLE] = VIRTIO_CONSOLE_CONSOLE_PORT,
		[NAME] = VIRTIO_CONSOLE_PORT_NAME,   [CLOSED] = VIRTIO_CONSOLE_PORT_OPEN,
		[OPENED] = VIRTIO_CONSOLE_PORT_OPEN,
	};
	struct vcon_control head = { .id = le32_of(p->id),
				     .event = le16_of(events[which]),
				     .value = le16_of(which != CLOSED) };
	size_t name_bytes = which == NAME ? strlen(p->name) : 0;

	if (chain_readable(c) || chain_writable(c) < sizeof(head) + name_bytes ||
	    !chain_writable_valid(c) || chain_write_obj(c, &head) ||
	    (name_bytes && chain_write(c, p->name, name_bytes)))
		return "a control buffer that is too small, or in memory that does not exist";
	return NULL;
}

static void send_messages(struct vcon *v)
{
	const char *wrong = NULL;
	struct vcon_port *p;
	enum message which;
	struct chain c;

	while (!wrong && (p = next_message(v, &which)) && virtio_pop(&v->dev, CONTROL_IN, &c)) {
		wrong = write_message(&c, p, which);
		p->waiting &= ~(1u << which);
		virtio_push(&v->dev, CONTROL_IN, &c);
	}
	virtio_notify(&v->dev, CONTROL_IN);
	if (wrong)
		virtio_broken(&v->dev, wrong);
}

static void host_opened(void *ctx, bool open)
{
	struct vcon_port *p = ctx;

	if (p->host_open == open)
		return;
	p->host_open = open;
	if (p->ready && open)
		p->waiting |= 1u << OPENED;
	else if (p->waiting >> OPENED & 1)
		p->waiting &= ~(1u << OPENED); /* the driver never heard of that one */
	else if (p->ready)
		p->waiting |= 1u << CLOSED;
	send_messages(p->vcon);
	if (p->held)
		serve_output(p);
}

static void set_guest_open(struct vcon_port *p, bool open)
{
	if (p->guest_open == open)
		return;
	p->guest_open = open;
	if (p->host.guest_opened)
		p->host.guest_opened(p->host.ctx, open);
	ask_for_input(p);
}

/* The driver is ready for ports. */
static void announce(struct vcon *v)
{
	for (unsigned int i = 0; i < v->nr_ports; i++) {
		struct vcon_port *p = &v->ports[i];

		if (p->exists && !p->added)
			p->waiting = 1u << ADD;
		p->added = p->exists;
	}
}

/* The driver has set the port up, and wants to know the rest; or it could not. */
static void port_ready(struct vcon_port *p, bool ready)
{
	if (p->ready == ready)
		return;
	p->ready = ready;
	p->waiting = 0;
	if (ready)
		p->waiting = 1u << (p->name ? NAME : CONSOLE) | (unsigned int)p->host_open << OPENED;
	else
		set_guest_open(p, false);
}

static const char *take_message(struct vcon *v, struct chain *c)
{
	struct vcon_control m;
	struct vcon_port *p;
	bool value;

	if (chain_writable(c) || chain_readable(c) != sizeof(m))
		return "a control message that is not of 8 bytes";
	if (chain_read_obj(c, &m))
		return "a control message in memory that does not exist";
	value = le16_get(m.value);
	if (le16_get(m.event) == VIRTIO_CONSOLE_DEVICE_READY) {
		if (value) /* else it has given up */
			announce(v);
		return NULL;
	}
	p = le32_get(m.id) < v->nr_ports ? &v->ports[le32_get(m.id)] : NULL;
	if (!p || !p->added)
		return "a control message about a port that was not announced";
	switch (le16_get(m.event)) {
	case VIRTIO_CONSOLE_PORT_READY:
		port_ready(p, value);
		return NULL;
	case VIRTIO_CONSOLE_PORT_OPEN:
		set_guest_open(p, value);
		return NULL;
	default:
		return "a control message of a kind that is not the driver's";
	}
}

static void serve_messages(struct vcon *v)
{
	const char *wrong = NULL;
	struct chain c;

	while (!wrong && virtio_pop(&v->dev, CONTROL_OUT, &c)) {
		wrong = take_message(v, &c);
		virtio_push(&v->dev, CONTROL_OUT, &c);
	}
	virtio_notify(&v->dev, CONTROL_OUT);
	if (wrong)
		virtio_broken(&v->dev, wrong);
	else
		send_messages(v);
}

/* --- the rest of the device -------------------------------------------------------------------- */

static void kick(struct virtio_dev *dev, unsigned int queue)
{
	struct vcon *v = vcon_of(dev);

	if (queue == CONTROL_IN)
		send_messages(v);
	else if (queue == CONTROL_OUT)
		serve_messages(v);
	else if (queue % 2)
		serve_output(port_of(v, queue));
	else
		ask_for_input(port_of(v, queue));
}

static uint64_t features(struct virtio_dev *dev)
{
	const struct vcon *v = vcon_of(dev);
	uint64_t bits = 0;

	if (v->ports[0].exists)
		bits |= UINT64_C(1) << VIRTIO_CONSOLE_F_EMERG_WRITE;
	if (v->ports[0].exists && v->columns)
		bits |= UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE;
	if (v->nr_ports > 1)
		bits |= UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT;
	return bits;
}

static bool has_queue(const struct virtio_dev *dev, unsigned int queue)
{
	return queue < CONTROL_IN || !virtio_negotiated(dev) ||
	       virtio_has(dev, VIRTIO_CONSOLE_F_MULTIPORT);
}

/* May run on a vCPU thread. */
static void reset(struct virtio_dev *dev)
{
	struct vcon *v = vcon_of(dev);

	for (unsigned int i = 0; i < v->nr_ports; i++) {
		struct vcon_port *p = &v->ports[i];

		release(p);
		p->added = p->ready = false;
		p->waiting = 0;
		set_guest_open(p, false);
	}
}

/* What is kept of a port's output is not the host's to read any more. May run on a vCPU thread. */
static void stop_queue(struct virtio_dev *dev, unsigned int queue)
{
	struct vcon_port *p = port_of(vcon_of(dev), queue);

	if (queue == output_queue(p))
		release(p);
}

static void tell_size(struct virtio_dev *dev)
{
	if (virtio_has(dev, VIRTIO_CONSOLE_F_SIZE))
		virtio_config_changed(dev);
}

/* Linux looks at the size only when it is told that it has changed. */
static void driver_ok(struct virtio_dev *dev) { tell_size(dev); }

static void config_read(struct virtio_dev *dev, void *config)
{
	const struct vcon *v = vcon_of(dev);
	struct vcon_config wire = { .cols = le16_of(v->columns),
				    .rows = le16_of(v->rows),
				    .max_nr_ports = le32_of(v->nr_ports) };

	memcpy(config, &wire, sizeof(wire));
}

/* Emergency write: one character, at any time; the other fields are not the driver's. */
static void config_write(struct virtio_dev *dev, size_t offset, const void *src, size_t bytes)
{
	const struct vcon_port *p = &vcon_of(dev)->ports[0];

	if (offset == offsetof(struct vcon_config, emerg_wr) && bytes && p->exists && p->host.put)
		p->host.put(p->host.ctx, src, 1);
}

static const struct virtio_ops ops = {
	.name = "virtio-console",
	.id = VIRTIO_ID_CONSOLE,
	.features = features,
	.has_queue = has_queue,
	.kick = kick,
	.reset = reset,
	.stop_queue = stop_queue,
	.driver_ok = driver_ok,
	.config_read = config_read,
	.config_write = config_write,
	.config_bytes = sizeof(struct vcon_config),
};

int vcon_new(struct vcon **out, const struct vcon_cfg *cfg, const struct guest_mem *gm)
{
	struct vcon *v = calloc(1, sizeof(*v));

	assert(cfg->nr_ports >= 1 && cfg->nr_ports <= VCON_MAX_PORTS);
	if (!v)
		return fail(-ENOMEM, "virtio-console");
	v->ops = ops;
	v->ops.nr_queues = cfg->nr_ports > 1 ? 2 * (cfg->nr_ports + 1) : 2;
	for (unsigned int i = 0; i < v->ops.nr_queues; i++)
		v->ops.queue_size[i] = QUEUE_SIZE;
	v->dev.ops = &v->ops;
	v->dev.gm = gm;
	v->nr_ports = cfg->nr_ports;
	for (unsigned int i = 0; i < cfg->nr_ports; i++)
		v->ports[i] = (struct vcon_port){ .vcon = v,
						  .id = i,
						  .exists = i || cfg->has_console,
						  .name = i ? cfg->names[i] : NULL,
						  .host_open = !i };
	*out = v;
	return 0;
}

void vcon_free(struct vcon *v)
{
	if (!v)
		return;
	for (unsigned int i = 0; i < v->nr_ports; i++)
		release(&v->ports[i]);
	free(v);
}

struct virtio_dev *vcon_dev(struct vcon *v) { return &v->dev; }

struct guest_end vcon_guest_end(struct vcon *v, unsigned int port)
{
	assert(port < v->nr_ports && v->ports[port].exists);
	/* A console is there whether somebody looks at it or not. */
	return (struct guest_end){ .receive = receive,
				   .transmit_ready = transmit_ready,
				   .host_opened = port ? host_opened : NULL,
				   .ctx = &v->ports[port] };
}

void vcon_connect(struct vcon *v, unsigned int port, const struct host_end *host)
{
	assert(port < v->nr_ports && v->ports[port].exists);
	v->ports[port].host = *host;
}

void vcon_set_size(struct vcon *v, unsigned int columns, unsigned int rows)
{
	v->columns = (uint16_t)columns;
	v->rows = (uint16_t)rows;
	tell_size(&v->dev);
}

bool vcon_is_open(const struct vcon *v, unsigned int port) { return is_open(&v->ports[port]); }
