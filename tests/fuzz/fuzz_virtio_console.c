/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_virtio_console.c - the console device beside a plain model of it.
 *
 * An input is a list of steps: a driver by the rules writes, gives buffers and says who is open; the
 * hosts' ends come, go, have room or none, and have input; the machine is held; a driver without
 * rules (wild_driver.h) does anything. After each step of the first kinds all that can be seen is
 * compared: every byte that came out, every buffer that came back, every message. Of a driver
 * without rules it must survive, and hold nothing after the reset that comes then.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wild_driver.h"
#include "tests/unit/vcon_rig.h"
#include "vmm/base/log.h"

#define STEPS_MAX 128
#define RING 16
#define MESSAGE_BYTES 64
#define OUTPUT_MAX 600

static struct vcon_rig rig;
static struct fuzz_stream in;
static bool live, multiport, held;

/* Chains in flight, oldest first. */
struct flight {
	unsigned int nr;
	struct one {
		gpa_t at;
		uint32_t bytes, nr_descs;
	} chains[RING];
};

/* What the driver has been told of a port; the device's messages, at most one of each kind. */
enum { ADD, CONSOLE, NAME, CLOSED, OPENED, NR_KINDS };

static struct port {
	bool host_open, guest_open, added, ready, waiting[NR_KINDS];
	struct flight output, input;
	uint32_t out_at;       /* taken of the oldest chain of output */
	uint64_t nr_written;   /* bytes of output ever, by their content */
	uint64_t nr_delivered; /* or lost */
	size_t nr_put;	       /* as the host's end should have it */
} ports[VCON_PORTS];
static struct flight control_in;

/* The N-th byte of a port's output. */
static uint8_t nth(unsigned int port, uint64_t n) { return (uint8_t)(n * 7 + n / 256 + port); }

/* --- chains ------------------------------------------------------------------------------------ */

static unsigned int descs(const struct flight *f)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < f->nr; i++)
		nr += f->chains[i].nr_descs;
	return nr;
}

/* A chain of BYTES in up to four pieces. False: the ring has no room for it. */
static bool submit(unsigned int queue, struct flight *f, const void *bytes, uint32_t nr,
		   bool writable)
{
	uint32_t nr_pieces = 1 + fuzz_below(&in, 4), at = 0;
	struct fake_buffer pieces[4];
	gpa_t place;

	if (f->nr == RING || descs(f) + nr_pieces > RING)
		return false;
	place = fake_alloc(&rig.mem, max_u64(nr, 1), 16);
	if (!(fuzz_u8(&in) & 3)) /* elastic memory at the same offset, which is in use no more either */
		place = GPA(FAKE_ELASTIC_BASE + place.v % (2 * MiB - MESSAGE_BYTES - OUTPUT_MAX));
	if (!writable)
		fake_write(&rig.mem, place, bytes, nr);
	for (uint32_t i = 0; i < nr_pieces; i++) {
		uint32_t part = i + 1 == nr_pieces ? nr - at : (nr - at) / 2;

		pieces[i] = (struct fake_buffer){ gpa_add(place, at), part, writable };
		at += part;
	}
	f->chains[f->nr++] = (struct one){ place, nr, nr_pieces };
	fake_queue_add(&rig.drv.queues[queue], pieces, nr_pieces);
	if (virtio_has(rig.drv.dev, VIRTIO_RING_F_EVENT_IDX))
		fake_queue_set_used_event(&rig.drv.queues[queue], rig.drv.queues[queue].seen_used);
	fake_driver_kick(&rig.drv, queue);
	return true;
}

/* The oldest chain must have come back, with BYTES written in it. */
static struct one came_back(unsigned int queue, struct flight *f, uint32_t bytes)
{
	struct one c = f->chains[0];
	uint32_t used = 0;

	fuzz_check(f->nr && fake_queue_poll(&rig.drv.queues[queue], NULL, &used));
	fuzz_check(used == bytes);
	memmove(f->chains, f->chains + 1, --f->nr * sizeof(*f->chains));
	return c;
}

