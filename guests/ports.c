/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports.c - a driver of the virtio console that works with one named port, port=NAME (default
 * "test"), and with hvc0 if there is one. Prints "port ID NAME" and "console ID" for what the device
 * announces, "ready" once it has the port, "host open" and "host closed" as the device says, and does
 * what it is told on the serial port, one letter each:
 *
 *   o, c   opens, closes its end of the port
 *   s      sends bytes=N (default 1M); prints "sent"
 *   r      receives as much; prints "received"
 *   b      both at once
 *   l      receives a line, prints "line TEXT", sends "guest saw TEXT"
 *   h      says hello on hvc0
 *   e      writes "!" there by emergency write
 *   z      prints "size COLUMNS ROWS", of hvc0
 *   q      ends
 *
 * What is sent and received is a stream of 64-bit numbers that count from 0, little endian.
 * interrupts=1 waits halted for the device.
 */
#include <linux/virtio_console.h>

#include "guests/lib.h"
#include "guests/vq.h"

#define CONTROL_IN 2
#define CONTROL_OUT 3
#define MESSAGE_BYTES 128
#define NR_MESSAGES 16
#define NR_BUFFERS 32
#define IN_BYTES 4096
#define OUT_BYTES 16384
#define MAX_PORTS 16
#define QUEUE_MAX 64
#define POLL_CYCLES 1000000 /* below a millisecond */

struct queue {
	struct vq vq;
	void *at[QUEUE_MAX]; /* of a head in flight */
};

static struct virtio dev;
static struct queue control_in, control_out;
static struct queue in, out, hvc_out; /* of the one port, and of hvc0 */
static uint32_t port_id = UINT32_MAX, hvc_id = UINT32_MAX, nr_ports;
static struct queue queues[2 * MAX_PORTS]; /* in and out of each port */

static void add(struct queue *q, void *at, uint32_t bytes, bool is_in)
{
	struct vq_buffer buffer = { at, bytes };

	q->at[vq_add(&q->vq, &buffer, !is_in, is_in)] = at;
}

/* The buffer that came back; NULL: none did. */
static void *take(struct queue *q, uint32_t *bytes)
{
	uint16_t head;

	return vq_poll(&q->vq, &head, bytes) ? q->at[head] : NULL;
}

static void say(uint32_t id, uint16_t event, uint16_t value)
{
	static struct virtio_console_control m;

	m = (struct virtio_console_control){ id, event, value };
	vq_request(&control_out.vq, &m, sizeof(m), NULL, 0);
}

static void put_text(struct queue *q, const char *text)
{
	struct vq_buffer buffer = { text, (uint32_t)strlen(text) };

	vq_run(&q->vq, &buffer, 1, 0);
}

/* --- control ----------------------------------------------------------------------------------- */

static bool is_wanted(const char *name, uint32_t bytes)
{
	const char *wanted = cmdline_get("port");

	if (!wanted)
		wanted = "test";
	return !strncmp(wanted, name, bytes) && (!wanted[bytes] || wanted[bytes] == ' ');
}

static void hear(const struct virtio_console_control *m, uint32_t bytes)
{
	char name[MESSAGE_BYTES] = { 0 };

	CHECK(bytes >= sizeof(*m) && bytes <= MESSAGE_BYTES && m->id < nr_ports);
	memcpy(name, m + 1, bytes - sizeof(*m));
	switch (m->event) {
	case VIRTIO_CONSOLE_PORT_ADD:
		say(m->id, VIRTIO_CONSOLE_PORT_READY, 1);
		break;
	case VIRTIO_CONSOLE_CONSOLE_PORT:
		print("console %u\n", m->id);
		hvc_id = m->id;
		say(m->id, VIRTIO_CONSOLE_PORT_OPEN, 1);
		break;
	case VIRTIO_CONSOLE_PORT_NAME:
		print("port %u %s\n", m->id, name);
		if (is_wanted(name, bytes - (uint32_t)sizeof(*m)))
			port_id = m->id;
		break;
	case VIRTIO_CONSOLE_PORT_OPEN:
		if (m->id == port_id)
			print("host %s\n", m->value ? "open" : "closed");
		break;
	default:
		FAIL("message %u about port %u", m->event, m->id);
	}
}

static bool hear_all(void)
{
	bool heard = false;
	uint32_t bytes;
	void *at;

	while ((at = take(&control_in, &bytes))) {
		hear(at, bytes);
		add(&control_in, at, MESSAGE_BYTES, true);
		heard = true;
	}
	if (heard)
		vq_kick(&control_in.vq);
	return heard;
}

/* --- a stream of numbers ----------------------------------------------------------------------- */

static void fill(void *at, uint64_t offset, uint64_t bytes)
{
	uint64_t *word = at;

	for (uint64_t i = 0; i < bytes / 8; i++)
		word[i] = offset / 8 + i;
}

static void check(const uint8_t *at, uint64_t offset, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i++, offset++)
		if (at[i] != (uint8_t)(offset / 8 >> 8 * (offset % 8)))
			FAIL("byte %lu of the input is 0x%x", offset, at[i]);
}

