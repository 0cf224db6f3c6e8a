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
#include "guests/vcon.h"

#define NR_BUFFERS 32
#define OUT_BYTES 16384
#define POLL_CYCLES 1000000 /* below a millisecond */

static struct vcon v;

static void put_text(struct vcon_queue *q, const char *text)
{
	vcon_put(q, text, (uint32_t)strlen(text));
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
		bool progress = vcon_hear(&v);

		while (queued < send && nr_free) {
			bytes = send - queued < OUT_BYTES ? (uint32_t)(send - queued) : OUT_BYTES;
			at = buffers[--nr_free];
			fill(at, queued, bytes);
			vcon_add(&v.out, at, bytes, false);
			queued += bytes;
			progress = true;
		}
		if (progress)
			vq_kick(&v.out.vq);
		while ((at = vcon_take(&v.out, &bytes))) {
			CHECK_EQ(bytes, 0);
			sent += send - sent < OUT_BYTES ? send - sent : OUT_BYTES;
			buffers[nr_free++] = at;
			progress = true;
		}
		while ((at = vcon_take(&v.in, &bytes))) {
			CHECK(bytes && bytes <= VCON_IN_BYTES && received + bytes <= receive);
			check(at, received, bytes);
			received += bytes;
			vcon_add(&v.in, at, VCON_IN_BYTES, true);
			vq_kick(&v.in.vq);
			progress = true;
		}
		if (!progress)
			vq_pause(&v.dev);
	}
	print("%s\n", !receive ? "sent" : !send ? "received" : "sent and received");
}

static void line(void)
{
	static char text[128], answer[160];

	vcon_line(&v, text, sizeof(text));
	print("line %s", text);
	memcpy(answer, "guest saw ", 10);
	memcpy(answer + 10, text, strlen(text) + 1);
	put_text(&v.out, answer);
}

static void size(void)
{
	uint32_t both = virtio_config_word(&v.dev, offsetof(struct virtio_console_config, cols));

	print("size %u %u\n", both & 0xffff, both >> 16);
}

int guest_main(void)
{
	const char *name = cmdline_get("port");
	uint64_t bytes = cmdline_u64("bytes", MiB);

	vcon_open(&v, name ? name : "test");
	print("ready\n");
	for (;;) {
		uint64_t start = cpu_tsc();

		vcon_hear(&v);
		switch (serial_poll()) {
		case 'o': vcon_say(&v, v.port_id, VIRTIO_CONSOLE_PORT_OPEN, 1); break;
		case 'c': vcon_say(&v, v.port_id, VIRTIO_CONSOLE_PORT_OPEN, 0); break;
		case 's': transfer(bytes, 0); break;
		case 'r': transfer(0, bytes); break;
		case 'b': transfer(bytes, bytes); break;
		case 'l': line(); break;
		case 'h':
			CHECK_EQ(v.hvc_id, 0);
			put_text(&v.hvc_out, "hello on hvc0\n");
			break;
		case 'e':
			virtio_set_config_word(&v.dev,
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