/* --- the model --------------------------------------------------------------------------------- */

static bool has_queues(unsigned int port) { return live && (!port || multiport); }

/* What of a port's output should have gone by now. ROOM: of its host's end, before it went. */
static void model_output(unsigned int id, size_t room)
{
	struct vcon_rig_host *h = &rig.hosts[id];
	struct port *p = &ports[id];

	while (p->output.nr && !held) {
		uint32_t left = p->output.chains[0].bytes - p->out_at;
		bool lost = id && !p->host_open;
		uint32_t part = (uint32_t)(id && !lost ? min_u64(left, room) : left);

		for (uint32_t i = 0; i < part && !lost; i++) {
			fuzz_check(p->nr_put < h->nr_put);
			fuzz_check(h->output[p->nr_put++ % VCON_OUTPUT] ==
				   nth(id, p->nr_delivered + i));
		}
		room -= min_u64(room, part);
		p->nr_delivered += part;
		p->out_at += part;
		if (part < left)
			break;
		p->out_at = 0;
		came_back(vcon_output_queue(id), &p->output, 0);
	}
	fuzz_check(p->nr_put == h->nr_put);
	fuzz_check(!has_queues(id) ||
		   !fake_queue_poll(&rig.drv.queues[vcon_output_queue(id)], NULL, NULL));
}

static void expect_message(unsigned int id, unsigned int kind)
{
	static const uint16_t events[NR_KINDS] = { 1, 4, 7, 6, 6 };
	static const char *const names[VCON_PORTS] = { "", "first", "org.ebb.agent" };
	uint32_t name_bytes = kind == NAME ? (uint32_t)strlen(names[id]) : 0;
	struct {
		struct vcon_control m;
		char name[MESSAGE_BYTES];
	} got;
	struct one c = came_back(VCON_CONTROL_IN, &control_in,
				 (uint32_t)sizeof(got.m) + name_bytes);

	fake_read(&rig.mem, c.at, &got, sizeof(got.m) + name_bytes);
	fuzz_check(le32_get(got.m.id) == id && le16_get(got.m.event) == events[kind]);
	fuzz_check(le16_get(got.m.value) == (kind != CLOSED));
	fuzz_check(!memcmp(got.name, names[id], name_bytes));
	ports[id].waiting[kind] = false;
}

static void model_messages(void)
{
	if (!live || !multiport || held)
		return;
	for (unsigned int id = 0; id < VCON_PORTS; id++)
		for (unsigned int kind = 0; kind < NR_KINDS; kind++)
			if (ports[id].waiting[kind] && control_in.nr)
				expect_message(id, kind);
	fuzz_check(!fake_queue_poll(&rig.drv.queues[VCON_CONTROL_IN], NULL, NULL));
}

static void check_all(const size_t rooms[VCON_PORTS])
{
	for (unsigned int id = 0; id < VCON_PORTS; id++) {
		struct port *p = &ports[id];

		model_output(id, rooms[id]);
		fuzz_check(rig.hosts[id].guest_open == p->guest_open);
		fuzz_check(vcon_is_open(rig.v, id) ==
			   (live && (p->guest_open || (!id && !multiport))));
	}
	model_messages();
	fuzz_check(!live || !fake_driver_needs_reset(&rig.drv));
}

/* --- the driver by the rules ------------------------------------------------------------------- */

/* Nothing of the last driver is left. */
static void forget(void)
{
	for (unsigned int id = 0; id < VCON_PORTS; id++) {
		struct port *p = &ports[id];

		*p = (struct port){ .host_open = p->host_open, .nr_put = rig.hosts[id].nr_put };
		fuzz_check(!rig.hosts[id].guest_open);
	}
	control_in.nr = 0;
	fuzz_check(!blocks_any_pinned(&rig.mem.elastic.blocks, 0, 4));
}

