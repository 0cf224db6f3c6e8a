/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtio_console.c - the console device as its driver and its hosts' ends see it. */
#include <criterion/criterion.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/vcon_rig.h"

#define BIT(feature) (UINT64_C(1) << (feature))
#define MULTIPORT    BIT(VIRTIO_CONSOLE_F_MULTIPORT)
#define V1	     BIT(VIRTIO_F_VERSION_1)

static struct vcon_rig rig;
static struct fake_driver *const drv = &rig.drv;

static void up(void) { vcon_rig_init(&rig, true, VCON_PORTS); }
static void down(void) { vcon_rig_destroy(&rig); }

TestSuite(vcon, .init = up, .fini = down, .timeout = 240);

/* --- a driver ---------------------------------------------------------------------------------- */

/* Says so to the device; it must take the message. */
static void say(uint32_t id, uint16_t event, uint16_t value)
{
	struct vcon_control m = { le32_of(id), le16_of(event), le16_of(value) };
	uint32_t used = 99;

	cr_assert(fake_driver_request(drv, VCON_CONTROL_OUT, &m, sizeof(m), NULL, 0, &used));
	cr_assert_eq(used, 0);
	cr_assert_not(fake_driver_needs_reset(drv));
}

static void device_ready(void)
{
	say(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
}

/* What the device says when it is given a buffer: "EVENT ID VALUE NAME"; "": nothing. */
static const char *hear(void)
{
	static char text[128];
	struct {
		struct vcon_control m;
		char name[64];
	} got;
	uint32_t used = 0;

	memset(&got, 0, sizeof(got));
	text[0] = 0;
	if (!fake_driver_request(drv, VCON_CONTROL_IN, NULL, 0, &got, sizeof(got), &used)) {
		/* The buffer stays with the device; the next test of hear() would get it. */
		return text;
	}
	cr_assert_geq(used, sizeof(got.m));
	snprintf(text, sizeof(text), "%u %u %u %.*s", le16_get(got.m.event), le32_get(got.m.id),
		 le16_get(got.m.value), (int)(used - sizeof(got.m)), got.name);
	return text;
}

#define HEARS(what) cr_assert_str_eq(hear(), what)

/* Takes what is told of all ports: the driver is where Linux's is after its start. */
static void greet(void)
{
	device_ready();
	HEARS("1 0 1 ");
	HEARS("1 1 1 ");
	HEARS("1 2 1 ");
	for (uint32_t i = 0; i < VCON_PORTS; i++)
		say(i, VIRTIO_CONSOLE_PORT_READY, 1);
	HEARS("4 0 1 ");
	HEARS("6 0 1 ");
	HEARS("7 1 1 first");
	HEARS("7 2 1 org.ebb.agent");
}

static void start(void)
{
	fake_driver_start(drv, MULTIPORT);
	greet();
	for (uint32_t i = 0; i < VCON_PORTS; i++)
		say(i, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

/* Output in one buffer; true: the device has taken it. */
static bool output(unsigned int port, const void *bytes, uint32_t nr)
{
	uint32_t used = 0;
	bool taken = fake_driver_request(drv, vcon_output_queue(port), bytes, nr, NULL, 0, &used);

	cr_assert_eq(used, 0);
	return taken;
}

static void expect_output(unsigned int port, const char *text)
{
	struct vcon_rig_host *h = &rig.hosts[port];

	cr_assert_eq(h->nr_put, strlen(text), "%zu bytes", h->nr_put);
	cr_assert_eq(memcmp(h->output, text, h->nr_put), 0);
	h->nr_put = 0;
}

/* A buffer for input. */
static gpa_t give_room(unsigned int port, uint32_t bytes)
{
	gpa_t at = fake_alloc(&rig.mem, bytes, 16);

	fake_queue_add(&drv->queues[vcon_input_queue(port)],
		       &(struct fake_buffer){ at, bytes, true }, 1);
	fake_driver_kick(drv, vcon_input_queue(port));
	return at;
}

static void expect_input(unsigned int port, gpa_t at, const char *text)
{
	char got[64];
	uint32_t used;

	cr_assert(fake_queue_poll(&drv->queues[vcon_input_queue(port)], NULL, &used));
	cr_assert_eq(used, strlen(text), "%u bytes", used);
	fake_read(&rig.mem, at, got, used);
	cr_assert_eq(memcmp(got, text, used), 0);
}

static bool in_flight(unsigned int port)
{
	const struct virtq *q = &vcon_dev(rig.v)->queues[vcon_output_queue(port)];

	return q->in_flight[0] || q->in_flight[1];
}

/* --- what there is ----------------------------------------------------------------------------- */

Test(vcon, offers_what_it_has)
{
	cr_assert_eq(fake_driver_device_features(drv) & 7,
		     MULTIPORT | BIT(VIRTIO_CONSOLE_F_EMERG_WRITE));
	cr_assert_eq(fake_driver_config(drv, 4, 4), VCON_PORTS);
	vcon_set_size(rig.v, 80, 25);
	cr_assert_eq(fake_driver_device_features(drv) & 7, 7);
	cr_assert_eq(fake_driver_config(drv, 0, 2), 80);
	cr_assert_eq(fake_driver_config(drv, 2, 2), 25);
}

Test(vcon, size_may_change_and_the_driver_is_told)
{
	vcon_set_size(rig.v, 80, 25);
	fake_driver_start(drv, BIT(VIRTIO_CONSOLE_F_SIZE));
	cr_assert_eq(fake_driver_take_interrupts(drv), VIRTIO_MMIO_INT_CONFIG, "to have it read");
	vcon_set_size(rig.v, 132, 43);
	cr_assert_eq(fake_driver_take_interrupts(drv), VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(fake_driver_config(drv, 0, 4), 43 << 16 | 132);
}

Test(vcon, without_a_console_port_0_is_not_announced_and_its_output_is_lost)
{
	down();
	vcon_rig_init(&rig, false, 2);
	vcon_set_size(rig.v, 80, 25);
	cr_assert_eq(fake_driver_device_features(drv) & 7, MULTIPORT);
	fake_driver_start(drv, MULTIPORT);
	device_ready();
	HEARS("1 1 1 ");
	HEARS("");
	cr_assert(output(0, "lost", 4));
}

Test(vcon, console_alone_has_two_queues_and_no_messages)
{
	down();
	vcon_rig_init(&rig, true, 1);
	cr_assert_eq(fake_driver_device_features(drv) & 7, BIT(VIRTIO_CONSOLE_F_EMERG_WRITE));
	cr_assert_eq(vcon_dev(rig.v)->ops->nr_queues, 2);
	fake_driver_start(drv, 0);
	cr_assert(output(0, "hello", 5));
	expect_output(0, "hello");
	gpa_t at = give_room(0, 16);

	cr_assert_eq(vcon_rig_input(&rig, 0, "input", 5), 5);
	expect_input(0, at, "input");
}

Test(vcon, driver_of_one_port_has_the_console_and_no_other_queue)
{
	fake_driver_start(drv, 0);
	for (unsigned int q = 0; q < VIRTIO_MAX_QUEUES; q++) {
		fake_driver_set_reg(drv, VIRTIO_MMIO_QUEUE_SEL, q);
		cr_assert_eq(fake_driver_reg(drv, VIRTIO_MMIO_QUEUE_NUM_MAX), q < 2 ? 128 : 0);
	}
	cr_assert(output(0, "hello", 5));
	expect_output(0, "hello");
	give_room(0, 16);
	cr_assert_eq(vcon_rig_input(&rig, 0, "x", 1), 1);
	cr_assert_eq(vcon_rig_input(&rig, 1, "x", 1), 0);
	cr_assert(vcon_is_open(rig.v, 0));
	cr_assert_not(vcon_is_open(rig.v, 1));
}

/* Those that are offered, before the driver has said that it knows of ports. */
Test(vcon, queues_are_there_before_features_are_chosen)
{
	for (unsigned int q = 0; q < VIRTIO_MAX_QUEUES; q++) {
		fake_driver_set_reg(drv, VIRTIO_MMIO_QUEUE_SEL, q);
		cr_assert_eq(fake_driver_reg(drv, VIRTIO_MMIO_QUEUE_NUM_MAX),
			     q < 2 * (VCON_PORTS + 1) ? 128 : 0, "queue %u", q);
	}
	/* One that was set up goes when the driver turns out to be one of the console alone. */
	for (unsigned int q = 0; q < 4; q++)
		cr_assert(fake_driver_setup_queue(drv, q, 16));
	fake_driver_set_reg(drv, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	fake_driver_set_reg(drv, VIRTIO_MMIO_DRIVER_FEATURES, V1 >> 32);
	fake_driver_set_reg(drv, VIRTIO_MMIO_STATUS, 15);
	cr_assert(vcon_is_open(rig.v, 0));
	for (unsigned int q = 0; q < 4; q++) {
		cr_assert_eq(vcon_dev(rig.v)->queues[q].ready, q < 2);
		fake_driver_set_reg(drv, VIRTIO_MMIO_QUEUE_SEL, q);
		cr_assert_eq(fake_driver_reg(drv, VIRTIO_MMIO_QUEUE_READY), q < 2);
	}
	cr_assert(output(0, "hello", 5));
	expect_output(0, "hello");
}

Test(vcon, as_many_ports_as_there_can_be)
{
	struct vcon_cfg cfg = { .has_console = true, .nr_ports = VCON_MAX_PORTS };
	struct fake_driver *d = malloc(sizeof(*d));
	struct vcon *v;

	for (unsigned int i = 1; i < VCON_MAX_PORTS; i++)
		cfg.names[i] = "name";
	cr_assert_eq(vcon_new(&v, &cfg, &rig.mem.gm), 0);
	cr_assert_eq(vcon_dev(v)->ops->nr_queues, VIRTIO_MAX_QUEUES);
	fake_driver_init(d, &rig.mem, vcon_dev(v));
	fake_driver_start(d, MULTIPORT);
	vcon_free(v);
	free(d);
}

/* --- who is there ------------------------------------------------------------------------------ */

Test(vcon, driver_gets_to_know_its_ports)
{
	fake_driver_start(drv, MULTIPORT);
	vcon_rig_host_opens(&rig, 2, true);
	HEARS(""); /* that buffer waits */
	device_ready();
	cr_assert(fake_queue_poll(&drv->queues[VCON_CONTROL_IN], NULL, NULL));
	HEARS("1 1 1 ");
	HEARS("1 2 1 ");
	say(2, VIRTIO_CONSOLE_PORT_READY, 1);
	HEARS("7 2 1 org.ebb.agent");
	HEARS("6 2 1 ");
	say(0, VIRTIO_CONSOLE_PORT_READY, 1);
	HEARS("4 0 1 ");
	HEARS("6 0 1 ");
}

Test(vcon, driver_hears_of_clients_that_come_and_go)
{
	start();
	vcon_rig_host_opens(&rig, 1, true);
	HEARS("6 1 1 ");
	vcon_rig_host_opens(&rig, 1, false);
	HEARS("6 1 0 ");
	/* A change of clients while it gives no buffer is not lost, a hundred of them are one. */
	vcon_rig_host_opens(&rig, 1, true);
	HEARS("6 1 1 ");
	for (unsigned int i = 0; i < 100; i++) {
		vcon_rig_host_opens(&rig, 1, false);
		vcon_rig_host_opens(&rig, 1, true);
	}
	HEARS("6 1 0 ");
	HEARS("6 1 1 ");
	vcon_rig_host_opens(&rig, 1, false);
	vcon_rig_host_opens(&rig, 1, true);
	vcon_rig_host_opens(&rig, 1, false);
	HEARS("6 1 0 ");
	HEARS("");
}

Test(vcon, client_that_goes_before_the_port_is_ready_was_never_there)
{
	fake_driver_start(drv, MULTIPORT);
	vcon_rig_host_opens(&rig, 1, true);
	device_ready();
	vcon_rig_host_opens(&rig, 1, false);
	HEARS("1 0 1 ");
	HEARS("1 1 1 ");
	HEARS("1 2 1 ");
	say(1, VIRTIO_CONSOLE_PORT_READY, 1);
	HEARS("7 1 1 first");
	HEARS("");
}

Test(vcon, hosts_end_hears_of_the_guests)
{
	fake_driver_start(drv, MULTIPORT);
	greet();
	cr_assert_not(rig.hosts[2].guest_open);
	say(2, VIRTIO_CONSOLE_PORT_OPEN, 1);
	cr_assert(rig.hosts[2].guest_open && vcon_is_open(rig.v, 2));
	cr_assert_geq(rig.hosts[2].nr_can_receive, 1);
	say(2, VIRTIO_CONSOLE_PORT_OPEN, 1);
	say(2, VIRTIO_CONSOLE_PORT_OPEN, 0);
	cr_assert_not(rig.hosts[2].guest_open || vcon_is_open(rig.v, 2));
	say(2, VIRTIO_CONSOLE_PORT_OPEN, 1);
	fake_driver_set_reg(drv, VIRTIO_MMIO_STATUS, 0);
	cr_assert_not(rig.hosts[2].guest_open);
}

Test(vcon, port_that_its_driver_gives_up_is_closed_and_can_come_back)
{
	start();
	vcon_rig_host_opens(&rig, 1, true);
	HEARS("6 1 1 ");
	say(1, VIRTIO_CONSOLE_PORT_READY, 0);
	cr_assert_not(rig.hosts[1].guest_open);
	vcon_rig_host_opens(&rig, 1, false);
	vcon_rig_host_opens(&rig, 1, true);
	say(1, VIRTIO_CONSOLE_PORT_READY, 1);
	HEARS("7 1 1 first");
	HEARS("6 1 1 ");
	HEARS("");
}

Test(vcon, next_driver_is_told_everything_anew)
{
	start();
	vcon_rig_host_opens(&rig, 2, true);
	fake_driver_start(drv, MULTIPORT);
	device_ready();
	HEARS("1 0 1 ");
	HEARS("1 1 1 ");
	HEARS("1 2 1 ");
	say(2, VIRTIO_CONSOLE_PORT_READY, 1);
	HEARS("7 2 1 org.ebb.agent");
	HEARS("6 2 1 ");
	HEARS("");
}

/* --- output ------------------------------------------------------------------------------------ */

Test(vcon, output_comes_in_order_whatever_its_layout)
{
	struct fake_buffer parts[5];
	gpa_t at = fake_alloc(&rig.mem, 10, 16);

	start();
	vcon_rig_host_opens(&rig, 1, true);
	fake_write(&rig.mem, at, "0123456789", 10);
	for (uint64_t i = 0; i < 5; i++)
		parts[i] = (struct fake_buffer){ gpa_add(at, 2 * i), 2, false };
	fake_queue_add(&drv->queues[vcon_output_queue(1)], parts, 5);
	fake_queue_add(&drv->queues[vcon_output_queue(1)], parts, 2);
	fake_driver_kick(drv, vcon_output_queue(1));
	expect_output(1, "01234567890123");
	cr_assert(fake_queue_poll(&drv->queues[vcon_output_queue(1)], NULL, NULL));
	cr_assert(fake_queue_poll(&drv->queues[vcon_output_queue(1)], NULL, NULL));
	cr_assert(output(2, "nobody", 6));
	expect_output(2, "");
}

Test(vcon, stalled_host_stops_the_queue_and_nothing_is_lost)
{
	struct vcon_rig_host *h = &rig.hosts[1];

	start();
	vcon_rig_host_opens(&rig, 1, true);
	h->room = 7;
	cr_assert(output(1, "abcd", 4));
	cr_assert_not(output(1, "efgh", 4));
	cr_assert_not(output(1, "ijkl", 4));
	cr_assert_eq(h->nr_put, 7);
	cr_assert(in_flight(1), "one chain is kept");
	cr_assert_eq(vcon_dev(rig.v)->queues[vcon_output_queue(1)].next_avail, 2, "the other is not");
	h->guest.transmit_ready(h->guest.ctx);
	cr_assert_eq(h->nr_put, 7, "there still is no room");
	h->room = 2;
	h->guest.transmit_ready(h->guest.ctx);
	cr_assert(fake_queue_poll(&drv->queues[vcon_output_queue(1)], NULL, NULL));
	cr_assert(in_flight(1));
	h->room = 100;
	h->guest.transmit_ready(h->guest.ctx);
	cr_assert(fake_queue_poll(&drv->queues[vcon_output_queue(1)], NULL, NULL));
	cr_assert_not(in_flight(1));
	expect_output(1, "abcdefghijkl");
	/* The other ports never noticed. */
	cr_assert(output(0, "console", 7));
	expect_output(0, "console");
}

Test(vcon, host_that_goes_lets_the_guest_go_on)
{
	start();
	vcon_rig_host_opens(&rig, 1, true);
	rig.hosts[1].room = 2;
	cr_assert_not(output(1, "abcd", 4));
	cr_assert_not(output(1, "efgh", 4));
	vcon_rig_host_opens(&rig, 1, false);
	cr_assert(fake_queue_poll(&drv->queues[vcon_output_queue(1)], NULL, NULL));
	cr_assert(fake_queue_poll(&drv->queues[vcon_output_queue(1)], NULL, NULL));
	expect_output(1, "ab");
	/* Nothing of it is the next one's. */
	rig.hosts[1].room = 100;
	vcon_rig_host_opens(&rig, 1, true);
	cr_assert(output(1, "new", 3));
	expect_output(1, "new");
}

Test(vcon, console_never_makes_the_guest_wait)
{
	start();
	rig.hosts[0].room = 0;
	cr_assert(output(0, "hello", 5));
	cr_assert_not(in_flight(0));
}

Test(vcon, block_under_a_kept_chain_is_not_unplugged)
{
	gpa_t at = GPA(FAKE_ELASTIC_BASE);

	start();
	cr_assert_eq(elastic_plug(&rig.mem.elastic, 0, 1), 0);
	vcon_rig_host_opens(&rig, 1, true);
	rig.hosts[1].room = 0;
	fake_write(&rig.mem, at, "elastic", 7);
	fake_queue_add(&drv->queues[vcon_output_queue(1)], &(struct fake_buffer){ at, 7, false }, 1);
	fake_driver_kick(drv, vcon_output_queue(1));
	cr_assert(in_flight(1));
	cr_assert(blocks_any_pinned(&rig.mem.elastic.blocks, 0, 1));
	rig.hosts[1].room = 100;
	rig.hosts[1].guest.transmit_ready(rig.hosts[1].guest.ctx);
	expect_output(1, "elastic");
	cr_assert_not(blocks_any_pinned(&rig.mem.elastic.blocks, 0, 1));
	/* A reset lets go of it as well. */
	rig.hosts[1].room = 0;
	fake_queue_add(&drv->queues[vcon_output_queue(1)], &(struct fake_buffer){ at, 7, false }, 1);
	fake_driver_kick(drv, vcon_output_queue(1));
	cr_assert(blocks_any_pinned(&rig.mem.elastic.blocks, 0, 1));
	fake_driver_set_reg(drv, VIRTIO_MMIO_STATUS, 0);
	cr_assert_not(blocks_any_pinned(&rig.mem.elastic.blocks, 0, 1));
}

/* Its buffer is the driver's again: what was not read of it yet is not read any more. */
Test(vcon, chain_that_is_kept_of_a_stopped_queue_is_left_alone)
{
	gpa_t at = GPA(FAKE_ELASTIC_BASE);

	start();
	cr_assert_eq(elastic_plug(&rig.mem.elastic, 0, 1), 0);
	vcon_rig_host_opens(&rig, 1, true);
	rig.hosts[1].room = 3;
	fake_write(&rig.mem, at, "elastic", 7);
	fake_queue_add(&drv->queues[vcon_output_queue(1)], &(struct fake_buffer){ at, 7, false }, 1);
	fake_driver_kick(drv, vcon_output_queue(1));
	/* Another queue of the port has nothing to do with it. */
	fake_driver_set_reg(drv, VIRTIO_MMIO_QUEUE_SEL, vcon_input_queue(1));
	fake_driver_set_reg(drv, VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert(blocks_any_pinned(&rig.mem.elastic.blocks, 0, 1));
	fake_driver_set_reg(drv, VIRTIO_MMIO_QUEUE_SEL, vcon_output_queue(1));
	fake_driver_set_reg(drv, VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(fake_driver_reg(drv, VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_not(blocks_any_pinned(&rig.mem.elastic.blocks, 0, 1));
	rig.hosts[1].room = 100;
	rig.hosts[1].guest.transmit_ready(rig.hosts[1].guest.ctx);
	expect_output(1, "ela");
	cr_assert_eq(fake_queue_used_idx(&drv->queues[vcon_output_queue(1)]), 0);
	cr_assert(output(0, "console", 7), "others go on");
}

Test(vcon, long_output_lets_others_have_their_turn)
{
	struct fake_buffer parts[64];
	gpa_t at = fake_alloc(&rig.mem, 64 * KiB, 16);
	unsigned int turns = 0;

	start();
	for (unsigned int i = 0; i < 64; i++)
		parts[i] = (struct fake_buffer){ at, 64 * KiB, false };
	drv->serve_kicks = false;
	fake_queue_add(&drv->queues[1], parts, 64);
	fake_driver_kick(drv, 1);
	while (drv->pending_kicks) {
		size_t before = rig.hosts[0].nr_put;

		drv->pending_kicks = 0;
		virtio_mmio_kicked(&drv->mmio, 1);
		cr_assert_leq(rig.hosts[0].nr_put - before, 256 * KiB);
		turns++;
	}
	cr_assert_eq(rig.hosts[0].nr_put, 4 * MiB);
	cr_assert(fake_queue_poll(&drv->queues[1], NULL, NULL));
	cr_assert_geq(turns, 16);
}

Test(vcon, emergency_write_works_at_any_time)
{
	fake_driver_access(drv, VIRTIO_MMIO_CONFIG + 8, 4, true, 'a');
	fake_driver_start(drv, MULTIPORT);
	fake_driver_access(drv, VIRTIO_MMIO_CONFIG + 8, 4, true, 0xffffff00 | 'b');
	virtio_broken(vcon_dev(rig.v), "for the test");
	fake_driver_access(drv, VIRTIO_MMIO_CONFIG + 8, 1, true, 'c');
	fake_driver_access(drv, VIRTIO_MMIO_CONFIG + 9, 1, true, 'x');
	fake_driver_access(drv, VIRTIO_MMIO_CONFIG + 0, 4, true, 'x');
	expect_output(0, "abc");
	cr_assert_eq(fake_driver_config(drv, 8, 4), 0);
}

Test(vcon, paused_machine_is_left_alone)
{
	struct virtio_dev *dev = vcon_dev(rig.v);

	start();
	vcon_rig_host_opens(&rig, 1, true);
	HEARS("6 1 1 ");
	give_room(1, 16);
	rig.hosts[1].room = 1;
	cr_assert_not(output(1, "ab", 2));
	virtio_hold(dev, true);
	rig.hosts[1].room = 10;
	rig.hosts[1].guest.transmit_ready(rig.hosts[1].guest.ctx);
	cr_assert_eq(vcon_rig_input(&rig, 1, "in", 2), 0);
	vcon_rig_host_opens(&rig, 2, true);
	HEARS("");
	rig.hosts[1].nr_can_receive = 0;
	cr_assert_not(fake_queue_poll(&drv->queues[vcon_output_queue(1)], NULL, NULL));
	virtio_hold(dev, false);
	cr_assert(fake_queue_poll(&drv->queues[vcon_output_queue(1)], NULL, NULL));
	expect_output(1, "ab");
	cr_assert(fake_queue_poll(&drv->queues[VCON_CONTROL_IN], NULL, NULL));
	cr_assert_eq(rig.hosts[1].nr_can_receive, 1);
	cr_assert_eq(vcon_rig_input(&rig, 1, "in", 2), 2);
}

/* --- input ------------------------------------------------------------------------------------- */

Test(vcon, input_fills_the_buffers_there_are_and_the_rest_waits)
{
	gpa_t a, b;

	start();
	cr_assert_eq(vcon_rig_input(&rig, 1, "nothing", 7), 0);
	a = give_room(1, 4);
	b = give_room(1, 4);
	cr_assert_eq(rig.hosts[1].nr_can_receive, 3, "one when it was opened");
	cr_assert_eq(vcon_rig_input(&rig, 1, "0123456789", 10), 8);
	expect_input(1, a, "0123");
	expect_input(1, b, "4567");
	a = give_room(1, 64);
	cr_assert_eq(vcon_rig_input(&rig, 1, "89", 2), 2);
	expect_input(1, a, "89");
}

Test(vcon, input_waits_while_the_guests_end_is_closed)
{
	start();
	say(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	give_room(1, 16);
	rig.hosts[1].nr_can_receive = 0;
	cr_assert_eq(vcon_rig_input(&rig, 1, "x", 1), 0);
	say(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	cr_assert_eq(rig.hosts[1].nr_can_receive, 1);
	cr_assert_eq(vcon_rig_input(&rig, 1, "x", 1), 1);
}

Test(vcon, buffer_of_several_parts_is_filled_across_them)
{
	gpa_t at = fake_alloc(&rig.mem, 16, 16);
	struct fake_buffer parts[] = { { at, 3, true }, { gpa_add(at, 3), 4, true } };

	start();
	fake_queue_add(&drv->queues[vcon_input_queue(2)], parts, 2);
	cr_assert_eq(vcon_rig_input(&rig, 2, "01234", 5), 5);
	expect_input(2, at, "01234");
}

Test(vcon, nobody_at_the_hosts_end_is_no_trouble)
{
	down();
	vcon_rig_init(&rig, true, VCON_PORTS);
	for (unsigned int i = 0; i < VCON_PORTS; i++)
		vcon_connect(rig.v, i, &(struct host_end){ 0 });
	start();
	give_room(0, 16);
	for (unsigned int i = 0; i < VCON_PORTS; i++)
		cr_assert(output(i, "lost", 4));
	fake_driver_access(drv, VIRTIO_MMIO_CONFIG + 8, 4, true, 'a');
	cr_assert_not(fake_driver_needs_reset(drv));
}

/* --- drivers that break the rules -------------------------------------------------------------- */

static void start_again(void)
{
	cr_assert_eq(gm_zero(&rig.mem.gm, GPA(0x10000), VCON_BOOT - 0x10000), 0);
	rig.mem.next_free = 0x10000;
	fake_driver_start(drv, MULTIPORT);
}

/* The driver is told, the head comes back with nothing in it; after a reset all is well. */
static void is_broken(unsigned int queue)
{
	uint32_t used = 99;

	cr_expect(fake_driver_needs_reset(drv));
	cr_expect(fake_driver_take_interrupts(drv) & VIRTIO_MMIO_INT_CONFIG);
	cr_expect(fake_queue_poll(&drv->queues[queue], NULL, &used), "the head comes back");
	cr_expect_eq(used, 0);
	start_again();
	cr_expect_not(fake_driver_needs_reset(drv));
	vcon_rig_host_opens(&rig, 1, false);
	greet();
	start_again();
}

static void message_breaks(uint32_t id, uint16_t event, uint16_t value)
{
	struct vcon_control m = { le32_of(id), le16_of(event), le16_of(value) };
	gpa_t at = fake_alloc(&rig.mem, sizeof(m), 16);

	fake_driver_take_interrupts(drv);
	fake_write(&rig.mem, at, &m, sizeof(m));
	fake_queue_add(&drv->queues[VCON_CONTROL_OUT],
		       &(struct fake_buffer){ at, sizeof(m), false }, 1);
	fake_driver_kick(drv, VCON_CONTROL_OUT);
	is_broken(VCON_CONTROL_OUT);
}

static void buffers_break(unsigned int queue, const struct fake_buffer *buffers, unsigned int nr)
{
	fake_driver_take_interrupts(drv);
	fake_queue_add(&drv->queues[queue], buffers, nr);
	fake_driver_kick(drv, queue);
	is_broken(queue);
}

Test(vcon, messages_about_ports_that_are_none_break_the_device)
{
	const uint32_t ids[] = { VCON_PORTS, VCON_MAX_PORTS, 0x80000000, UINT32_MAX };

	start_again();
	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		device_ready();
		message_breaks(ids[i], VIRTIO_CONSOLE_PORT_READY, 1);
		device_ready();
		message_breaks(ids[i], VIRTIO_CONSOLE_PORT_OPEN, 1);
	}
	/* Before it was announced. */
	message_breaks(1, VIRTIO_CONSOLE_PORT_READY, 1);
	message_breaks(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	/* The device's own, and kinds that are none. */
	for (uint16_t event = 1; event < 10; event++) {
		if (event == VIRTIO_CONSOLE_PORT_READY || event == VIRTIO_CONSOLE_PORT_OPEN)
			continue;
		device_ready();
		message_breaks(1, event, 1);
	}
	device_ready();
	message_breaks(1, UINT16_MAX, UINT16_MAX);
}

Test(vcon, messages_of_a_bad_length_or_place_break_the_device)
{
	const uint32_t lengths[] = { 1, 7, 9, 4096, UINT32_MAX };
	gpa_t at;

	start_again();
	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++) {
		at = fake_alloc(&rig.mem, 16, 16);
		buffers_break(VCON_CONTROL_OUT, &(struct fake_buffer){ at, lengths[i], false }, 1);
	}
	at = fake_alloc(&rig.mem, 16, 16);
	buffers_break(VCON_CONTROL_OUT, &(struct fake_buffer){ at, 8, true }, 1);
	at = fake_alloc(&rig.mem, 16, 16);
	buffers_break(VCON_CONTROL_OUT,
		      (struct fake_buffer[]){ { at, 8, false }, { at, 1, true } }, 2);
	buffers_break(VCON_CONTROL_OUT,
		      &(struct fake_buffer){ GPA(FAKE_ELASTIC_BASE), 8, false }, 1);
	buffers_break(VCON_CONTROL_OUT, &(struct fake_buffer){ GPA(VCON_BOOT - 4), 8, false }, 1);
}

Test(vcon, messages_again_and_again_change_nothing_more)
{
	start();
	for (unsigned int i = 0; i < 10000; i++) {
		device_ready();
		say(1, VIRTIO_CONSOLE_PORT_READY, 1);
		say(1, VIRTIO_CONSOLE_PORT_OPEN, (uint16_t)i);
	}
	HEARS("");
	cr_assert(rig.hosts[1].guest_open);
	/* Ports that come and go, and nobody reads what they are told: one message of each kind. */
	for (unsigned int i = 0; i < 10000; i++)
		say(2, VIRTIO_CONSOLE_PORT_READY, i % 2);
	cr_assert(fake_queue_poll(&drv->queues[VCON_CONTROL_IN], NULL, NULL));
	HEARS("7 2 1 org.ebb.agent");
	HEARS("");
}

Test(vcon, control_buffers_that_cannot_hold_a_message_break_the_device)
{
	const struct fake_buffer bad[] = {
		{ { 0x8000 }, 7, true },
		{ { 0x8000 }, 8, false },
		{ { FAKE_ELASTIC_BASE }, 64, true },
		{ { VCON_BOOT - 4 }, 64, true },
	};

	start_again();
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		device_ready();
		buffers_break(VCON_CONTROL_IN, &bad[i], 1);
	}
	/* Of a name, the whole. */
	start();
	say(1, VIRTIO_CONSOLE_PORT_READY, 0);
	say(1, VIRTIO_CONSOLE_PORT_READY, 1);
	fake_queue_add(&drv->queues[VCON_CONTROL_IN], &(struct fake_buffer){ GPA(0x8000), 12, true },
		       1);
	fake_driver_kick(drv, VCON_CONTROL_IN);
	cr_assert(fake_driver_needs_reset(drv));
	cr_expect(gm_is_zero(&rig.mem.gm, GPA(0x8000), 12), "or nothing of it");
	is_broken(VCON_CONTROL_IN);
}

Test(vcon, buffers_for_input_that_cannot_be_filled_break_the_device)
{
	const struct fake_buffer bad[][2] = {
		{ { { 0x8000 }, 16, false }, { { 0x9000 }, 16, true } },
		{ { { 0x8000 }, 0, true }, { { 0x9000 }, 0, true } },
		{ { { FAKE_ELASTIC_BASE }, 16, true }, { { 0x9000 }, 16, true } },
		{ { { VCON_BOOT - 4 }, 16, true }, { { 0x9000 }, 16, true } },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		start_again();
		greet();
		say(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
		fake_queue_add(&drv->queues[vcon_input_queue(1)], bad[i], 2);
		cr_expect_eq(vcon_rig_input(&rig, 1, "0123456789abcdef", 16), 0);
		is_broken(vcon_input_queue(1));
	}
}

Test(vcon, output_that_is_none_breaks_the_device)
{
	const struct fake_buffer bad[][2] = {
		{ { { 0x8000 }, 16, false }, { { 0x9000 }, 16, true } },
		{ { { 0x8000 }, 16, true }, { { 0x9000 }, 16, true } },
		{ { { FAKE_ELASTIC_BASE }, 16, false }, { { 0x9000 }, 16, false } },
		{ { { VCON_BOOT - 4 }, 16, false }, { { 0x9000 }, 16, false } },
		/* More than one piece before the end that does not exist. */
		{ { { MiB }, 3 * MiB, false }, { { FAKE_ELASTIC_BASE }, 16, false } },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		start_again();
		buffers_break(vcon_output_queue(0), bad[i], 2);
		cr_expect_eq(rig.hosts[0].nr_put, 0, "nothing of it goes to the host");
	}
	/* Also when it comes to be read later only: it was pinned, so it is looked at at once. */
	greet();
	vcon_rig_host_opens(&rig, 1, true);
	rig.hosts[1].room = 0;
	buffers_break(vcon_output_queue(1), bad[2], 2);
}

/* Cases 13 to 16, 22 and 24, on each queue that something is taken from. */
Test(vcon, rings_that_break_the_rules_break_the_device_on_every_queue)
{
	for (unsigned int queue = 0; queue < vcon_dev(rig.v)->ops->nr_queues; queue++) {
		for (unsigned int bad = 0; bad < 6; bad++) {
			struct fake_queue *q = &drv->queues[queue];

			start_again();
			device_ready(); /* so that messages wait for buffers */
			say(1, VIRTIO_CONSOLE_PORT_READY, 1);
			for (uint32_t i = 0; i < 3; i++)
				say(i, VIRTIO_CONSOLE_PORT_OPEN, 1);
			switch (bad) {
			case 0:
				fake_queue_set_avail_idx(q, (uint16_t)(q->avail_idx + q->size + 1));
				break;
			case 1:
				fake_queue_make_available(q, q->size);
				break;
			case 2: /* a loop */
				fake_queue_desc(q, 0, 0x8000, 8, VRING_DESC_F_NEXT, 0);
				fake_queue_make_available(q, 0);
				break;
			case 3:
				fake_queue_desc(q, 0, 0x8000, 8, VRING_DESC_F_NEXT, q->size);
				fake_queue_make_available(q, 0);
				break;
			case 4: /* not negotiated */
				fake_queue_desc(q, 0, 0x8000, 16, VRING_DESC_F_INDIRECT, 0);
				fake_queue_make_available(q, 0);
				break;
			case 5: /* readable behind writable */
				fake_queue_desc(q, 0, 0x8000, 8,
						VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
				fake_queue_desc(q, 1, 0x8000, 8, 0, 0);
				fake_queue_make_available(q, 0);
				break;
			}
			fake_driver_kick(drv, queue);
			for (unsigned int port = 0; port < VCON_PORTS; port++)
				(void)vcon_rig_input(&rig, port, "x", 1);
			cr_expect(fake_driver_needs_reset(drv), "queue %u, case %u", queue, bad);
		}
	}
	start_again();
	greet();
}

/* Case 24: made available again while it is kept. */
Test(vcon, head_that_is_kept_cannot_come_again)
{
	struct fake_queue *q = &drv->queues[vcon_output_queue(1)];
	uint16_t head;

	start();
	vcon_rig_host_opens(&rig, 1, true);
	rig.hosts[1].room = 0;
	head = fake_queue_add(q, &(struct fake_buffer){ GPA(0x8000), 8, false }, 1);
	fake_queue_make_available(q, head);
	fake_driver_kick(drv, vcon_output_queue(1));
	cr_assert_not(fake_driver_needs_reset(drv), "not looked at yet");
	rig.hosts[1].room = 100;
	rig.hosts[1].guest.transmit_ready(rig.hosts[1].guest.ctx);
	/* By then the first is the driver's again, so this one is lawful. */
	cr_assert_not(fake_driver_needs_reset(drv));
	cr_assert_eq(rig.hosts[1].nr_put, 16);
}

/* Case 21: a kept chain is what it was when it was taken. */
Test(vcon, descriptor_changed_while_its_chain_is_kept_changes_nothing)
{
	struct fake_queue *q = &drv->queues[vcon_output_queue(1)];
	uint16_t head;

	start();
	vcon_rig_host_opens(&rig, 1, true);
	rig.hosts[1].room = 0;
	fake_write(&rig.mem, GPA(0x8000), "lawful", 6);
	head = fake_queue_add(q, &(struct fake_buffer){ GPA(0x8000), 6, false }, 1);
	fake_driver_kick(drv, vcon_output_queue(1));
	fake_queue_desc(q, head, UINT64_MAX - 8, UINT32_MAX, VRING_DESC_F_NEXT, UINT16_MAX);
	rig.hosts[1].room = 100;
	rig.hosts[1].guest.transmit_ready(rig.hosts[1].guest.ctx);
	expect_output(1, "lawful");
	cr_assert_not(fake_driver_needs_reset(drv));
}

Test(vcon, storm_of_resets_holds_nothing_over)
{
	for (unsigned int i = 0; i < 1000; i++) {
		start_again();
		vcon_rig_host_opens(&rig, 1, false);
		greet();
		vcon_rig_host_opens(&rig, 1, i % 2);
		rig.hosts[1].room = 0;
		fake_queue_add(&drv->queues[vcon_output_queue(1)],
			       &(struct fake_buffer){ GPA(0x8000), 8, false }, 1);
		fake_driver_kick(drv, vcon_output_queue(1));
		cr_assert_eq(in_flight(1), i % 2);
		if (i % 3)
			fake_driver_set_reg(drv, VIRTIO_MMIO_STATUS, 0);
	}
}