static void transfer(uint64_t send, uint64_t receive)
{
	static void *buffers[NR_BUFFERS];
	static unsigned int nr_free;
	uint64_t queued = 0, sent = 0, received = 0;
	uint32_t bytes;
	void *at;

	for (; !buffers[0] && nr_free < NR_BUFFERS; nr_free++)
		buffers[NR_BUFFERS - 1 - nr_free] = page_alloc(OUT_BYTES / PAGE_BYTES);
	while (sent < send || received < receive) {
		bool progress = hear_all();

		while (queued < send && nr_free) {
			bytes = send - queued < OUT_BYTES ? (uint32_t)(send - queued) : OUT_BYTES;
			at = buffers[--nr_free];
			fill(at, queued, bytes);
			add(&out, at, bytes, false);
			queued += bytes;
			progress = true;
		}
		if (progress)
			vq_kick(&out.vq);
		while ((at = take(&out, &bytes))) {
			CHECK_EQ(bytes, 0);
			sent += send - sent < OUT_BYTES ? send - sent : OUT_BYTES;
			buffers[nr_free++] = at;
			progress = true;
		}
		while ((at = take(&in, &bytes))) {
			CHECK(bytes && bytes <= IN_BYTES && received + bytes <= receive);
			check(at, received, bytes);
			received += bytes;
			add(&in, at, IN_BYTES, true);
			vq_kick(&in.vq);
			progress = true;
		}
		if (!progress)
			vq_pause(&dev);
	}
	print("%s\n", !receive ? "sent" : !send ? "received" : "sent and received");
}

static void line(void)
{
	static char text[128], answer[160];
	size_t nr = 0;
	uint32_t bytes;
	char *at;

	while (!nr || text[nr - 1] != '\n') {
		while (!(at = take(&in, &bytes)))
			if (!hear_all())
				vq_pause(&dev);
		CHECK(nr + bytes < sizeof(text));
		memcpy(text + nr, at, bytes);
		nr += bytes;
		add(&in, at, IN_BYTES, true);
		vq_kick(&in.vq);
	}
	text[nr] = 0;
	print("line %s", text);
	memcpy(answer, "guest saw ", 10);
	memcpy(answer + 10, text, nr + 1);
	put_text(&out, answer);
}

static void size(void)
{
	uint32_t both = virtio_config_word(&dev, offsetof(struct virtio_console_config, cols));

	print("size %u %u\n", both & 0xffff, both >> 16);
}

/* --- the whole --------------------------------------------------------------------------------- */

static void open_device(void)
{
	const uint64_t wanted = UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT |
				UINT64_C(1) << VIRTIO_CONSOLE_F_EMERG_WRITE |
				UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE |
				UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;

	if (!virtio_find(&dev, VIRTIO_ID_CONSOLE, 0))
		FAIL("no console");
	if (cmdline_is("interrupts", "1"))
		virtio_use_interrupts(&dev);
	virtio_negotiate(&dev, wanted);
	CHECK(dev.features >> VIRTIO_CONSOLE_F_MULTIPORT & 1);
	nr_ports = virtio_config_word(&dev, offsetof(struct virtio_console_config, max_nr_ports));
	CHECK(nr_ports > 1 && nr_ports <= MAX_PORTS);
	vq_setup(&control_in.vq, &dev, CONTROL_IN);
	vq_setup(&control_out.vq, &dev, CONTROL_OUT);
	for (unsigned int i = 0; i < NR_MESSAGES; i++)
		add(&control_in, page_alloc(1), MESSAGE_BYTES, true);
}

/* Before DRIVER_OK all queues have to be there, and only then their ports get names. */
static void set_up_queues(void)
{
	for (uint16_t i = 0; i < nr_ports; i++) {
		uint16_t first = i ? (uint16_t)(2 * i + 2) : 0;

		vq_setup(&queues[2 * i].vq, &dev, first);
		vq_setup(&queues[2 * i + 1].vq, &dev, (uint16_t)(first + 1));
	}
}

int guest_main(void)
{
	uint64_t bytes = cmdline_u64("bytes", MiB);

	open_device();
	set_up_queues();
	virtio_driver_ok(&dev);
	vq_kick(&control_in.vq);
	say(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	while (port_id == UINT32_MAX)
		if (!hear_all())
			vq_pause(&dev);
	in = queues[2 * port_id];
	out = queues[2 * port_id + 1];
	hvc_out = queues[1];
	for (unsigned int i = 0; i < NR_BUFFERS; i++)
		add(&in, page_alloc(1), IN_BYTES, true);
	vq_kick(&in.vq);
	print("ready\n");
	for (;;) {
		uint64_t start = cpu_tsc();

		hear_all();
		switch (serial_poll()) {
		case 'o': say(port_id, VIRTIO_CONSOLE_PORT_OPEN, 1); break;
		case 'c': say(port_id, VIRTIO_CONSOLE_PORT_OPEN, 0); break;
		case 's': transfer(bytes, 0); break;
		case 'r': transfer(0, bytes); break;
		case 'b': transfer(bytes, bytes); break;
		case 'l': line(); break;
		case 'h': CHECK_EQ(hvc_id, 0); put_text(&hvc_out, "hello on hvc0\n"); break;
		case 'e':
			virtio_set_config_word(&dev,
					       offsetof(struct virtio_console_config, emerg_wr),
					       '!');
			break;
		case 'z': size(); break;
		case 'q': PASS();
		default:
			while (cpu_tsc() - start < POLL_CYCLES)
				cpu_pause();
		}
	}
}