static void say(uint32_t id, uint16_t event, uint16_t value);

static void start(void)
{
	uint8_t how = fuzz_u8(&in);
	uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1;

	fake_driver_set_reg(&rig.drv, VIRTIO_MMIO_STATUS, 0);
	rig.drv.pending_kicks = 0;
	forget();
	wild_forget_memory(&rig.mem);
	multiport = how & 1;
	features |= multiport ? UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT : 0;
	features |= how & 2 ? UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX : 0;
	fuzz_check(fake_driver_negotiate(&rig.drv, features));
	for (unsigned int queue = 0; queue < rig.drv.dev->ops->nr_queues; queue++)
		fuzz_check(fake_driver_setup_queue(&rig.drv, queue, RING) ==
			   (multiport || queue < 2));
	fake_driver_add_status(&rig.drv, VIRTIO_CONFIG_S_DRIVER_OK);
	fuzz_check(virtio_live(rig.drv.dev));
	live = true;
	if (!(how & 4))
		return;
	/* As Linux does: what comes then is seldom got to by chance. */
	say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (uint32_t id = 0; id < VCON_PORTS; id++) {
		say(id, VIRTIO_CONSOLE_PORT_READY, 1);
		say(id, VIRTIO_CONSOLE_PORT_OPEN, how >> 3 & 1);
	}
}

static void write_output(unsigned int id)
{
	static uint8_t bytes[OUTPUT_MAX];
	struct port *p = &ports[id];
	uint32_t nr = fuzz_u16(&in) % OUTPUT_MAX;

	if (!has_queues(id))
		return;
	for (uint32_t i = 0; i < nr; i++)
		bytes[i] = nth(id, p->nr_written + i);
	if (submit(vcon_output_queue(id), &p->output, bytes, nr, false))
		p->nr_written += nr;
}

static void give_buffer(unsigned int id)
{
	if (has_queues(id))
		(void)submit(vcon_input_queue(id), &ports[id].input, NULL, 1u + fuzz_u8(&in), true);
}

static void take_input(unsigned int id)
{
	uint8_t bytes[512], got[512];
	uint32_t nr = fuzz_u16(&in) % sizeof(bytes);
	struct port *p = &ports[id];
	bool open = has_queues(id) && !held && (p->guest_open || !multiport);
	size_t taken = 0, real;

	for (uint32_t i = 0; i < nr; i++)
		bytes[i] = (uint8_t)(i * 3 + id);
	real = vcon_rig_input(&rig, id, bytes, nr);
	while (open && taken < nr && p->input.nr) {
		uint32_t part = (uint32_t)min_u64(nr - taken, p->input.chains[0].bytes);
		struct one c = came_back(vcon_input_queue(id), &p->input, part);

		fake_read(&rig.mem, c.at, got, part);
		fuzz_check(!memcmp(got, bytes + taken, part));
		taken += part;
	}
	fuzz_check(real == taken);
	fuzz_check(!has_queues(id) ||
		   !fake_queue_poll(&rig.drv.queues[vcon_input_queue(id)], NULL, NULL));
}

static void say(uint32_t id, uint16_t event, uint16_t value)
{
	struct vcon_control m = { le32_of(id), le16_of(event), le16_of(value) };
	struct port *p = id < VCON_PORTS ? &ports[id] : NULL;
	bool lawful = event == VIRTIO_CONSOLE_DEVICE_READY ||
		      (p && p->added && (event == VIRTIO_CONSOLE_PORT_READY ||
					 event == VIRTIO_CONSOLE_PORT_OPEN));
	uint64_t mark = rig.mem.next_free;

	if (!live || !multiport)
		return;
	fuzz_check(fake_driver_request(&rig.drv, VCON_CONTROL_OUT, &m, sizeof(m), NULL, 0, NULL));
	rig.mem.next_free = mark;
	fuzz_check(fake_driver_needs_reset(&rig.drv) == !lawful);
	if (!lawful) {
		start();
	} else if (event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned int i = 0; i < VCON_PORTS && value; i++) {
			ports[i].waiting[ADD] |= !ports[i].added;
			ports[i].added = true;
		}
	} else if (event == VIRTIO_CONSOLE_PORT_OPEN) {
		p->guest_open = value;
	} else if (value != p->ready) {
		p->ready = value;
		memset(p->waiting, 0, sizeof(p->waiting));
		p->waiting[id ? NAME : CONSOLE] = value;
		p->waiting[OPENED] = value && (!id || p->host_open);
		p->guest_open &= value;
	}
}

