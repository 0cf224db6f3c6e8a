/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_virtio_slots.c - devices at their places: registers, kicks by both ways, interrupts. KVM's
 * part is the program's own ioctl(), which notes what is wired to what.
 */
#include "vmm/machine/virtio_slots.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/unit/fake_clock.h"
#include "tests/unit/fake_device.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/stderr_text.h"
#include "vmm/base/event.h"

static struct loop *loop;
static struct fake_clock ticks;
static struct fake_memory mem;
static struct bus bus;
static struct virtio_slots slots;
static struct fake_device devices[PLATFORM_MAX_VIRTIO + 1];
static struct fake_queue queues[3][2]; /* of the first devices */

/* --- KVM --------------------------------------------------------------------------------------- */

#define KVM_FD 12345
static unsigned int nr_irqs, nr_doorbells, calls_left;
static struct kvm_irqfd irqs[PLATFORM_MAX_VIRTIO];
static struct kvm_ioeventfd doorbells[2 * PLATFORM_MAX_VIRTIO];

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (fd != KVM_FD)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	if (!calls_left) {
		errno = ENOSPC;
		return -1;
	}
	calls_left--;
	if (request == KVM_IRQFD)
		memcpy(&irqs[nr_irqs++], arg, sizeof(*irqs));
	else
		memcpy(&doorbells[nr_doorbells++], arg, sizeof(*doorbells));
	return 0;
}

/* --- a guest ----------------------------------------------------------------------------------- */

static uint32_t reg(unsigned int device, uint32_t at)
{
	struct bus_access access = { .bytes = 4, .value = UINT64_MAX };

	bus_freeze(&bus);
	cr_assert(bus_access(&bus, platform_virtio_base(device) + at, &access));
	return (uint32_t)access.value;
}

static void set_reg(unsigned int device, uint32_t at, uint32_t value)
{
	struct bus_access access = { .bytes = 4, .is_write = true, .value = value };

	bus_freeze(&bus);
	cr_assert(bus_access(&bus, platform_virtio_base(device) + at, &access));
}

