/* SPDX-License-Identifier: Apache-2.0 */
/* vcon.c - see vcon.h. */
#include "guests/vcon.h"

#define CONTROL_IN 2
#define CONTROL_OUT 3
#define MESSAGE_BYTES 128
#define NR_MESSAGES 16
#define NR_BUFFERS 32
#define MAX_PORTS 16

static struct vcon_queue queues[2 * MAX_PORTS]; /* in and out of each port */
static const char *wanted;

void vcon_add(struct vcon_queue *q, void *at, uint32_t bytes, bool is_in)
{
	struct vq_buffer buffer = { at, bytes };

	q->at[vq_add(&q->vq, &buffer, !is_in, is_in)] = at;
}

void *vcon_take(struct vcon_queue *q, uint32_t *bytes)
{
	uint16_t head;

	return vq_poll(&q->vq, &head, bytes) ? q->at[head] : NULL;
}

void vcon_put(struct vcon_queue *q, const void *bytes, uint32_t nr)
{
	struct vq_buffer buffer = { bytes, nr };

	vq_run(&q->vq, &buffer, 1, 0);
}

/* --- control ----------------------------------------------------------------------------------- */

void vcon_say(struct vcon *v, uint32_t id, uint16_t event, uint16_t value)
{
	static struct virtio_console_control m;

	m = (struct virtio_console_control){ id, event, value };
	vq_request(&v->control_out.vq, &m, sizeof(m), NULL, 0);
}

static bool is_wanted(const char *name, uint32_t bytes)
{
	return !strncmp(wanted, name, bytes) && (!wanted[bytes] || wanted[bytes] == ' ');
}

static void hear(struct vcon *v, const struct virtio_console_control *m, uint32_t bytes)
{
	char name[MESSAGE_BYTES] = { 0 };

	CHECK(bytes >= sizeof(*m) && bytes <= MESSAGE_BYTES && m->id < v->nr_ports);
	memcpy(name, m + 1, bytes - sizeof(*m));
	switch (m->event) {
	case VIRTIO_CONSOLE_PORT_ADD:
		vcon_say(v, m->id, VIRTIO_CONSOLE_PORT_READY, 1);
		break;
	case VIRTIO_CONSOLE_CONSOLE_PORT:
		print("console %u\n", m->id);
		v->hvc_id = m->id;
		vcon_say(v, m->id, VIRTIO_CONSOLE_PORT_OPEN, 1);
		break;
	case VIRTIO_CONSOLE_PORT_NAME:
		print("port %u %s\n", m->id, name);
		if (is_wanted(name, bytes - (uint32_t)sizeof(*m)))
			v->port_id = m->id;
		break;
	case VIRTIO_CONSOLE_PORT_OPEN:
		if (m->id == v->port_id)
			print("host %s\n", m->value ? "open" : "closed");
		break;
	default:
		FAIL("message %u about port %u", m->event, m->id);
	}
}

bool vcon_hear(struct vcon *v)
{
	bool heard = false;
	uint32_t bytes;
	void *message;

	while ((message = vcon_take(&v->control_in, &bytes))) {
		hear(v, message, bytes);
		vcon_add(&v->control_in, message, MESSAGE_BYTES, true);
		heard = true;
	}
	if (heard)
		vq_kick(&v->control_in.vq);
	return heard;
}

/* --- the port ---------------------------------------------------------------------------------- */

/* Of a buffer that holds more than the last line. */
static char *at, *rest;
static uint32_t left;

bool vcon_has_input(const struct vcon *v)
{
	return left || v->in.vq.next_used != *(volatile uint16_t *)&v->in.vq.used->idx;
}

void vcon_line(struct vcon *v, char *text, size_t size)
{
	size_t nr = 0;

	while (!nr || text[nr - 1] != '\n') {
		if (!left) {
			while (!(at = vcon_take(&v->in, &left)))
				if (!vcon_hear(v))
					vq_pause(&v->dev);
			rest = at;
		}
		CHECK(nr + 1 < size);
		text[nr++] = *rest++;
		if (!--left) {
			vcon_add(&v->in, at, VCON_IN_BYTES, true);
			vq_kick(&v->in.vq);
		}
	}
	text[nr] = 0;
}

static void open_device(struct vcon *v)
{
	const uint64_t features = UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT |
				  UINT64_C(1) << VIRTIO_CONSOLE_F_EMERG_WRITE |
				  UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE |
				  UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;

	if (!virtio_find(&v->dev, VIRTIO_ID_CONSOLE, 0))
		FAIL("no console");
	if (cmdline_is("interrupts", "1"))
		virtio_use_interrupts(&v->dev);
	virtio_negotiate(&v->dev, features);
	CHECK(v->dev.features >> VIRTIO_CONSOLE_F_MULTIPORT & 1);
	v->nr_ports =
		virtio_config_word(&v->dev, offsetof(struct virtio_console_config, max_nr_ports));
	CHECK(v->nr_ports > 1 && v->nr_ports <= MAX_PORTS);
	vq_setup(&v->control_in.vq, &v->dev, CONTROL_IN);
	vq_setup(&v->control_out.vq, &v->dev, CONTROL_OUT);
	for (unsigned int i = 0; i < NR_MESSAGES; i++)
		vcon_add(&v->control_in, page_alloc(1), MESSAGE_BYTES, true);
}

/* Before DRIVER_OK all queues have to be there, and only then their ports get names. */
static void set_up_queues(struct vcon *v)
{
	for (uint16_t i = 0; i < v->nr_ports; i++) {
		uint16_t first = i ? (uint16_t)(2 * i + 2) : 0;

		vq_setup(&queues[2 * i].vq, &v->dev, first);
		vq_setup(&queues[2 * i + 1].vq, &v->dev, (uint16_t)(first + 1));
	}
}

void vcon_open(struct vcon *v, const char *name)
{
	wanted = name;
	v->port_id = v->hvc_id = UINT32_MAX;
	open_device(v);
	set_up_queues(v);
	virtio_driver_ok(&v->dev);
	vq_kick(&v->control_in.vq);
	vcon_say(v, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	while (v->port_id == UINT32_MAX)
		if (!vcon_hear(v))
			vq_pause(&v->dev);
	v->in = queues[2 * v->port_id];
	v->out = queues[2 * v->port_id + 1];
	v->hvc_out = queues[1];
	for (unsigned int i = 0; i < NR_BUFFERS; i++)
		vcon_add(&v->in, page_alloc(1), VCON_IN_BYTES, true);
	vq_kick(&v->in.vq);
}