static void say_something(void)
{
	uint16_t event = (uint16_t)fuzz_below(&in, 9), value = fuzz_u8(&in) & 1;

	say(fuzz_below(&in, VCON_PORTS + 1), event, value);
}

/* --- hosts' ends ------------------------------------------------------------------------------- */

static void open_host(unsigned int id, bool open)
{
	struct port *p = &ports[id];

	if (!id)
		return; /* a console always is there */
	if (p->host_open != open && p->ready) {
		if (!open && p->waiting[OPENED])
			p->waiting[OPENED] = false;
		else
			p->waiting[open ? OPENED : CLOSED] = true;
	}
	p->host_open = open;
	vcon_rig_host_opens(&rig, id, open);
}

static void emergency_write(void)
{
	struct vcon_rig_host *h = &rig.hosts[0];
	uint8_t byte = fuzz_u8(&in);

	fake_driver_access(&rig.drv, VIRTIO_MMIO_CONFIG + 8, 4, true, byte);
	fuzz_check(h->nr_put == ports[0].nr_put + 1);
	fuzz_check(h->output[ports[0].nr_put++ % VCON_OUTPUT] == byte);
}

static void run_wild(void)
{
	live = false;
	for (unsigned int i = 1 + fuzz_below(&in, 8); i && in.left; i--)
		wild_step(&rig.drv, &in);
	start();
}

static void step(void)
{
	uint8_t what = fuzz_u8(&in);
	unsigned int id = what / 16 % VCON_PORTS;
	size_t rooms[VCON_PORTS];

	for (unsigned int i = 0; i < VCON_PORTS; i++)
		rooms[i] = rig.hosts[i].room;
	if (held && what % 16 < 8) /* a paused guest does nothing */
		what = 8;
	switch (what % 16) {
	case 0:
	case 1:
	case 2: write_output(id); break;
	case 3: give_buffer(id); break;
	case 4:
	case 5: say_something(); break;
	case 6:
		if (live && multiport)
			(void)submit(VCON_CONTROL_IN, &control_in, NULL, MESSAGE_BYTES, true);
		break;
	case 7:
		if (what & 0x80)
			run_wild();
		else
			start();
		break;
	case 8:
		held = !held;
		virtio_hold(rig.drv.dev, held);
		break;
	case 9:
	case 10: open_host(id, what & 0x80); break;
	case 11:
	case 12: take_input(id); break;
	case 13: emergency_write(); break;
	default:
		rooms[id] = rig.hosts[id].room = fuzz_u16(&in) % (2 * OUTPUT_MAX);
		rig.hosts[id].guest.transmit_ready(rig.hosts[id].guest.ctx);
		break;
	}
	check_all(rooms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	in = (struct fuzz_stream){ data, bytes };
	log_set_level(LOG_ERROR);
	vcon_rig_init(&rig, true, VCON_PORTS);
	fuzz_check(!elastic_plug(&rig.mem.elastic, 0, 1));
	for (unsigned int queue = 0; queue < rig.drv.dev->ops->nr_queues; queue++)
		fake_queue_init(&rig.drv.queues[queue], &rig.mem, RING);
	memset(ports, 0, sizeof(ports));
	control_in.nr = 0;
	live = held = false;
	for (unsigned int i = 0; i < STEPS_MAX && in.left; i++)
		step();
	vcon_rig_destroy(&rig);
	return 0;
}