static void set_queue(unsigned int device, unsigned int queue)
{
	struct fake_queue *q = &queues[device][queue];

	fake_queue_init(q, &mem, 8);
	set_reg(device, VIRTIO_MMIO_QUEUE_SEL, queue);
	set_reg(device, VIRTIO_MMIO_QUEUE_NUM, q->size);
	set_reg(device, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)q->desc.v);
	set_reg(device, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)q->avail.v);
	set_reg(device, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)q->used.v);
	set_reg(device, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void run(void) { fake_clock_run(&ticks, loop, NS_PER_MS); }

static void add_status(unsigned int device, uint32_t bits)
{
	set_reg(device, VIRTIO_MMIO_STATUS, reg(device, VIRTIO_MMIO_STATUS) | bits);
}

/* Its driver sets a device up. */
static void start(unsigned int device)
{
	set_reg(device, VIRTIO_MMIO_STATUS, 0);
	add_status(device, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	add_status(device, VIRTIO_CONFIG_S_DRIVER);
	set_reg(device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set_reg(device, VIRTIO_MMIO_DRIVER_FEATURES, 1u << (VIRTIO_F_VERSION_1 - 32));
	add_status(device, VIRTIO_CONFIG_S_FEATURES_OK);
	set_queue(device, 0);
	set_queue(device, 1);
	add_status(device, VIRTIO_CONFIG_S_DRIVER_OK);
	cr_assert_eq(devices[device].nr_driver_ok, 1);
	run(); /* each queue is looked at once */
	devices[device].nr_kicks = 0;
	devices[device].nr_resets = 0;
}

/* A request in queue 0. */
static void ask(unsigned int device)
{
	struct fake_buffer buffer = { fake_alloc(&mem, 16, 16), 16, false };

	fake_queue_add(&queues[device][0], &buffer, 1);
	set_reg(device, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

/* --- from start to end ------------------------------------------------------------------------- */

static void add(unsigned int nr)
{
	while (nr--)
		cr_assert_eq(virtio_slots_add(&slots, &devices[slots.nr].dev), 0);
}

static void setup(void)
{
	cr_assert_eq(loop_new(&loop), 0);
	fake_clock_init(&ticks, loop);
	fake_memory_init(&mem, 4 * MiB, 0, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(devices); i++)
		fake_device_init(&devices[i], &mem.gm);
	bus = (struct bus){ 0 };
	slots = (struct virtio_slots){ 0 };
	virtio_slots_open(&slots, loop, &bus);
	nr_irqs = nr_doorbells = 0;
	calls_left = UINT32_MAX;
}

static void teardown(void)
{
	virtio_slots_close(&slots);
	virtio_slots_close(&slots);
	loop_free(loop);
	fake_memory_destroy(&mem);
}

TestSuite(virtio_slots, .init = setup, .fini = teardown, .timeout = 240);

Test(virtio_slots, each_device_answers_at_its_place)
{
	struct bus_access access = { .bytes = 4 };

	add(3);
	for (unsigned int i = 0; i < 3; i++) {
		cr_expect_eq(reg(i, VIRTIO_MMIO_DEVICE_ID), FAKE_DEVICE_ID);
		devices[i].config[1] = le64_of(100 + i);
	}
	for (unsigned int i = 0; i < 3; i++)
		cr_expect_eq(reg(i, VIRTIO_MMIO_CONFIG + 8), 100 + i);
	cr_expect_not(bus_access(&bus, platform_virtio_base(3), &access));
}

Test(virtio_slots, there_is_room_for_so_many_and_not_one_more)
{
	add(PLATFORM_MAX_VIRTIO);
	stderr_keep();
	cr_expect_eq(virtio_slots_add(&slots, &devices[PLATFORM_MAX_VIRTIO].dev), -EINVAL);
	cr_expect_not_null(strstr(stderr_text(), "at most 16 virtio devices"));
	cr_expect_eq(slots.nr, PLATFORM_MAX_VIRTIO);
	cr_expect_eq(reg(PLATFORM_MAX_VIRTIO - 1, VIRTIO_MMIO_DEVICE_ID), FAKE_DEVICE_ID);
}

Test(virtio_slots, a_place_that_is_taken_is_an_error)
{
	cr_assert_eq(bus_add(&bus, platform_virtio_base(1) + 8, 4, NULL, NULL), 0);
	add(1);
	stderr_keep();
	cr_expect_eq(virtio_slots_add(&slots, &devices[1].dev), -EEXIST);
	(void)stderr_text();
}

Test(virtio_slots, a_host_without_descriptors_left_is_an_error)
{
	struct rlimit all, none;

	add(1);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &all), 0);
	/* One for its interrupt, one for its first queue, none for the second. */
	for (int left = 0; left < 3; left++) {
		int next = dup(0);

		close(next);
		none = (struct rlimit){ (rlim_t)(next + left), all.rlim_max };
		stderr_keep();
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
		cr_expect_eq(virtio_slots_add(&slots, &devices[1].dev), -EMFILE, "%d", left);
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &all), 0);
		(void)stderr_text();
		slots.nr--;
	}
	slots.nr++;
}

static void nobody(void *ctx, uint32_t events) { (void)ctx, (void)events; }

Test(virtio_slots, once_closed_nothing_of_it_is_watched)
{
	int fd, pipe_end[2];

	cr_assert_eq(pipe2(pipe_end, O_CLOEXEC), 0);
	add(2);
	fd = slots.slot[1].kick_fd[1];
	virtio_slots_close(&slots);
	/* Somebody else gets that number. */
	cr_assert_eq(dup2(pipe_end[0], fd), fd);
	cr_expect_eq(loop_add(loop, fd, 0, nobody, NULL), 0);
	loop_remove(loop, fd);
	close(fd);
	close(pipe_end[0]);
	close(pipe_end[1]);
}

/* --- kicks and interrupts ---------------------------------------------------------------------- */

Test(virtio_slots, a_kick_by_the_bus_is_served_by_the_loop)
{
	add(2);
	start(0);
	start(1);
	set_reg(1, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	cr_expect_eq(devices[1].nr_kicks, 0, "not on the thread of a vCPU");
	run();
	cr_expect_eq(devices[1].nr_kicks, 1);
	cr_expect_eq(devices[0].nr_kicks, 0);
	set_reg(1, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	set_reg(1, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	run();
	cr_expect_eq(devices[1].nr_kicks, 2, "two at once are one");
	run();
	cr_expect_eq(devices[1].nr_kicks, 2);
}

Test(virtio_slots, a_kick_by_kvm_is_served_by_the_loop)
{
	add(2);
	start(0);
	start(1);
	for (unsigned int q = 0; q < 2; q++) {
		event_raise(&slots.slot[0].kick_fd[q]);
		run();
		cr_expect_eq(devices[0].nr_kicks, q + 1);
	}
	cr_expect_eq(devices[1].nr_kicks, 0);
}

static void change(void *ctx) { virtio_config_changed(ctx); }

Test(virtio_slots, an_interrupt_is_an_event_of_that_device)
{
	struct loop_timer timer = { .fn = change, .ctx = &devices[1].dev };

	add(2);
	start(1);
	loop_timer_set(loop, &timer, 1);
	run();
	cr_expect(event_taken(slots.slot[1].irq.fd));
	cr_expect_not(event_taken(slots.slot[0].irq.fd));
	cr_expect_eq(reg(1, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
}

Test(virtio_slots, while_held_no_device_takes_anything_and_then_all_do)
{
	add(3);
	for (unsigned int i = 0; i < 3; i++)
		start(i);
	virtio_slots_hold(&slots, true);
	for (unsigned int i = 0; i < 3; i++)
		ask(i);
	run();
	for (unsigned int i = 0; i < 3; i++)
		cr_expect_eq(devices[i].nr_served, 0, "%u", i);
	virtio_slots_hold(&slots, false);
	run();
	for (unsigned int i = 0; i < 3; i++)
		cr_expect_eq(devices[i].nr_served, 1, "%u", i);
}

Test(virtio_slots, a_reset_reaches_all)
{
	add(3);
	for (unsigned int i = 0; i < 3; i++)
		start(i);
	virtio_slots_reset(&slots);
	for (unsigned int i = 0; i < 3; i++) {
		cr_expect_eq(devices[i].nr_resets, 1, "%u", i);
		cr_expect_eq(reg(i, VIRTIO_MMIO_STATUS), 0, "%u", i);
	}
}

/* --- KVM --------------------------------------------------------------------------------------- */

Test(virtio_slots, a_vm_gets_an_interrupt_for_each_device_and_a_doorbell_for_each_queue)
{
	struct vm vm = { .fd = KVM_FD };

	add(3);
	cr_assert_eq(virtio_slots_connect(&slots, &vm), 0);
	cr_assert_eq(nr_irqs, 3);
	cr_assert_eq(nr_doorbells, 6);
	for (unsigned int i = 0; i < 3; i++) {
		cr_expect_eq(irqs[i].gsi, platform_virtio_gsi(i));
		cr_expect_eq(irqs[i].fd, (uint32_t)slots.slot[i].irq.fd);
	}
	for (unsigned int i = 0; i < 6; i++) {
		cr_expect_eq(doorbells[i].addr,
			     platform_virtio_base(i / 2) + VIRTIO_MMIO_QUEUE_NOTIFY);
		cr_expect_eq(doorbells[i].datamatch, i % 2);
		cr_expect_eq(doorbells[i].fd, slots.slot[i / 2].kick_fd[i % 2]);
	}
}

Test(virtio_slots, what_kvm_refuses_is_an_error_wherever_it_is)
{
	struct vm vm = { .fd = KVM_FD };

	add(2);
	for (unsigned int i = 0; i < 6; i++) {
		calls_left = i;
		nr_irqs = nr_doorbells = 0;
		stderr_keep();
		cr_expect_eq(virtio_slots_connect(&slots, &vm), -ENOSPC, "%u", i);
		cr_expect_not_null(strstr(stderr_text(), i % 3 ? "KVM_IOEVENTFD" : "KVM_IRQFD"));
		cr_expect_eq(nr_irqs + nr_doorbells, i);
	}
	calls_left = 6;
	nr_irqs = nr_doorbells = 0;
	cr_expect_eq(virtio_slots_connect(&slots, &vm), 0);
}
